"""What is kept of the batches of an epoch, and what the history gets of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from skmetaweight._bilevel.objective import Batch
from skmetaweight.reweighting import Evaluation, Reweighter, StepResult
from skmetaweight.reweighting._weighting import WeightingFunction


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
        self._weights_before: Tensor | None = None
        self.begin()

    def begin(self) -> None:
        """Forget the batches of the epoch before."""
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._rows: list[tuple[Tensor, ...]] = []
        self._diagnostics: dict[str, list[Tensor]] = {}

    def add(self, result: StepResult, batch: Batch) -> None:
        """Keep what the history needs of a step."""
        self._losses.append(result.loss)
        self._sizes.append(batch.n_rows)
        self._rows.append((result.weights, result.sample_losses, batch.y, batch.index))
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
        weights = torch.cat([rows[0] for rows in self._rows])
        losses = torch.stack(self._losses)
        sizes = losses.new_tensor(self._sizes)
        mean = weights.mean()
        columns = {
            "train_loss": (losses * sizes).sum() / sizes.sum(),
            "mean_weight": mean,
            "effective_sample_size": weights.sum().square()
            / weights.square().sum().clamp(min=torch.finfo(weights.dtype).tiny),
            "share_distrusted": (weights < 0.5 * mean).to(weights.dtype).mean(),
            "weight_change": self._weight_change(weights),
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

    def _weight_change(self, weights: Tensor) -> Tensor:
        """Return the mean absolute change since the epoch before, of the rows seen in both."""
        now = weights.new_full((self._n_rows,), math.nan)
        now[torch.cat([rows[3] for rows in self._rows])] = weights
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
        _, *parts = zip(*self._rows, strict=True)
        losses, labels, index = (torch.cat(part) for part in parts)
        rows = Evaluation(losses, labels, index, _not_known, _not_known)
        reweighter.calibrate(rows)
        # Labels are the classifier's to know: at_epoch puts them in.
        return reweighter.weighting_function(rows, torch.arange(reweighter.n_classes_).numpy())


def _not_known() -> Tensor:
    raise NotImplementedError("At the end of an epoch, no more is known than its batches kept.")
