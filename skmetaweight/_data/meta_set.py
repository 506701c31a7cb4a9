"""Where trusted rows come from, and the endless stream of meta batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmetaweight._arrays import read_array
from skmetaweight._bilevel.objective import Batch
from skmetaweight._bilevel.ranks import ALONE, Ranks
from skmetaweight._data.batches import Rows
from skmetaweight._messages import listed, warn


def split_by_mask(meta_mask: Any, n_rows: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the indices of training rows and of trusted rows.

    Raises
    ------
    ValueError
        If the mask is not boolean, has the wrong length, or is all true or all false.
    """
    mask = read_array(meta_mask, "meta_mask")
    if mask.dtype != bool:
        raise ValueError(
            f"meta_mask must be boolean, got dtype {mask.dtype}: pass e.g. `checked == 1` or, of "
            "numbers of rows, `np.isin(np.arange(len(X)), numbers)`."
        )
    if mask.shape != (n_rows,):
        raise ValueError(
            f"meta_mask must have one entry per row of X, shape ({n_rows},), got {mask.shape}. "
            "A step that adds or drops rows leaves the mask as it was: pass X_meta instead."
        )
    if mask.all():
        raise ValueError(
            f"meta_mask marks all {n_rows} rows as trusted: no row is left to learn weights for. "
            "If all labels are right, use an ordinary classifier."
        )
    if not mask.any():
        raise ValueError(
            f"meta_mask marks none of the {n_rows} rows as trusted. In cross-validation, stratify "
            "the folds by the mask, e.g. StratifiedKFold().split(X, meta_mask)."
        )
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def split_off(
    y: NDArray[Any], meta_size: float, random_state: np.random.RandomState
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split trusted rows off, stratified: training indices, then trusted indices.

    Each class with at least two rows gives at least one and keeps at least one.

    Parameters
    ----------
    y : ndarray of int of shape (n,)
        Encoded labels.
    meta_size : int or float
        Number of rows, or share of all rows.
    random_state : RandomState

    Raises
    ------
    ValueError
        If there are too few rows to split.
    """
    share = meta_size if meta_size < 1 else meta_size / len(y)
    if share >= 1:
        raise ValueError(
            f"meta_size={meta_size} would take all of the {len(y)} rows; none is left to train on."
        )
    trusted = []
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        if len(members) > 1:
            n_meta = min(max(round(share * len(members)), 1), len(members) - 1)
            trusted.append(random_state.permutation(members)[:n_meta])
    n_meta = sum(map(len, trusted))
    if n_meta < 2 or len(y) - n_meta < 2:
        raise ValueError(
            f"Too few rows to split off a meta set: n_samples={len(y)} with {len(np.unique(y))} "
            f"classes would leave {len(y) - n_meta} training and {n_meta} trusted rows; both need "
            "at least 2. Pass more rows, or trusted rows as X_meta and y_meta."
        )
    is_trusted = np.zeros(len(y), dtype=bool)
    is_trusted[np.concatenate(trusted)] = True
    return np.flatnonzero(~is_trusted), np.flatnonzero(is_trusted)


def warn_of_missing_classes(y_meta: NDArray[Any], classes: NDArray[Any]) -> None:
    """Warn with the names of classes that have no trusted row."""
    missing = classes[np.setdiff1d(np.arange(len(classes)), y_meta)]
    if missing.size:
        warn(
            f"The meta set has no row of the classes {listed(missing)}: nothing speaks for their "
            "rows, and their weights may vanish. Check a few of them, beside rows drawn as the "
            "data come."
        )


class MetaBatches(Iterator[Batch]):
    """Draws meta batches for ever: each trusted row once before any comes again.

    Parameters
    ----------
    rows : Rows
    batch_size : int
        A meta set that is smaller is given whole each time.
    generator : torch.Generator
        On the CPU.
    ranks : Ranks, optional
        Each of which reads its own rows of the same batches.
    read : callable, optional
        Yields the batches at several indices, in a way of its own.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        generator: torch.Generator,
        ranks: Ranks = ALONE,
        read: Callable[[Sequence[Tensor]], Iterator[Batch]] | None = None,
    ) -> None:
        self._rows = rows
        self._plainly = partial(rows.batches, ranks=ranks)
        self._read = read or self._plainly
        self._coming: Iterator[Batch] | None = None
        self._size = min(batch_size, len(rows))
        self._generator = generator
        self._order = torch.empty(0, dtype=torch.long, device=rows.device)
        self._everything = None
        if self._size == len(rows) and rows.evaluation is rows:  # else items are drawn anew
            everything = torch.arange(len(rows), device=rows.device)
            self._everything = rows.take(everything, ranks)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for a copy, which reads on by itself."""
        return {**vars(self), "_read": self._plainly, "_coming": None}

    def __next__(self) -> Batch:
        if self._everything is not None:
            return self._everything
        if len(self._order) < self._size:
            shuffled = torch.randperm(len(self._rows), generator=self._generator)
            self._order = torch.cat([self._order, shuffled.to(self._rows.device)])
            self._coming = None
        if self._coming is None:
            n_batches = len(self._order) // self._size
            self._coming = self._read(self._order[: n_batches * self._size].split(self._size))
        self._order = self._order[self._size :]
        return next(self._coming)
