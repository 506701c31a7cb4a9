"""Large numbers, such as ids, that differ and are one number in float64."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np
from scipy.sparse import csc_array, issparse

from skmetaweight._tabular.columns import as_2d, is_frame
from skmetaweight._tabular.disguised import is_missing, values_of

LARGEST = 2**53
"""Up to this float64 has every whole number."""

LONGEST = 300
"""Digits of a whole number that is surely finite in float64."""

INTEGERS = ("int64", "uint64")
OPEN = ("object", "str", "decimal", "int128", "uint128", "longdouble", "float128", "float96")
"""How the names of dtypes begin that hold such numbers, or may."""


def merging_columns(X: Any) -> list[int]:
    """Return the columns of rows, as users have them, in which numbers become equal in float64."""
    if issparse(X):
        return _merging_columns_of_sparse(X)
    X = X if hasattr(X, "dtype") or is_frame(X) else as_2d(X)
    return [i for i in range(X.shape[1]) if _may_merge(X, i) and _merges(values_of(X, i))]


def _may_merge(X: Any, i: int) -> bool:
    """Whether a column of this dtype has numbers large enough, or has to be read to tell."""
    name = str(list(X.dtypes)[i] if is_frame(X) else X.dtype.name).lower()
    if not name.startswith(INTEGERS):
        return name.startswith(OPEN)
    column = X[X.columns[i]] if is_frame(X) else X[:, i]
    ends = [end for end in (column.min(), column.max()) if not is_missing(end)]
    return any(abs(int(end)) > LARGEST for end in ends)


def _merging_columns_of_sparse(X: Any) -> list[int]:
    if X.dtype.itemsize < 8 or X.dtype == np.float64:
        return []
    X = csc_array(X)
    is_large = (X.data > LARGEST) | (X.data < -LARGEST)
    numbers, columns = X.data[is_large], np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))
    columns = columns[is_large]
    return [int(i) for i in np.unique(columns) if _merges(numbers[columns == i].tolist())]


def _merges(values: list[Any]) -> bool:
    large = {whole for whole in map(_whole, values) if LARGEST < abs(whole) < 10**LONGEST}
    return len(set(map(float, large))) < len(large)


def _whole(value: Any) -> int:
    """Return the whole part of a number that float64 may lack, also of text; zero for all else."""
    if isinstance(value, str):
        value = value.strip()
        return int(value) if value.lstrip("+-").isdecimal() and len(value) <= LONGEST else 0
    if isinstance(value, int | np.integer | Fraction):
        return int(value)
    return int(value) if isinstance(value, Decimal | np.floating) and isfinite(value) else 0
