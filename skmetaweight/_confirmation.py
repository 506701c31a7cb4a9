"""Whether labels are wrong at all: what trusted rows tell before they are trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skmetaweight._batches import Rows
from skmetaweight._functional import Objective

FEWEST_EPOCHS = 10
"""Epochs of a fit below which there is no time to withhold anything."""

MANY_TRUSTED_ROWS = 500
"""Trusted rows from which on weights need no confirmation."""

COMPARED_ROWS = 1000
"""Most training rows that are compared with the trusted ones, which are fewer by far."""

CERTAIN = 3.0
"""Evidence that ends the comparison early."""

SUFFICIENT = 2.0
"""Evidence from which on weights count in full."""


class Confirmation:
    r"""Compares training rows with trusted rows that are withheld from the training loss.

    A network learns first what most rows agree on. If labels are wrong, trusted rows then have
    smaller losses than training rows; if all are right, they have not. The evidence for wrong
    labels is the difference in standard errors,

    .. math:: z = \frac{\bar\ell - \bar\ell_{meta}}{s\, \sqrt{1/n + 1/m}},

    of losses bounded and weighted as in the objective, in evaluation mode, with the pooled standard
    deviation :math:`s`: among a few trusted rows there may be none with a large loss by chance. As
    training rows are soon learned by heart, which hides it, the largest :math:`z` of all epochs
    counts. Trusted rows are withheld for three of 25 epochs, and for five if that is not certain,
    in proportion to the epochs of a fit.

    Parameters
    ----------
    rows : Rows
        The training rows.
    epochs : int
        Epochs of the fit.
    generator : torch.Generator
        Draws the training rows that are compared.

    Attributes
    ----------
    index : Tensor of shape (n,)
        Their places in the training set.
    evidence : float
        The largest :math:`z` so far.
    """

    def __init__(self, rows: Rows, epochs: int, generator: torch.Generator) -> None:
        self.rows = rows
        self.index = torch.randperm(len(rows), generator=generator)[:COMPARED_ROWS].to(rows.device)
        self.evidence = -math.inf
        self._first, self._last = max(1, epochs * 3 // 25), epochs // 5

    def is_settled(self, epoch: int) -> bool:
        """Whether trusted rows need be withheld no longer after an epoch."""
        return epoch >= (self._first if self.evidence >= CERTAIN else self._last)

    def compare(
        self, objective: Objective, losses: Tensor, meta_losses: Tensor, meta_y: Tensor
    ) -> None:
        """Compare the losses at the index with those of all trusted rows, of shape (m,)."""
        values = objective.bounded(losses)
        if self.rows.sample_weight is not None:
            values = values * self.rows.sample_weight[self.index]
        z = standardized_difference(values, objective.meta_values(meta_losses, meta_y))
        self.evidence = max(self.evidence, z)


def standardized_difference(values: Tensor, others: Tensor) -> float:
    """Return the difference of two means in standard errors, Student's t; zero if none varies."""
    n, m = len(values), len(others)
    variance = ((n - 1) * values.var() + (m - 1) * others.var()) / (n + m - 2)
    standard_error = (variance * (1 / n + 1 / m)).sqrt()
    return ((values.mean() - others.mean()) / standard_error).nan_to_num(0.0).item()


def strength_of(evidence: float) -> float:
    """Return how far weights may depart from one: from not at all, 0, to in full, 1."""
    return min(max(evidence / SUFFICIENT, 0.0), 1.0)
