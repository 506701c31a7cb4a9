"""Numbers that lie so close together, beside their size, that float32 makes them equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, issparse

STEP = np.finfo(np.float32).eps
"""How far numbers of float32 are apart, beside their size."""

STEPS_IN_SPREAD = 1_000
"""With fewer steps of float32 in the spread of a column, numbers that differ become equal."""

NOISE = 1e-14
"""Up to this, beside their size, numbers differ by rounding only."""


def loses_digits(spread: Any, size: Any) -> Any:
    """Whether a cast to float32 makes numbers of this spread and size equal."""
    return (spread > 0) & (spread < STEPS_IN_SPREAD * STEP * size)


def crowded_columns(X: Any) -> NDArray[np.intp]:
    """Return the columns of rows, dense or sparse, most of whose numbers float32 makes equal.

    Each number counts once, however many rows have it; of a sparse column, zeros do not count.
    """
    if X.dtype.itemsize < 8:
        return np.empty(0, dtype=np.intp)
    numbers, columns = _by_column(X)
    differ, lost = _gaps(numbers)
    together = columns[1:] == columns[:-1]
    n_gaps = np.bincount(columns[1:][differ & together], minlength=X.shape[1])
    n_lost = np.bincount(columns[1:][lost & together], minlength=X.shape[1])
    starts = np.searchsorted(columns, np.arange(X.shape[1] + 1))
    found = [
        i
        for i in np.flatnonzero(2 * n_lost > n_gaps)
        if _is_crowded(numbers[starts[i] : starts[i + 1]])
    ]
    return np.array(found, dtype=np.intp)


def _by_column(X: Any) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the numbers, rising within each column, and their columns."""
    if not issparse(X):
        columns = np.repeat(np.arange(X.shape[1]), X.shape[0])
        return np.sort(np.asarray(X, dtype=np.float64).T, axis=1).ravel(), columns
    X = csc_array(X)
    columns = np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))
    numbers = X.data.astype(np.float64)
    return numbers[np.lexsort((numbers, columns))], columns


def _gaps(rising: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which neighbours among rising numbers differ, and which of them float32 loses."""
    size = np.maximum(np.abs(rising[1:]), np.abs(rising[:-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        gaps = np.diff(rising)
    differ = gaps > NOISE * size
    return differ, differ & (gaps < STEP * size)


def _is_crowded(rising: NDArray[np.float64]) -> bool:
    """Whether few of the numbers stay apart: of many, a thousand are enough to learn from."""
    differ, _ = _gaps(rising)
    distinct = rising[np.r_[0, 1 + np.flatnonzero(differ)]]
    drawn = np.linspace(0, len(distinct) - 1, min(len(distinct), STEPS_IN_SPREAD)).astype(int)
    differ, lost = _gaps(distinct[drawn])
    return bool(2 * lost.sum() > differ.sum())
