"""Batches of a loader of the user's own, each of them checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from skmetaweight._bilevel.objective import Batch
from skmetaweight._data.batches import Rows
from skmetaweight._messages import explained, listed, shortened, written


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
