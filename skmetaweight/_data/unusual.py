"""Values unlike those of the training rows: numbers absurdly far away, categories never seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skmetaweight._messages import warn
from skmetaweight._tabular.disguised import is_missing, kind_of_values, types_in
from skmetaweight._tabular.ranges import ENOUGH_FAR, extremes_of
from skmetaweight._tabular.reading import Mixed
from skmetaweight._tabular.tables import UNKNOWN, Table
from skmetaweight._tabular.units import collapsing_columns, drowned_columns
from skmetaweight._tabular.whole_numbers import merging_columns

MANY_UNKNOWN = 10
"""So many rows of unknown categories, and none of a known one, are hardly chance."""

MOST_NAMED = 5
"""Columns that a warning names; of others it gives the number."""


def warn_of_absurd_numbers(estimator: Any, table: Table, *rows: Any) -> None:
    """Warn, once for all rows, of numbers far outside the range of the training rows.

    Parameters
    ----------
    estimator : MetaWeightClassifier
        Knows the names of the columns.
    table : Table
    *rows : array, CSR matrix or Mixed
        Validated rows.
    """
    if table.ranges is None or table.scaler is not None:  # quantiles have no far ends
        return
    found: dict[int, float] = {}
    for X in map(_numbers_of, rows):
        extremes = extremes_of(X)
        for extreme in () if table.ranges.holds(extremes) else extremes:
            for i in np.flatnonzero(table.ranges.is_absurd(extreme)):
                found.setdefault(int(i), float(extreme[i]))
    if not found:
        return
    names = _names_of_numbers(estimator, table)
    low, high = table.ranges.lower, table.ranges.upper
    each = [
        f"{value:g} in column {names[i]!r} (usual: {low[i]:g} to {high[i]:g})"
        for i, value in sorted(found.items())
    ]
    quantile = "" if any(map(issparse, rows)) else " or pass numeric_scaling='quantile'"
    warn(
        f"X has numbers absurdly far from those of most training rows: {_few(each)}. The network "
        "takes them as the nearest usual number. If they stand for missing values, replace them by "
        f"NaN; if the column has a long tail, take its logarithm{quantile}."
    )


def warn_of_changed_columns(estimator: Any, known: Table, table: Table) -> None:
    """Warn of columns that training rows of a stream show on another scale than those before."""
    now, before = table.ranges, known.ranges
    if now is None or before is None or table.renewed is None or table.scaler is not None:
        return
    names = _names_of_numbers(estimator, table)
    each = [
        f"{names[i]!r} ({now.lower[i]:g} to {now.upper[i]:g}, before {before.lower[i]:g} to "
        f"{before.upper[i]:g})"
        for i in np.flatnonzero(table.renewed & ~before.is_constant)
    ]
    if each:
        warn(
            f"These training rows have numbers altogether unlike those before in column "
            f"{_few(each)}. The network takes them as they are now, and has to learn the column "
            "anew. If the unit has changed, convert all rows, trusted ones too, to one unit."
        )


def warn_of_drift(estimator: Any, table: Table, X: Any) -> None:
    """Warn, once of each, of columns that training rows of a stream show wholly elsewhere."""
    ranges, X = table.ranges, _numbers_of(X)
    if ranges is None or table.scaler is not None or X.shape[0] < ENOUGH_FAR:
        return
    names, extremes = _names_of_numbers(estimator, table), extremes_of(X)
    told = {f"drift of {names[i]!r}": i for i in ranges.left_by(extremes)}
    news = told.keys() - estimator._told
    estimator._told.update(news)
    each = [
        f"{names[i]!r} ({extremes.low[i]:g} to {extremes.high[i]:g}, at first within "
        f"{ranges.spread[i]:g} of {ranges.middle[i]:g})"
        for what, i in told.items()
        if what in news
    ]
    if each:
        warn(
            f"All of these training rows are far from those of the first call in column "
            f"{_few(each)}, by which the network still scales it: what drifts on is learned less "
            "and less well. Subtract from the column what drifts, e.g. a time, or fit anew on late "
            "rows."
        )


def warn_of_distinct_categories(estimator: Any, table: Table, X: Any) -> None:
    """Warn of columns of training rows that are categories, nearly all of which occur once."""
    if not isinstance(X, Mixed):
        return
    names = _names(estimator, X.shape[1])
    each = []
    for place, i in enumerate(table.categorical):
        if table.is_nearly_distinct(place):
            odd = next((v for v in X.categories[:, place] if not _is_number(v)), None)
            such = f", such as {odd!r}" if odd is not None else ""
            each.append(f"{names[i]!r} ({table.cardinalities[place] - 2} categories{such})")
    if each:
        warn(
            "Hardly two training rows share a category, so that nothing can be learned of them, in "
            f"column {_few(each)}. If the column holds numbers, make it one of numbers, e.g. with "
            "pandas.to_numeric(X[column], errors='coerce'); else leave it out, or encode it."
        )


def _is_number(value: Any) -> bool:
    return is_missing(value) or kind_of_values([value]) == "number"


def warn_of_unknown_categories(estimator: Any, table: Table, X: Any, encoded: NDArray[Any]) -> None:
    """Warn of columns in which no category is known from the training rows.

    A few rows may well lack known ones; of these only categories of another type are told of.
    """
    if not isinstance(X, Mixed):
        return
    codes = encoded[:, encoded.shape[1] - len(table.categorical) :]
    names, each = _names(estimator, X.shape[1]), []
    for place in np.flatnonzero((codes <= UNKNOWN + 1).all(axis=0)):
        values = [value for value in X.categories[:, place] if not is_missing(value)]
        known = [value for value in table.encoder.categories_[place] if not is_missing(value)]
        of_other_type = not types_in(values) & types_in(known)
        if table.is_nearly_distinct(int(place)) and not of_other_type:
            continue  # told of in fit
        if values and known and (of_other_type or len(values) >= MANY_UNKNOWN):
            name = names[table.categorical[place]]
            each.append(f"{name!r} (such as {values[0]!r}; known: {_few(list(map(repr, known)))})")
    if each:
        warn(
            f"No category is known from the training rows in column {_few(each)}. All of them "
            "count as unknown. Write categories as they were in fit, with the same type."
        )


def warn_of_merged_numbers(estimator: Any, table: Table, given: Any, X: Any) -> None:
    """Warn of columns in which numbers that differ become equal before the default network.

    Parameters
    ----------
    estimator : MetaWeightClassifier
    table : Table
    given : array-like, DataFrame or sparse matrix
        Rows as they were given.
    X : array, CSR matrix or Mixed
        Training rows, validated.
    """
    merged = [i for i in merging_columns(given) if i not in table.categorical]
    if merged:
        names = _names(estimator, X.shape[1])
        warn(
            f"Numbers beyond 2**53 that differ become equal when X is read as float64, in "
            f"column {_few([repr(names[i]) for i in merged])}. Leave ids out, or name their column "
            "in categorical_features; subtract an origin from anything else."
        )
    numbers = _numbers_of(X)
    drowned = drowned_columns(numbers, table.units)
    if len(drowned):
        names = _names_of_numbers(estimator, table)
        each = [f"{names[i]!r} (up to {np.nanmax(np.abs(numbers[:, i])):g})" for i in drowned]
        warn(
            f"Most of the numbers that differ become equal in float32, in column {_few(each)}: "
            "nothing can be learned of how they differ. If some stand for missing values, replace "
            "those by NaN; if the column has a long tail, take its logarithm; if they differ by "
            "rounding alone, round them."
        )


def warn_of_lost_digits(estimator: Any, X: Any) -> None:
    """Warn of columns in which numbers that differ become equal for a module of float32.

    Parameters
    ----------
    estimator : MetaWeightClassifier
    X : array, CSR matrix, dict of these or DatasetRows
        Validated training rows.
    """
    tables = {"": X}
    if isinstance(X, dict):  # whose integers are not cast
        tables = {f"{key!r}, ": x for key, x in X.items() if x.dtype.kind == "f"}
    each = [
        f"{key}{_names(estimator, x.shape[1])[i]!r}"
        for key, x in tables.items()
        if getattr(x, "ndim", 0) == 2
        for i in collapsing_columns(x)
    ]
    if each:
        warn(
            "Numbers that differ become equal when X is cast to the float32 of the module, in "
            f"column {_few(each)}. Subtract an origin from such a column and divide it by its "
            "spread before, e.g. with StandardScaler, or give the module parameters of float64."
        )


def _numbers_of(X: Any) -> Any:
    return X.numbers if isinstance(X, Mixed) else X


def _names(estimator: Any, n_columns: int) -> list[Any]:
    return list(getattr(estimator, "feature_names_in_", range(n_columns)))


def _names_of_numbers(estimator: Any, table: Table) -> list[Any]:
    n_numbers = 0 if table.ranges is None else len(table.ranges.lower)
    names = _names(estimator, n_numbers + len(table.categorical))
    return [name for i, name in enumerate(names) if i not in table.categorical]


def _few(each: list[str]) -> str:
    rest = len(each) - MOST_NAMED
    return ", ".join(each[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
