"""Numbers in disguise: text, decimals, booleans, and objects of several types."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from skmetaweight._messages import shortened

NUMBER = re.compile(r"\s*[+-]?(?!0\d)(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.IGNORECASE | re.ASCII)
"""Text that is a number: one with leading zeros, such as a postcode, is a name."""

MISSING_TEXT = frozenset({"", "nan", "None", "<NA>"})
"""What becomes of a missing value when a column is made text."""

DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


class CellError(TypeError, ValueError):
    """A cell cannot be used: a TypeError to scikit-learn, and bad input as any other."""


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or NA."""
    if isinstance(value, str | float):  # most are, and the rest asks several modules
        return value != value
    return value is None or is_scalar_nan(value) or is_pandas_na(value)


def values_of(X: Any, i: int) -> list[Any]:
    """Return the values of a column of a frame or an array, NaN for those that are missing."""
    column: Any = _safe_indexing(X, i, axis=1)
    if hasattr(column, "isna"):
        return column.to_numpy(dtype=object, na_value=np.nan).tolist()
    values = column.tolist() if isinstance(column, np.ndarray) else column.to_list()
    return [np.nan if is_missing(value) else value for value in values]


def types_in(values: Any) -> set[type]:
    """Return the types of values, or of the items of an array."""
    return set(map(type, values.ravel().tolist() if isinstance(values, np.ndarray) else values))


def kind_of_types(types: set[type]) -> str:
    """Return "date", "number", "text", or "category" for anything else or several kinds."""
    types = types - {type(None)}
    if any(issubclass(t, DATES) for t in types):
        return "date"
    if types and all(issubclass(t, Number | np.bool_) for t in types):
        return "number"
    return "text" if all(issubclass(t, str | Number | np.bool_) for t in types) else "category"


def kind_of_values(values: list[Any]) -> str:
    """Return "number", "category" or "date" for values of a column of text or of objects.

    Text is numbers if all of it is, apart from missing values that became text.
    """
    present = [value for value in values if not is_missing(value)]
    kind = kind_of_types(types_in(present))
    if kind != "text":
        return kind
    present = [value for value in present if value not in MISSING_TEXT]
    is_number = all(not isinstance(value, str) or NUMBER.fullmatch(value) for value in present)
    return "number" if present and is_number else "category"


def to_numbers(values: Iterable[Any], name: Any) -> NDArray[np.float64]:
    """Return the values of a column as numbers, NaN for those that are missing.

    Raises
    ------
    CellError
        If one is no number; the message names it and the column.
    """
    return np.array([_to_number(value, name) for value in values], dtype=np.float64)


def _to_number(value: Any, name: Any) -> float:
    if is_missing(value) or (isinstance(value, str) and value.strip() in MISSING_TEXT):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        reason = "could not convert string to float" if isinstance(value, str) else error
        raise CellError(
            f"Input X has {type(value).__name__} {shortened(value)} in column {name!r}, where "
            f"numbers are expected: {reason}. Turn the column into numbers, or, for the default "
            "network, name it in categorical_features if it holds categories."
        ) from error
