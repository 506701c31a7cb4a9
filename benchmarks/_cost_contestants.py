"""The contestants of cost.py, by name, and the proof that two of them compute the same thing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from _cost_baselines import (
    backward_to_weighting,
    betty,
    double_backward,
    lean_step,
    plain_loop,
    skorch_fit,
    weighting_network,
)
from _cost_tasks import LEARNING_RATE, LOOKAHEAD_LR, Task, make_task
from torch import nn

from skmetaweight import (
    FirstOrderMetaWeightNet,
    LearningToReweight,
    MetaWeightClassifier,
    MetaWeightNet,
    Reweighter,
)
from skmetaweight._bilevel.objective import Batch, Objective

AS_PUBLISHED = {"meta_share": 0.0}


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


def ours(
    task: Task, epochs: int, method: str | Callable[[], Reweighter] = "mw-net", **options
) -> list[float]:
    """A whole fit; its history tells how long each epoch took."""
    method = method if isinstance(method, str) else method()
    clf = classifier(
        task, epochs, method=method, lookahead_lr=LOOKAHEAD_LR, early_stopping=False, **options
    )
    clf.fit(task.X, task.y, X_meta=task.X_meta, y_meta=task.y_meta)
    return clf.history_[:, "dur"]


CONTESTANTS: dict[str, Callable[[Task, int], list[float]]] = {
    "skorch": skorch_fit,
    "plain-loop": plain_loop,
    "double-backward": double_backward,
    "double-backward-lean": partial(double_backward, step=lean_step),
    "betty": betty,
    "uniform": partial(ours, method="uniform", **AS_PUBLISHED),
    "uniform-default": partial(ours, method="uniform"),
    "mw-net-exact": partial(ours, method=MetaWeightNet.paper, **AS_PUBLISHED),
    "mw-net-every-batch": partial(ours, meta_interval=1),
    "mw-net-default": ours,
    "fmw-net-exact": partial(
        ours,
        method=partial(FirstOrderMetaWeightNet, meta_interval=1, normalize=False),
        **AS_PUBLISHED,
    ),
    "fmw-net-every-batch": partial(ours, method="fmw-net", meta_interval=1),
    "fmw-net-default": partial(ours, method="fmw-net"),
    "l2rw-exact": partial(
        ours, method=partial(LearningToReweight, memory=0.0, meta_interval=1), **AS_PUBLISHED
    ),
    "l2rw-every-batch": partial(ours, method="l2rw", meta_interval=1),
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
    backward_to_weighting(module, network, (X, y), (X_meta, y_meta), LOOKAHEAD_LR)
    expected = torch.cat([param.grad.flatten() for param in network.parameters()])

    # Plain gradient descent with step size one moves ψ by its hypergradient.
    reweighter = MetaWeightNet(memory=0.0, normalize=False, meta_lr=1.0, optimizer=torch.optim.SGD)
    reweighter.build(task.y.max() + 1, X)
    ours = list(reweighter.network.parameters())
    for param, start in zip(ours, network.parameters(), strict=True):
        param.data.copy_(start.detach())
    reweighter.bind(Objective(nn.CrossEntropyLoss(reduction="none")), len(y))
    batch = Batch(X, y, torch.arange(len(y)))
    meta_batch = Batch(X_meta, y_meta, torch.arange(len(y_meta)))
    reweighter.step(module, batch, meta_batch, LOOKAHEAD_LR)
    moved = [start - param for start, param in zip(network.parameters(), ours, strict=True)]
    found = torch.cat([change.detach().flatten() for change in moved])
    return float((found - expected).norm() / expected.norm())
