"""What is said of weights that were learned in vain."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

WARM_UP_EPOCHS = 10
"""Epochs after which equal weights mean that nothing was learned."""

SUPPRESSED = 0.25
"""Share of the mean weight below which a whole class hardly counts."""


def warn_of_collapse(weights: NDArray[Any]) -> None:
    """Warn if all weights are near zero, or all equal."""
    mean, spread = weights.mean(), weights.std()
    if mean < 1e-3:
        what = f"all near zero (mean {mean:.2g})"
    elif spread < 1e-3 * mean:
        what = f"all equal (standard deviation {spread:.2g} around {mean:.2g})"
    else:
        return
    warnings.warn(
        f"The learned weights are {what}: nothing was learned about the rows. Check that the meta "
        "set is preprocessed as X and large enough, or raise meta_lr or max_epochs.",
        ConvergenceWarning,
        stacklevel=4,
    )


def warn_of_suppressed_classes(
    weights: NDArray[Any], labels: NDArray[np.int64], classes: NDArray[Any]
) -> None:
    """Warn with the names of classes whose rows have hardly any weight, right labels or wrong."""
    sizes = np.bincount(labels, minlength=len(classes))
    means = np.bincount(labels, weights, minlength=len(classes)) / np.maximum(sizes, 1)
    suppressed = (sizes > 0) & (means < SUPPRESSED * weights.mean())
    if suppressed.any():
        warnings.warn(
            f"The rows labelled {classes[suppressed].tolist()} have hardly any weight: their means "
            f"are {means[suppressed].round(3).tolist()}, that of all rows is {weights.mean():.3g}. "
            "If these classes are rare rather than mislabelled, check more of their rows; "
            'class_weight="balanced" makes the meta loss care for them.',
            UserWarning,
            stacklevel=4,
        )
