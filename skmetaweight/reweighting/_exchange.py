"""What a method is told of rows, and what its step tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class StepResult:
    """What a step tells, all of it detached and on the module's device.

    Attributes
    ----------
    loss : Tensor of shape ()
        The training loss whose gradient was left in the parameters.
    y_pred : Tensor of shape (n, n_classes)
    sample_losses : Tensor of shape (n,)
        Before weighting, in nats.
    weights : Tensor of shape (n,)
    meta_loss : Tensor of shape () or None
        Loss on the meta batch, where the step computed it.
    diagnostics : dict of str to Tensor
        Further scalars for the history, by name.
    """

    loss: Tensor
    y_pred: Tensor
    sample_losses: Tensor
    weights: Tensor
    meta_loss: Tensor | None = None
    diagnostics: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Labelled rows under the fitted classifier, for :meth:`Reweighter.weigh`.

    Attributes
    ----------
    losses : Tensor of shape (n,)
    labels : Tensor of shape (n,)
    index : Tensor of shape (n,) or None
        Places of the rows in the training set; None for rows that were not part of it.
    alignments : callable
        Returns the alignments of shape (n,) with the whole meta set; computed when called.
    certainties : callable
        Returns the probability of each label, and the largest one, of shape (n, 2); likewise.
    """

    losses: Tensor
    labels: Tensor
    index: Tensor | None
    alignments: Callable[[], Tensor]
    certainties: Callable[[], Tensor]
