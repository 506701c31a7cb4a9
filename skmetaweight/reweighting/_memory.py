"""A running mean of each training row's alignment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmetaweight.reweighting._base import tiny


class AlignmentMemory:
    r"""Remembers how well raising each row's weight served the meta set.

    The alignments of one batch are far too noisy to act on. Each row keeps

    .. math:: A_i \leftarrow \rho A_i + (1-\rho)\,\tilde a_i, \qquad A_i = 0 \text{ at first},

    where :math:`\tilde a_i` is :math:`a_i` divided by a running root mean square over batches and
    clipped to :math:`\pm 3`, hence free of scale.

    Parameters
    ----------
    n_rows : int
    decay : float
        :math:`\rho`, in (0, 1).
    like : Tensor
        Gives device and dtype.
    """

    clip = 3.0
    scale_decay = 0.99

    def __init__(self, n_rows: int, decay: float, like: Tensor) -> None:
        self.decay = decay
        self.values = like.new_zeros(n_rows)
        self._mean_square = like.new_zeros(())
        self._mean_square_weight = 0.0

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.values[index]

    def scale(self, alignments: Tensor) -> Tensor:
        r"""Return :math:`\tilde a_i`, after moving the running scale."""
        new = 1 - self.scale_decay
        self._mean_square_weight = self.scale_decay * self._mean_square_weight + new
        self._mean_square = torch.lerp(self._mean_square, alignments.square().mean(), new)
        return self._scaled(alignments)

    def guess(self, alignments: Tensor) -> Tensor:
        """Stand in for the memory of rows that have none: alignments with the memory's spread."""
        return self._scaled(alignments) * self.values.std()

    def _scaled(self, alignments: Tensor) -> Tensor:
        root_mean_square = (self._mean_square / self._mean_square_weight).sqrt()
        scaled = alignments / root_mean_square.clamp(min=tiny(self.values))
        return scaled.clamp(-self.clip, self.clip)

    def remember(self, index: Tensor, scaled: Tensor) -> None:
        """Move the running means of the rows of a batch."""
        self.values[index] = torch.lerp(scaled, self.values[index], self.decay)

    def state_dict(self) -> dict[str, Any]:
        return {
            "values": self.values.clone(),
            "mean_square": self._mean_square,
            "mean_square_weight": self._mean_square_weight,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = state["values"].clone()
        self._mean_square = state["mean_square"]
        self._mean_square_weight = state["mean_square_weight"]
