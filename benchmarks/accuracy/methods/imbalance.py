"""Fits for imbalanced classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import balanced_accuracy_score

from benchmarks.accuracy.methods.method import Fitted
from benchmarks.accuracy.methods.rivals import on_union
from benchmarks.accuracy.tasks import Problem


def balanced_forest(problem: Problem, seed: int) -> Fitted:
    from imblearn.ensemble import BalancedRandomForestClassifier

    return on_union(problem, seed, estimator=BalancedRandomForestClassifier(n_estimators=200))


class PriorAdjusted(ClassifierMixin):
    """Divides probabilities by a power of the classes' shares (Menon et al., ICLR 2021).

    With two classes that is a threshold. The power is the one of the best balanced accuracy on
    the trusted rows.
    """

    def __init__(self, classifier: Any, y: NDArray, X_meta: NDArray, y_meta: NDArray) -> None:
        self.classifier = classifier
        self.classes_, sizes = np.unique(y, return_counts=True)
        self._shares = sizes / len(y)
        scores = {}
        for power in np.linspace(0, 1.5, 16):
            self._power = power
            predicted = self.classes_[self.predict_proba(X_meta).argmax(axis=1)]
            scores[power] = balanced_accuracy_score(y_meta, predicted)
        self._power = max(scores, key=lambda power: scores[power])

    def predict_proba(self, X: NDArray) -> NDArray:
        adjusted = self.classifier.predict_proba(X) / self._shares**self._power
        return adjusted / adjusted.sum(axis=1, keepdims=True)


def prior_adjusted(problem: Problem, seed: int, *, fit: Callable[..., Fitted]) -> Fitted:
    classifier = fit(problem, seed).classifier
    _, y, _ = problem.union()
    return Fitted(PriorAdjusted(classifier, y, problem.X_meta, problem.y_meta))
