"""Batches of a loader of the user's own, each of them checked, and of its workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from skmetaweight._bilevel.objective import Batch
from skmetaweight._data.batches import Rows
from skmetaweight._messages import explained, listed, shortened, written

OF_WORKERS = ("num_workers", "prefetch_factor", "multiprocessing_context", "timeout")
"""Options of a loader that say how it reads, and not what."""

READ_AT_ONCE = 128
"""Rows that a worker reads in one go for an evaluation."""


class BatchItems(Dataset[Batch]):
    """Batches of rows as items, each by its index."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getitem__(self, index: Any) -> Batch:
        return self._rows.take(index)


class ReadByWorkers:
    """Reads batches of rows ahead in processes that live on, and yields them in order.

    Parameters
    ----------
    rows : Rows
    **options : dict
        Those of a DataLoader that are :data:`OF_WORKERS`.
    """

    def __init__(self, rows: Rows, **options: Any) -> None:
        self._device = rows.device
        self._indices: list[Any] = []
        # Workers are seeded by a generator of their own: nobody else's numbers change.
        own: dict[str, Any] = {"generator": torch.Generator(), "persistent_workers": True}
        items = BatchItems(rows.for_loader())
        self._loader = DataLoader(items, None, sampler=self._indices, **own, **options)

    def __call__(self, indices: Sequence[Tensor]) -> Iterator[Batch]:
        self._indices[:] = [index.cpu() for index in indices]
        return (moved(batch, self._device) for batch in self._loader)

    def chunks(self, n_rows: int, size: int) -> Iterator[Batch]:
        """Yield all rows in order, each chunk put together of what several workers read."""
        chunks = torch.arange(n_rows).split(size)
        parts = self([part for chunk in chunks for part in chunk.split(READ_AT_ONCE)])
        return (joined([*islice(parts, -(-len(chunk) // READ_AT_ONCE))]) for chunk in chunks)


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device."""
    X = batch.X
    X = {k: v.to(device) for k, v in X.items()} if isinstance(X, dict) else X.to(device)
    weight = None if batch.sample_weight is None else batch.sample_weight.to(device)
    return Batch(X, batch.y.to(device), batch.index.to(device), weight)


def joined(batches: list[Batch]) -> Batch:
    """Return the rows of several batches as one."""
    Xs: list[Any] = [batch.X for batch in batches]
    is_dict = isinstance(Xs[0], dict)
    X = {k: torch.cat([x[k] for x in Xs]) for k in Xs[0]} if is_dict else torch.cat(Xs)
    y, index = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("y", "index"))
    weights = [batch.sample_weight for batch in batches if batch.sample_weight is not None]
    return Batch(X, y, index, torch.cat(weights) if weights else None)


class DrawnOrder(Sampler[int]):
    """Draws the order of an epoch as rows offer it, for a loader."""

    def __init__(self, rows: Rows, generator: torch.Generator) -> None:
        self._rows = rows
        self._generator = generator

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows.shuffled(self._generator).tolist())


class LoadedBatches:
    """What a loader makes of training rows, on their device.

    Parameters
    ----------
    loader : iterable
        Yields what torch's default_collate makes of items of the rows.
    given : Any
        What the loader was built of, for messages.
    rows : Rows
    n_classes : int
    """

    def __init__(self, loader: Any, given: Any, rows: Rows, n_classes: int) -> None:
        self._loader = loader
        self._given = given
        self._rows = rows
        self._n_classes = n_classes

    def __iter__(self) -> Iterator[Batch]:
        is_empty = True
        for raw in self._raw():
            is_empty = False
            yield self._checked(raw)
        if is_empty:
            raise ValueError(
                f"iterator_train={written(self._given)} yields no batch in an epoch: give its "
                "sampler some rows, and let batch_size be at most their number if drop_last=True."
            )

    def _raw(self) -> Iterator[Any]:
        with explained("iterator_train", self._given, "fails to yield a batch"):
            yield from self._loader

    def _checked(self, raw: Any) -> Batch:
        why_not = self._why_not(raw)
        if why_not:
            weight = ", sample_weight" if self._rows.sample_weight is not None else ""
            raise ValueError(
                f"iterator_train={written(self._given)} yields a batch that {why_not}: it must be "
                f"what torch's default_collate makes of the rows, X, y, index{weight}, with labels "
                "and places in X as they are there."
            )
        X, *others = raw
        device = self._rows.device
        if isinstance(X, dict):
            X = {name: values.to(device) for name, values in X.items()}
        else:
            X = X.to(device).to_sparse() if self._rows.are_sparse else X.to(device)
        return Batch(X, *(other.to(device) for other in others))

    def _why_not(self, raw: Any) -> str:
        """Return what is wrong with a batch; nothing if it can be used."""
        n_parts = 3 if self._rows.sample_weight is None else 4
        if not isinstance(raw, tuple | list) or len(raw) != n_parts:
            is_list = isinstance(raw, tuple | list)
            return f"has {len(raw)} parts" if is_list else f"is {shortened(raw)}"
        X, y, index, *_ = raw
        parts = [*(X.values() if isinstance(X, dict) else [X]), *raw[1:]]
        if not all(isinstance(part, Tensor) and part.ndim for part in parts):
            kinds = [f"{type(part).__name__}{tuple(getattr(part, 'shape', ()))}" for part in parts]
            return f"has parts that are no tensors of rows, {', '.join(kinds)}"
        lengths = {len(part) for part in parts}
        if len(lengths) > 1 or 0 in lengths:
            return f"has parts of {listed(map(len, parts))} rows"
        for name, codes, end in (("y", y, self._n_classes), ("index", index, len(self._rows))):
            if codes.ndim != 1 or codes.dtype != torch.int64:
                return f"has {name} of {codes.dtype} and shape {tuple(codes.shape)}"
            if codes.min() < 0 or codes.max() >= end:
                return f"has {name} outside 0 to {end - 1}"
        return ""
