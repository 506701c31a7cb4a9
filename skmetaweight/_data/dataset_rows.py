"""Rows that a user's torch Dataset hands out one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    default_collate,
)

from skmetaweight._data.cells import refuse_complex
from skmetaweight._data.hugging_face import ColumnItems, is_hugging_face
from skmetaweight._messages import listed, shortened, warn


@dataclass(frozen=True)
class DatasetRows:
    """The X of a map-style Dataset; its items are read whenever a batch needs them.

    Parameters
    ----------
    dataset : Dataset
        Its items are X, or tuples (X,) or (X, y), with X a tensor, an array or a dict of these or
        of lists of numbers.
    places : ndarray of int, optional
        Those of its items that are rows, in their order; all if None.
    """

    dataset: Any
    places: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.dataset) if self.places is None else len(self.places)

    def __getitem__(self, index: NDArray[np.intp]) -> DatasetRows:
        return DatasetRows(self.dataset, self.places_of(index))

    @property
    def example(self) -> Any:
        """A batch of the first row."""
        return self.collate(slice(0, 1))

    @property
    def has_order(self) -> bool:
        """Whether the Dataset offers an order, as it is slow to read in any other."""
        return hasattr(self.dataset, "shuffled_places")

    @property
    def evaluation(self) -> DatasetRows:
        """These rows as they are judged: in the view that the Dataset offers, or as they are."""
        view = _view_of(self.dataset)
        return self if view is None else DatasetRows(_as_items(view), self.places)

    @property
    def columns(self) -> list[str] | None:
        """Names of the columns of X, if they have any."""
        is_ours = is_made_by(self.dataset, "skmetaweight")
        return getattr(self.dataset, "columns", None) if is_ours else None

    def collate(self, rows: Tensor | slice) -> Any:
        """Read rows and stack them as torch does."""
        is_slice = isinstance(rows, slice)
        index = np.arange(*rows.indices(len(self))) if is_slice else rows.cpu().numpy()
        places = self.places_of(index)
        if hasattr(self.dataset, "stacked"):  # as ours of Parquet files are
            return self.dataset.stacked(places)
        items = [_X_of(item) for item in self._items(places.tolist())]
        try:
            X = default_collate(items)
        except RuntimeError as error:
            raise ValueError(
                f"The items of the Dataset cannot be stacked: {error}. Let it give all of them one "
                "shape, e.g. by padding: an iterator_train__collate_fn reaches neither trusted "
                "rows nor those of predict."
            ) from error
        return dict(X) if isinstance(X, Mapping) else X

    def shuffled(self, generator: torch.Generator) -> Tensor:
        """Return all rows in an order drawn for an epoch, by the Dataset if it offers one.

        Raises
        ------
        ValueError
            If what it offers is not each of its places once.
        """
        if not self.has_order:
            return torch.randperm(len(self), generator=generator)
        order = torch.as_tensor(self.dataset.shuffled_places(generator))
        if not _has_each_once(order, len(self.dataset)):
            raise ValueError(
                f"shuffled_places of the Dataset {type(self.dataset).__name__} must return the "
                f"places 0 to {len(self.dataset) - 1}, each once, got {listed(order)}."
            )
        if self.places is None:
            return order
        turn = torch.empty_like(order)
        turn[order] = torch.arange(len(order))
        return turn[torch.from_numpy(self.places)].argsort(stable=True)

    def places_of(self, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the places of rows in the Dataset."""
        return index if self.places is None else self.places[index]

    def _items(self, index: list[int]) -> Iterable[Any]:
        if hasattr(self.dataset, "__getitems__"):  # torch's protocol for reading many at once
            return self.dataset.__getitems__(index)
        return (self.dataset[i] for i in index)


def _view_of(dataset: Any) -> Any:
    """Return the view in which rows of a Dataset, or of its parts, are judged; None without one."""
    if type(dataset) is Subset:
        view = _view_of(dataset.dataset)
        return None if view is None else Subset(view, dataset.indices)
    if type(dataset) is ConcatDataset:
        views = [_view_of(part) for part in dataset.datasets]
        if all(view is None for view in views):
            return None
        pairs = zip(views, dataset.datasets, strict=True)
        return ConcatDataset([part if view is None else view for view, part in pairs])
    return getattr(dataset, "evaluation_view", None)


