"""Whether the meta set was preprocessed as the training rows were."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import gammaln

from skmetaweight._messages import warn

MAX_ROWS, MAX_COLUMNS = 1_000, 200
"""What is looked at of a larger table."""
LOG_CHANCE = np.log(1e-9)
"""How improbable a column must be if X_meta and X were drawn alike."""
MIN_SHARE = 0.25
"""Share of such columns that is no matter of a single drifting one, such as a date."""


def warn_of_scale(X_meta: Any, X: Any) -> bool:
    """Warn, and return True, if trusted rows look unlike the training rows in many columns.

    Only arrays of numbers and CSR, validated, are looked at; of images, say, each pixel is a
    column. A warning is no error, since trusted rows may come from elsewhere; samples of one
    distribution give none.
    """
    if not (_is_numeric(X) and _is_numeric(X_meta)):
        return False
    X_meta, X = _few_rows(X_meta), _few_rows(X)
    columns = _spread_out(X.shape[1], MAX_COLUMNS)
    far = far_columns(_dense(X_meta[:, columns]), _dense(X[:, columns]))
    if far.sum() <= MIN_SHARE * len(far):
        return False
    looked_at = "" if len(far) == X.shape[1] else " looked at"
    warn(
        f"X_meta is far from X in {far.sum()} of the {len(far)} columns{looked_at}: it seems not "
        "to be preprocessed as X. In a pipeline, build it with "
        "skmetaweight.pipeline.make_meta_pipeline, or give scikit-learn's Pipeline "
        "transform_input=['X_meta'] with metadata routing enabled, or mark trusted rows of X with "
        "meta_mask.",
    )
    return True


def _is_numeric(X: Any) -> bool:
    return getattr(X, "ndim", 0) >= 2 and X.dtype.kind in "fiub"


def far_columns(trusted: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
    r"""Tell the columns whose trusted values can hardly come from where the others come from.

    If the :math:`n` trusted and :math:`N` other values of a column are exchangeable, its :math:`k`
    largest values are all trusted ones with probability :math:`\binom nk / \binom{n+N}k`, and
    at most :math:`m` others lie between the trusted ones with a probability below
    :math:`(N+1) \binom{n+m}n / \binom{n+N}n`. Neither depends on the distribution. A column is far
    if most trusted values lie beyond all others, or all of them within less than a tenth of the
    others, and that is next to impossible by chance.

    Parameters
    ----------
    trusted : ndarray of shape (n_meta, n_columns)
    others : ndarray of shape (n_samples, n_columns)

    Returns
    -------
    far : ndarray of bool of shape (n_columns,)
    """
    n, n_others = len(trusted), len(others)
    # Unlike max and min, fmax and fmin pass missing values over.
    above = (trusted > np.fmax.reduce(others)).sum(axis=0)
    below = (trusted < np.fmin.reduce(others)).sum(axis=0)
    k = np.maximum(above, below)
    log_chance = _log_binomial(n, k) - _log_binomial(n + n_others, k)
    beyond = (k > n / 2) & (log_chance < LOG_CHANCE)
    low, high = np.fmin.reduce(trusted), np.fmax.reduce(trusted)
    m = ((others >= low) & (others <= high)).sum(axis=0)
    log_chance = np.log1p(n_others) + _log_binomial(n + m, n) - _log_binomial(n + n_others, n)
    return beyond | ((low < high) & (m < n_others / 10) & (log_chance < LOG_CHANCE))


def _log_binomial(n: Any, k: Any) -> Any:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _spread_out(n: int, n_max: int) -> NDArray[np.intp]:
    return np.linspace(0, n - 1, min(n, n_max)).astype(int)


def _few_rows(X: Any) -> Any:
    """Return rows of a matrix; X itself may be on a disk, or a view that to flatten would copy."""
    X = X[_spread_out(X.shape[0], MAX_ROWS)]
    return X if X.ndim == 2 else X.reshape(len(X), -1)


def _dense(X: Any) -> NDArray[Any]:
    return X.toarray() if issparse(X) else X
