"""Whole numbers, such as ids, that differ and are one number in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from skmetaweight._tabular.columns import as_2d, is_frame
from skmetaweight._tabular.disguised import is_missing, values_of

LARGEST = 2**53
"""Up to this float64 has every whole number."""

INTEGERS = ("int64", "uint64")
OPEN = ("object", "str")
"""How the names of dtypes begin that hold such numbers, or may."""


def merging_columns(X: Any) -> list[int]:
    """Return the columns of rows, as users have them, in which numbers become equal in float64."""
    if issparse(X):
        return []
    X = X if hasattr(X, "dtype") or is_frame(X) else as_2d(X)
    return [i for i in range(X.shape[1]) if _may_merge(X, i) and _merges(values_of(X, i))]


def _may_merge(X: Any, i: int) -> bool:
    """Whether a column of this dtype has numbers large enough, or has to be read to tell."""
    name = str(list(X.dtypes)[i] if is_frame(X) else X.dtype).lower()
    if not name.startswith(INTEGERS):
        return name.startswith(OPEN)
    column = X[X.columns[i]] if is_frame(X) else X[:, i]
    ends = [end for end in (column.min(), column.max()) if not is_missing(end)]
    return any(abs(int(end)) > LARGEST for end in ends)


def _merges(values: list[Any]) -> bool:
    large = {whole for whole in map(_whole, values) if LARGEST < abs(whole) < 2**64}
    return len(set(map(float, large))) < len(large)


def _whole(value: Any) -> int:
    """Return a whole number that may be written as text; zero for anything else."""
    if isinstance(value, str):
        value = value.strip()
        return int(value) if value.lstrip("+-").isdecimal() and len(value) < 20 else 0
    return int(value) if isinstance(value, int | np.integer) else 0
