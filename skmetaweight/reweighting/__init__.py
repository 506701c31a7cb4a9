"""The reweighting methods, one in a file, with their weighting networks and their memory.

It may import ``_bilevel``. Read in this order:

1. ``_base``: what a method is;
2. ``_meta_weight_net``: one method, as all others are written;
3. ``_function_based``, ``_weighting``: what methods with a weighting function share, the network
   and the fitted function;
4. ``_memory``: the running mean of each row's alignment;
5. ``_fmw_net``, ``_learning_to_reweight``, ``_uniform``: the other methods;
6. ``_paper``: the training around the published methods.

To add one: write a subclass of :class:`Reweighter` in a file of its own, add its row to
``METHODS``, a row to ``tests/reweighting/_cases.py`` and a slow reference to
``tests/_reference.py``.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from skmetaweight.reweighting._base import Evaluation, Reweighter, StepResult
from skmetaweight.reweighting._fmw_net import FirstOrderMetaWeightNet
from skmetaweight.reweighting._learning_to_reweight import LearningToReweight
from skmetaweight.reweighting._memory import AlignmentMemory
from skmetaweight.reweighting._meta_weight_net import MetaWeightNet
from skmetaweight.reweighting._paper import PAPER_TRAINING
from skmetaweight.reweighting._uniform import Uniform

METHODS: dict[str, type[Reweighter]] = {
    "mw-net": MetaWeightNet,
    "fmw-net": FirstOrderMetaWeightNet,
    "l2rw": LearningToReweight,
    "uniform": Uniform,
}


def make_reweighter(method: str | Reweighter, **settings: Any) -> Reweighter:
    """Build a method by name, or copy one, with other settings.

    Raises
    ------
    TypeError
        If the method has no setting of a name; the message lists those that it has.
    """
    reweighter: Any = METHODS[method]() if isinstance(method, str) else clone(method)
    known = reweighter.get_params(deep=False)
    unknown = [name for name in settings if name.partition("__")[0] not in known]
    if unknown:
        raise TypeError(
            f"{type(reweighter).__name__} has no setting {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(known) or 'none'}."
        )
    return reweighter.set_params(**settings)


__all__ = [
    "METHODS",
    "PAPER_TRAINING",
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
