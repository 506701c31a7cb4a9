"""skmetaweight: a classifier for data whose labels cannot be trusted."""

from __future__ import annotations

from skmetaweight._classifier import MetaWeightClassifier
from skmetaweight._modules import TabularMLP
from skmetaweight._weighting import WeightingFunction
from skmetaweight.reweighting import (
    FirstOrderMetaWeightNet,
    LearningToReweight,
    MetaWeightNet,
    Reweighter,
    Uniform,
)

__version__ = "0.1.0.dev0"

__all__ = [
    "FirstOrderMetaWeightNet",
    "LearningToReweight",
    "MetaWeightClassifier",
    "MetaWeightNet",
    "Reweighter",
    "TabularMLP",
    "Uniform",
    "WeightingFunction",
]
