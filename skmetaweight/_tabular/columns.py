"""Which columns of a table hold categories, and which hold dates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from skmetaweight._arrays import read_array
from skmetaweight._messages import shortened
from skmetaweight._tabular.disguised import kind_of_types, kind_of_values, types_in, values_of


def categorical_columns(X: Any, categorical_features: Any) -> tuple[int, ...]:
    """Return the places of the columns of X that hold categories.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix
    categorical_features : "from_dtype", None, or array-like of bool, int or str
        As in scikit-learn's HistGradientBoostingClassifier.

    Raises
    ------
    ValueError
        If a mask has the wrong length, an index is out of range or a name is no column of X.
    """
    if isinstance(categorical_features, str) and categorical_features == "from_dtype":
        return _categorical_by_dtype(X) if is_frame(X) else ()
    if categorical_features is None:
        return ()
    given = read_array(categorical_features, "categorical_features")
    if not given.size:
        return ()
    X = X if is_frame(X) or issparse(X) else as_2d(X)
    n_columns = X.shape[1]
    if given.ndim != 1 or given.dtype.kind not in "biuUO":
        raise ValueError(
            "categorical_features must be None, 'from_dtype', or a list of bool, int or str, got "
            f"{shortened(categorical_features)}."
        )
    if given.dtype.kind == "b":
        if len(given) != n_columns:
            raise ValueError(
                "categorical_features as a mask must have one entry per column of X, "
                f"{n_columns}, got {len(given)}."
            )
        return tuple(np.flatnonzero(given).tolist())
    if given.dtype.kind in "UO":
        given = _places(X, given.tolist())
    elif given.min() < 0 or given.max() >= n_columns:
        raise ValueError(
            f"categorical_features as indices must be in [0, {n_columns - 1}], got "
            f"{given.tolist()}."
        )
    return tuple(np.unique(given).tolist())


def _places(X: Any, names: list[Any]) -> list[int]:
    if not is_frame(X):
        raise ValueError(f"categorical_features={names} are names, but X has no column names.")
    columns = list(X.columns)
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise ValueError(f"categorical_features has names that are no columns of X: {unknown}.")
    return [columns.index(name) for name in names]


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame of pandas or polars."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def as_2d(X: Any) -> NDArray[Any]:
    """Return X as an array of two dimensions, its values as they are."""
    X = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    anything: Any = {"dtype": None, "ensure_all_finite": False}
    return check_array(X, **anything)


def _categorical_by_dtype(X: Any) -> tuple[int, ...]:
    kinds = (_kind(X, i, dtype) for i, dtype in enumerate(X.dtypes))
    return tuple(i for i, kind in enumerate(kinds) if kind == "category")


def refuse_dates(X: Any, categorical: tuple[int, ...] = ()) -> None:
    """Raise a ValueError if X, a frame or an array, has dates that are not categorical."""
    if is_frame(X):
        dates = [
            f"{X.columns[i]!r} ({dtype})"
            for i, dtype in enumerate(X.dtypes)
            if i not in categorical and _kind(X, i, dtype) == "date"
        ]
        where = f"columns of dates or times: {', '.join(dates)}"
    else:
        kind = getattr(getattr(X, "dtype", None), "kind", None)
        dates = kind in ("m", "M") or (kind == "O" and kind_of_types(types_in(X)) == "date")
        where = f"dates or times ({X.dtype})" if dates else ""
    if dates:
        raise ValueError(
            f"X has {where}. What is taken are numbers and, by the default network, categories. "
            "Turn dates into numbers first, e.g. with skrub's DatetimeEncoder, or with its "
            "tabular_pipeline, which does so by itself."
        )


def holds_plain_numbers(dtype: Any) -> bool:
    """Whether a column of this dtype has nothing but numbers, as arrays have them."""
    if hasattr(dtype, "is_numeric"):
        return dtype.is_float() or dtype.is_integer()
    is_other_sparse = getattr(dtype, "fill_value", 0) != 0  # scikit-learn takes zeros only
    return dtype.kind in "iufc" and not is_other_sparse


def _kind(X: Any, i: int, dtype: Any) -> str:
    """Return "number", "category" or "date" for a column of a pandas or polars frame."""
    name = str(dtype)
    if hasattr(dtype, "is_temporal"):
        if dtype.is_temporal():
            return "date"
        if dtype.is_numeric() or name == "Boolean":
            return "number"
        is_open = name in ("String", "Object")
    else:
        if dtype.kind in "mM" or name.startswith("period"):
            return "date"
        if dtype.kind in "biufc":
            return "number"
        is_open = not name.startswith(("category", "dictionary", "interval"))
    return kind_of_values(values_of(X, i)) if is_open else "category"
