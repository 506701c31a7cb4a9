"""Reading rows: what users call a table becomes numbers and categories, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, assert_all_finite, check_array
from sklearn.utils.validation import validate_data

from skmetaweight._tabular.columns import as_2d, holds_plain_numbers, is_frame, refuse_dates
from skmetaweight._tabular.disguised import to_numbers, values_of


@dataclass(frozen=True)
class Mixed:
    """Validated rows of a table with categories, numbers and categories apart."""

    numbers: NDArray[Any]
    categories: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.categories), self.numbers.shape[1] + self.categories.shape[1]

    def __getitem__(self, index: Any) -> Mixed:
        return Mixed(self.numbers[index], self.categories[index])


def read_table(estimator: Any, X: Any, categorical: tuple[int, ...], *, reset: bool) -> Any:
    """Validate rows: a matrix, CSR or float32 or float64, or :class:`Mixed` with categories.

    Raises
    ------
    ValueError
        If X has infinite values, missing values in a sparse matrix, dates, or text in a column
        that is not categorical, or if it differs from the X of ``fit``.
    """
    refuse_dates(X, categorical)
    if issparse(X) and categorical:
        raise ValueError("Input X is sparse, but has categorical features: pass it dense.")
    if not categorical and not is_disguised(X):
        checks: Any = {"accept_sparse": "csr", "dtype": _dtype(X), "ensure_all_finite": "allow-nan"}
        X = validate_data(estimator, X, reset=reset, **checks)
        if issparse(X):
            assert_all_finite(X, input_name="X")
        return X
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    X = X if is_frame(X) else as_2d(X)
    places = [i for i in range(X.shape[1]) if i not in categorical]
    numbers = _numbers(estimator, X, places, ensure_all_finite="allow-nan")
    return Mixed(numbers, _categories(X, categorical)) if categorical else numbers


def read_disguised(estimator: Any, X: Any, *, reset: bool) -> NDArray[Any]:
    """Validate rows of text or objects, none of them missing, that are all numbers.

    Raises
    ------
    ValueError
        As :func:`read_table`, and for missing values.
    """
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return _numbers(estimator, X, list(range(X.shape[1])), ensure_all_finite=True)


def is_disguised(X: Any) -> bool:
    """Whether numbers of a table, if it holds any, are text or objects."""
    if is_frame(X):
        return not all(map(holds_plain_numbers, X.dtypes))
    return getattr(X, "ndim", None) == 2 and not issparse(X) and X.dtype.kind in "OUS"


def _dtype(X: Any) -> Any:
    """Return what rows are read as: float64 where float32 might lose digits."""
    dtype = getattr(X, "dtype", None)
    fits = dtype is not None and dtype.kind in "iufb" and dtype.itemsize < 4
    return np.float32 if fits else [np.float64, np.float32]


def _numbers(estimator: Any, X: Any, places: list[int], *, ensure_all_finite: Any) -> NDArray[Any]:
    if not places:
        return np.empty((X.shape[0], 0), dtype=np.float32)
    numbers: Any = _safe_indexing(X, places, axis=1)
    if is_disguised(numbers):
        numbers = _as_matrix(X, places)
    checks: Any = {"dtype": _dtype(numbers), "ensure_all_finite": ensure_all_finite}
    return check_array(numbers, estimator=estimator, input_name="X", **checks)


def _as_matrix(X: Any, places: list[int]) -> NDArray[np.float64]:
    names = list(X.columns) if is_frame(X) else list(range(X.shape[1]))
    return np.column_stack([to_numbers(values_of(X, i), names[i]) for i in places])


def _categories(X: Any, categorical: tuple[int, ...]) -> NDArray[Any]:
    categories = np.empty((X.shape[0], len(categorical)), dtype=object)
    for place, i in enumerate(categorical):
        categories[:, place] = np.fromiter(values_of(X, i), object)
    return categories
