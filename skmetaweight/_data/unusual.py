"""Values unlike those of the training rows: numbers absurdly far away, categories never seen."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmetaweight._tabular.disguised import is_missing, types_in
from skmetaweight._tabular.ranges import extremes_of
from skmetaweight._tabular.reading import Mixed
from skmetaweight._tabular.tables import UNKNOWN, Table

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
    if table.bounds is None or table.ranges is None:
        return
    found: dict[int, float] = {}
    for X in map(_numbers_of, rows):
        for extreme in extremes_of(X) if X.shape[0] and X.shape[1] else ():
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
    _warn(
        f"X has numbers absurdly far from those of most training rows: {_few(each)}. The network "
        "takes them as the nearest usual number. If they stand for missing values, replace them by "
        "NaN; if the column has a long tail, take its logarithm or pass "
        "numeric_scaling='quantile'."
    )


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
        if values and known and (of_other_type or len(values) >= MANY_UNKNOWN):
            name = names[table.categorical[place]]
            each.append(f"{name!r} (such as {values[0]!r}; known: {_few(list(map(repr, known)))})")
    if each:
        _warn(
            f"No category is known from the training rows in column {_few(each)}. All of them "
            "count as unknown. Write categories as they were in fit, with the same type."
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


def _warn(message: str) -> None:
    """Warn at the line outside this package that made the call."""
    package, level, frame = __name__.split(".")[0], 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
