"""What a method is: it fills gradients, batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skmetaweight._bilevel.alignments import Alignments
from skmetaweight._bilevel.forward import Params
from skmetaweight._bilevel.gradients import gradient, meta_gradient, trainable
from skmetaweight._bilevel.last_layer import LastLayerAlignments
from skmetaweight._bilevel.objective import Batch, Objective, TrainingPass, sample_mean, tiny
from skmetaweight._messages import warn
from skmetaweight.reweighting._exchange import Evaluation, StepResult
from skmetaweight.reweighting._memory import AlignmentMemory


class Reweighter(BaseEstimator, ABC):
    """A bilevel update rule. Subclasses are final: one method, one file.

    Its settings are the parameters of its constructor, kept as they are given: ``get_params``,
    ``set_params``, ``clone`` and repr treat it as any object of scikit-learn's. The life of a
    reweighter: :meth:`build` validates the settings and creates what is learned; :meth:`bind` tells
    the data of one fit; :meth:`step` runs for every batch. What these create ends in an underscore.

    Attributes
    ----------
    memory : float
        Decay of each row's remembered alignment; 0 without a memory.
    normalize : bool
        Whether weights have mean one.
    meta_interval_ : int
        Batches between updates of what is learned.
    alignment_layers_ : {"all", "last"}
        Layers whose gradients are compared where no lookahead is needed.
    normalizer_ : float
        Mean raw weight of the training rows if weights have mean one, else one.
    strength_ : float
        How far weights of mean one depart from one, from 0 to 1: as far as trusted rows confirm
        that labels are wrong.
    compares_new_rows : bool
        Whether rows of no fit are weighed by their alignments with the trusted rows.
    why_no_function : str
        For methods that learn no weighting function: what they do instead.
    paper_url : str
        Address of the paper, linked in the HTML representation if it begins with https.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    memory: float = 0.0
    normalize: bool = False
    meta_interval_: int = 1
    alignment_layers_: str = "all"
    normalizer_: float = 1.0
    strength_: float = 1.0
    compares_new_rows: bool = False
    why_no_function: str
    paper_url: str = ""

    def build(self, n_classes: int, like: Tensor) -> None:
        """Validate the settings; create the learned state, with the device and dtype of a tensor.

        Raises
        ------
        ValueError
            If a setting is out of its range, or does not go with another.
        """
        self._validate_params()
        self.n_classes_ = n_classes
        self.like_ = torch.empty(0, device=like.device, dtype=like.dtype)
        self.n_trusted_ = self.like_.new_full((n_classes,), torch.inf)
        self.last_layer_alignments_ = LastLayerAlignments()

    def bind(
        self,
        objective: Objective,
        n_rows: int,
        n_trusted: Tensor | None = None,
        class_sizes: Tensor | None = None,
    ) -> None:
        """Set the losses and the number of training rows of the fit that begins.

        And of trusted rows of each class; without them alignments count as they are. Numbers of
        training rows of each class are for methods that tell classes apart by size. A fit that
        goes on with as many rows as before goes on with what was remembered of them.
        """
        del class_sizes
        is_known = getattr(self, "n_rows_", None) == n_rows
        self.objective_ = objective
        self.n_rows_ = n_rows
        if n_trusted is not None:
            self.n_trusted_ = n_trusted.to(self.like_)
        self.alignments_ = Alignments()
        if not is_known:
            self._forget_rows()
        elif self.memory:
            self.memory_.classes.n_trusted = self.n_trusted_
        if self.alignment_layers_ == "last" and objective.head is None:
            warn(
                "The module does not return the output of one linear layer, so gradients of all "
                "layers are compared instead of those of the last. That costs about as much as "
                'the training step itself; method__alignment_layers="all" asks for it.'
            )

    def _forget_rows(self) -> None:
        """Begin anew what is remembered of single rows."""
        if self.memory:
            self.memory_ = AlignmentMemory(self.n_rows_, self.memory, self.n_trusted_)

    @property
    def compares_last_layer(self) -> bool:
        """Whether alignments without lookahead are those of the last layer."""
        return self.alignment_layers_ == "last" and self.objective_.head is not None

    @abstractmethod
    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        """Update what is learned and leave the gradient of the parameters in ``.grad``.

        Parameters
        ----------
        module : Module
            In train mode, its gradients cleared.
        batch : Batch
            Training rows.
        meta_batch : Batch
            Trusted rows.
        lr : float
            The optimiser's learning rate now, for methods whose virtual step follows it.
        update : bool, default=True
            Whether this batch updates what is learned; every ``meta_interval``-th does.

        Returns
        -------
        result : StepResult
        """

    @abstractmethod
    def raw_weights(self, rows: Evaluation) -> Tensor:
        """Return weights of shape (n,) of labelled rows, before they are scaled to mean one."""

    def calibrate(self, rows: Evaluation) -> Tensor:
        """Weigh the training rows, whose mean scales all later weights."""
        weights = self.raw_weights(rows)
        if self.normalize:
            self.normalizer_ = max(weights.mean().item(), tiny(weights))
        return self.confirmed(weights / self.normalizer_, self.normalizer_)

    def weigh(self, rows: Evaluation) -> Tensor:
        """Return the weights of shape (n,) of labelled rows under the fitted classifier."""
        return self.confirmed(self.raw_weights(rows) / self.normalizer_, self.normalizer_)

    def confirmed(self, weights: Tensor, raw_mean: Any) -> Tensor:
        r"""Return :math:`1 + s' (w_i - 1)` for learned weights, with :meth:`strength_at`."""
        return weights if self.strength_ == 1 else 1 + self.strength_at(raw_mean) * (weights - 1)

    def strength_at(self, raw_mean: Any) -> Any:
        r"""Return how far weights of mean one depart from one, by the mean :math:`m` before.

        .. math:: s' = s \min\Bigl(1, \frac{m}{(1-s)/2 + s m}\Bigr)

        is the strength :math:`s` itself, unless nearly all raw weights are near zero: the few
        others are then many times their mean, and would count as such however small :math:`s` is.
        So raw weights are drawn to one half before they are scaled, where their mean is smaller.
        """
        s = self.strength_
        if s == 1:
            return 1.0
        share = raw_mean / ((1 - s) / 2 + s * raw_mean)
        return s * (share.clamp(max=1.0) if isinstance(share, Tensor) else min(share, 1.0))

    @property
    def learns_function(self) -> bool:
        """Whether the method learns a function of the loss."""
        return type(self).weighting_function is not Reweighter.weighting_function

    def weighting_function(self, rows: Evaluation, classes: Any) -> Any:
        """Return the learned :class:`WeightingFunction`.

        Raises
        ------
        AttributeError
            If the method learns no function of the loss.
        """
        del rows, classes
        raise AttributeError(
            f"{type(self).__name__} learns no weighting function: {self.why_no_function}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that is learned, as tensors by name."""
        state: dict[str, Any] = {"last_layer": self.last_layer_alignments_.state_dict()}
        if self.memory:
            state["memory"] = self.memory_.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.last_layer_alignments_.load_state_dict(state["last_layer"])
        if self.memory:
            self.memory_.load_state_dict(state["memory"])

    def align(
        self, module: nn.Module, forward: TrainingPass, meta_batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Compare the gradients of training rows with the meta gradient, both at the parameters.

        Returns
        -------
        alignments : Tensor of shape (n,)
        meta_loss : Tensor of shape ()
        """
        if self.compares_last_layer:
            return self.last_layer_alignments_(self.objective_, module, forward, meta_batch)
        grads, meta_loss = self._meta_gradient_at_params(module, forward, meta_batch)
        return self.alignments_(self.objective_, module, forward, grads), meta_loss

    def _meta_gradient_at_params(
        self, module: nn.Module, forward: TrainingPass, meta_batch: Batch
    ) -> tuple[Params, Tensor]:
        """Return the meta gradient without lookahead, from the training pass if it can."""
        params = trainable(module)
        if forward.meta_loss is not None:
            grads = gradient(forward.meta_loss, params, retain_graph=True)
            return grads, forward.meta_loss.detach()
        return meta_gradient(self.objective_, module, params, meta_batch)

    def _training_pass(
        self, module: nn.Module, batch: Batch, meta_batch: Batch, *, update: bool
    ) -> TrainingPass:
        """Run the training pass, repeatable if all layers' alignments are due."""
        compares_all = update and not self.compares_last_layer
        rows = self.objective_.rows_of(batch, meta_batch)
        forward = self.objective_.training_pass(
            module,
            batch,
            meta_batch,
            repeatable=compares_all and self.alignments_.may_repeat(rows),
            keep_calls=compares_all and self.alignments_.needs_calls,
        )
        if compares_all:
            return self.alignments_.prepared(self.objective_, module, forward)
        return forward

    def _fill_gradients(self, forward: TrainingPass, weights: Tensor) -> Tensor:
        """Leave the gradient of the weighted training loss in ``.grad``; return the loss."""
        loss = self.objective_.training_loss(forward, weights)
        loss.backward()
        return loss.detach()


def mean_one(weights: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Scale weights to mean one over the batch, differentiably; all-zero weights stay zero."""
    mean = sample_mean(weights, sample_weight)
    if sample_weight is not None:
        mean = mean / sample_weight.mean().clamp(min=tiny(mean))
    return weights / mean.clamp(min=tiny(mean))
