"""The data of one fit: what it was called with, and what it works on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from skmetaweight._data.containers import like_sparse, open_X
from skmetaweight._data.dataset_labels import labels_of
from skmetaweight._data.meta_set import split_by_mask, split_off, warn_of_missing_classes
from skmetaweight._data.scale import warn_of_scale
from skmetaweight._data.unusual import (
    warn_of_absurd_numbers,
    warn_of_changed_columns,
    warn_of_drift,
    warn_of_merged_numbers,
)
from skmetaweight._data.validation import (
    LabelledRows,
    check_lengths,
    check_sample_weight,
    check_X_meta,
    check_y,
    encode,
    encode_X,
    read_X,
    unfitted_table,
)
from skmetaweight._messages import listed, warn
from skmetaweight._tabular.reading import Mixed
from skmetaweight._tabular.tables import Table, fit_table

MUCH_IMBALANCE = 20
"""Ratio of class sizes above which bounded losses are seen to give the rare classes up."""

DOUBTFUL_ROBUSTNESS = 0.7
"""What generalized cross-entropy's paper recommends for rows that may be mislabelled."""


class GivenData(NamedTuple):
    """What ``fit`` was called with."""

    X: Any
    y: Any
    sample_weight: Any
    X_meta: Any
    y_meta: Any
    meta_mask: Any

    @property
    def has_trusted_rows(self) -> bool:
        return self.X_meta is not None or self.meta_mask is not None

    @property
    def row_index(self) -> Any:
        """The pandas index of X or else of y; None if neither has one."""
        return next((given.index for given in (self.X, self.y) if hasattr(given, "iloc")), None)

    def opened(self, estimator: Any, *, resume: bool) -> GivenData:
        """Take the labels out of Datasets; see that trusted rows come whole, and from one source.

        Raises
        ------
        ValueError
            If they do not.
        """
        X = open_X(estimator, self.X)
        X_meta = None if self.X_meta is None else open_X(estimator, self.X_meta, "X_meta")
        y = labels_of(estimator, X, self.y, reset=not resume)
        y_meta = labels_of(estimator, X_meta, self.y_meta)
        if (X_meta is None) != (y_meta is None):
            given, missing = ("X_meta", "y_meta") if y_meta is None else ("y_meta", "X_meta")
            raise ValueError(f"{given} was given without {missing}: a trusted row needs both.")
        if X_meta is not None and self.meta_mask is not None:
            raise ValueError(
                "Trusted rows were given twice, as X_meta and as meta_mask: pass one of them."
            )
        self._refuse_other_order()
        return self._replace(X=X, y=y, X_meta=X_meta, y_meta=y_meta)

    def _refuse_other_order(self) -> None:
        """Raise a ValueError for a Series with the rows of X in another order."""
        index = self.row_index
        for name in ("y", "sample_weight", "meta_mask"):
            given = getattr(self, name)
            if index is None or not hasattr(given, "iloc") or given.index.equals(index):
                continue
            if len(given) == len(index) and index.is_unique and given.index.isin(index).all():
                raise ValueError(
                    f"{name} has the index of X in another order, and rows are taken by their "
                    f"place: pass {name}.loc[X.index], or {name}.to_numpy() if places are right."
                )


class FitData(NamedTuple):
    """What a fit works on; indices are places in the X of ``fit``."""

    train: LabelledRows
    meta: LabelledRows
    train_indices: NDArray[Any]
    meta_indices: NDArray[Any]
    classes: NDArray[Any]
    meta_is_trusted: bool
    row_index: Any = None

    @property
    def is_imbalanced(self) -> bool:
        """Whether a class of the training rows is much more frequent than another."""
        counts = np.unique(self.train.y, return_counts=True)[1]
        return counts.max() > MUCH_IMBALANCE * counts.min()

    @property
    def meta_robustness(self) -> float:
        """The exponent of generalized cross-entropy that suits the meta rows, if bounded.

        At a guess among K classes, the loss of a trusted row keeps exp(-1/2) of its gradient.
        """
        return 0.5 / math.log(len(self.classes)) if self.meta_is_trusted else DOUBTFUL_ROBUSTNESS


