"""The reweighting methods, one in a file, with their weighting networks and their memory.

It may import ``_bilevel``. Read in this order:

1. ``_base``: what a method is; ``_exchange``: what it is told and tells;
2. ``_uniform``, the shortest method, and ``_meta_weight_net``, the default one, with and without a
   memory;
3. ``_function_based``, ``_weighting``: what methods with a weighting function share, the network
   and the fitted function; ``_cluster_network``: another network, for classes by their size;
4. ``_memory``: the running mean of each row's alignment; ``_class_means``: of its class;
5. ``_fmw_net``, ``_learning_to_reweight``, ``_lilaw``: the other methods.

To add one: write a subclass of :class:`Reweighter` in a file of its own, add its row to
``METHODS``, a row to ``tests/reweighting/_cases.py`` and a slow reference to
``tests/_reference.py``.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from skmetaweight.reweighting._base import Reweighter
from skmetaweight.reweighting._exchange import Evaluation, StepResult
from skmetaweight.reweighting._fmw_net import FirstOrderMetaWeightNet
from skmetaweight.reweighting._learning_to_reweight import LearningToReweight
from skmetaweight.reweighting._lilaw import LiLAW
from skmetaweight.reweighting._memory import AlignmentMemory
from skmetaweight.reweighting._meta_weight_net import MetaWeightNet
from skmetaweight.reweighting._uniform import Uniform

METHODS: dict[str, type[Reweighter]] = {
    "mw-net": MetaWeightNet,
    "fmw-net": FirstOrderMetaWeightNet,
    "l2rw": LearningToReweight,
    "lilaw": LiLAW,
    "uniform": Uniform,
}

PAPER_TRAINING: dict[str, Any] = {
    "optimizer": torch.optim.SGD,
    "optimizer__momentum": 0.9,
    "optimizer__weight_decay": 5e-4,
    "lr": 0.1,
    "lr_schedule": (80, 100),
    "max_epochs": 120,
    "batch_size": 100,
    "meta_batch_size": 100,
    "meta_share": 0.0,
    "robust_meta_loss": False,
    "confirm_weights": False,
    "temperature": 1.0,
    "class_smoothing": 0.0,
    "early_stopping": False,
}
"""The training around Meta-Weight-Net in its released script for label noise (``MW-Net.py``).

Parameters of :class:`~skmetaweight.MetaWeightClassifier`, to be unpacked beside a published method:
``MetaWeightClassifier(module, method=MetaWeightNet.paper(), **PAPER_TRAINING)``. SGD at 0.1 with
momentum 0.9 and weight decay 5e-4, divided by ten after 80 and after 100 of 120 epochs, batches of
100 and as many trusted rows, which take no part in the training loss; the last epoch counts. Other
released scripts differ, in what can be set as ``**{**PAPER_TRAINING, "max_epochs": 100}``:

- Meta-Weight-Net for imbalance: ``optimizer__nesterov=True``, ``lr_schedule=(80, 90)``,
  ``max_epochs=100``;
- Meta-Weight-Net with WRN-28-10: ``optimizer__nesterov=True``, ``lr_schedule=(36, 38)``,
  ``max_epochs=40``, and for the weighting function what :meth:`MetaWeightNet.paper` tells;
- FMW-Net: batches of 256; for CIFAR-100 150 epochs, with milestones at 80 and 120; for imbalance
  200 epochs, with the rate divided by a hundred after 160 and after 180;
- Learning to Reweight: weight decay 2e-4; for WRN-28-10 dropout 0.3; for ResNet-32 about 160
  epochs, with milestones at 80 and 120.
"""


def make_reweighter(method: str | Reweighter, **settings: Any) -> Reweighter:
    """Build a method by name, or copy one, with other settings.

    Raises
    ------
    ValueError
        If there is no such method.
    TypeError
        If the method has no setting of a name; the message lists those that it has.
    """
    if not isinstance(method, Reweighter) and method not in list(METHODS):
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}, or a Reweighter; got {method!r}."
        )
    reweighter: Any = METHODS[method]() if isinstance(method, str) else copy.deepcopy(method)
    unknown = settings.keys() - reweighter.get_params()
    if unknown:
        known = reweighter.get_params(deep=False)
        raise TypeError(
            f"{type(reweighter).__name__} has no setting {', '.join(map(repr, sorted(unknown)))}; "
            f"it has {', '.join(known) or 'none'}."
        )
    return reweighter.set_params(**settings)


__all__ = [
    "METHODS",
    "PAPER_TRAINING",
    "AlignmentMemory",
    "Evaluation",
    "FirstOrderMetaWeightNet",
    "LearningToReweight",
    "LiLAW",
    "MetaWeightNet",
    "Reweighter",
    "StepResult",
    "Uniform",
    "make_reweighter",
]
