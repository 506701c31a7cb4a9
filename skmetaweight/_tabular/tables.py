"""Missing values and categories: what the default network does before its first layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer
from sklearn.utils._missing import is_scalar_nan

from skmetaweight._tabular.ranges import Ranges, fit_ranges
from skmetaweight._tabular.reading import Mixed
from skmetaweight._tabular.units import NO_UNITS, Units, fit_units

NEARLY_ALL = 0.7
"""Share of the training rows that a column's categories must not outnumber to mean something."""

FEWEST_ROWS = 30
"""Training rows of which that can be said."""

UNKNOWN, MISSING = 0, 1
"""Codes of categories that the training rows lack, and of none at all; others follow."""


@dataclass(frozen=True)
class Table:
    """Turns rows into one matrix: numbers, indicators of missing numbers, codes of categories.

    Parameters
    ----------
    categorical : tuple of int
        Places of the columns of categories; if there are none, rows are matrices.
    ranges : Ranges, optional
        Of all columns of numbers; None before training rows were seen.
    units : Units
        Of these columns.
    renewed : ndarray of bool, optional
        Those of them that the latest training rows have changed altogether.
    observed : ndarray of int, optional
        Those of the number columns that hold any number in the training rows.
    imputer : SimpleImputer, optional
        Of these columns; None if neither it nor an encoder has anything to do.
    scaler : QuantileTransformer, optional
        Of these columns, before the imputer.
    encoder : OrdinalEncoder, optional
    n_rows : int
        Training rows that the encoder was fitted to.
    """

    categorical: tuple[int, ...] = ()
    ranges: Ranges | None = None
    units: Units = NO_UNITS
    renewed: NDArray[np.bool_] | None = None
    observed: NDArray[np.intp] | None = None
    imputer: Any = None
    scaler: Any = None
    encoder: Any = None
    n_rows: int = 0

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

    def is_nearly_distinct(self, place: int) -> bool:
        """Whether hardly two training rows share a category, so that none means anything."""
        n_categories = self.cardinalities[place] - MISSING - 1
        return self.n_rows >= FEWEST_ROWS and n_categories > NEARLY_ALL * self.n_rows

    def with_means(self, means: NDArray[Any]) -> Table:
        """Return a table that puts these means in place of missing numbers."""
        imputer = SimpleImputer().fit(means[None])
        return replace(self, observed=np.arange(len(means)), imputer=imputer)

    def widened(self, X: Any) -> Table:
        """Return a table whose ranges hold these training rows too."""
        if self.ranges is None:
            return self
        numbers = X.numbers if isinstance(X, Mixed) else X
        ranges, renewed = self.ranges.widened(numbers)
        units = self.units
        if renewed.any():
            units = units.renewed(fit_units(numbers, ranges), renewed)
        return replace(self, ranges=ranges, units=units, renewed=renewed)

    @property
    def bounds(self) -> Ranges | None:
        """What the encoded numbers keep to; None if they are clipped already, as quantiles are."""
        if self.ranges is None or self.scaler is not None:
            return None
        ranges = self.units.of_ranges(self.ranges)
        return ranges if self.observed is None else ranges.take(self.observed)

    @config_context(transform_output="default")  # users may want frames of their own transformers
    def encode(self, X: Any) -> Any:
        """Return the matrix of validated rows; float32 that lacks nothing is returned as it is."""
        if isinstance(X, Mixed):
            numbers, codes = self._encode_numbers(X.numbers), self._codes(X.categories)
            return np.concatenate([numbers, codes], axis=1, dtype=np.float32)
        return self._encode_numbers(X)

    def _encode_numbers(self, numbers: Any) -> Any:
        if self.imputer is None:
            has_no_numbers = self.encoder is not None
            return numbers[:, :0] if has_no_numbers else self.units.to_float32(numbers)
        numbers = self.units.to_float32(numbers.toarray() if issparse(numbers) else numbers)
        numbers = self._clipped(numbers)
        if self.observed is not None and len(self.observed) < numbers.shape[1]:
            numbers = numbers[:, self.observed]
        if self.scaler is not None:
            numbers = self.scaler.transform(numbers)
        return self.imputer.transform(numbers).astype(np.float32, copy=False)

    def _clipped(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        return numbers if self.ranges is None else self.units.of_ranges(self.ranges).clip(numbers)

    def _codes(self, categories: NDArray[Any]) -> NDArray[np.float32]:
        return self.encoder.transform(categories) + 2


@config_context(transform_output="default")
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
    numbers = X_train.numbers if isinstance(X_train, Mixed) else X_train
    ranges = fit_ranges(numbers)
    table = Table(categorical, ranges, fit_units(numbers, ranges))
    if not (categorical or quantiles or has_missing(X_train) or has_missing(X_meta)):
        return table
    if issparse(numbers):
        raise ValueError(_why_not_sparse(quantiles=quantiles))
    observed = np.flatnonzero(~np.isnan(numbers).all(axis=0))
    if not len(observed) and not categorical:
        raise ValueError("Input X contains NaN only: no column has a number in a training row.")
    scaler = imputer = None
    if len(observed):
        numbers = table._clipped(table.units.to_float32(numbers))[:, observed]
        if quantiles:
            scaler = _quantile_transformer(len(numbers)).fit(numbers)
            numbers = scaler.transform(numbers)
        imputer = SimpleImputer(add_indicator=True).fit(numbers)
    encoder = _fit_encoder(X_train) if categorical else None
    table = replace(table, observed=observed, imputer=imputer, scaler=scaler)
    return replace(table, encoder=encoder, n_rows=X_train.shape[0])


def _why_not_sparse(*, quantiles: bool) -> str:
    if quantiles:
        return (
            "Input X is sparse: numeric_scaling='quantile' would make its zeros something else. "
            "Pass it dense, or numeric_scaling='standardize'."
        )
    return "Input X_meta contains NaN: a sparse X shows nothing to put in its place."


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
