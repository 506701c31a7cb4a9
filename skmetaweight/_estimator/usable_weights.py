"""What learned weights have to be before another learner is safe with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_WEIGHT = 0.1
"""Share of the mean weight below which a row is left out, and a class is not."""


def usable_weights(
    learned: NDArray[np.float64], trusted: NDArray[np.intp], y: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Return what rows count in another learner, zero for those to leave out.

    Parameters
    ----------
    learned : ndarray of shape (n_samples,)
        On any scale: those of untrusted rows are divided by their mean.
    trusted : ndarray of int
        Places of the trusted rows, which count one.
    y : ndarray of shape (n_samples,)
        Given labels. Each class keeps rows.
    """
    others = np.delete(np.arange(len(y)), trusted)
    relative = learned[others] / max(learned[others].mean(), np.finfo(float).tiny)
    _, labels = np.unique(y[others], return_inverse=True)
    of_class = (np.bincount(labels, relative) / np.bincount(labels))[labels]
    kept = np.where(relative < LEAST_WEIGHT, 0.0, relative)
    weights = np.ones(len(y))
    weights[others] = np.where(of_class < LEAST_WEIGHT, 1.0, kept)
    return weights
