"""What is learned: the papers' tasks by name, and their rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.papers.images import Arrays, draw_balanced
from skmetaweight.datasets import corrupt_labels, make_long_tailed

TRUSTED_OF_TAILS = 10
"""Trusted images of each class beside a long tail, as published."""


@dataclass(frozen=True)
class Task:
    """What is wrong with the training rows.

    Parameters
    ----------
    kind : str
        "tail", "human", "weak" (texts, see texts.py) or a kind of noise of corrupt_labels.
    level : float
        Imbalance, or noise rate.
    published : dict of str to float
        Accuracies on CIFAR-10 by method, in percent, of Shu et al. (NeurIPS 2019): WRN-28-10 for
        uniform noise, else ResNet-32. Written down from memory: look them up before you quote any.
    """

    kind: str
    level: float
    published: dict[str, float] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        return "imbalance" if self.kind == "tail" else "noise"


@dataclass(frozen=True)
class Problem:
    """Images as bytes or texts, with labels 0, 1, ...; trusted rows are no training rows."""

    setting: str
    """The published setting of a method that it calls for: noise or imbalance."""
    X: NDArray[np.integer]
    y: NDArray[np.int64]
    is_right: NDArray[np.bool_]
    X_meta: NDArray[np.integer]
    y_meta: NDArray[np.int64]
    X_test: NDArray[np.integer]
    y_test: NDArray[np.int64]

    @property
    def trusted(self) -> dict[str, Any]:
        return {"X_meta": self.X_meta, "y_meta": self.y_meta}


BASELINES = ("base", "fine-tuned", "l2rw-paper", "mw-net-paper")

_PUBLISHED: dict[tuple[str, float], tuple[float, ...]] = {
    ("tail", 200): (65.7, 66.1, 66.5, 68.9),
    ("tail", 100): (70.4, 71.3, 74.2, 75.2),
    ("tail", 50): (74.8, 77.4, 78.9, 80.1),
    ("tail", 20): (82.2, 83.4, 82.1, 84.9),
    ("tail", 10): (86.4, 86.4, 85.2, 87.8),
    ("uniform", 0.4): (68.1, 80.5, 86.9, 89.3),
    ("uniform", 0.6): (53.1, 78.8, 82.2, 84.1),
    ("flip-two", 0.2): (76.8, 82.5, 87.9, 90.3),
    ("flip-two", 0.4): (70.8, 74.1, 85.7, 87.5),
}


def _task(kind: str, level: float) -> Task:
    accuracies = _PUBLISHED.get((kind, level), ())
    return Task(kind, level, dict(zip(BASELINES, accuracies, strict=False)))


TASKS: dict[str, Task] = {
    **{f"tail-{ratio}": _task("tail", ratio) for ratio in (200, 100, 50, 20, 10)},
    **{
        f"{name}-{percent}": _task(kind, percent / 100)
        for name, kind, percents in (
            ("uniform", "uniform", (40, 60)),
            ("flip1", "flip-one", (20, 40)),
            ("flip2", "flip-two", (20, 40)),
            ("pair", "pair", (20, 40)),
        )
        for percent in percents
    },
    "human": _task("human", 0.4),
    "weak": _task("weak", 0.46),
}


def prepare(task: Task, images: Arrays, n_train: int | None, n_trusted: int, seed: int) -> Problem:
    """Draw trusted rows, as many of each class, and others; thin these, or spoil their labels."""
    rng = np.random.default_rng(seed)
    y = images["y_train"].astype(np.int64)
    n_classes = len(np.unique(y))
    per_class = TRUSTED_OF_TAILS if task.kind == "tail" else n_trusted // n_classes
    meta = draw_balanced(y, per_class, rng)
    train = rng.permutation(np.setdiff1d(np.arange(len(y)), meta))[:n_train]
    if task.kind == "tail":
        train, *_ = make_long_tailed(train, y[train], imbalance_ratio=task.level, random_state=seed)
    given = _labels(task, images, train, seed)
    return Problem(
        task.setting,
        images["X_train"][train],
        given,
        given == y[train],
        images["X_train"][meta],
        y[meta],
        images["X_test"],
        images["y_test"].astype(np.int64),
    )


def _labels(task: Task, images: Arrays, train: NDArray, seed: int) -> NDArray[np.int64]:
    if task.kind == "human":
        if "y_noisy_worst" not in images:
            raise SystemExit("The images have no labels of humans, y_noisy_worst: leave human out.")
        return images["y_noisy_worst"][train].astype(np.int64)
    y = images["y_train"][train].astype(np.int64)
    if task.kind == "tail":
        return y
    kind: Any = task.kind
    return corrupt_labels(y, noise=kind, noise_rate=task.level, random_state=seed)[0]
