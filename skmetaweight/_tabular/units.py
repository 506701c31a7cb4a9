"""Numbers whose digits float32 cannot hold: shifted and scaled before they are cast."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skmetaweight._tabular.crowds import crowded_columns, loses_digits
from skmetaweight._tabular.ranges import Ranges, fit_ranges, looked_at

SMALLEST, LARGEST = 1e-30, 1e30
"""Between these float32 has all its digits and squares that standardising does not lose."""


class Units(NamedTuple):
    """Turns numbers into float32; those of a few columns only after a shift and a division.

    Parameters
    ----------
    columns : ndarray of int of shape (n_shifted,)
    origin, unit : ndarray of shape (n_shifted,)
    """

    columns: NDArray[np.intp]
    origin: NDArray[np.float64]
    unit: NDArray[np.float64]

    def to_float32(self, X: Any) -> Any:
        """Return rows in float32; those of float32 that need no shift are not copied."""
        is_shifted = len(self.columns) > 0 and not issparse(X)
        if X.dtype == np.float32 and not is_shifted:
            return X
        with np.errstate(over="ignore"):  # what becomes infinite is absurd, and will be clipped
            if is_shifted:
                X = np.array(X, dtype=np.float64)
                X[:, self.columns] = (X[:, self.columns] - self.origin) / self.unit
            return X.astype(np.float32)

    def of_ranges(self, ranges: Ranges) -> Ranges:
        """Return the ranges that numbers keep to afterwards."""
        if not len(self.columns):
            return ranges
        middle, spread, lower, upper = (each.copy() for each in ranges)
        for each in (middle, lower, upper):
            each[self.columns] = (each[self.columns] - self.origin) / self.unit
        spread[self.columns] /= self.unit
        return Ranges(middle, spread, lower, upper)

    def renewed(self, fresh: Units, is_renewed: NDArray[np.bool_]) -> Units:
        """Return units of which those of some columns are fresh."""
        kept, taken = ~is_renewed[self.columns], is_renewed[fresh.columns]
        pairs = zip(self, fresh, strict=True)
        return Units(*(np.r_[known[kept], new[taken]] for known, new in pairs))


NO_UNITS = Units(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0))
"""Casts numbers as they are."""


def fit_units(X: Any, ranges: Ranges) -> Units:
    """Find the columns of training rows whose digits a cast would lose.

    Raises
    ------
    ValueError
        If a sparse matrix has any: a shift would make its zeros something else.
    """
    loses, is_extreme = _loses_digits(ranges) & (X.dtype == np.float64), _is_extreme(ranges)
    if issparse(X):
        loses[crowded_columns(looked_at(X))] = True
    columns = np.flatnonzero(loses | is_extreme)
    if issparse(X) and len(columns):
        raise ValueError(
            f"Input X is sparse, and float32 cannot hold the digits of its columns {columns[:10]}: "
            f"the first has numbers up to {_size(ranges)[columns[0]]:g}. Scale them before, or "
            "pass X dense, which is shifted and scaled."
        )
    origin = np.where(loses, ranges.middle, 0.0)[columns]
    size = np.where(ranges.is_constant, np.abs(ranges.middle), ranges.spread)
    unit = np.where(is_extreme, size, 1.0)[columns]
    return Units(columns, origin, unit)


def _loses_digits(ranges: Ranges) -> NDArray[np.bool_]:
    return loses_digits(ranges.spread, _size(ranges))


def _is_extreme(ranges: Ranges) -> NDArray[np.bool_]:
    size = _size(ranges)
    return (size > LARGEST) | ((size > 0) & (size < SMALLEST))


def _size(ranges: Ranges) -> NDArray[np.float64]:
    return np.maximum(np.abs(ranges.lower), np.abs(ranges.upper))


def drowned_columns(X: Any, units: Units) -> NDArray[np.intp]:
    """Return the columns of training rows most of whose numbers are equal in float32, by units."""
    if issparse(X):  # whose columns need none
        return NO_UNITS.columns
    crowded = np.setdiff1d(crowded_columns(looked_at(X)), units.columns)
    if not len(units.columns):
        return crowded
    before, after = X[:, units.columns], units.to_float32(X)[:, units.columns]
    is_drowned = [
        2 * len(np.unique(small)) < len(np.unique(large))
        for small, large in zip(after.T, before.T, strict=True)
    ]
    return np.union1d(crowded, units.columns[is_drowned])


def collapsing_columns(X: Any) -> NDArray[np.intp]:
    """Return the columns of a matrix in which numbers that differ are equal in float32."""
    if X.dtype.kind not in "fiu" or X.dtype.itemsize < 8 or not X.shape[0]:
        return NO_UNITS.columns
    crowded = crowded_columns(looked_at(X))
    if issparse(X):
        return crowded
    ranges = fit_ranges(X)
    doubtful = np.flatnonzero(_loses_digits(ranges) | _is_extreme(ranges))
    with np.errstate(over="ignore"):
        collapses = [
            len(np.unique(X[:, i].astype(np.float32))) < len(np.unique(X[:, i])) for i in doubtful
        ]
    return np.union1d(crowded, doubtful[np.array(collapses, dtype=bool)])
