"""What is kept of the batches of an epoch, and what the history gets of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from skmetaweight._bilevel.objective import Batch
from skmetaweight.reweighting import Evaluation, Reweighter, StepResult
from skmetaweight.reweighting._weighting import WeightingFunction


class RowLog:
    """What is kept of the rows of an epoch, one batch after another, in a tensor for each column.

    Small tensors of each batch, kept one by one, would lie between large ones that are freed, and
    hold as much memory as all outputs of an epoch together.

    Parameters
    ----------
    n_rows : int
        Rows that there is room for at first.
    """

    def __init__(self, n_rows: int) -> None:
        self._room, self._end = n_rows, 0
        self._columns: list[Tensor] = []

    def clear(self) -> None:
        self._end = 0

    def add(self, *parts: Tensor) -> None:
        """Keep a batch: for each column a tensor of shape (n,)."""
        end = self._end + len(parts[0])
        if not self._columns or end > self._room:
            known = self.columns() or [part[:0] for part in parts]
            self._room = max(self._room, 2 * end)
            self._columns = [part.new_empty(self._room) for part in parts]
            for column, before in zip(self._columns, known, strict=True):
                column[: self._end] = before
        for column, part in zip(self._columns, parts, strict=True):
            column[self._end : end] = part
        self._end = end

    def columns(self) -> list[Tensor]:
        return [column[: self._end].clone() for column in self._columns]


class EpochLog:
    """Collects the scalars and rows of an epoch on the device; one transfer at its end.

    Parameters
    ----------
    n_rows : int
        Training rows.
    diagnostics : set of str
        Names of diagnostics that a step has ever told; epochs without any get NaN.
    """

    def __init__(self, n_rows: int, diagnostics: set[str]) -> None:
        self._n_rows = n_rows
        self._names = diagnostics
        self._rows = RowLog(n_rows)
        self._weights_before: Tensor | None = None
        self.begin()

    def begin(self) -> None:
        """Forget the batches of the epoch before."""
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._rows.clear()
        self._diagnostics: dict[str, list[Tensor]] = {}

    def add(self, result: StepResult, batch: Batch) -> None:
        """Keep what the history needs of a step."""
        self._losses.append(result.loss)
        self._sizes.append(batch.n_rows)
        self._rows.add(result.weights, result.sample_losses, batch.y, batch.index)
        for name, value in result.diagnostics.items():
            self._diagnostics.setdefault(name, []).append(value)

    def write_batches(self, history: Any) -> None:
        """Write a row for each batch."""
        for loss, size in zip(torch.stack(self._losses).tolist(), self._sizes, strict=True):
            history.new_batch()
            history.record_batch("train_loss", loss)
            history.record_batch("train_batch_size", size)

    def write_epoch(self, history: Any) -> float:
        """Write the columns of the epoch; return the training loss."""
        weights, _, _, index = self._rows.columns()
        losses = torch.stack(self._losses)
        sizes = losses.new_tensor(self._sizes)
        mean = weights.mean()
        columns = {
            "train_loss": (losses * sizes).sum() / sizes.sum(),
            "mean_weight": mean,
            "effective_sample_size": weights.sum().square()
            / weights.square().sum().clamp(min=torch.finfo(weights.dtype).tiny),
            "share_distrusted": (weights < 0.5 * mean).to(weights.dtype).mean(),
            "weight_change": self._weight_change(weights, index),
        }
        columns |= {name: torch.stack(v).mean() for name, v in self._diagnostics.items()}
        history.record("train_batch_count", len(self._sizes))
        values = torch.stack([value.to(losses.dtype) for value in columns.values()]).tolist()
        for name, value in zip(columns, values, strict=True):
            history.record(name, value)
        self._names |= set(self._diagnostics)
        for name in self._names - set(self._diagnostics):
            history.record(name, math.nan)
        history.record("train_row_count", sum(self._sizes))
        return values[0]

    def _weight_change(self, weights: Tensor, index: Tensor) -> Tensor:
        """Return the mean absolute change since the epoch before, of the rows seen in both."""
        now = weights.new_full((self._n_rows,), math.nan)
        now[index] = weights
        before, self._weights_before = self._weights_before, now
        if before is None:
            return weights.new_tensor(math.nan)
        return (now - before).abs().nanmean()

    def snapshot(self, reweighter: Reweighter) -> WeightingFunction | None:
        """Return the weighting function as it is now, on the CPU; None if nothing is learned.

        It is scaled and tabulated by the losses that the rows of the epoch had in training.
        """
        if not reweighter.learns_function:
            return None
        _, losses, labels, index = self._rows.columns()
        rows = Evaluation(losses, labels, index, _not_known, _not_known)
        reweighter.calibrate(rows)
        # Labels are the classifier's to know: at_epoch puts them in.
        return reweighter.weighting_function(rows, torch.arange(reweighter.n_classes_).numpy())


def _not_known() -> Tensor:
    raise NotImplementedError("At the end of an epoch, no more is known than its batches kept.")
