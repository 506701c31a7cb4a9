"""What is said of weights that were learned in vain."""

from __future__ import annotations

import warnings
from typing import Any

from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

WARM_UP_EPOCHS = 10
"""Epochs after which equal weights mean that nothing was learned."""


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
