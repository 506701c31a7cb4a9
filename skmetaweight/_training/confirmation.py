"""Whether labels are wrong at all: what trusted rows tell before they are trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight._data.batches import Rows

FEWEST_EPOCHS = 10
"""Epochs of a fit below which there is no time to withhold anything."""

MANY_TRUSTED_ROWS = 500
"""Trusted rows from which on weights need no confirmation."""

COMPARED_ROWS = 1000
"""Most rows of either kind that are compared."""

CERTAIN = 3.0
"""Evidence that ends the comparison early."""

SUFFICIENT = 2.0
"""Evidence from which on weights count in full."""


class Confirmation:
    r"""Compares training rows with trusted rows that are withheld from the training loss.

    A network learns first what most rows agree on. Wrong labels that it has not learned make the
    losses of training rows larger than those of trusted rows, by

    .. math:: z = \frac{\bar\ell - \bar\ell_{meta}}{s\, \sqrt{1/n + 1/m}}

    standard errors, with the pooled standard deviation :math:`s`. Those that it has learned show in
    gradients: if trusted and training labels are alike, the gradients :math:`g_j` of trusted rows
    (of the last layer, less the mean gradient of training rows) have no common direction, and

    .. math:: u = \frac{\sum_{j \ne k} \langle g_j, g_k \rangle}
                       {\sqrt{2 \sum_{j \ne k} \langle g_j, g_k \rangle^2}},

    a kernel two-sample statistic [1]_, has mean zero, variance one and a longer right tail than the
    normal distribution. Losses are bounded and weighted as in the objective, in evaluation mode.
    The evidence for wrong labels is the largest :math:`z` or :math:`u` of all epochs, as training
    rows are soon learned by heart. Trusted rows are withheld for three of 25 epochs, and for five
    if that is not certain, in proportion to the epochs of a fit.

    Parameters
    ----------
    rows, meta_rows : Rows
    epochs : int
        Epochs of the fit.
    generator : torch.Generator
        Draws the rows that are compared.

    Attributes
    ----------
    evidence : float

    References
    ----------
    .. [1] Gretton et al. A Kernel Two-Sample Test. Journal of Machine Learning Research, 2012.
    """

    def __init__(
        self, rows: Rows, meta_rows: Rows, epochs: int, generator: torch.Generator
    ) -> None:
        self._rows, self._meta_rows = rows.evaluation, meta_rows.evaluation
        self._index, self._meta_index = (
            torch.randperm(len(of), generator=generator)[:COMPARED_ROWS].to(of.device)
            for of in (rows, meta_rows)
        )
        self._first, self._last = max(1, epochs * 3 // 25), epochs // 5
        self.evidence = -math.inf

    def is_settled(self, epoch: int) -> bool:
        """Whether trusted rows need be withheld no longer after an epoch."""
        return epoch >= (self._first if self.evidence >= CERTAIN else self._last)

    def compare(self, objective: Objective, module: nn.Module) -> None:
        """Add the evidence of the module as it is, in evaluation mode."""
        batch = self._rows.take(self._index)
        meta_batch = self._meta_rows.take(self._meta_index)
        weight, class_weight = batch.sample_weight, objective.meta_class_weight
        meta_weight = None if class_weight is None else class_weight[meta_batch.y]
        values, gradients = _judged(objective, module, batch, weight)
        meta_values, meta_gradients = _judged(objective, module, meta_batch, meta_weight)
        found = [standardized_difference(values, meta_values)]
        if gradients is not None and meta_gradients is not None:
            found.append(common_direction(gradients, meta_gradients))
        self.evidence = max(self.evidence, *found)


Factors = tuple[Tensor, Tensor]
"""Gradients of rows by the last layer: outer products of deltas (n, K) and features (n, d)."""


def _judged(
    objective: Objective, module: nn.Module, batch: Batch, weight: Tensor | None
) -> tuple[Tensor, Factors | None]:
    """Return the bounded, weighted losses of rows, and their gradients if the head is known."""
    forward = objective.meta_pass(module, batch)
    values = objective.bounded(forward.all_losses)
    values = values if weight is None else values * weight
    if objective.head is None:
        return values.detach(), None
    features, logits = forward.last_layer
    (deltas,) = torch.autograd.grad(values.sum(), logits)
    features = nn.functional.pad(features, (0, 1), value=1.0)  # for the bias
    return values.detach(), (deltas.to(values.dtype), features.to(values.dtype))


def standardized_difference(values: Tensor, others: Tensor) -> float:
    """Return the difference of two means in standard errors, Student's t; zero if none varies."""
    n, m = len(values), len(others)
    variance = ((n - 1) * values.var() + (m - 1) * others.var()) / (n + m - 2)
    standard_error = (variance * (1 / n + 1 / m)).sqrt()
    return ((values.mean() - others.mean()) / standard_error).nan_to_num(0.0).item()


def common_direction(gradients: Factors, meta_gradients: Factors) -> float:
    """Return how far trusted rows' gradients agree beyond the mean one; zero if all vanish."""
    deltas, features = gradients
    meta_deltas, meta_features = meta_gradients
    mean = deltas.T @ features / len(deltas)
    along = ((meta_deltas @ mean) * meta_features).sum(dim=1)
    products = (meta_deltas @ meta_deltas.T) * (meta_features @ meta_features.T)
    products += mean.square().sum() - along[:, None] - along
    products.fill_diagonal_(0.0)
    return (products.sum() / (2 * products.square().sum()).sqrt()).nan_to_num(0.0).item()


def strength_of(evidence: float) -> float:
    """Return how far weights may depart from one: from not at all, 0, to in full, 1."""
    return min(max(evidence / SUFFICIENT, 0.0), 1.0)
