"""What X may come in, beside arrays and frames: mappings, Datasets, tables of other libraries."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse, vstack
from sklearn.utils import check_array
from sklearn.utils.validation import _num_samples
from torch import Tensor

from skmetaweight._arrays import open_tensor, refuse_masked
from skmetaweight._data.cells import (
    refuse_complex,
    refuse_no_rows,
    refuse_ragged,
    refuse_texts,
)
from skmetaweight._data.dataset_rows import open_dataset
from skmetaweight._data.hugging_face import is_hugging_face
from skmetaweight._messages import listed
from skmetaweight._tabular.columns import is_frame


def open_X(estimator: Any, X: Any, name: str = "X") -> Any:
    """Return rows as an array, a frame, a sparse matrix, a dict or the rows of a Dataset.

    Raises
    ------
    ValueError
        If X is no rows, has not been collected, has ragged rows, columns of the same name or
        complex numbers, or is a Dataset that cannot be used.
    """
    refuse_no_rows(X, name)
    kind = f"{name} ({type(X).__name__})"
    if hasattr(X, "collect_schema") and hasattr(X, "collect"):
        raise ValueError(f"{kind} has not been computed yet: pass {name}.collect().")
    is_table = hasattr(X, "to_pandas") and hasattr(X, "column_names")  # as of pyarrow
    if is_table and not is_hugging_face(X):
        X = X.to_pandas()
    if is_frame(X):
        return _open_frame(X, name)
    if isinstance(X, Mapping) and not issparse(X):
        if any(map(is_hugging_face, X.values())):
            raise ValueError(f"{kind} is of several Datasets, {listed([*X])}: pass one of them.")
        return {key: _open_values(values, f"{name} {key!r}") for key, values in X.items()}
    return open_dataset(estimator, _open_values(X, name), name)


def _open_frame(X: Any, name: str) -> Any:
    twice = [column for column, times in Counter(X.columns).items() if times > 1]
    if not len(X.columns):
        raise ValueError(f"Input {name} has no columns.")
    if twice:
        raise ValueError(f"Several columns of {name} are named {listed(twice)}: rename them.")
    refuse_complex(X, name)
    for i, dtype in enumerate(X.dtypes):
        if isinstance(dtype, np.dtype) and not dtype.isnative:  # of which pandas takes no rows
            X = X.copy(deep=False)
            X.isetitem(i, X.iloc[:, i].to_numpy().astype(dtype.newbyteorder("=")))
    return X


def refuse_other_kind(X: Any, X_meta: Any) -> None:
    """Raise a ValueError if X or X_meta is a frame or sparse, and the other is not."""
    kinds = [(is_frame(rows) and type(rows), issparse(rows)) for rows in (X, X_meta)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"X is a {_kind(X)} and X_meta a {_kind(X_meta)}: pass both alike.")


def _kind(X: Any) -> str:
    package = type(X).__module__.split(".")[0]
    return f"{package}.{type(X).__name__}" if is_frame(X) else type(X).__name__


def like_sparse(X_meta: Any, X: Any) -> Any:
    """Return trusted rows as CSR if X is, and dense if X is: a batch holds both."""
    if issparse(X) and isinstance(X_meta, np.ndarray):
        return csr_array(X_meta)
    return X_meta.toarray() if issparse(X_meta) and isinstance(X, np.ndarray) else X_meta


def without_duplicates(X: Any) -> Any:
    """Return a matrix with each number in one place, of CSR a copy if need be."""
    if not issparse(X) or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def stack_rows(X: Any, X_meta: Any) -> Any:
    """Return trusted rows below those of X, of the same kind, in the categories of both."""
    if issparse(X):
        return vstack([X, X_meta], format="csr")
    if not is_frame(X):
        return np.concatenate([X, X_meta])
    if not hasattr(X, "iloc"):
        return importlib.import_module("polars").concat([X, X_meta], how="vertical_relaxed")
    pandas: Any = importlib.import_module("pandas")
    both = {
        name: pandas.CategoricalDtype(
            _categories(X[name]).append(_categories(X_meta[name])).unique()
        )
        for name, dtype in X.dtypes.items()
        if dtype == "category"
    }
    return pandas.concat([X.astype(both), X_meta.astype(both)])


def _categories(column: Any) -> Any:
    return column.astype("category").cat.categories


def _open_values(values: Any, name: str) -> Any:
    if isinstance(values, Tensor):
        values = open_tensor(values, name)
    if getattr(getattr(values, "dtype", None), "names", None):
        raise ValueError(
            f"Input {name} is a structured array with the fields {values.dtype.names}: pass it as "
            "a table, e.g. pandas.DataFrame(X)."
        )
    refuse_texts(values, name)
    refuse_ragged(values, name)
    refuse_complex(values, name)
    refuse_masked(values, name)
    return values


def is_dict(X: Any) -> bool:
    return isinstance(X, dict) and not issparse(X)  # a DOK matrix is both


def check_dict(X: dict[Any, Any], *, own_module: bool) -> dict[str, Any]:
    """Validate the arrays of a dict.

    Raises
    ------
    ValueError
        If the default network would get it, or if its arrays cannot be used or differ in length.
    """
    if not own_module:
        raise ValueError("Input X is a dict: only a module of your own can take one.")
    if not X:
        raise ValueError("Input X is an empty dict.")
    unnamed = [key for key in X if not isinstance(key, str)]
    if unnamed:
        raise ValueError(
            f"The keys of X are arguments of the module's forward, hence text; got {unnamed}."
        )
    checked = {
        key: check_array(values, allow_nd=True, ensure_2d=False, input_name=f"X {key!r}")
        for key, values in X.items()
    }
    lengths = {key: _num_samples(values) for key, values in checked.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"The arrays of X must have as many rows each, got {lengths}.")
    return checked


def check_same_columns(estimator: Any, X: Any, *, reset: bool) -> None:
    """Remember names of columns that are no text, which scikit-learn does not; later, compare.

    Raises
    ------
    ValueError
        If they differ.
    """
    names = list(X.columns) if is_frame(X) else []
    is_text = all(isinstance(name, str) for name in names)
    names = [] if is_text else [str(name) for name in names]
    if reset:
        estimator._columns = names
    elif len(names) == len(estimator._columns) and names != estimator._columns:
        pairs = zip(names, estimator._columns, strict=True)
        place, pair = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise ValueError(
            f"The feature names should match those of fit, in the same order: column {place} of X "
            f"is {pair[0]}, and was {pair[1]}."
        )


def check_same_kind(estimator: Any, X: Any, *, reset: bool) -> None:
    """Remember the keys of a dict, or that X is none; later, see that they are the same.

    Raises
    ------
    ValueError
        If they differ; the message names them.
    """
    keys = sorted(X, key=str) if is_dict(X) else None
    if reset:
        estimator._keys = keys
        return
    known = estimator._keys
    if keys == known:
        return
    now, before = (
        "is no dict" if each is None else f"is a dict of {each}" for each in (keys, known)
    )
    raise ValueError(f"Input X {now}, but X of fit {before}.")


def refuse_other_channels(estimator: Any, X: Any) -> None:
    """Raise a ValueError if images, say, have other channels than those of fit."""
    shape, known = getattr(X, "shape", ()), getattr(estimator, "n_features_in_", None)
    if len(shape) < 3 or shape[1] == known:
        return
    is_last = len(shape) == 4 and shape[-1] == known
    cure = ": put the channels first, by X.transpose(0, 3, 1, 2)." if is_last else "."
    raise ValueError(
        f"Input X has rows of shape {tuple(shape[1:])}, and those of fit had {known} in the first "
        f"place{cure}"
    )
