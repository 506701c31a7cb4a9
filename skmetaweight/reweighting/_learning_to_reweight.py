"""Learning to Reweight: each batch's weights are its alignments with the meta set."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skmetaweight._bilevel.objective import Batch, tiny
from skmetaweight.reweighting._base import Reweighter, mean_one
from skmetaweight.reweighting._exchange import Evaluation, StepResult

WITHOUT_MEMORY = ("weight_sums", "visits", "positive_mean")
"""What is kept of training without a memory."""


class LearningToReweight(Reweighter):
    r"""L2RW: weigh rows by how well their gradients agree with the meta gradient.

    Without a memory, as published [1]_: the weights of the virtual step start at zero, so
    :math:`\hat\theta = \theta` and

    .. math:: w_i = n \, \frac{\max(a_i, 0)}{\sum_j \max(a_j, 0)},
              \qquad a_i = \langle \nabla L_{meta}(\theta), \nabla \ell_i(\theta) \rangle

    (all zero if no alignment is positive). With a memory :math:`A_i` of alignments,

    .. math:: w_i \propto 2\,\sigma(\gamma A_i + b), \qquad \tfrac1n \sum_i w_i = 1,

    where :math:`A_i` is the memory before the batch adds to it.

    Parameters
    ----------
    memory : float, default=0.9
        Decay of the alignment memory; 0 is the published method.
    sharpness : float, default=12.0
        :math:`\gamma`.
    bias : float, default=1.0
        :math:`b`: with the memory empty or undecided, rows lean towards being trusted.
    meta_interval : int, default=1
        Batches between updates of the memory, if all layers are compared. Without a memory every
        batch needs its own alignments and the interval must be 1.
    alignment_layers : {"last", "all"} or None, default=None
        Layers whose gradients are compared; None for the last with a memory, all without.

    References
    ----------
    .. [1] Ren et al. Learning to Reweight Examples for Robust Deep Learning. ICML, 2018.

    Notes
    -----
    NOTE[DIFF]: the paper skips the step of a batch without a positive alignment. Here, as in the
    released code, such a batch has a zero gradient: momentum and weight decay of the optimiser
    still act. This keeps the step free of a host synchronisation.

    NOTE[DIFF]: the memory, its sharpness and its bias are ours: the alignments of a single batch
    are too noisy to act on.
    """

    normalize = True
    compares_new_rows = True
    why_no_function = "L2RW gives each row a weight of its own."
    paper_url = "https://arxiv.org/abs/1803.09050"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "memory": [Interval(Real, 0, 1, closed="left")],
        "sharpness": [Interval(Real, 0, None, closed="neither")],
        "bias": [Interval(Real, None, None, closed="neither")],
        "meta_interval": [Interval(Integral, 1, None, closed="left")],
        "alignment_layers": [StrOptions({"last", "all"}), None],
    }

    def __init__(
        self,
        *,
        memory: float = 0.9,
        sharpness: float = 12.0,
        bias: float = 1.0,
        meta_interval: int = 1,
        alignment_layers: str | None = None,
    ) -> None:
        self.memory = memory
        self.sharpness = sharpness
        self.bias = bias
        self.meta_interval = meta_interval
        self.alignment_layers = alignment_layers

    @classmethod
    def paper(cls) -> LearningToReweight:
        """Return the published method.

        For the training around it see :data:`~skmetaweight.reweighting.PAPER_TRAINING`.
        """
        return cls(memory=0.0)

    def build(self, n_classes: int, like: Tensor) -> None:
        """Validate the settings."""
        super().build(n_classes, like)
        if not self.memory and self.meta_interval != 1:
            raise ValueError(
                f"L2RW without a memory needs meta_interval=1, got {self.meta_interval}: every "
                "batch needs alignments of its own."
            )
        self.meta_interval_ = self.meta_interval
        self.alignment_layers_ = self.alignment_layers or ("last" if self.memory else "all")

    def _forget_rows(self) -> None:
        super()._forget_rows()
        if not self.memory:
            self.weight_sums_ = self.like_.new_zeros(self.n_rows_)
            self.visits_ = self.like_.new_zeros(self.n_rows_)
            self.positive_mean_ = self.like_.new_zeros(())

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        """Weigh the batch and leave the gradient of its weighted loss in ``.grad``."""
        del lr
        # Alignments of the last layer come with the training pass: the memory gets them always.
        update = update or not self.memory or self.compares_last_layer
        forward = self._training_pass(module, batch, meta_batch, update=update)
        alignments = meta_loss = None
        if update:
            alignments, meta_loss = self.align(module, forward, meta_batch)
        weights = self._batch_weights(batch, alignments)
        loss = self._fill_gradients(forward, weights)
        return StepResult(loss, forward.y_pred, forward.losses.detach(), weights, meta_loss)

    def _batch_weights(self, batch: Batch, alignments: Tensor | None) -> Tensor:
        if self.memory:
            raw = self._gate(self.memory_[batch.index])
            weights = mean_one(raw, batch.sample_weight)
            if alignments is not None:
                self.memory_.remember(batch.index, self.memory_.scale(alignments, batch.y))
            return self.confirmed(weights, raw.mean())
        assert alignments is not None
        positive = alignments.clamp(min=0)
        weights = mean_one(positive, batch.sample_weight)
        self.positive_mean_.lerp_(positive.mean(), 0.1)
        self.weight_sums_[batch.index] += weights
        self.visits_[batch.index] += 1
        return weights

    def _gate(self, memory: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.sharpness * memory + self.bias)

    def raw_weights(self, rows: Evaluation) -> Tensor:
        """Weigh training rows by their history, other rows by their alignments now.

        The history is the memory or, without one, the mean of the weights a row had in training.
        """
        if rows.index is not None:
            if self.memory:
                return self._gate(self.memory_[rows.index])
            return self.weight_sums_[rows.index] / self.visits_[rows.index].clamp(min=1)
        if self.memory:
            return self._gate(self.memory_.guess(rows.alignments(), rows.labels))
        return rows.alignments().clamp(min=0) / self.positive_mean_.clamp(min=tiny(self.like_))

    def state_dict(self) -> dict[str, Any]:
        """Return the memory or, without one, the weights given so far."""
        state = super().state_dict()
        if not self.memory:
            state |= {name: getattr(self, f"{name}_").clone() for name in WITHOUT_MEMORY}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        super().load_state_dict(state)
        if not self.memory:
            for name in WITHOUT_MEMORY:
                setattr(self, f"{name}_", state[name].clone())