def check_fit_data(
    estimator: Any,
    given: GivenData,
    *,
    resume: bool,
    classes: Any,
    random_state: np.random.RandomState,
) -> FitData:
    """Validate all data of a fit, once, and part the trusted rows from the others."""
    given = given.opened(estimator, resume=resume)
    fewest = 1 if resume or classes is not None else 2  # a stream may bring single rows
    y = check_y(given.y)
    table = estimator._table if resume else unfitted_table(estimator, given.X)
    rows, classes = _check_rows(estimator, given, y, table, classes, resume=resume)
    is_other_scale = False
    if given.X_meta is not None:
        train, meta = rows, _check_meta(estimator, given, rows.X, table, classes)
        is_other_scale = warn_of_scale(_numbers(meta.X), _numbers(train.X))
        train_indices, meta_indices = np.arange(len(y)), np.empty(0, dtype=int)
    else:
        train_indices, meta_indices = _parted(estimator, rows, given.meta_mask, random_state)
        train, meta = rows.take(train_indices), rows.take(meta_indices)._replace(sample_weight=None)
    _check_sizes(train, meta, fewest=fewest)
    if not resume and table is not None:
        quantiles = estimator.numeric_scaling == "quantile"
        table = fit_table(table.categorical, train.X, meta.X, quantiles=quantiles)
    if table is not None:
        looked_at = [train.X] if is_other_scale else [train.X, meta.X]
        if resume:
            table, known = table.widened(train.X), table
            warn_of_changed_columns(estimator, known, table)
            warn_of_drift(estimator, table, train.X)
        warn_of_absurd_numbers(estimator, table, *looked_at)
        warn_of_merged_numbers(estimator, table, given.X, train.X)
    estimator._table = table
    encoded = encode_X(estimator, train.X, learned_from=not resume)
    train = train._replace(X=encoded).with_mean_weight_one()
    meta = meta._replace(X=like_sparse(encode_X(estimator, meta.X), encoded))
    if estimator.method != "uniform":
        warn_of_missing_classes(meta.y, classes)
    trusted = given.has_trusted_rows
    return FitData(train, meta, train_indices, meta_indices, classes, trusted, given.row_index)


def _check_rows(
    estimator: Any,
    given: GivenData,
    y: NDArray[Any],
    table: Table | None,
    classes: Any,
    *,
    resume: bool,
) -> tuple[LabelledRows, NDArray[Any]]:
    """Validate the rows of X; return them, trusted ones among them or not, and the classes."""
    X = read_X(estimator, given.X, table, reset=not resume)
    check_lengths(X, y, "X", "y")
    classes = _check_classes(estimator, y, classes, resume=resume)
    weight = check_sample_weight(given.sample_weight, X)
    return LabelledRows(X, encode(y, classes, "y"), weight), classes


def _check_meta(
    estimator: Any, given: GivenData, X: Any, table: Table | None, classes: NDArray[Any]
) -> LabelledRows:
    """Validate trusted rows that came apart from X."""
    y_meta = check_y(given.y_meta, "y_meta")
    X_meta = check_X_meta(estimator, given.X_meta, X, table)
    check_lengths(X_meta, y_meta, "X_meta", "y_meta")
    return LabelledRows(X_meta, encode(y_meta, classes, "y_meta"))


def _parted(
    estimator: Any, rows: LabelledRows, meta_mask: Any, random_state: np.random.RandomState
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the places of the training rows and of the trusted ones: marked, or split off."""
    if meta_mask is not None:
        return split_by_mask(meta_mask, len(rows.y))
    train_indices, meta_indices = split_off(rows.y, estimator.meta_size, random_state)
    if estimator.method != "uniform":
        warn(
            f"No trusted rows were given: {len(meta_indices)} rows "
            f"(meta_size={estimator.meta_size}) were split off, whose labels may be as noisy as "
            "the others: reweighting gains far less by them and can cost accuracy. Pass checked "
            "rows as X_meta and y_meta, or mark them with meta_mask.",
        )
    return train_indices, meta_indices


def _numbers(X: Any) -> Any:
    return X.numbers if isinstance(X, Mixed) else X


def _check_classes(estimator: Any, y: Any, classes: Any, *, resume: bool) -> NDArray[Any]:
    if classes is not None:
        classes = np.unique(check_y(classes, "classes"))
    if resume:
        if classes is not None and not np.array_equal(classes, estimator.classes_):
            raise ValueError(
                f"classes={listed(classes)} differ from those of the first call, "
                f"{listed(estimator.classes_)}."
            )
        return estimator.classes_
    if classes is None:
        check_classification_targets(y)  # which warns if these look like numbers to be predicted
        classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"y has only one class, {listed(classes)}: a classifier needs at least two."
        )
    return classes


def _check_sizes(train: LabelledRows, meta: LabelledRows, *, fewest: int) -> None:
    for name, rows in (("training", train), ("trusted", meta)):
        if len(rows.y) < fewest:
            raise ValueError(
                f"At least {fewest} {name} rows are needed, got n_samples={len(rows.y)}."
            )
    if train.sample_weight is not None and not train.sample_weight.any():
        raise ValueError(
            "sample_weight is zero for all training rows: there is nothing to learn from."
        )
