"""What a table's encoding does, in plain values that other programs can follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmetaweight._tabular.disguised import is_missing
from skmetaweight._tabular.tables import MISSING, UNKNOWN, Table

LARGEST = np.finfo(np.float32).max


def described(table: Table, means: NDArray[Any]) -> dict[str, Any]:
    """Describe what ``table.encode`` does with rows that may lack anything.

    Parameters
    ----------
    table : Table
    means : ndarray of shape (n_numbers,)
        What stands for missing numbers if no training row lacked any.

    Returns
    -------
    encoding : dict
        ``numbers``, places of columns; for each of them ``origin``, ``unit``, ``lower``, ``upper``,
        ``quantiles`` (None if they are not made normal) and ``fill``; ``indicators``, places among
        these numbers; ``categories``, a list of ``column``, ``values`` and ``missing``, the code of
        a value that is missing.
    """
    if table.observed is None:
        table = table.with_means(means)
    known: Any = () if table.encoder is None else table.encoder.categories_
    return {
        **_of_numbers(table),
        "categories": [
            _of_categories(column, values.tolist())
            for column, values in zip(table.categorical, known, strict=True)
        ],
    }


def _of_categories(column: int, values: list[Any]) -> dict[str, Any]:
    known = [value for value in values if not is_missing(value)]
    code = UNKNOWN if len(known) == len(values) else MISSING
    return {"column": column, "values": known, "missing": code}


def _of_numbers(table: Table) -> dict[str, Any]:
    ranges: Any = table.ranges
    observed: Any = table.observed
    n_columns = len(ranges.middle) + len(table.categorical)
    places = np.array([i for i in range(n_columns) if i not in table.categorical], dtype=int)
    origin, unit = np.zeros(len(places)), np.ones(len(places))
    origin[table.units.columns], unit[table.units.columns] = table.units.origin, table.units.unit
    bounds = table.units.of_ranges(ranges)
    indicator = getattr(table.imputer, "indicator_", None)
    return {
        "numbers": places[observed].tolist(),
        "origin": origin[observed].tolist(),
        "unit": unit[observed].tolist(),
        "lower": bounds.lower[observed].clip(-LARGEST, LARGEST).tolist(),
        "upper": bounds.upper[observed].clip(-LARGEST, LARGEST).tolist(),
        "quantiles": None if table.scaler is None else table.scaler.quantiles_.T.tolist(),
        "fill": [] if table.imputer is None else table.imputer.statistics_.tolist(),
        "indicators": [] if indicator is None else indicator.features_.tolist(),
    }
