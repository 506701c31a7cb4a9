"""Checks of rows, labels and weights."""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import (
    _check_sample_weight,
    _get_feature_names,
    _num_samples,
    validate_data,
)

from skmetaweight._arrays import read_numbers
from skmetaweight._data.cells import refuse_nested
from skmetaweight._data.containers import (
    check_dict,
    check_same_columns,
    check_same_kind,
    is_dict,
    open_X,
    refuse_other_channels,
    without_duplicates,
)
from skmetaweight._data.dataset_rows import DatasetRows
from skmetaweight._data.labels import of_one_kind, one_column, refuse_continuous
from skmetaweight._data.unusual import (
    warn_of_absurd_numbers,
    warn_of_distinct_categories,
    warn_of_unknown_categories,
)
from skmetaweight._messages import listed, warn
from skmetaweight._tabular.columns import categorical_columns, refuse_dates
from skmetaweight._tabular.disguised import is_missing
from skmetaweight._tabular.reading import is_disguised, read_disguised, read_table
from skmetaweight._tabular.tables import Table, has_missing


class LabelledRows(NamedTuple):
    """Validated rows with encoded labels."""

    X: Any
    y: NDArray[Any]
    sample_weight: NDArray[Any] | None = None

    def take(self, index: NDArray[Any]) -> LabelledRows:
        X = {k: v[index] for k, v in self.X.items()} if isinstance(self.X, dict) else self.X[index]
        weight = None if self.sample_weight is None else self.sample_weight[index]
        return LabelledRows(X, self.y[index], weight)

    def with_mean_weight_one(self) -> LabelledRows:
        if self.sample_weight is None:
            return self
        return self._replace(sample_weight=self.sample_weight / self.sample_weight.mean())


def check_X(estimator: Any, X: Any) -> Any:
    """Validate rows against those of ``fit`` and turn them into what the net takes.

    Raises
    ------
    ValueError
        If X is not finite, has the wrong shape, or differs from the X of ``fit``.
    """
    X = read_X(estimator, open_X(estimator, X), estimator._table, reset=False)
    if estimator._table is not None:
        warn_of_absurd_numbers(estimator, estimator._table, X)
    return encode_X(estimator, X)


def encode_X(estimator: Any, X: Any, *, learned_from: bool = False) -> Any:
    """Turn validated rows into what the net takes; categories were learned from them, or not."""
    table = estimator._table
    if table is None:
        return X
    if table.imputer is None and has_missing(X):  # the first missing number since the fit
        table = table.with_means(estimator.net_.module_.standardize.mean.cpu().numpy())
    encoded = table.encode(X)
    if learned_from:
        warn_of_distinct_categories(estimator, table, X)
    else:
        warn_of_unknown_categories(estimator, table, X, encoded)
    return encoded


@np.errstate(invalid="ignore")  # of infinite numbers of both signs, which are refused
def read_X(estimator: Any, X: Any, table: Table | None, *, reset: bool) -> Any:
    """Validate rows without labels.

    Tables (arrays, DataFrames, CSR) pass scikit-learn's checks and are remembered by the
    estimator; with a module of the user's, arrays of more dimensions, dicts of arrays and Datasets
    may come.
    """
    own_module = estimator.module is not None
    check_same_columns(estimator, X, reset=reset)
    check_same_kind(estimator, X.example if isinstance(X, DatasetRows) else X, reset=reset)
    if isinstance(X, DatasetRows) or is_dict(X):
        if reset:
            _forget_columns(estimator)
        if isinstance(X, DatasetRows):
            _check_columns_of(estimator, X, reset=reset)
            return X
        return check_dict(X, own_module=own_module)
    refuse_nested(X)
    if not own_module and len(getattr(X, "shape", ())) > 2:
        raise ValueError(
            f"Input X has rows of shape {tuple(X.shape[1:])}, which only a module of your own can "
            "take: pass module=..., or X.reshape(len(X), -1) to the default network."
        )
    if table is not None:
        return without_duplicates(read_table(estimator, X, table.categorical, reset=reset))
    refuse_dates(X)
    if not reset:
        refuse_other_channels(estimator, X)
    return _read_numbers(estimator, X, reset=reset)


