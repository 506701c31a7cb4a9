"""Labels of Python objects: of which one kind they are."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from skmetaweight._arrays import read_array
from skmetaweight._messages import shortened


def one_column(y: Any, name: str) -> NDArray[Any]:
    """Return labels as a one-dimensional array.

    Raises
    ------
    ValueError
        If they have another shape, or as :func:`read_array`.
    """
    labels = read_array(y, name)  # scikit-learn would make floats of nullable and Arrow labels
    if labels.ndim != 1 and labels.shape[1:] != (1,):
        raise ValueError(
            f"{name} should be a 1d array of labels, got shape {labels.shape}: {shortened(y)}."
        )
    labels = column_or_1d(labels, warn=True)
    return labels.astype(object) if labels.dtype.kind == "T" else labels


def of_one_kind(y: NDArray[Any], name: str) -> NDArray[Any]:
    """Return labels without missing ones in the dtype of their kind: boolean, number or text.

    Nullable and Arrow arrays become arrays of objects on the way here.

    Raises
    ------
    ValueError
        If they are of several kinds, or of none of these.
    """
    if y.dtype.kind != "O" or not len(y):
        return y
    kinds = {_kind(label) for label in y}
    if len(kinds) > 1:
        raise ValueError(
            f"{name} has labels of several kinds, {' and '.join(sorted(kinds))}: make them one, "
            "e.g. with astype(str)."
        )
    (kind,) = kinds
    if kind not in ("bool", "number", "text"):
        raise ValueError(
            f"{name} has labels of type {kind}, e.g. {shortened(y[0])}: pass numbers, text or "
            "booleans."
        )
    if kind == "text":
        return y
    labels = np.array(y.tolist())
    if labels.dtype == object:
        raise ValueError(
            f"{name} has numbers that no array holds as such, e.g. {shortened(max(y))}: pass "
            "integers of 64 bits, or text, e.g. with astype(str)."
        )
    return labels


def refuse_continuous(y: NDArray[Any], name: str) -> None:
    """Raise a ValueError if labels are no classes, but bytes or numbers with a fraction."""
    if y.dtype.kind == "S":
        raise ValueError(f"{name} has labels of bytes, e.g. {y[0].item()!r}: decode them to text.")
    with np.errstate(invalid="ignore"):  # of numbers beyond 64 bits
        is_fraction = y.dtype.kind == "f" and y.astype(np.int64) != y
    if np.any(is_fraction):
        raise ValueError(
            f"Unknown label type: continuous. {name} has numbers that are no classes, "
            f"e.g. {y[is_fraction][0]!s}: make classes of them, e.g. with pandas.cut."
        )


def refuse_other_labels(y: NDArray[Any], classes: NDArray[Any]) -> None:
    """Raise a ValueError if labels are of another type than classes, so that all would differ."""
    kinds = [_kind(of[0]).replace("bool", "number") for of in (y, classes)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"y has labels such as {shortened(y[0])}, and fit had {shortened(classes[0])}: no "
            "prediction could be right. Pass labels of the type that fit had."
        )


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    if isinstance(label, bool | np.bool_):
        return "bool"
    return "number" if isinstance(label, Real) else type(label).__name__