def rows_of(dataset: Any) -> DatasetRows:
    """Return the rows of a map-style Dataset; those of a Subset by their places in the whole."""
    if type(dataset) is Subset:
        return rows_of(dataset.dataset)[np.asarray(dataset.indices, dtype=np.intp)]
    return DatasetRows(_as_items(dataset))


def _as_items(dataset: Any) -> Any:
    return ColumnItems(dataset) if is_hugging_face(dataset) else dataset


def open_dataset(estimator: Any, X: Any, name: str = "X") -> Any:
    """Return the rows of a Dataset; what is none is returned as it is.

    Raises
    ------
    ValueError
        If there is no module to take them, the Dataset is iterable-style or empty, or its first
        item or its columns cannot be used.
    """
    if not isinstance(X, Dataset) and not is_hugging_face(X):
        return X
    kind = f"{name} ({type(X).__name__})"
    if estimator.module is None:
        raise ValueError(
            f"{kind} is a Dataset, which only a module of your own can take: pass "
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
    if type(X) is ConcatDataset and any(hasattr(part, "shuffled_places") for part in X.datasets):
        warn(
            f"{kind} joins Datasets that are slow to read in any order but their own, and is read "
            "in another: give all Parquet files to one ParquetRows, as a list."
        )
    rows = rows_of(X)
    _check_view(rows, _keys_of_items(rows, item, kind), kind)
    return rows


def _keys_of_items(rows: DatasetRows, item: Any, kind: str) -> list[str] | None:
    """See that items can be stacked; return the keys of dicts, else None."""
    try:
        X = rows.example
    except TypeError as error:
        raise ValueError(f"The items of {kind} cannot be stacked: {error}") from error
    for key, values in X.items() if isinstance(X, dict) else [(None, X)]:
        if not isinstance(values, Tensor):
            where = "" if key is None else f" as {key!r}"
            raise ValueError(
                f"The X of an item of {kind} must be a tensor, an array or a dict of these, got "
                f"{type(_X_of(item)).__name__} with {type(values).__name__}{where}."
            )
        refuse_complex(values, kind)
    return sorted(X) if isinstance(X, dict) else None


def _check_view(rows: DatasetRows, keys: list[str] | None, kind: str) -> None:
    view = rows.evaluation.dataset
    if view is rows.dataset:
        return
    described = f"The evaluation_view of {kind}"
    if not (hasattr(view, "__len__") and hasattr(view, "__getitem__")):
        raise ValueError(f"{described} must be a map-style Dataset, got {shortened(view)}.")
    if len(view) != len(rows.dataset):
        raise ValueError(f"{described} has {len(view)} rows, but the Dataset {len(rows.dataset)}.")
    keys_of_view = _keys_of_items(rows.evaluation, view[0], described)
    if keys_of_view != keys:
        now, before = (
            "no dicts" if each is None else f"dicts of {each}" for each in (keys_of_view, keys)
        )
        raise ValueError(
            f"{described} has items that are {now}, but those of the Dataset are {before}."
        )


def native(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array that torch can take: in order, writeable, and of a dtype that it has."""
    dtype = values.dtype.newbyteorder("=")
    if dtype.kind == "u" and dtype.itemsize > 1:
        is_large = values.size and values.max() > np.iinfo(np.int64).max
        dtype = np.dtype(np.float64 if is_large else np.int64)
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
    if isinstance(values, Tensor):
        return values.detach()  # rows are data, whatever has computed them
    is_array = isinstance(values, np.ndarray) and values.dtype.kind in "biuf"
    return native(values) if is_array else values


def _has_each_once(order: Tensor, n: int) -> bool:
    if order.dtype != torch.int64 or order.shape != (n,) or order.min() < 0 or order.max() >= n:
        return False
    is_there = torch.zeros(n, dtype=torch.bool)
    is_there[order] = True
    return bool(is_there.all())


def is_made_by(dataset: Any, *packages: str) -> bool:
    return type(dataset).__getitem__.__module__.split(".")[0] in packages
