"""What is kept of the batches of an epoch, and what the history gets of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmetaweight.reweighting import StepResult


class EpochLog:
    """Collects the scalars and weights of an epoch on the device; one transfer at its end."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._weights: list[Tensor] = []
        self._diagnostics: dict[str, list[Tensor]] = {}

    def add(self, result: StepResult, n_rows: int) -> None:
        """Keep what the history needs of a step."""
        self._losses.append(result.loss)
        self._sizes.append(n_rows)
        self._weights.append(result.weights)
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
        weights = torch.cat(self._weights)
        losses = torch.stack(self._losses)
        sizes = losses.new_tensor(self._sizes)
        mean = weights.mean()
        columns = {
            "train_loss": (losses * sizes).sum() / sizes.sum(),
            "mean_weight": mean,
            "effective_sample_size": weights.sum().square()
            / weights.square().sum().clamp(min=torch.finfo(weights.dtype).tiny),
            "share_distrusted": (weights < 0.5 * mean).to(weights.dtype).mean(),
        }
        columns |= {name: torch.stack(v).mean() for name, v in self._diagnostics.items()}
        history.record("train_batch_count", len(self._sizes))
        values = torch.stack([value.to(losses.dtype) for value in columns.values()]).tolist()
        for name, value in zip(columns, values, strict=True):
            history.record(name, value)
        return values[0]
