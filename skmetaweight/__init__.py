"""skmetaweight: a classifier for data whose labels cannot be trusted."""

from __future__ import annotations

from skmetaweight._estimator.classifier import MetaWeightClassifier
from skmetaweight._estimator.onnx_export import export_onnx
from skmetaweight._estimator.weighted import MetaWeightedEstimator
from skmetaweight._tabular.modules import TabularMLP
from skmetaweight._training.checkpoint import FitCheckpoint
from skmetaweight.reweighting import (
    PAPER_TRAINING,
    FirstOrderMetaWeightNet,
    LearningToReweight,
    LiLAW,
    MetaWeightNet,
    Reweighter,
    Uniform,
)
from skmetaweight.reweighting._weighting import WeightingFunction

__version__ = "0.1.0.dev0"

__all__ = [
    "PAPER_TRAINING",
    "FirstOrderMetaWeightNet",
    "FitCheckpoint",
    "LearningToReweight",
    "LiLAW",
    "MetaWeightClassifier",
    "MetaWeightNet",
    "MetaWeightedEstimator",
    "Reweighter",
    "TabularMLP",
    "Uniform",
    "WeightingFunction",
    "export_onnx",
]
