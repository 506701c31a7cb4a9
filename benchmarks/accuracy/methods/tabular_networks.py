"""Other networks for tables: RealMLP and TabM, and TabM's module within our training."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.preprocessing import QuantileTransformer
from torch import nn

from benchmarks.accuracy.methods.method import Fitted, import_rival
from benchmarks.accuracy.methods.rivals import cleanlab_around, validation_rows
from benchmarks.accuracy.methods.same_network import network
from benchmarks.accuracy.tasks import Problem
from skmetaweight.pipeline import make_meta_pipeline

TABM_WIDTH = 128
"""Instead of 512, with which a step takes ten times as long."""


def pytabkit_network(name: str, seed: int) -> Any:
    """One of pytabkit's tuned defaults ("TD", "D"); a second thread can slow it a hundredfold."""
    classifier = getattr(import_rival("pytabkit"), f"{name}_Classifier")
    return classifier(device="cpu", n_threads=1, random_state=seed)


def validated_network(problem: Problem, seed: int, *, name: str) -> Fitted:
    """Trained on the noisy rows; the trusted ones choose the epoch."""
    classifier = pytabkit_network(name, seed)
    return Fitted(classifier.fit(problem.X, problem.y, **validation_rows(problem)))


def cleanlab_validated(problem: Problem, seed: int, *, name: str) -> Fitted:
    classifier, trusted = pytabkit_network(name, seed), validation_rows(problem)
    return cleanlab_around(problem, seed, classifier=classifier, trusted=trusted)


class TabMMembers(nn.Module):
    """Log probabilities of TabM's members: their mean in training, that of the mean afterwards.

    So each member is trained on its own loss, as its authors do.
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.members = import_rival("tabm").TabM.make(
            n_num_features=n_features, d_out=n_classes, d_block=TABM_WIDTH
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        log_p = torch.log_softmax(self.members(X), dim=-1)
        if self.training:
            return log_p.mean(dim=1)
        return torch.logsumexp(log_p, dim=1) - torch.tensor(log_p.shape[1]).log()


class NegativeOfLabel(nn.Module):
    """What remains of the cross-entropy of log probabilities, which need not sum to one."""

    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -y_pred.gather(1, y[:, None]).squeeze(1)


def with_tabm(problem: Problem, seed: int, **params: Any) -> Fitted:
    """TabM in place of our network, on normal quantiles as its authors recommend."""
    X, y, trusted = problem.union()
    clf = network(
        seed,
        module=TabMMembers,
        module__n_features=X.shape[1],
        module__n_classes=len(set(y)),
        criterion=NegativeOfLabel,
        **params,
    )
    quantiles = QuantileTransformer(
        n_quantiles=min(1_000, len(y)), output_distribution="normal", random_state=seed
    )
    fitted = make_meta_pipeline(quantiles, clf).fit(X, y, meta_mask=trusted)
    return Fitted(fitted, fitted[-1].sample_weights_[~trusted])
