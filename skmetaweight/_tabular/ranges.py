"""How far the numbers of a column usually go, by what the training rows show."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from skmetaweight._tabular.crowds import crowded_columns, loses_digits

LARGEST = np.finfo(np.float64).max

FAR = 100
"""How many spreads from its middle a number is absurd.

Of 29 public data sets, drawn at 400 to 10,000 rows, only ``shuttle``, known for its wild values,
has such numbers in training rows (3 of 9 columns). At 20, sums of money and sizes with long tails
have them too, in 4 data sets.
"""

DRIFTED = 5
"""How many spreads from its middle all numbers of a column are in rows that have drifted away.

In a stream whose column moved by a deviation with each call, accuracy fell from there on.
"""

WITHIN_SPREAD = 0.95
"""Share of the numbers of a column that are within one spread of its middle."""

ROWS_LOOKED_AT = 10_000
"""Rows whose spread stands for that of all."""


ENOUGH_FAR, ENOUGH_NEAR = 10, 100
"""Numbers of a column, its middle aside, that tell that it has changed altogether if most of them
are absurd, or if all lie closer together than a number need lie to the middle to be absurd.

More are needed of the latter: fifteen numbers may well come from one of two clusters.
"""


class Extremes(NamedTuple):
    """Smallest and largest number of each column; NaN for a column without any."""

    low: NDArray[Any]
    high: NDArray[Any]


class Ranges(NamedTuple):
    """Where the numbers of each column are expected, and from where on one is absurd.

    Parameters
    ----------
    middle, spread : ndarray of shape (n_columns,)
        The median, or zero if rows are sparse, and how far the numbers that differ from it go,
        the furthest twentieth left aside: a rare indicator or count is as ordinary as any other.
        No spread in a column that is constant or has no number.
    lower, upper : ndarray of shape (n_columns,)
        The range of the training rows, absurd numbers left aside, widened by one spread.
    """

    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @property
    def is_constant(self) -> NDArray[np.bool_]:
        return self.spread == 0

    def take(self, columns: NDArray[np.intp]) -> Ranges:
        return Ranges(*(each[columns] for each in self))

    def is_absurd(self, numbers: Any) -> NDArray[np.bool_]:
        """Tell the numbers that are far outside, by column in the last axis."""
        with np.errstate(over="ignore", invalid="ignore"):
            distance = np.abs(np.asarray(numbers, dtype=np.float64) - self.middle)
            return ~self.is_constant & (distance > FAR * self.spread)

    def left_by(self, extremes: Extremes) -> NDArray[np.intp]:
        """Return the places of columns all numbers of which have drifted out, but not absurdly."""
        with np.errstate(over="ignore", invalid="ignore"):
            above = (extremes.low - self.middle) > DRIFTED * self.spread
            below = (self.middle - extremes.high) > DRIFTED * self.spread
        return np.flatnonzero(~self.is_constant & (above | below))

    def holds(self, extremes: Extremes) -> bool:
        return not ((extremes.low < self.lower).any() or (extremes.high > self.upper).any())

    def clip(self, X: Any) -> Any:
        """Move numbers into the range; rows within it are returned as they are."""
        if self.holds(extremes_of(X)):
            return X
        lower, upper = self.lower.astype(X.dtype), self.upper.astype(X.dtype)
        if not issparse(X):
            return np.clip(X, lower, upper)
        X = X.copy()
        X.data = np.clip(X.data, lower[X.indices], upper[X.indices])
        return X

    def widened(self, X: Any) -> tuple[Ranges, NDArray[np.bool_]]:
        """Return ranges that hold these training rows too, and which columns are learned anew.

        Those are columns that were constant so far, or have changed altogether; the middle and the
        spread of the others stay, and with them what is absurd.
        """
        low, high = _usual_extremes(X, self)
        low, high = _apart(low, high, self.spread)
        lower, upper = np.fmin(self.lower, low), np.fmax(self.upper, high)
        known = Ranges(self.middle, self.spread, lower, upper)
        renewed = self._has_changed(X)
        if not (self.is_constant | renewed).any():
            return known, renewed
        new = fit_ranges(X)
        renewed |= self.is_constant & ~new.is_constant
        pairs = zip(new, known, strict=True)
        return Ranges(*(np.where(renewed, *pair) for pair in pairs)), renewed

    def _has_changed(self, X: Any) -> NDArray[np.bool_]:
        low, high = (extreme.astype(np.float64) for extreme in extremes_of(X))
        with np.errstate(over="ignore"):
            is_near = (low < high) & (FAR * (high - low) < self.spread)
        changed = np.zeros(len(self.middle), dtype=bool)
        for i in np.flatnonzero(is_near | self.is_absurd(low) | self.is_absurd(high)):
            column = X[:, [i]]
            numbers = np.asarray(column.toarray() if issparse(column) else column, dtype=np.float64)
            middle = np.nanmedian(numbers) if is_near[i] else self.middle[i]
            others = numbers[(numbers != middle) & ~np.isnan(numbers)]
            if is_near[i]:
                changed[i] = len(others) >= ENOUGH_NEAR
            elif len(others) >= ENOUGH_FAR:
                changed[i] = self.take(np.array([i])).is_absurd(others[:, None]).mean() > 0.5
        return changed


def fit_ranges(X: Any) -> Ranges:
    """Learn the ranges of the columns of training rows, dense or CSR."""
    low, high = extremes_of(X)
    middle, spread = _middle_and_spread(looked_at(X))
    # What varies in so few rows that none of those looked at shows it.
    unseen = np.flatnonzero((spread == 0) & (low < high))
    if len(unseen):
        middle[unseen], spread[unseen] = _middle_and_spread(X[:, unseen])
    middle = np.nan_to_num(np.where(low == high, low, middle))
    spread = np.where(low == high, 0, spread)
    ranges = Ranges(middle, spread, middle, middle)
    low, high = _apart(*_usual_extremes(X, ranges), spread)
    return Ranges(middle, spread, np.nan_to_num(low), np.nan_to_num(high))


def looked_at(X: Any) -> Any:
    """Return the rows that stand for all."""
    return X[np.linspace(0, X.shape[0] - 1, min(X.shape[0], ROWS_LOOKED_AT)).astype(int)]


def extremes_of(X: Any) -> Extremes:
    """Return the extremes of the columns of dense or CSR rows."""
    if issparse(X):
        return Extremes(*(e.toarray().ravel() for e in (X.min(axis=0), X.max(axis=0))))
    low, high = np.asarray(X.min(axis=0)), np.asarray(X.max(axis=0))
    if np.isnan(low).any():
        missing = np.flatnonzero(np.isnan(low))
        columns = np.asarray(X[:, missing])
        low[missing], high[missing] = np.fmin.reduce(columns), np.fmax.reduce(columns)
    return Extremes(low, high)


def _usual_extremes(X: Any, ranges: Ranges) -> Extremes:
    """Return the extremes of the numbers that are not absurd, in float64."""
    low, high = (extreme.astype(np.float64) for extreme in extremes_of(X))
    far = np.flatnonzero(ranges.is_absurd(low) | ranges.is_absurd(high))
    if len(far):
        columns = X[:, far]
        columns = np.array(columns.toarray() if issparse(X) else columns, dtype=np.float64)
        of_them = ranges.take(far)
        columns[of_them.is_absurd(columns)] = np.nan
        low[far], high[far] = np.fmin.reduce(columns), np.fmax.reduce(columns)
    return Extremes(low, high)


def _apart(low: Any, high: Any, spread: Any) -> Extremes:
    """Move extremes apart by a spread, no further than float64 goes; NaN stays."""
    with np.errstate(over="ignore"):
        return Extremes(np.maximum(low - spread, -LARGEST), np.minimum(high + spread, LARGEST))


def _middle_and_spread(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if issparse(X):
        return _of_sparse(csr_array(X))
    middle, spread = _of_dense(np.asarray(X, dtype=np.float64))
    for i in crowded_columns(X):
        if not loses_digits(spread[i], np.abs(middle[i])):
            # A number that stands for a missing one, such as zero, counts once here.
            (center,), (width,) = _of_dense(np.unique(X[:, i]).astype(np.float64)[:, None])
            if loses_digits(width, np.abs(center)):
                middle[i], spread[i] = center, width
    return middle, spread


def _of_dense(X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = np.sort(X.T, axis=1)
    n_numbers = columns.shape[1] - np.isnan(columns).sum(axis=1)
    each = np.arange(len(columns))
    middle = columns[each, (n_numbers - 1).clip(0) // 2]
    with np.errstate(over="ignore"):
        distances = np.sort(np.abs(columns - middle[:, None]), axis=1)
    n_equal = (distances == 0).sum(axis=1)
    place = n_equal + _place_of_spread(n_numbers - n_equal)
    spread = distances[each, np.minimum(place, columns.shape[1] - 1)]
    spread = np.minimum(spread, LARGEST)  # between huge numbers of both signs
    return middle, np.where(n_equal < n_numbers, spread, 0.0)


def _of_sparse(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    columns = X.nonzero()[1]
    distances = np.abs(X.data[X.data != 0]).astype(np.float64)
    distances = distances[np.lexsort((distances, columns))]
    n_numbers = np.bincount(columns, minlength=X.shape[1])
    place = np.cumsum(n_numbers) - n_numbers + _place_of_spread(n_numbers)
    spread = np.zeros(X.shape[1])
    spread[n_numbers > 0] = distances[place[n_numbers > 0]]
    return np.zeros(X.shape[1]), spread


def _place_of_spread(n: NDArray[Any]) -> NDArray[np.intp]:
    """Return the place among n rising distances of the one that all but the furthest keep to."""
    return np.minimum(np.floor(WITHIN_SPREAD * n), n - 2).clip(0).astype(np.intp)
