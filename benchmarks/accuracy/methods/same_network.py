"""The network of our defaults, trained with learned weights and in other ways."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import compute_sample_weight
from skorch.callbacks import Callback
from torch import nn

from benchmarks.accuracy.methods.method import Fitted
from benchmarks.accuracy.tasks import Problem
from skmetaweight import MetaWeightClassifier, Reweighter

FINE_TUNING_STEPS = 100
FINE_TUNING_LR = 1e-4
META_ONLY_STEPS = 400
"""As many as the network takes on 4,000 rows."""


class GeneralizedCrossEntropy(nn.Module):
    """(1 - p_y^q) / q of each row, from logits (Zhang and Sabuncu, NeurIPS 2018)."""

    def __init__(self, q: float = 0.7) -> None:
        super().__init__()
        self.q = q

    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        log_p = torch.log_softmax(y_pred, dim=-1).gather(1, y[:, None]).squeeze(1)
        return -torch.expm1(self.q * log_p) / self.q


def network(seed: int, **params: Any) -> MetaWeightClassifier:
    return MetaWeightClassifier(random_state=seed, device="cpu", **params)


def plain_network(seed: int, **params: Any) -> MetaWeightClassifier:
    """Ordinary training to the last epoch: the meta set has no part in it."""
    plain = {"method": "uniform", "meta_share": 0.0, "temperature": 1.0, "early_stopping": False}
    return network(seed, **{**plain, **params})


def plain_on(X: NDArray, y: NDArray, seed: int, **params: Any) -> MetaWeightClassifier:
    """Train on these rows alone; they stand in for the meta set, which plain training ignores."""
    return plain_network(seed, **params).fit(X, y, X_meta=X, y_meta=y)


def with_meta(problem: Problem, seed: int, **params: Any) -> Fitted:
    X, y, trusted = problem.union()
    clf = network(seed, **params).fit(X, y, meta_mask=trusted)
    return Fitted(clf, clf.sample_weights_[~trusted])


def in_our_training(
    problem: Problem, seed: int, *, method: Reweighter, temperature: float | str = 1.0
) -> Fitted:
    """Fit a published method by our training: its last epoch, and no meta share."""
    as_published = {"meta_share": 0.0, "class_smoothing": 0.0, "early_stopping": False}
    return with_meta(problem, seed, method=method, temperature=temperature, **as_published)


def plain_on_union(problem: Problem, seed: int, *, balanced: bool = False, **params: Any) -> Fitted:
    X, y, _ = problem.union()
    # Unlike class_weight, these weights enter the means and quantiles of the columns too.
    weight = compute_sample_weight("balanced", y) if balanced else None
    clf = plain_network(seed, **params)
    # A meta set must be given; it is watched and nothing more.
    return Fitted(clf.fit(X, y, sample_weight=weight, X_meta=problem.X_meta, y_meta=problem.y_meta))


def meta_tensors(problem: Problem, classes: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
    y_meta = np.searchsorted(classes, problem.y_meta)
    return torch.from_numpy(problem.X_meta), torch.from_numpy(y_meta)


class KeepMostAccurate(Callback):
    """Puts back the epoch with the most meta rows right, the last of equals."""

    def __init__(self, X_meta: torch.Tensor, y_meta: torch.Tensor) -> None:
        self.X_meta = X_meta
        self.y_meta = y_meta

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.n_right_ = -1

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        module = net.module_.eval()
        with torch.no_grad():
            n_right = int((module(self.X_meta).argmax(dim=1) == self.y_meta).sum())
        if n_right >= self.n_right_:
            self.n_right_, self.state_ = n_right, copy.deepcopy(module.state_dict())

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        net.module_.load_state_dict(self.state_)


def early_stopped(problem: Problem, seed: int) -> Fitted:
    """Trained on the noisy rows; the trusted ones choose the epoch, by accuracy."""
    X, y, trusted = problem.union()
    keep = KeepMostAccurate(*meta_tensors(problem, np.unique(y)))
    return Fitted(plain_network(seed, callbacks=[keep]).fit(X, y, meta_mask=trusted))


def fine_tuned(problem: Problem, seed: int) -> Fitted:
    """Trained on the noisy rows, then for some steps on the trusted ones."""
    X, y, trusted = problem.union()
    clf = plain_network(seed).fit(X, y, meta_mask=trusted)
    module = clf.net_.module_.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=FINE_TUNING_LR)
    X_meta, y_meta = meta_tensors(problem, clf.classes_)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(FINE_TUNING_STEPS):
            rows = rng.permutation(len(y_meta))[:64]
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X_meta[rows]), y_meta[rows]).backward()
            optimizer.step()
    module.eval()
    return Fitted(clf)


def meta_only(problem: Problem, seed: int) -> Fitted:
    X, y = problem.X_meta, problem.y_meta
    epochs = -(-META_ONLY_STEPS // -(-len(y) // 64))
    return Fitted(plain_on(X, y, seed, batch_size=64, max_epochs=epochs))
