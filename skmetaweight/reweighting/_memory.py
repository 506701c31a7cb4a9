"""A running mean of each training row's alignment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmetaweight._bilevel.objective import tiny
from skmetaweight.reweighting._class_means import ClassMeans

MOST_QUANTILES = 256
"""Alignments that stand for those of all rows."""


class AlignmentMemory:
    r"""Remembers how well raising each row's weight served the meta set.

    The alignments of one batch are far too noisy to act on. Each row keeps

    .. math:: A_i \leftarrow \rho A_i + (1-\rho)\,\tilde a_i, \qquad A_i = 0 \text{ at first},

    where :math:`\tilde a_i` is

    .. math:: a_i - s_{y_i} \mu_{y_i},

    divided by a running root mean square over batches and clipped to :math:`\pm 3`, hence free of
    scale: the mean alignment :math:`\mu_c` of a class, as far as it is doubtful
    (:class:`ClassMeans`, :math:`k = 4`), speaks neither for its rows nor against them.

    Parameters
    ----------
    n_rows : int
    decay : float
        :math:`\rho`, in (0, 1).
    n_trusted : Tensor of shape (n_classes,)
        Trusted rows of each class, with the device and dtype of the values.

    References
    ----------
    FSR [1]_ keeps a running mean for each row too, of a margin between its losses.

    .. [1] Zhang and Pfister. Learning Fast Sample Re-weighting Without Reward Data. ICCV, 2021.
    """

    clip = 3.0
    scale_decay = 0.99
    few_trusted = 4.0

    def __init__(self, n_rows: int, decay: float, n_trusted: Tensor) -> None:
        self.decay = decay
        self.classes = ClassMeans(self.few_trusted, n_trusted)
        self.values = n_trusted.new_zeros(n_rows)
        self._scale = n_trusted.new_zeros(2)  # mean of squares, and the weight it has so far
        self._one = n_trusted.new_ones(())

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.values[index]

    def scale(self, alignments: Tensor, labels: Tensor) -> Tensor:
        r"""Return :math:`\tilde a_i`, after moving the running means and scale."""
        self.classes.follow(alignments, labels)
        centred = self._centred(alignments, labels)
        now = torch.stack([centred.square().mean(), self._one])
        self._scale.lerp_(now, 1 - self.scale_decay)
        return self._scaled(centred)

    def guess(self, alignments: Tensor, labels: Tensor) -> Tensor:
        """Stand in for the memory of rows that have none: alignments with the memory's spread."""
        spread = self.values.std() if len(self.values) > 1 else 0.0
        return self._scaled(self._centred(alignments, labels)) * spread

    def _centred(self, alignments: Tensor, labels: Tensor) -> Tensor:
        return alignments - (self.classes.doubtful * self.classes.means)[labels]

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
        state = {"values": self.values.clone(), "scale": self._scale.clone()}
        return {**state, "classes": self.classes.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = state["values"].clone()
        self._scale = state["scale"].clone()
        self.classes.load_state_dict(state["classes"])
