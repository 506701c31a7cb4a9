"""Running means of classes, heeded as far as trusted rows speak for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skmetaweight._bilevel.objective import tiny


class ClassMeans:
    r"""What the rows of each given class have in common.

    A running mean over batches, :math:`\mu_c` for the rows labelled :math:`c`. Whether what all of
    them share speaks for them, or against, only trusted rows of that class can tell; of the
    :math:`n_c` that there are,

    .. math:: s_c = \frac{k}{k + n_c}

    is the share of the mean that is doubtful.

    Parameters
    ----------
    few : float
        :math:`k`: of so many trusted rows half is believed.
    n_trusted : Tensor of shape (n_classes,)
        Trusted rows of each class, with the device and dtype of the values.
    """

    decay = 0.9
    most = 50.0

    def __init__(self, few: float, n_trusted: Tensor) -> None:
        self.few = few
        self.n_trusted = n_trusted
        self._totals = n_trusted.new_zeros(2, len(n_trusted))  # sums and numbers of rows
        self._one = n_trusted.new_ones(())

    def follow(self, values: Tensor, labels: Tensor) -> None:
        """Move the means by the rows of a batch."""
        both = torch.stack([values, self._one.expand_as(values)])
        now = torch.zeros_like(self._totals).index_add_(1, labels, both)
        self._totals.lerp_(now, 1 - self.decay)

    @property
    def means(self) -> Tensor:
        r""":math:`\mu`, of shape (n_classes,); zero where there was no row."""
        sums, n_rows = self._totals
        return sums / n_rows.clamp(min=tiny(sums))

    def drawn_together(self, values: Tensor, labels: Tensor) -> Tensor:
        r"""Return :math:`v_i\, (\bar v / \mu_{y_i})^{s_{y_i}}`, with the mean of all rows."""
        total, n_rows = self._totals.sum(dim=1).clamp(min=tiny(values))
        means = self.means.clamp(min=tiny(values))
        factors = (total / n_rows / means).clamp(max=self.most) ** self.doubtful
        return values * factors[labels]

    @property
    def doubtful(self) -> Tensor:
        """:math:`s`, of shape (n_classes,)."""
        return self.few / (self.few + self.n_trusted)

    def state_dict(self) -> dict[str, Any]:
        return {"totals": self._totals.clone(), "n_trusted": self.n_trusted.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._totals = state["totals"].clone()
        self.n_trusted = state["n_trusted"].clone()
