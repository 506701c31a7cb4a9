"""The labels in the items of a Dataset, and what their numbers stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import TensorDataset

from skmetaweight._data.dataset_rows import DatasetRows, is_made_by
from skmetaweight._data.hugging_face import ColumnItems
from skmetaweight._messages import listed


def labels_of(estimator: Any, X: Any, y: Any, *, reset: bool = False) -> Any:
    """Return y or, if it is None, the labels that a Dataset has in its items.

    Raises
    ------
    ValueError
        If their numbers stand for other classes than those of the Dataset of ``fit``.
    """
    has_labels = y is None and isinstance(X, DatasetRows)
    names = _class_names(X.dataset) if has_labels else None
    if reset:
        estimator._class_names = names
    known = estimator._class_names
    if names and known and names != known:
        raise ValueError(
            f"The labels of a Dataset stand for {listed(names)}, and those of the X of fit for "
            f"{listed(known)}, in this order: number the classes alike, e.g. by cast_column with "
            "one ClassLabel."
        )
    return read_labels(X) if has_labels else y


def read_labels(rows: DatasetRows) -> Any:
    """Return the labels of rows: those that the Dataset offers, else by a pass over all items."""
    dataset, places = rows.dataset, rows.places_of(np.arange(len(rows)))
    offered = _offered_labels(dataset)
    few = [int(places[i]) for i in {0, len(places) // 2, len(places) - 1}]
    if len(offered) == len(dataset) and (
        is_made_by(dataset, "skmetaweight")
        or all(np.array_equal(_label_of(dataset[i]), offered[i]) for i in few)
    ):
        return offered[places] if isinstance(offered, np.ndarray) else [offered[i] for i in places]
    return [_label_of(dataset[i]) for i in places.tolist()]


def _class_names(dataset: Any) -> list[str] | None:
    """Return what the numbers of the labels stand for, if the Dataset tells."""
    if isinstance(dataset, ColumnItems):
        return dataset.class_names
    names = getattr(dataset, "classes", None) if is_made_by(dataset, "torchvision") else None
    return names if names is None else [*map(str, names)]


def _offered_labels(dataset: Any) -> Any:
    """Return what a Dataset says of its labels before an item is read, as torchvision's do.

    Nothing, if its items are made by a class of the user's, who may have changed labels there.
    """
    if not is_made_by(dataset, "torch", "torchvision", "skmetaweight"):
        return []
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1].numpy(force=True) if len(dataset.tensors) == 2 else []
    targets = getattr(dataset, "targets", None)
    if getattr(dataset, "target_transform", None) is not None:
        return []
    targets = targets.numpy(force=True) if isinstance(targets, Tensor) else targets
    return targets if isinstance(targets, list | np.ndarray) else []


def _label_of(item: Any) -> Any:
    if not (isinstance(item, tuple) and len(item) == 2):
        raise ValueError(
            f"y is None, but the items of the Dataset have no label: an item is a "
            f"{type(item).__name__}, not a pair (X, y). Pass the labels as y."
        )
    label = item[1]
    return label.tolist() if isinstance(label, Tensor) else label
