"""What another learner must take, and what learned weights must be for it to be safe with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import has_fit_parameter

LEAST_WEIGHT = 0.01
"""Share of the mean weight below which a row is left out, and a class is not."""


def check_estimator(estimator: Any, *, average: bool) -> None:
    """Raise a TypeError if it is no classifier, takes no weights, or has nothing to average."""
    if isinstance(estimator, type) or not is_classifier(estimator):
        raise TypeError(
            f"MetaWeightedEstimator takes a classifier, an object and no class; got {estimator!r}."
        )
    name = type(estimator).__name__
    if not has_fit_parameter(estimator, "sample_weight"):
        raise TypeError(
            f"{name}.fit takes no sample_weight: pass a classifier that does, and put the steps of "
            "a pipeline before MetaWeightedEstimator."
        )
    if average and not hasattr(estimator, "predict_proba"):
        raise TypeError(f"average=True needs probabilities, and {name} has no predict_proba.")


def usable_weights(
    learned: NDArray[np.float64], trusted: NDArray[np.bool_], y: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Return what rows count in another learner, zero for those to leave out.

    Parameters
    ----------
    learned : ndarray of shape (n_samples,)
        On any scale: those of untrusted rows are divided by their mean.
    trusted : ndarray of bool of shape (n_samples,)
        True for rows that count one.
    y : ndarray of shape (n_samples,)
        Given labels. Each class keeps rows.
    """
    others = ~trusted
    relative = learned[others] / max(learned[others].mean(), np.finfo(float).tiny)
    _, labels = np.unique(y[others], return_inverse=True)
    of_class = (np.bincount(labels, relative) / np.bincount(labels))[labels]
    kept = np.where(relative < LEAST_WEIGHT, 0.0, relative)
    weights = np.ones(len(y))
    weights[others] = np.where(of_class < LEAST_WEIGHT, 1.0, kept)
    return weights
