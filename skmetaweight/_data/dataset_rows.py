"""Rows that a user's torch Dataset hands out one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset, default_collate

from skmetaweight._data.cells import refuse_complex


@dataclass(frozen=True)
class DatasetRows:
    """The X of a map-style Dataset; its items are read whenever a batch needs them.

    Parameters
    ----------
    dataset : Dataset
        Its items are X, or tuples (X,) or (X, y), with X a tensor, an array or a dict of these or
        of lists of numbers.
    """

    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: NDArray[np.intp]) -> DatasetRows:
        return DatasetRows(Subset(self.dataset, index.tolist()))

    @property
    def example(self) -> Any:
        """A batch of the first row."""
        return self.collate(slice(0, 1))

    def collate(self, places: Tensor | slice) -> Any:
        """Read rows and stack them as torch does."""
        is_slice = isinstance(places, slice)
        index = range(len(self))[places] if is_slice else places.tolist()
        items = [_X_of(item) for item in self._items(list(index))]
        try:
            X = default_collate(items)
        except RuntimeError as error:
            raise ValueError(
                f"The items of the Dataset cannot be stacked: {error}. Let it give all of them one "
                "shape, e.g. by padding: an iterator_train__collate_fn reaches neither trusted "
                "rows nor those of predict."
            ) from error
        return dict(X) if isinstance(X, Mapping) else X

    def labels(self) -> list[Any]:
        """Return the labels: those that the Dataset offers, else by a pass over all items."""
        n_rows = len(self)
        offered = _offered_labels(self.dataset)
        if len(offered) == n_rows and all(
            np.array_equal(_label_of(self.dataset[i]), offered[i])
            for i in {0, n_rows // 2, n_rows - 1}
        ):
            return offered
        return [_label_of(self.dataset[i]) for i in range(n_rows)]

    def _items(self, index: list[int]) -> Iterable[Any]:
        if hasattr(self.dataset, "__getitems__"):  # torch's protocol for reading many at once
            return self.dataset.__getitems__(index)
        return (self.dataset[i] for i in index)


def open_dataset(estimator: Any, X: Any, name: str = "X") -> Any:
    """Return the rows of a Dataset; what is none is returned as it is.

    Raises
    ------
    ValueError
        If there is no module to take them, the Dataset is iterable-style or empty, or its first
        item cannot be used.
    """
    if not isinstance(X, Dataset):
        return X
    kind = f"{name} ({type(X).__name__})"
    if estimator.module is None:
        raise ValueError(
            f"{kind} is a torch Dataset, which only a module of your own can take: pass "
            "module=..., or give the default network an array or a DataFrame."
        )
    if isinstance(X, IterableDataset):
        raise ValueError(
            f"{kind} is an iterable-style Dataset, whose rows have no places to learn weights for. "
            "Pass a map-style one, with __len__ and __getitem__."
        )
    if not hasattr(X, "__len__"):
        raise ValueError(f"{kind} has no __len__: a Dataset must tell how many rows it has.")
    if not len(X):  # pyright: ignore[reportArgumentType]
        raise ValueError(f"{kind} has no items.")
    item = X[0]
    if isinstance(item, tuple) and len(item) not in (1, 2):
        raise ValueError(
            f"The items of {kind} are tuples of {len(item)}, but must be X or (X, y). Put several "
            "inputs of the module into a dict."
        )
    _check_collates(X, kind)
    return DatasetRows(X)


def labels_of(X: Any, y: Any) -> Any:
    """Return y or, if it is None, the labels that a Dataset has in its items."""
    return X.labels() if y is None and isinstance(X, DatasetRows) else y


def _check_collates(dataset: Dataset, kind: str) -> None:
    try:
        X = DatasetRows(dataset).example
    except TypeError as error:
        raise ValueError(f"The items of {kind} cannot be stacked: {error}") from error
    for values in X.values() if isinstance(X, dict) else [X]:
        if not isinstance(values, Tensor):
            raise ValueError(
                f"The X of an item of {kind} must be a tensor, an array or a dict of these, got "
                f"{type(_X_of(dataset[0])).__name__} with {type(values).__name__}."
            )
        refuse_complex(values, kind)


def native(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array that torch can take: in order, writeable, and of a dtype that it has."""
    dtype = values.dtype.newbyteorder("=")
    if dtype.kind == "u" and dtype.itemsize > 1:
        dtype = np.dtype(np.int64)
    elif dtype.kind == "f" and dtype.itemsize > 8:
        dtype = np.dtype(np.float64)
    return np.require(values, dtype, ["C_CONTIGUOUS", "WRITEABLE"])


def _X_of(item: Any) -> Any:
    X = item[0] if isinstance(item, tuple) else item
    if isinstance(X, Mapping):
        return {key: _native_if_array(_array_of_list(values)) for key, values in X.items()}
    return _native_if_array(X)


def _array_of_list(values: Any) -> Any:
    """Return an array of a list of numbers, as tokenizers make; anything else as it is."""
    is_numbers = isinstance(values, list) and {*map(type, values)} <= {bool, int, float}
    return np.array(values) if is_numbers else values


def _native_if_array(values: Any) -> Any:
    is_array = isinstance(values, np.ndarray) and values.dtype.kind in "biuf"
    return native(values) if is_array else values


def _offered_labels(dataset: Any) -> list[Any]:
    """Return what a Dataset says of its labels before an item is read, as torchvision's do.

    Nothing, if its items are made by a class of the user's, who may have changed labels there.
    """
    if type(dataset).__getitem__.__module__.split(".")[0] not in ("torch", "torchvision"):
        return []
    if isinstance(dataset, Subset):
        offered = _offered_labels(dataset.dataset)
        return [offered[i] for i in dataset.indices] if offered else []
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1].tolist() if len(dataset.tensors) == 2 else []
    targets = getattr(dataset, "targets", None)
    if getattr(dataset, "target_transform", None) is not None:
        return []
    if isinstance(targets, Tensor | np.ndarray):
        return targets.tolist()
    return targets if isinstance(targets, list) else []


def _label_of(item: Any) -> Any:
    if not (isinstance(item, tuple) and len(item) == 2):
        raise ValueError(
            f"y is None, but the items of the Dataset have no label: an item is a "
            f"{type(item).__name__}, not a pair (X, y). Pass the labels as y."
        )
    label = item[1]
    return label.tolist() if isinstance(label, Tensor) else label
