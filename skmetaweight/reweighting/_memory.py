"""A running mean of each training row's alignment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmetaweight._bilevel.objective import tiny

MOST_QUANTILES = 256
"""Alignments that stand for those of all rows."""


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
        self._scale = like.new_zeros(2)  # running mean of squares, and the weight it has so far
        self._one = like.new_ones(())

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.values[index]

    def scale(self, alignments: Tensor) -> Tensor:
        r"""Return :math:`\tilde a_i`, after moving the running scale."""
        now = torch.stack([alignments.square().mean(), self._one])
        self._scale.lerp_(now, 1 - self.scale_decay)
        return self._scaled(alignments)

    def guess(self, alignments: Tensor) -> Tensor:
        """Stand in for the memory of rows that have none: alignments with the memory's spread."""
        spread = self.values.std() if len(self.values) > 1 else 0.0
        return self._scaled(alignments) * spread

    def _scaled(self, alignments: Tensor) -> Tensor:
        mean_square, weight = self._scale
        scaled = alignments / (mean_square / weight).sqrt().clamp(min=tiny(self.values))
        return scaled.clamp(-self.clip, self.clip)

    def remember(self, index: Tensor, scaled: Tensor) -> None:
        """Move the running means of the rows of a batch."""
        self.values[index] = torch.lerp(scaled, self.values[index], self.decay)

    def quantiles(self) -> Tensor:
        """Return the remembered alignments in rising order; of many, enough to stand for all."""
        values = self.values.sort().values
        if len(values) <= MOST_QUANTILES:
            return values
        places = torch.linspace(0, len(values) - 1, MOST_QUANTILES, device=values.device)
        return values[places.long()]

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values.clone(), "scale": self._scale.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = state["values"].clone()
        self._scale = state["scale"].clone()
