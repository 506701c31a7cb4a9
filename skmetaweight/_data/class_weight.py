"""What the rows of a class count, in the training loss and in the meta loss."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmetaweight._data.validation import LabelledRows
from skmetaweight._messages import listed

ClassWeight = dict[Any, float] | str | None
"""By label, "balanced", or None."""


def weigh_by_class(
    class_weight: ClassWeight, classes: NDArray[Any], rows: LabelledRows
) -> LabelledRows:
    """Multiply the sample weights of training rows by those of their classes; the mean is one.

    Raises
    ------
    ValueError
        If a label is unknown, or weights are negative, infinite or all zero.
    """
    if class_weight is None:
        return rows
    weight = _weight_of_classes(class_weight, classes, rows)[rows.y]
    if rows.sample_weight is not None:
        weight = weight * rows.sample_weight
    if not weight.any():
        raise ValueError("class_weight is zero for all training rows: none of them would count.")
    return rows._replace(sample_weight=weight).with_mean_weight_one()


def meta_class_weight(
    class_weight: ClassWeight, classes: NDArray[Any], meta: LabelledRows
) -> NDArray[Any] | None:
    """Return the weight of each class, with mean one over the meta set.

    Raises
    ------
    ValueError
        As :func:`weigh_by_class`, for the classes of the meta set.
    """
    if class_weight is None:
        return None
    weight = _weight_of_classes(class_weight, classes, meta)
    if not weight[meta.y].any():
        raise ValueError(
            "class_weight is zero for all classes of the meta set: none of its rows would count."
        )
    return weight / weight[meta.y].mean()


def _weight_of_classes(
    class_weight: dict[Any, float] | str, classes: NDArray[Any], rows: LabelledRows
) -> NDArray[Any]:
    """Return weights of shape (n_classes,); "balanced" gives none to a class without rows."""
    if isinstance(class_weight, dict):
        _check_class_weight(class_weight, classes)
        return np.array([class_weight.get(label, 1.0) for label in classes])
    sizes = np.bincount(rows.y, rows.sample_weight, minlength=len(classes))
    return np.divide(1.0, sizes, out=np.zeros(len(classes)), where=sizes > 0)


def _check_class_weight(class_weight: dict[Any, float], classes: NDArray[Any]) -> None:
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        raise ValueError(
            f"class_weight has labels {listed(unknown)} that are not among the classes "
            f"{listed(classes)}."
        )
    values = class_weight.values()
    if not all(_is_number(value) and 0 <= value < np.inf for value in values):
        raise ValueError(
            f"class_weight must be non-negative and finite numbers, got {listed(values)}."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
