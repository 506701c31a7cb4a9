"""Missing values and categories: what the default network does before its first layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer
from sklearn.utils import _safe_indexing, assert_all_finite, check_array
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import validate_data

from skmetaweight._tabular.columns import as_2d, is_frame, refuse_dates

UNKNOWN, MISSING = 0, 1
"""Codes of categories that the training rows lack, and of none at all; others follow."""


@dataclass(frozen=True)
class Mixed:
    """Validated rows of a table with categories, numbers and categories apart."""

    numbers: NDArray[np.float32]
    categories: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.categories), self.numbers.shape[1] + self.categories.shape[1]

    def __getitem__(self, index: Any) -> Mixed:
        return Mixed(self.numbers[index], self.categories[index])


@dataclass(frozen=True)
class Table:
    """Turns rows into one matrix: numbers, indicators of missing numbers, codes of categories.

    Parameters
    ----------
    categorical : tuple of int
        Places of the columns of categories; if there are none, rows are matrices.
    observed : ndarray of int, optional
        Those of the number columns that hold any number in the training rows.
    imputer : SimpleImputer, optional
        Of these columns; None if neither it nor an encoder has anything to do.
    scaler : QuantileTransformer, optional
        Of these columns, before the imputer.
    encoder : OrdinalEncoder, optional
    """

    categorical: tuple[int, ...] = ()
    observed: NDArray[np.intp] | None = None
    imputer: Any = None
    scaler: Any = None
    encoder: Any = None

    @property
    def n_numbers(self) -> int | None:
        """How many columns are to be standardised; None for all."""
        return None if self.observed is None else len(self.observed)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each column of categories can have."""
        if self.encoder is None:
            return ()
        return tuple(
            MISSING + 1 + sum(not is_scalar_nan(category) for category in categories)
            for categories in self.encoder.categories_
        )

    def with_means(self, means: NDArray[Any]) -> Table:
        """Return a table that puts these means in place of missing numbers."""
        observed = np.arange(len(means))
        return replace(self, observed=observed, imputer=SimpleImputer().fit(means[None]))

    def encode(self, X: Any) -> Any:
        """Return the matrix of validated rows; what lacks nothing is returned as it is."""
        if isinstance(X, Mixed):
            return np.concatenate(
                [self._impute(X.numbers), self._codes(X.categories)], axis=1, dtype=np.float32
            )
        if self.imputer is None:
            return X
        return self._impute(X.toarray() if issparse(X) else X)

    def _impute(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.imputer is None or self.observed is None:
            return numbers[:, :0]
        if len(self.observed) < numbers.shape[1]:
            numbers = numbers[:, self.observed]
        if self.scaler is not None:
            numbers = self.scaler.transform(numbers)
        return self.imputer.transform(numbers).astype(np.float32, copy=False)

    def _codes(self, categories: NDArray[Any]) -> NDArray[np.float32]:
        return self.encoder.transform(categories) + 2


def fit_table(
    categorical: tuple[int, ...], X_train: Any, X_meta: Any, *, quantiles: bool = False
) -> Table:
    """Learn means, quantiles if wanted, and categories from the training rows alone.

    The trusted rows only tell whether any number is missing at all.

    Raises
    ------
    ValueError
        If no column has a value, a column mixes categories of several types, or quantiles are
        wanted of a sparse matrix.
    """
    if not (categorical or quantiles or has_missing(X_train) or has_missing(X_meta)):
        return Table()
    if issparse(X_train) and quantiles:
        raise ValueError(
            "Input X is sparse: numeric_scaling='quantile' would make its zeros something else. "
            "Pass it dense, or numeric_scaling='standardize'."
        )
    if issparse(X_train):
        raise ValueError("Input X_meta contains NaN: a sparse X shows nothing to put in its place.")
    numbers = X_train.numbers if isinstance(X_train, Mixed) else X_train
    observed = np.flatnonzero(~np.isnan(numbers).all(axis=0))
    if not len(observed) and not categorical:
        raise ValueError("Input X contains NaN only: no column has a number in a training row.")
    scaler = imputer = None
    if len(observed):
        numbers = numbers[:, observed]
        if quantiles:
            scaler = _quantile_transformer(len(numbers)).fit(numbers)
            numbers = scaler.transform(numbers)
        imputer = SimpleImputer(add_indicator=True).fit(numbers)
    encoder = _fit_encoder(X_train) if categorical else None
    return Table(categorical, observed, imputer, scaler, encoder)


def _quantile_transformer(n_rows: int) -> Any:
    every_row: Any = None  # a subsample would need a random state
    return QuantileTransformer(
        n_quantiles=min(1000, n_rows), output_distribution="normal", subsample=every_row
    )


def _fit_encoder(X_train: Mixed) -> Any:
    dtype: Any = np.float32
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=UNKNOWN - 2,
        encoded_missing_value=MISSING - 2,
        dtype=dtype,
    )
    try:
        return encoder.fit(X_train.categories)
    except TypeError as error:
        raise ValueError(
            f"A column of X mixes categories of several types: {error}. Make them one, e.g. with "
            "X[column].astype(str)."
        ) from error


def has_missing(X: Any) -> bool:
    """Whether a dense matrix has NaN: a pass without a copy."""
    return isinstance(X, np.ndarray) and bool(np.isnan(X.min()))


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or NA."""
    return value is None or is_scalar_nan(value) or is_pandas_na(value)


# Reading ---------------------------------------------------------------------------------------


def read_table(estimator: Any, X: Any, categorical: tuple[int, ...], *, reset: bool) -> Any:
    """Validate rows: a float32 matrix, dense or CSR, or :class:`Mixed` if there are categories.

    Raises
    ------
    ValueError
        If X has infinite values, missing values in a sparse matrix, dates, or text in a column
        that is not categorical, or if it differs from the X of ``fit``.
    """
    refuse_dates(X, categorical)
    if not categorical:
        X = validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=np.float32,
            ensure_all_finite="allow-nan",
        )
        if issparse(X):
            assert_all_finite(X, input_name="X")
        return X
    if issparse(X):
        raise ValueError("Input X is sparse, but has categorical features: pass it dense.")
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    X = X if is_frame(X) else as_2d(X)
    return Mixed(_numbers(estimator, X, categorical), _categories(X, categorical))


def _numbers(estimator: Any, X: Any, categorical: tuple[int, ...]) -> NDArray[np.float32]:
    places = [i for i in range(X.shape[1]) if i not in categorical]
    if not places:
        return np.empty((X.shape[0], 0), dtype=np.float32)
    numeric: Any = {"dtype": np.float32, "ensure_all_finite": "allow-nan", "input_name": "X"}
    return check_array(_safe_indexing(X, places, axis=1), estimator=estimator, **numeric)


def _categories(X: Any, categorical: tuple[int, ...]) -> NDArray[Any]:
    categories = np.empty((X.shape[0], len(categorical)), dtype=object)
    for place, i in enumerate(categorical):
        column: Any = _safe_indexing(X, i, axis=1)
        if hasattr(column, "isna"):
            categories[:, place] = column.to_numpy(dtype=object, na_value=np.nan)
        else:
            values = column.tolist() if isinstance(column, np.ndarray) else column.to_list()
            for row, value in enumerate(values):
                categories[row, place] = np.nan if is_missing(value) else value
    return categories