def _read_numbers(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Validate rows for a module of the user's own, none of them missing anything."""
    X = np.asarray(X) if isinstance(X, list | tuple) else X
    try:
        if is_disguised(X):
            return read_disguised(estimator, X, reset=reset)
        checks: Any = {"accept_sparse": "csr", "dtype": "numeric", "allow_nd": True}
        return without_duplicates(validate_data(estimator, X, reset=reset, **checks))
    except ValueError as error:
        if "X contains NaN" not in str(error):
            raise
        raise ValueError(
            "Input X contains NaN, and a module of your own takes no missing values: fill them, "
            "e.g. with sklearn.impute.SimpleImputer, or pass module=None, the default network, "
            "which takes them unless X is sparse."
        ) from None  # scikit-learn's message recommends other classifiers


def unfitted_table(estimator: Any, X: Any) -> Table | None:
    given = estimator.categorical_features
    if estimator.module is None:
        return Table() if is_dict(X) else Table(categorical_columns(X, given))
    if estimator.numeric_scaling != "standardize":
        raise ValueError(
            f"numeric_scaling={estimator.numeric_scaling!r} is for the default network: a module "
            "of your own gets X as it is. Transform X before, or pass module=None."
        )
    if given is not None and not isinstance(given, str):
        raise ValueError(
            "categorical_features are for the default network: a module of your own gets X as it "
            "is. Encode categories before, or pass module=None."
        )
    return None


def check_X_meta(estimator: Any, X_meta: Any, X: Any, table: Table | None) -> Any:
    """Validate trusted rows against validated training rows X.

    Raises
    ------
    ValueError
        If they are not finite, or differ from X in width, shape, column names or keys.
    """
    names, names_meta = getattr(estimator, "feature_names_in_", None), _names_of(X_meta)
    is_alike = (names is None) == (names_meta is None)
    reader = estimator if is_alike else _named(estimator, names_meta)
    try:
        checked = read_X(reader, X_meta, table, reset=False)
    except ValueError as error:
        message = str(error).replace("Input X ", "Input X_meta ").replace("X has", "X_meta has")
        raise ValueError(
            f"X_meta must go through the same preprocessing as X. {message}"
        ) from error
    if _row_shapes(checked) != _row_shapes(X):
        raise ValueError(
            f"Each row of X_meta must have the shape of a row of X, {_row_shapes(X)}, got "
            f"{_row_shapes(checked)}: pad or cut both to one shape."
        )
    if not is_alike:
        named, other = ("X", "X_meta") if names_meta is None else ("X_meta", "X")
        warn(
            f"The columns of {named} have names and those of {other} have none: they are taken to "
            "be in the same order. Pass both with the same names, or with none."
        )
    return checked


def _names_of(X: Any) -> Any:
    return X.columns if isinstance(X, DatasetRows) else _get_feature_names(X)


def _check_columns_of(estimator: Any, X: DatasetRows, *, reset: bool) -> None:
    """Remember the names of a Dataset's columns as those of a frame; later, compare."""
    names, known = X.columns, getattr(estimator, "feature_names_in_", None)
    if names is None:
        return
    if reset:
        estimator.feature_names_in_ = np.array(names, dtype=object)
        estimator.n_features_in_ = len(names)
    elif known is not None and names != known.tolist():
        raise ValueError(
            f"The feature names should match those of fit, in the same order: X has the columns "
            f"{listed(names)}, and had {listed(known)}. Pass columns=[...] to ParquetRows."
        )


def _named(estimator: Any, names: Any) -> Any:
    """Copy an estimator as if names were those of ``fit``: scikit-learn's warning is of X only."""
    other = copy(estimator)
    vars(other).pop("feature_names_in_", None)
    vars(other).update({} if names is None else {"feature_names_in_": names})
    return other


def _forget_columns(estimator: Any) -> None:
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)


def _row_shapes(X: Any) -> Any:
    X = X.example if isinstance(X, DatasetRows) else X
    return {k: v.shape[1:] for k, v in X.items()} if isinstance(X, dict) else X.shape[1:]


def check_y(y: Any, name: str = "y") -> NDArray[Any]:
    """Validate labels and return them as a one-dimensional array."""
    if y is None:
        raise ValueError(f"{name} is missing: requires y to be passed, but the target y is None.")
    y = one_column(y, name)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"Input {name} contains NaN or infinity.")
    if y.dtype.kind == "O" and any(map(is_missing, y)):
        raise ValueError(f"Input {name} contains missing labels (None, NaN or NA).")
    y = of_one_kind(y, name)
    refuse_continuous(y, name)
    return y


def n_rows(X: Any) -> int:
    return _num_samples(next(iter(X.values())) if isinstance(X, dict) else X)


def encode(y: NDArray[Any], classes: NDArray[Any], name: str) -> NDArray[Any]:
    """Replace labels by their places in classes.

    Raises
    ------
    ValueError
        If labels are unknown; the message names them.
    """
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        advice = (
            "Drop these rows of X_meta, or give X rows with such labels; for a stream, pass all "
            "labels as classes of the first partial_fit; if a meta-estimator recodes y, mark the "
            "trusted rows with meta_mask instead"
            if name == "y_meta"
            else "All labels must be known from the first call: see classes of partial_fit"
        )
        raise ValueError(
            f"{name} has labels {listed(unknown)} that are not among the classes "
            f"{listed(classes)}. {advice}."
        )
    encoder = LabelEncoder()
    encoder.classes_ = classes
    return encoder.transform(y)


def check_sample_weight(sample_weight: Any, X: Any) -> NDArray[Any] | None:
    """Validate weights of rows.

    Raises
    ------
    ValueError
        If a weight is negative or no finite number, or if all are zero.
    """
    if sample_weight is None:
        return None
    given = read_numbers(sample_weight, "sample_weight")
    if not given.any():
        raise ValueError("sample_weight is zero for all rows: none of them would count.")
    rows = np.empty((n_rows(X), 0))
    weight = _check_sample_weight(given, rows, dtype=np.float64, ensure_non_negative=True)
    if weight.max() > np.finfo(np.float64).max / len(weight):
        raise ValueError(
            f"sample_weight has numbers as large as {weight.max():g}, whose sum would be infinite: "
            "divide all by the largest."
        )
    return weight


def check_lengths(X: Any, y: NDArray[Any], X_name: str, y_name: str) -> None:
    if n_rows(X) != len(y):
        raise ValueError(
            f"{X_name} and {y_name} must have the same length, got {n_rows(X)} rows and {len(y)} "
            "labels."
        )
