"""The reweighting methods.

To add one: write a subclass of :class:`Reweighter` in a file of its own, add its row to
``METHODS``, a row to ``tests/reweighting/_cases.py`` and a slow reference to
``tests/_reference.py``.
"""

from __future__ import annotations

import inspect
from typing import Any

from skmetaweight.reweighting._base import Evaluation, Reweighter, StepResult
from skmetaweight.reweighting._fmw_net import FirstOrderMetaWeightNet
from skmetaweight.reweighting._learning_to_reweight import LearningToReweight
from skmetaweight.reweighting._memory import AlignmentMemory
from skmetaweight.reweighting._meta_weight_net import MetaWeightNet
from skmetaweight.reweighting._uniform import Uniform

METHODS: dict[str, type[Reweighter]] = {
    "mw-net": MetaWeightNet,
    "fmw-net": FirstOrderMetaWeightNet,
    "l2rw": LearningToReweight,
    "uniform": Uniform,
}


def make_reweighter(method: str, **options: Any) -> Reweighter:
    """Build a method by name from those of the options that it takes."""
    reweighter = METHODS[method]
    taken = inspect.signature(reweighter).parameters
    return reweighter(**{name: value for name, value in options.items() if name in taken})


__all__ = [
    "METHODS",
    "AlignmentMemory",
    "Evaluation",
    "FirstOrderMetaWeightNet",
    "LearningToReweight",
    "MetaWeightNet",
    "Reweighter",
    "StepResult",
    "Uniform",
    "make_reweighter",
]
