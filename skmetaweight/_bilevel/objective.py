r"""What the methods differentiate: losses of both levels, and the passes that compute them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.forward import (
    LayerCall,
    Params,
    calls_of,
    calls_within,
    copy_of_buffers,
    outputs_of,
)
from skmetaweight._bilevel.gradients import trainable
from skmetaweight._bilevel.randomness import (
    Generators,
    States,
    default_generators,
    replayed,
    states_of,
)
from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._bilevel.row_gradients import RowGradients
from skmetaweight._bilevel.stage import Stage


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the training set or of the meta set, on the module's device.

    On several ranks X holds a rank's own rows, all else those of the whole batch.
    """

    X: Tensor | dict[str, Tensor]
    y: Tensor
    index: Tensor
    sample_weight: Tensor | None = None

    @property
    def n_rows(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class TrainingPass:
    r"""The one forward pass of a batch at :math:`\theta`, with its graph.

    Attributes
    ----------
    outputs : Tensor of shape (n, n_classes) or (n + m, n_classes)
        What the module returned; trusted rows that took part come last.
    own_outputs : Tensor
        Those of a rank's own rows, of which ``outputs`` are made; without others, the same.
    all_losses : Tensor of shape (n,) or (n + m,)
        Per-sample losses of the same rows, in nats.
    meta_loss : Tensor of shape () or None
        Loss of the trusted rows that took part in the same pass; None if none did.
    rows : tuple of Batch
        What went through the module: the batch and, with a meta share, the meta batch.
    features, logits : Tensor, or None
        Detached inputs of the last layer, and its outputs, of own rows, if the objective knows it.
    start : tuple or None
        Random state and buffers before the pass, with which it can be repeated: dropout draws the
        same mask, and batch-dependent buffers are the same. None if it need not be.
    """

    outputs: Tensor
    own_outputs: Tensor
    all_losses: Tensor
    meta_loss: Tensor | None
    rows: tuple[Batch, ...]
    features: Tensor | None
    logits: Tensor | None
    start: tuple[States, Params] | None
    calls: list[LayerCall] = field(default_factory=list)
    row_gradients: RowGradients | None = None

    @property
    def losses(self) -> Tensor:
        """Losses of the training rows, of shape (n,)."""
        return self.all_losses[: self.rows[0].n_rows]

    @property
    def last_layer(self) -> tuple[Tensor, Tensor]:
        """Inputs and outputs of the last layer, which the objective must know."""
        assert self.features is not None
        assert self.logits is not None
        return self.features, self.logits

    @property
    def y_pred(self) -> Tensor:
        """Outputs for the training rows, detached."""
        return self.outputs[: self.rows[0].n_rows].detach()


@dataclass(frozen=True)
class Objective:
    r"""The losses of both levels.

    The training loss of a batch is

    .. math:: (1-\lambda)\,\tfrac1n \sum_i s_i w_i \ell_i
              + \lambda\,\tfrac1m \sum_j c_j h_j \max(\ell_j - b, 0)

    with :math:`s_i` the weights of rows (user and class), :math:`\lambda` the meta share,
    :math:`c_j` the weights of the classes of trusted rows and :math:`h_j` what each of them counts
    beside: one that is learned, :math:`\ell_j < b`, pushes no more. The meta loss is

    .. math:: L_{meta} = \tfrac1m \sum_j c_j \frac{1 - e^{-q\ell_j}}{q}.

    While trusted rows are withheld, :math:`\lambda = 0`, though they take part in the pass.

    Parameters
    ----------
    criterion : Module
        Maps predictions and labels to one loss per row.
    meta_share : float, default=0.0
        Share :math:`\lambda` of the training loss that trusted rows carry, in [0, 1).
    meta_class_weight : Tensor of shape (n_classes,), optional
        Weight of each class in the meta loss; its mean over the meta set should be one.
    meta_robustness : float, default=0.0
        :math:`q` of the bounded losses :math:`(1 - e^{-q\ell})/q` that meta rows have instead of
        :math:`\ell`, as in generalized cross-entropy [1]_; 0 for :math:`\ell` itself.
    learned_loss : float, default=0.0
        Loss :math:`b` below which a trusted row is learned; 0 for rows that take part in the
        training loss as in the meta loss, bounded.
    taught : Tensor of shape (n_meta,), optional
        :math:`h_j` of each trusted row, by its place in the meta set; None for ones.
    stage : Stage, optional
        None for the last one: the meta share.
    head : Linear, optional
        The last layer; what goes in and out of it is then kept.
    autocast_dtype : torch.dtype, optional
        As in :func:`outputs_of`, for all passes.
    to_probabilities : callable
        Maps what the module returns to the probabilities of the classes.

    References
    ----------
    .. [1] Zhang and Sabuncu. Generalized Cross Entropy Loss for Training Deep Neural Networks with
       Noisy Labels. NeurIPS, 2018.
    """

    criterion: nn.Module
    meta_share: float = 0.0
    meta_class_weight: Tensor | None = None
    meta_robustness: float = 0.0
    learned_loss: float = 0.0
    taught: Tensor | None = None
    stage: Stage | None = None
    head: nn.Linear | None = None
    autocast_dtype: torch.dtype | None = None
    to_probabilities: Callable[[Tensor], Tensor] = field(
        default_factory=partial(nn.Softmax, dim=-1)
    )

    def meta_loss(self, losses: Tensor, y: Tensor, weights: Tensor | float = 1.0) -> Tensor:
        """Reduce what the criterion gives for meta rows, each times its weight."""
        losses = weights * self.bounded(losses)
        if self.meta_class_weight is not None:
            losses = losses * self.meta_class_weight[y]
        return losses.mean()

    def bounded(self, losses: Tensor) -> Tensor:
        r"""Return :math:`(1 - e^{-q\ell}) / q`; the losses themselves if they are unbounded."""
        q = self.meta_robustness
        return -torch.expm1(-q * losses) / q if q else losses

    def left_to_learn(self, losses: Tensor) -> Tensor:
        r"""Return :math:`\max(\ell - b, 0)`, what trusted rows have in the training loss."""
        b = self.learned_loss
        return (losses - b).clamp(min=0) if b else self.bounded(losses)

    def weighted_loss(self, forward: TrainingPass, weights: Tensor) -> Tensor:
        return sample_mean(weights * forward.losses, forward.rows[0].sample_weight)

    def meta_slopes(self, forward: TrainingPass) -> Tensor:
        r"""Return :math:`\partial L_{meta} / \partial \ell_j` of shape (m,)."""
        losses = forward.all_losses[forward.rows[0].n_rows :].detach()
        return self._meta_counts(forward) * torch.exp(-self.meta_robustness * losses)

    def _meta_counts(self, forward: TrainingPass) -> Tensor:
        meta_batch = forward.rows[-1]
        if self.meta_class_weight is None:
            return forward.all_losses.new_full((meta_batch.n_rows,), 1 / meta_batch.n_rows)
        return self.meta_class_weight[meta_batch.y] / meta_batch.n_rows

    def counts(self, batch: Batch, weights: Tensor) -> Tensor:
        r"""Return :math:`\tfrac{1-\lambda}{n}\, s_i w_i`, what the loss of each row counts."""
        counts = weights if batch.sample_weight is None else batch.sample_weight * weights
        return counts * ((1 - self._now.share) / batch.n_rows)

    def training_loss(self, forward: TrainingPass, weights: Tensor) -> Tensor:
        """Sum the losses of a pass, each times what it counts: one product, cheap to undo."""
        n, losses = forward.rows[0].n_rows, forward.all_losses
        counts = self.counts(forward.rows[0], weights)
        if forward.meta_loss is not None:
            meta_counts = self._now.share * self._meta_counts(forward)
            if self.taught is not None:
                meta_counts = meta_counts * self.taught[forward.rows[-1].index]
            counts = torch.cat([counts, meta_counts])
            losses = torch.cat([losses[:n], self.left_to_learn(losses[n:])])
        return counts @ losses

    @property
    def ranks(self) -> Ranks:
        """The processes that run each batch together."""
        return self._now.ranks

    @property
    def _now(self) -> Stage:
        return self.stage or Stage(self.meta_share)

    def rows_of(self, batch: Batch, meta_batch: Batch) -> tuple[Batch, ...]:
        """Return what goes through the module in a training pass."""
        return (batch, meta_batch) if self.meta_share else (batch,)

    def training_pass(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        *,
        repeatable: bool = True,
        keep_calls: bool = False,
    ) -> TrainingPass:
        """Run the training forward: the only one that moves BatchNorm statistics.

        With a meta share trusted rows take part, also while the stage lets them count for nothing.
        """
        rows = self.rows_of(batch, meta_batch)
        start = (
            (states_of(self._drawn_from(batch)), copy_of_buffers(module)) if repeatable else None
        )
        with (
            calls_of(self.head) as last,
            calls_within(module if keep_calls else None) as calls,
        ):
            own_outputs, outputs, losses = self._losses(module, rows)
        meta_loss = None
        if self.meta_share:
            meta_loss = self.meta_loss(losses[batch.n_rows :], meta_batch.y)
        return TrainingPass(outputs, own_outputs, losses, meta_loss, rows, *last[0], start, calls)

    def with_losses(
        self, forward: TrainingPass, losses: Tensor, row_gradients: RowGradients | None
    ) -> TrainingPass:
        """Return a pass with the same losses, of another graph or with gradients of rows."""
        meta_loss = None
        if forward.meta_loss is not None:
            meta_loss = self.meta_loss(losses[forward.rows[0].n_rows :], forward.rows[-1].y)
        outputs = forward.outputs.detach()
        return replace(
            forward,
            outputs=outputs,
            own_outputs=outputs,
            all_losses=losses,
            meta_loss=meta_loss,
            calls=[],
            row_gradients=row_gradients,
        )

    def meta_pass(self, module: nn.Module, meta_batch: Batch) -> TrainingPass:
        """Run trusted rows alone; the module's buffers stay as they are."""
        with calls_of(self.head) as last:
            own_outputs, outputs, losses = self._losses(
                module, (meta_batch,), copy_of_buffers(module)
            )
        meta_loss = self.meta_loss(losses, meta_batch.y)
        return TrainingPass(outputs, own_outputs, losses, meta_loss, (meta_batch,), *last[0], None)

    def losses_at(self, module: nn.Module, params: Params, rows: tuple[Batch, ...]) -> Tensor:
        """Per-sample losses at other parameters; the module's buffers stay as they are."""
        return self._losses(module, rows, {**params, **copy_of_buffers(module)})[-1]

    def repeated(self, module: nn.Module, params: Params, forward: TrainingPass) -> Tensor:
        """Repeat a training pass at other parameters: same rows, random numbers and buffers."""
        assert forward.start is not None
        states, buffers = forward.start
        buffers = {name: buffer.clone() for name, buffer in buffers.items()}
        with replayed(self._drawn_from(forward.rows[0]), states):
            return self._losses(module, forward.rows, {**params, **buffers})[-1]

    def _drawn_from(self, batch: Batch) -> Generators:
        own = self._now.generators
        return default_generators(batch.y.device) if own is None else own

    def _losses(
        self, module: nn.Module, rows: tuple[Batch, ...], state: Params | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run rows; return the outputs of a rank's own, those of all, and their losses."""
        X = rows[0].X if len(rows) == 1 else _concatenate([batch.X for batch in rows])
        y = rows[0].y if len(rows) == 1 else torch.cat([batch.y for batch in rows])
        ranks = self.ranks
        if ranks.size > 1:
            state = ranks.handed_out({**trainable(module), **(state or {})})
        with ranks.batch_statistics():
            own_outputs = outputs_of(module, X, self.autocast_dtype, state)
        outputs = ranks.whole(own_outputs, [batch.n_rows for batch in rows])
        return own_outputs, outputs, self.criterion(outputs, y)


def sample_mean(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    r"""Compute :math:`\tfrac1n \sum_i s_i v_i`; the :math:`s_i` have mean one over the data set."""
    return values.mean() if sample_weight is None else (sample_weight * values).mean()


def tiny(like: Tensor) -> float:
    """Return the smallest number that is safe to divide by."""
    return torch.finfo(like.dtype).tiny


def _concatenate(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return torch.cat(parts)
