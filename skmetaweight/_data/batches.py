"""Rows that live on the device once, and batches that are an index into them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skmetaweight._bilevel.objective import Batch
from skmetaweight._bilevel.ranks import ALONE, Ranks
from skmetaweight._data.containers import without_duplicates
from skmetaweight._data.dataset_rows import DatasetRows, native


class Rows(Dataset):
    """Labelled rows; a data set for torch's loaders, and one that can be sliced by an index.

    Arrays become tensors on the device once. A CSR matrix, a memory-mapped array or a Dataset stays
    where it is and only the rows of a batch are read from it.

    Parameters
    ----------
    X : array, CSR matrix, memory map, tensor, dict of these, or DatasetRows
    y : array of int of shape (n,)
        Encoded labels.
    sample_weight : array of shape (n,), optional
    device : torch.device
    dtype : torch.dtype
        What floating-point columns are cast to.
    cast_integers : bool
        Whether integers are cast as well. If not, they become those that an embedding takes.
    bytes_are_numbers : bool, default=True
        Whether bytes, such as those of images, are cast in any case.
    keeps_sparse : bool, default=False
        Whether the rows of a CSR matrix become a sparse COO tensor, not a dense one.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        device: torch.device,
        dtype: torch.dtype,
        cast_integers: bool,
        bytes_are_numbers: bool = True,
        keeps_sparse: bool = False,
    ) -> None:
        self.y = torch.as_tensor(y, dtype=torch.long, device=device)
        self._dtype = dtype
        self._cast_integers = cast_integers
        self._bytes_are_numbers = bytes_are_numbers
        self._keeps_sparse = keeps_sparse
        self.X = _each(self._place, X)
        self.sample_weight = None
        if sample_weight is not None:
            self.sample_weight = torch.as_tensor(sample_weight, dtype=dtype, device=device)

    @property
    def device(self) -> torch.device:
        return self.y.device  # another one after unpickling without the GPU

    @property
    def are_sparse(self) -> bool:
        """Whether batches are sparse tensors."""
        return self._keeps_sparse and sp.issparse(self.X)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        one = self.dense().take(torch.tensor([i], device=self.device))
        X = {name: x[0] for name, x in one.X.items()} if isinstance(one.X, dict) else one.X[0]
        weight = () if one.sample_weight is None else (one.sample_weight[0],)
        return (X, one.y[0], one.index[0], *weight)

    def take(self, index: Tensor, ranks: Ranks = ALONE) -> Batch:
        """Return the rows at an index of shape (n,), on the device; of X, a rank's own alone."""
        if ranks.size == 1:
            return self._pick(index, index)
        own = index[ranks.own(len(index))]
        X = self._pick(own, own).X if len(own) else _each(_none_of, self.take(index[:1]).X)
        weight = None if self.sample_weight is None else self.sample_weight[index]
        return Batch(X, self.y[index], index, weight)

    def _pick(self, places: Tensor | slice, index: Tensor) -> Batch:
        """Return rows by their index, or by a slice, which copies nothing from a tensor."""
        if isinstance(self.X, DatasetRows):
            X = _each(self._to_tensor, self.X.collate(places))
        else:
            X = _each(partial(self._gather, places=places), self.X)
        weight = None if self.sample_weight is None else self.sample_weight[places]
        return Batch(X, self.y[places], index, weight)

    def batches(self, indices: Iterable[Tensor], ranks: Ranks = ALONE) -> Iterator[Batch]:
        """Yield the rows at each of several indices."""
        return (self.take(index, ranks) for index in indices)

    def chunks(self, size: int) -> Iterator[Batch]:
        """Yield all rows in order."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield self._pick(slice(start, stop), torch.arange(start, stop, device=self.device))

    @property
    def are_items(self) -> bool:
        """Whether they come from a Dataset, which may take long over an item."""
        return isinstance(self.X, DatasetRows)

    @property
    def has_order(self) -> bool:
        """Whether they come from a Dataset that offers an order, being slow to read in another."""
        return isinstance(self.X, DatasetRows) and self.X.has_order

    def shuffled(self, generator: torch.Generator) -> Tensor:
        """Return the index of all rows, in an order drawn for an epoch."""
        if isinstance(self.X, DatasetRows):
            return self.X.shuffled(generator)
        return torch.randperm(len(self), generator=generator)

    @property
    def evaluation(self) -> Rows:
        """These rows as they are judged: a Dataset may offer another view for it."""
        if not isinstance(self.X, DatasetRows) or self.X.evaluation is self.X:
            return self
        rows = copy.copy(self)
        rows.X = self.X.evaluation
        return rows

    def in_memory(self) -> Rows:
        """Return these rows without the Dataset that they come from, if they do."""
        if not isinstance(self.X, DatasetRows):
            return self
        rows = copy.copy(self)
        rows.X = _each(self._to_tensor, self.X.collate(slice(None)))
        return rows

    def dense(self) -> Rows:
        """Return these rows as a module takes them that takes no sparse tensors."""
        if not self._keeps_sparse:
            return self
        rows = copy.copy(self)
        rows._keeps_sparse = False
        return rows

    def for_loader(self) -> Rows:
        """Return these rows on the CPU, where the workers of a loader can read them."""
        if self.device.type == "cpu":
            return self
        rows = copy.copy(self)
        rows.y = self.y.cpu()
        rows.X = _each(rows._place, self.X)
        if self.sample_weight is not None:
            rows.sample_weight = self.sample_weight.cpu()
        return rows

    def _place(self, values: Any) -> Any:
        if sp.issparse(values) and self._keeps_sparse:
            return _canonical(values)
        if sp.issparse(values) or isinstance(values, np.memmap | DatasetRows):
            return values
        return self._to_tensor(values)

    def _gather(self, values: Any, places: Tensor | slice) -> Tensor:
        if isinstance(values, Tensor):
            is_slice = isinstance(places, slice)
            return values[places] if is_slice else values.index_select(0, places)
        part = values[places if isinstance(places, slice) else places.cpu().numpy()]
        if sp.issparse(part) and self._keeps_sparse:
            return self._to_sparse(part.tocoo())
        return self._to_tensor(part.toarray() if sp.issparse(part) else part)

    def _to_sparse(self, rows: Any) -> Tensor:
        places = torch.from_numpy(np.stack([rows.row, rows.col]).astype(np.int64))
        return torch.sparse_coo_tensor(
            places.to(self.device),
            self._to_tensor(rows.data),
            rows.shape,
            is_coalesced=True,
            check_invariants=False,
        )

    def _to_tensor(self, values: Any) -> Tensor:
        values = native(values) if isinstance(values, np.ndarray) else values
        tensor = torch.as_tensor(values).contiguous()
        is_byte = tensor.dtype == torch.uint8 and self._bytes_are_numbers
        if tensor.is_floating_point() or is_byte or self._cast_integers:
            return tensor.to(self.device, self._dtype)
        is_short = tensor.dtype in (torch.uint8, torch.int8, torch.int16)
        return tensor.to(self.device, torch.int64 if is_short else tensor.dtype)


def _each(function: Callable[[Any], Any], X: Any) -> Any:
    """Apply a function to X, or to each value of a dict."""
    return {name: function(v) for name, v in X.items()} if isinstance(X, dict) else function(X)


def _none_of(x: Tensor) -> Tensor:
    return x.index_select(0, torch.arange(0, device=x.device))  # of sparse ones, too


def _canonical(X: Any) -> Any:
    """Return a CSR matrix whose numbers are no zeros, each in one place, in order."""
    X = without_duplicates(X)
    if np.count_nonzero(X.data) == len(X.data):
        return X
    X = X.copy()
    X.eliminate_zeros()
    return X


class RowBatches:
    """Shuffled batches of rows, for one epoch each time it is iterated.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        A last batch of a single row joins the one before: batch statistics need two.
    generator : torch.Generator
        On the CPU; draws the order of the rows.
    shuffle : bool, default=True
    ranks : Ranks, optional
        Each of which reads its own rows of the same batches.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        generator: torch.Generator,
        *,
        shuffle: bool = True,
        ranks: Ranks = ALONE,
    ) -> None:
        self.rows = rows
        self.ranks = ranks
        self.batch_size = batch_size
        self.shuffle = shuffle
        self._generator = generator

    def __len__(self) -> int:
        n = len(self.rows)
        n_batches = -(-n // self.batch_size)
        lone_row = n % self.batch_size == 1 and 1 < self.batch_size < n
        return n_batches - lone_row

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.rows)
        order = self.rows.shuffled(self._generator) if self.shuffle else torch.arange(n)
        order = order.to(self.rows.device)
        n_batches = len(self)
        for i in range(n_batches):
            stop = n if i == n_batches - 1 else (i + 1) * self.batch_size
            yield self.rows.take(order[i * self.batch_size : stop], self.ranks)
