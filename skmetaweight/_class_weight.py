"""The weight of each class in the meta loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import compute_class_weight


def meta_class_weight(
    class_weight: dict[Any, float] | str | None, classes: NDArray[Any], y_meta: NDArray[Any]
) -> NDArray[Any] | None:
    """Return the weight of each class, with mean one over the meta set.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        By label. Classes without a trusted row get zero.
    classes : ndarray of shape (n_classes,)
    y_meta : ndarray of int of shape (n_meta,)
        Encoded labels of the meta set.

    Raises
    ------
    ValueError
        If a label is unknown, or weights are negative, infinite or all zero.
    """
    if class_weight is None:
        return None
    present = np.unique(y_meta)
    if isinstance(class_weight, dict):
        _check_class_weight(class_weight, classes)
        class_weight = {k: v for k, v in class_weight.items() if k in classes[present]}
    weight = np.zeros(len(classes))
    weight[present] = compute_class_weight(
        class_weight, classes=classes[present], y=classes[y_meta]
    )
    if not weight.any():
        raise ValueError(f"class_weight is zero for all classes of the meta set: {class_weight}.")
    return weight / weight[y_meta].mean()


def _check_class_weight(class_weight: dict[Any, float], classes: NDArray[Any]) -> None:
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        raise ValueError(
            f"class_weight has labels {unknown} that are not among the classes {classes.tolist()}."
        )
    if not all(0 <= value < np.inf for value in class_weight.values()):
        raise ValueError(
            f"class_weight must be non-negative and finite, got {list(class_weight.values())}."
        )
