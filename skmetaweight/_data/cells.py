"""Whether rows are rows of single real values: nothing nested, ragged or complex."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from skmetaweight._arrays import refuse_complex_dtypes
from skmetaweight._messages import shortened
from skmetaweight._tabular.columns import is_frame
from skmetaweight._tabular.disguised import CellError, types_in

COMPLEX = {complex, np.complex64, np.complex128}
ROWS = ("__getitem__", "__array__", "shape", "to_pandas")
"""One of these has whatever holds rows; sets, generators and DataLoaders have none."""

NESTED = (list, tuple, Mapping, Set, np.ndarray)

TOKENIZED = "tokenizer(texts, padding=True, return_tensors='np')"
"""What makes of texts what a module of Hugging Face takes."""


def refuse_no_rows(X: Any, name: str) -> None:
    """Raise a ValueError if X has no rows that could be taken one by one."""
    if isinstance(X, str | bytes) or not any(hasattr(X, each) for each in ROWS):
        raise ValueError(
            f"Input {name} must be rows, e.g. an array of shape (n_samples, n_features), got "
            f"{shortened(X)}."
        )


def refuse_texts(X: Any, name: str) -> None:
    """Raise a ValueError if each row is a text, or a mapping, as tokenizers make of one."""
    is_flat = isinstance(X, list | tuple) or len(getattr(X, "shape", ())) == 1
    first = next(iter(X), None) if is_flat else None
    if isinstance(first, str | bytes):
        text = shortened(np.asarray(first).item())
        raise ValueError(
            f"Input {name} holds texts, e.g. {text}: for a module of your own, pass the numbers "
            f"that it takes, e.g. {TOKENIZED}; for the default network, columns of numbers, e.g. "
            "from a TfidfVectorizer."
        )
    if isinstance(first, Mapping):
        raise ValueError(
            f"Input {name} is a {type(X).__name__} of mappings, one for each row: pass one dict of "
            f"arrays, e.g. {TOKENIZED}."
        )


def refuse_nested(X: Any) -> None:
    """Raise an error if a cell of X holds several values."""
    if is_frame(X):
        _refuse_nested_columns(X)
    elif isinstance(X, np.ndarray) and X.dtype == object and X.ndim > 1:
        _refuse_nested_values(X.flat, "an array")


def _refuse_nested_columns(X: Any) -> None:
    for i, dtype in enumerate(X.dtypes):
        is_nested = hasattr(dtype, "is_nested") and dtype.is_nested()  # polars
        if is_nested or str(dtype) == "object":
            column = X[X.columns[i]] if is_nested else X.iloc[:, i]
            values = column.to_list()
            _refuse_nested_values(values, f"column {X.columns[i]!r}")


def _refuse_nested_values(values: Any, place: str) -> None:
    for value in values:
        if isinstance(value, NESTED):
            raise CellError(
                f"Input X has several values in one cell of {place}, e.g. {shortened(value)}, but "
                "an argument must be a string or a number: make a column of each, or drop them."
            )


def refuse_complex(values: Any, name: str) -> None:
    """Raise a ValueError if an array, a list or a frame holds complex numbers."""
    dtypes = values.dtypes if is_frame(values) else [getattr(values, "dtype", None)]
    if isinstance(values, list | tuple):
        rows = (row if isinstance(row, list | tuple) else [row] for row in values)
        dtypes = [np.dtype(complex) for row in rows if types_in(row) & COMPLEX]
    refuse_complex_dtypes(dtypes, name)


def refuse_ragged(X: Any, name: str = "X") -> None:
    """Raise a ValueError if the rows of a list, or of an array of rows, differ in length."""
    is_array = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    if not (is_array or isinstance(X, list | tuple)):
        return
    lengths = [len(row) if isinstance(row, list | tuple | np.ndarray) else None for row in X]
    if len(set(lengths)) > 1:
        odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"Input {name} is ragged: row 0 has {_said(lengths[0])} and row {odd} has "
            f"{_said(lengths[odd])}. Give all rows the same length, e.g. by padding."
        )


def _said(length: int | None) -> str:
    return "one value of its own" if length is None else f"{length} values"
