"""The contestants by name, and the proof that two of them compute the same thing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from sklearn.base import clone
from torch import nn

from benchmarks.cost.baselines import (
    backward_to_weighting,
    betty,
    double_backward,
    lean_step,
    plain_loop,
    skorch_fit,
    weighting_network,
)
from benchmarks.cost.tasks import LEARNING_RATE, LOOKAHEAD_LR, Task, make_task
from skmetaweight import (
    FirstOrderMetaWeightNet,
    LearningToReweight,
    MetaWeightClassifier,
    MetaWeightNet,
)
from skmetaweight._bilevel.objective import Batch, Objective

NO_META_SHARE = {"meta_share": 0.0}
EVERY_BATCH = {"method__meta_interval": 1}


def classifier(task: Task, epochs: int, **options) -> MetaWeightClassifier:
    return MetaWeightClassifier(
        task.new_module(),
        optimizer=torch.optim.AdamW,
        lr=LEARNING_RATE,
        max_epochs=epochs,
        batch_size=task.batch_size,
        device=task.device,
        random_state=0,
        **options,
    )


def fit_with_meta(task: Task, epochs: int, **options) -> MetaWeightClassifier:
    """Fit with trusted rows beside the training rows: as many steps as skorch's."""
    clf = classifier(task, epochs, **options)
    return clf.fit(task.X, task.y, X_meta=task.X_meta, y_meta=task.y_meta)


def ours(task: Task, epochs: int, **options) -> list[float]:
    """A whole fit; its history tells how long each epoch took."""
    clf = fit_with_meta(task, epochs, early_stopping=False, **options)
    return clf.history_[:, "dur"]


MW_NET_EXACT = MetaWeightNet.paper().set_params(lookahead_lr=LOOKAHEAD_LR)
FMW_NET_EXACT = FirstOrderMetaWeightNet(meta_interval=1, lookahead_lr=LOOKAHEAD_LR, normalize=False)
FMW_NET_RELEASED = clone(FMW_NET_EXACT).set_params(meta_interval=20)
L2RW_EXACT = LearningToReweight(memory=0.0, meta_interval=1)

CONTESTANTS: dict[str, Callable[[Task, int], list[float]]] = {
    "skorch": skorch_fit,
    "plain-loop": plain_loop,
    "double-backward": double_backward,
    "double-backward-lean": partial(double_backward, step=lean_step),
    "betty": betty,
    "uniform": partial(ours, method="uniform", **NO_META_SHARE),
    "uniform-default": partial(ours, method="uniform"),
    "mw-net-exact": partial(ours, method=MW_NET_EXACT, **NO_META_SHARE),
    "mw-net-every-batch": partial(ours, **EVERY_BATCH),
    "mw-net-default": ours,
    "fmw-net-exact": partial(ours, method=FMW_NET_EXACT, **NO_META_SHARE),
    "fmw-net-released": partial(ours, method=FMW_NET_RELEASED, **NO_META_SHARE),
    "fmw-net-every-batch": partial(ours, method="fmw-net", **EVERY_BATCH),
    "fmw-net-default": partial(ours, method="fmw-net"),
    "l2rw-exact": partial(ours, method=L2RW_EXACT, **NO_META_SHARE),
    "l2rw-every-batch": partial(ours, method="l2rw", **EVERY_BATCH),
    "l2rw-default": partial(ours, method="l2rw"),
}
"""Each trains for some epochs and returns the seconds of every one."""


def hypergradient_difference() -> float:
    """Relative difference, in float64, between double backward and ours on one batch."""
    task = make_task("mlp-256", 1)
    X, y, X_meta, y_meta = task.tensors()
    X, X_meta = X.double(), X_meta.double()
    module = task.new_module().double().train()
    network = weighting_network().double()
    backward_to_weighting(module, network, (X, y), (X_meta, y_meta))
    expected = torch.cat([param.grad.flatten() for param in network.parameters()])

    # Plain gradient descent with step size one moves ψ by its hypergradient.
    reweighter = MetaWeightNet(
        memory=0.0,
        meta_lr=1.0,
        lookahead_lr=LOOKAHEAD_LR,
        normalize=False,
        optimizer=torch.optim.SGD,
    )
    reweighter.build(task.y.max() + 1, X)
    ours = list(reweighter.network_.parameters())
    for param, start in zip(ours, network.parameters(), strict=True):
        param.data.copy_(start.detach())
    reweighter.bind(Objective(nn.CrossEntropyLoss(reduction="none")), len(y))
    batch = Batch(X, y, torch.arange(len(y)))
    meta_batch = Batch(X_meta, y_meta, torch.arange(len(y_meta)))
    reweighter.step(module, batch, meta_batch, LEARNING_RATE)
    moved = [start - param for start, param in zip(network.parameters(), ours, strict=True)]
    found = torch.cat([change.detach().flatten() for change in moved])
    return float((found - expected).norm() / expected.norm())
