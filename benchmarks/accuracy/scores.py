"""The scores of probabilities, side by side: how each is computed, shown and won."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

SMALLEST_PROBABILITY = 1e-4
"""Keeps a few confident mistakes from deciding the mean log loss."""
N_BINS = 15


@dataclass(frozen=True)
class Score:
    title: str
    scale: int
    """What a difference is multiplied by: 100 for points."""
    digits: int
    tie: float
    """The largest difference, so multiplied, that is a tie."""
    sign: int = 1
    """-1 where less is better."""

    def shown(self, value: float) -> str:
        return "–" if pd.isna(value) else f"{self.scale * value:.{self.digits}f}"

    def gains(self, values: pd.Series, others: pd.Series) -> pd.Series:
        """Return by how much the former are better."""
        return self.sign * self.scale * (values - others)


SCORES = {
    "accuracy": Score("accuracy", 100, 1, tie=0.3),
    "balanced_accuracy": Score("balanced accuracy", 100, 1, tie=0.3),
    "log_loss": Score("log loss", 1, 3, tie=0.01, sign=-1),
    "calibration_error": Score("calibration error", 100, 1, tie=0.3, sign=-1),
    "roc_auc": Score("ROC AUC", 100, 1, tie=0.3),
}


def score_probabilities(probabilities: NDArray, y: NDArray[np.int64]) -> dict[str, float]:
    """Return the value of each score."""
    predicted = probabilities.argmax(axis=1)
    of_truth = probabilities[np.arange(len(y)), y].clip(SMALLEST_PROBABILITY, 1)
    return {
        "accuracy": float((predicted == y).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(y, predicted)),
        "log_loss": float(-np.log(of_truth).mean()),
        "calibration_error": calibration_error(probabilities, y),
        "roc_auc": float(
            np.mean([roc_auc_score(y == label, probabilities[:, label]) for label in np.unique(y)])
        ),
    }


def calibration_error(probabilities: NDArray, y: NDArray[np.int64]) -> float:
    """Return the mean distance of confidence and accuracy over rows, by bins of confidence."""
    confidence = probabilities.max(axis=1)
    excess = confidence - (probabilities.argmax(axis=1) == y)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=excess)).sum() / len(y))


def weight_auc(weights: NDArray | None, is_right: NDArray[np.bool_] | None) -> float | None:
    """Return how well the weights tell right labels from wrong ones, where there are both."""
    if weights is None or is_right is None or is_right.all() or np.ptp(weights) == 0:
        return None
    return float(roc_auc_score(is_right, weights))
