"""What is fitted, by name: published methods and baselines, and our defaults, in one training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.papers.tasks import Problem
from skmetaweight import (
    PAPER_TRAINING,
    FirstOrderMetaWeightNet,
    LearningToReweight,
    MetaWeightClassifier,
    MetaWeightNet,
)

Training = dict[str, Any]
Method = Callable[[Problem, Training], MetaWeightClassifier]

AS_PUBLISHED = {
    name: PAPER_TRAINING[name]
    for name in (
        *("meta_share", "robust_meta_loss", "confirm_weights"),
        *("temperature", "class_smoothing", "early_stopping"),
    )
}
FINE_TUNING_SHARE = 0.1
"""Share of the learning rate, and of the steps, with which trusted rows tune a base model."""


class Weighting(nn.Module):
    """A weighting network 1-...-1 with hidden layers of any number, for the ablation."""

    def __init__(self, *hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_inputs, n_outputs in pairwise((1, *hidden)):
            layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], 1), nn.Sigmoid())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs).squeeze(-1)


def with_trusted(problem: Problem, training: Training, **params: Any) -> MetaWeightClassifier:
    """Fit our defaults, or what params change of them."""
    clf = MetaWeightClassifier(**{**training, **params})
    return clf.fit(problem.X, problem.y, **problem.trusted)


def published(
    problem: Problem, training: Training, *, paper: Callable[[str], Any], **params: Any
) -> MetaWeightClassifier:
    """Fit a published method; its virtual step is as long as SGD's rate, under AdamW 0.1."""
    method = paper(problem.setting).set_params(**params)
    is_sgd = training["optimizer"] is torch.optim.SGD
    if not is_sgd and "lookahead_lr" in method.get_params():
        method.set_params(lookahead_lr=0.1)
    around = {**AS_PUBLISHED, "meta_batch_size": training["batch_size"]}
    return with_trusted(problem, training, method=method, **around)


def base(problem: Problem, training: Training) -> MetaWeightClassifier:
    """Fit the training rows as they are; trusted rows are watched and nothing more."""
    return with_trusted(problem, training, method="uniform", **AS_PUBLISHED)


def meta_only(problem: Problem, training: Training) -> MetaWeightClassifier:
    """Fit the trusted rows alone, in as many steps as the others take."""
    times = max(1, len(problem.y) // len(problem.y_meta))
    longer = {"max_epochs": training["max_epochs"] * times}
    if "lr_schedule" in training:
        longer["lr_schedule"] = tuple(times * epoch for epoch in training["lr_schedule"])
    only = {"method": "uniform", "module__n_classes": len(np.unique(problem.y_meta))}
    clf = MetaWeightClassifier(**{**training, **AS_PUBLISHED, **longer, **only})
    return clf.fit(problem.X_meta, problem.y_meta, **problem.trusted)


def fine_tuned(problem: Problem, training: Training) -> MetaWeightClassifier:
    """Fit the base model, then go on with the trusted rows, in small steps."""
    clf = base(problem, training)
    n_epochs = clf.n_iter_ * len(problem.y) / len(problem.y_meta)
    tuning = {
        "warm_start": True,
        "lr": FINE_TUNING_SHARE**2 * training["lr"],
        "lr_schedule": "constant",
        "max_epochs": max(1, round(FINE_TUNING_SHARE * n_epochs)),
    }
    return clf.set_params(**tuning).fit(problem.X_meta, problem.y_meta, **problem.trusted)


def _l2rw(setting: str) -> LearningToReweight:
    del setting
    return LearningToReweight.paper()


METHODS: dict[str, Method] = {
    "base": base,
    "meta-only": meta_only,
    "fine-tuned": fine_tuned,
    "mw-net-paper": partial(published, paper=MetaWeightNet.paper),
    "fmw-net-paper": partial(published, paper=FirstOrderMetaWeightNet.paper),
    "l2rw-paper": partial(published, paper=_l2rw),
    "uniform": partial(with_trusted, method="uniform"),
    "mw-net": with_trusted,
    "mw-net-all-layers": partial(with_trusted, method__alignment_layers="all"),
    "fmw-net": partial(with_trusted, method="fmw-net"),
    "l2rw": partial(with_trusted, method="l2rw"),
    "mw-net-paper-50-50": partial(
        published, paper=MetaWeightNet.paper, weighting=Weighting(50, 50)
    ),
    "mw-net-paper-20-20-20": partial(
        published, paper=MetaWeightNet.paper, weighting=Weighting(20, 20, 20)
    ),
}
WITHOUT_WEIGHTS = ("base", "meta-only", "fine-tuned", "uniform")
