"""Whether labels are wrong at all: what trusted rows tell before they are trained on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight._data.batches import Rows

FEWEST_EPOCHS = 10
"""Epochs of a fit below which there is no time to withhold anything."""

MANY_TRUSTED_ROWS = 500
"""Trusted rows from which on weights need no confirmation."""

COMPARED_ROWS = 1000
"""Most trusted rows that are compared."""

COMPARED_FOR_EACH, COMPARED_SHARE = 2, 0.25
"""Training rows that are withheld for each trusted row; the largest share of them."""

CERTAIN = 3.0
"""Evidence that ends the comparison early."""

SUFFICIENT = 2.0
"""Evidence from which on weights count in full."""

ROUNDING = 1e-5
"""Differences within classes, beside the numbers themselves, that are taken for none."""


class Confirmation:
    r"""Compares training rows with trusted rows, both withheld from the training loss.

    A network learns first what most rows agree on. Wrong labels that it has not learned make the
    losses of training rows larger than those of trusted rows with the same labels, by

    .. math:: z = \sum_c \frac{n_c}{m} (\bar\ell_c - \bar\ell_{meta,c}) \Big/
                  \Big( \sum_c \frac{n_c^2}{m^2} s_c^2 (1/N_c + 1/n_c) \Big)^{1/2}

    standard errors, where class c has :math:`N_c` training rows and :math:`n_c` of the m trusted
    rows, and :math:`s_c` is the pooled standard deviation of their losses. Those that it has
    learned show in gradients: if labels are alike, the gradients :math:`g_j` of trusted rows (of
    the last layer, less the mean :math:`\bar g_{y_j}` of training rows with that label) have no
    common direction, and

    .. math:: u = \frac{\sum_{j \ne k} p_{jk}}
                       {\sqrt{2 \sum_{j \ne k} r_{y_j} r_{y_k} p_{jk}^2}}, \quad
              r_c = 1 + n_c / N_c, \quad
              p_{jk} = \langle g_j - \bar g_{y_j}, g_k - \bar g_{y_k} \rangle
                       - [y_j = y_k]\, v_{y_j} / N_{y_j},

    a kernel two-sample statistic [1]_ within classes, has mean zero, a variance of about one and a
    longer right tail than the normal distribution; :math:`v_c` is the variance of the gradients of
    training rows, whose mean is uncertain. Within classes, so that trusted rows may be drawn from
    each class in other proportions than those of the data. Both kinds of rows are new to the
    network, so that what it has learned by heart is no evidence. Losses are bounded as in the
    objective, in evaluation mode. The evidence for wrong labels is the largest :math:`z` or
    :math:`u` of all epochs. Rows are withheld for three of 25 epochs, and for five if that is not
    certain, in proportion to the epochs of a fit.

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
        n_trusted = min(len(meta_rows), COMPARED_ROWS)
        n_compared = min(COMPARED_FOR_EACH * n_trusted, int(COMPARED_SHARE * len(rows)))
        self._index, self._meta_index = (
            distinct(of, torch.randperm(len(of), generator=generator)[:n].to(of.device))
            for of, n in ((self._rows, n_compared), (self._meta_rows, n_trusted))
        )
        self._counted = torch.full((len(rows),), len(rows) / (len(rows) - len(self._index)))
        self._counted = self._counted.to(rows.device).index_fill(0, self._index, 0.0)
        self._first, self._last = max(1, epochs * 3 // 25), epochs // 5
        self.evidence = -math.inf

    def withheld(self, batch: Batch) -> Batch:
        """Return a batch whose compared rows do not count."""
        counted, weight = self._counted[batch.index], batch.sample_weight
        return replace(batch, sample_weight=counted if weight is None else counted * weight)

    def is_settled(self, epoch: int) -> bool:
        """Whether trusted rows need be withheld no longer after an epoch."""
        return epoch >= (self._first if self.evidence >= CERTAIN else self._last)

    def compare(self, objective: Objective, module: nn.Module) -> None:
        """Add the evidence of the module as it is, in evaluation mode: none of too few rows."""
        if not len(self._index):
            self.evidence = 0.0
            return
        batch = self._rows.take(self._index)
        meta_batch = self._meta_rows.take(self._meta_index)
        values, gradients = _judged(objective, module, batch)
        meta_values, meta_gradients = _judged(objective, module, meta_batch)
        labels = batch.y, meta_batch.y
        found = [standardized_difference(values, meta_values, *labels)]
        if gradients is not None and meta_gradients is not None:
            found.append(common_direction(gradients, meta_gradients, *labels))
        self.evidence = max(self.evidence, *found)


def distinct(rows: Rows, index: Tensor) -> Tensor:
    """Leave out of an index the rows that are copies, labels included, of one before."""
    batch, places = rows.take(index), dict[tuple[Any, ...], int]()
    parts = [*batch.X.values()] if isinstance(batch.X, dict) else [batch.X]
    parts = [part.cpu() for part in parts]
    for place, label in enumerate(batch.y.tolist()):
        of_row = (part[place].to_dense().numpy().tobytes() for part in parts)
        digests = (hashlib.blake2b(content, digest_size=16).digest() for content in of_row)
        places.setdefault((label, *digests), place)
    return index[torch.tensor([*places.values()], dtype=torch.long, device=index.device)]


Factors = tuple[Tensor, Tensor]
"""Gradients of rows by the last layer: outer products of deltas (n, K) and features (n, d)."""


def _judged(objective: Objective, module: nn.Module, batch: Batch) -> tuple[Tensor, Factors | None]:
    """Return the bounded losses of rows, and their gradients if the head is known."""
    forward = objective.meta_pass(module, batch)
    values = objective.bounded(forward.all_losses)
    if objective.head is None:
        return values.detach(), None
    features, logits = forward.last_layer
    (deltas,) = torch.autograd.grad(values.sum(), logits)
    features = nn.functional.pad(features, (0, 1), value=1.0)  # for the bias
    return values.detach(), (deltas.to(values.dtype), features.to(values.dtype))


def standardized_difference(
    values: Tensor, meta_values: Tensor, labels: Tensor, meta_labels: Tensor
) -> float:
    """Return the difference of means within classes in standard errors; zero if none varies."""
    n_classes = int(max(labels.max(), meta_labels.max())) + 1
    n, means, squares = _by_class(values, labels, n_classes)
    m, meta_means, meta_squares = _by_class(meta_values, meta_labels, n_classes)
    is_known = (n > 1) & (m > 0)
    shares, variances = m / m[is_known].sum(), (squares + meta_squares) / (n + m - 2)
    difference = (shares * (means - meta_means))[is_known].sum()
    variance = (shares.square() * variances * (1 / n + 1 / m))[is_known].sum()
    rounding = ROUNDING * values.abs().max()
    return (difference / variance.sqrt()).nan_to_num(0.0).item() if variance > rounding**2 else 0.0


def _by_class(values: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many values each class has, their mean, and the sum of squares about it."""
    zeros = values.new_zeros(n_classes)
    sizes = zeros.index_add(0, labels, torch.ones_like(values))
    means = zeros.index_add(0, labels, values) / sizes
    return sizes, means, zeros.index_add(0, labels, (values - means[labels]).square())


def common_direction(
    gradients: Factors, meta_gradients: Factors, labels: Tensor, meta_labels: Tensor
) -> float:
    """Return how far trusted rows' gradients agree beyond their class; zero if all vanish."""
    deltas, features = gradients
    is_peer = (meta_labels[:, None] == labels).to(deltas.dtype)
    n = is_peer.sum(dim=1)
    is_known = n > 1  # the mean of a single row has no known error
    means_of_class, meta_labels, n = (
        (is_peer / n[:, None])[is_known],
        meta_labels[is_known],
        n[is_known],
    )
    meta_deltas, meta_features = (factor[is_known] for factor in meta_gradients)
    products = (deltas @ deltas.T) * (features @ features.T)
    with_means = (meta_deltas @ deltas.T) * (meta_features @ features.T) @ means_of_class.T
    of_means = means_of_class @ products @ means_of_class.T
    found = (meta_deltas @ meta_deltas.T) * (meta_features @ meta_features.T)
    rounding = ROUNDING * found.norm()
    found += of_means - with_means - with_means.T
    # Two gradients of a class share the error of its mean.
    error = (means_of_class @ products.diagonal() - of_means.diagonal()) / (n - 1)
    is_same = meta_labels[:, None] == meta_labels
    found -= is_same * error
    found.fill_diagonal_(0.0)
    spread = 1 + is_same.sum(dim=1) / n
    norm = (2 * spread @ found.square() @ spread).sqrt()
    return (found.sum() / norm).item() if norm > rounding else 0.0


def strength_of(evidence: float) -> float:
    """Return how far weights may depart from one: from not at all, 0, to in full, 1."""
    return min(max(evidence / SUFFICIENT, 0.0), 1.0)
