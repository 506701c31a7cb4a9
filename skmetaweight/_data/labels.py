"""Labels of Python objects: of which one kind they are."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import column_or_1d

from skmetaweight._data.cells import refuse_complex, refuse_masked
from skmetaweight._messages import shortened


def one_column(y: Any, name: str) -> NDArray[Any]:
    """Return labels as a one-dimensional array.

    Raises
    ------
    ValueError
        If they have another shape, or are complex or masked.
    """
    refuse_complex(y, name)
    refuse_masked(y, name)
    if hasattr(y, "__array__"):
        y = np.asarray(y)  # scikit-learn would make floats of nullable and Arrow labels
    try:
        return column_or_1d(y, warn=True)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"Input {name} is ragged, e.g. {shortened(next(iter(y)))}: pass one label for each row."
        ) from error


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
    return y if kind == "text" else np.array(y.tolist())


def _kind(label: Any) -> str:
    if isinstance(label, str):
        return "text"
    if isinstance(label, bool | np.bool_):
        return "bool"
    return "number" if isinstance(label, Real) else type(label).__name__
