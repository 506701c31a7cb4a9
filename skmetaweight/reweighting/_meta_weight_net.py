r"""Meta-Weight-Net: learn a function from losses to weights by its effect on the meta loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skmetaweight._bilevel.gradients import gradient, lookahead, meta_gradient, trainable
from skmetaweight._bilevel.objective import Batch, Objective, TrainingPass, sample_mean
from skmetaweight.reweighting._class_means import ClassMeans
from skmetaweight.reweighting._exchange import Evaluation, StepResult
from skmetaweight.reweighting._function_based import FunctionBasedReweighter, check_setting


class MetaWeightNet(FunctionBasedReweighter):
    r"""MW-Net: the weighting function :math:`V_\psi` that makes a step lower the meta loss.

    Without a memory, as published [1]_, each update differentiates the meta loss after a virtual
    step, :math:`\hat\theta(\psi) = \theta - \alpha \nabla_\theta L_{train}(\theta; \psi)`:

    .. math:: \frac{d L_{meta}(\hat\theta)}{d\psi}
              = -\frac{\alpha}{n} \sum_i a_i \frac{\partial w_i}{\partial \psi}, \qquad
              a_i = \langle \nabla L_{meta}(\hat\theta), \nabla \ell_i(\theta) \rangle

    With a memory :math:`A_i` of alignments (see :class:`AlignmentMemory`) no virtual step is
    needed; :math:`V` sees the loss and :math:`A_i` as it was before the batch, and descends

    .. math:: -\tfrac1n \sum_i \tilde a_i w_i
              + \beta\,\tfrac1n \sum_i (V_i - 1)^2,
              \qquad V_i = V_\psi(\ell_i / \log K,\, A_i), \quad
              w_i \propto V_i\, (\bar V / \bar V_{y_i})^{s_{y_i}}, \quad
              \tfrac1n \sum_i w_i = 1 :

    the mean weight :math:`\bar V_c` of a class is drawn to that of all rows, :math:`\bar V`, as far
    as it is doubtful (:math:`s_c`, see :class:`ClassMeans`; :math:`k = 8`).

    Parameters
    ----------
    memory : float, default=0.9
        Decay :math:`\rho` of the alignment memory, in [0, 1); 0 for the published function of the
        loss.
    meta_lr : float or None, default=None
        Step size of :math:`\psi`; None for 1e-2 with a memory, 1e-3 without.
    meta_interval : int or None, default=None
        Batches between updates of :math:`\psi`; None for 4 with a memory, 1 without. The memory of
        the last layer's alignments is kept up with every batch.
    lookahead_lr : float or "lr", default=0.1
        Step size :math:`\alpha` of the virtual step, which a memory makes needless; "lr" for the
        learning rate that the optimiser has now, as published.
    normalize : bool, default=True
        Whether weights have mean one over the batch.
    prior : float, default=0.2
        :math:`\beta`, which holds the function near one; used with a memory only. It acts on
        :math:`V`, whose scale would else be free, and drift until all its sigmoids saturate.
    weighting : Module, "class-aware", "cmw", "lilaw" or None, default=None
        Network from inputs (n, n_inputs) to weights (n,): the loss, then the memory if there is
        one. None for :class:`WeightingNetwork`; "class-aware" adds the given label, one-hot, to
        what that sees. A network of yours sees it if it has a true attribute ``class_aware``.
        "cmw" has a head for each cluster of classes of like size (CMW-Net, TPAMI 2023). "lilaw"
        is the function of :class:`LiLAW`, unbounded; it sees no alignments, so ``memory=0``.
    optimizer : callable or None, default=None
        Makes :math:`\psi`'s optimiser from parameters and ``lr``; None for Adam, with weight decay
        1e-4 without a memory.
    alignment_layers : {"last", "all"} or None, default=None
        Layers whose gradients are compared: those of the last layer are known from the training
        pass, those of all layers cost about a training step more. None for the last with a memory,
        all without.

    References
    ----------
    .. [1] Shu et al. Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting.
       NeurIPS, 2019.

    Notes
    -----
    NOTE[DIFF]: weights have mean one. Raw sigmoid weights also rescale the learning rate and can
    all collapse to zero. The released scripts for imbalance and for WRN-28-10 divide by their sum,
    which is the same loss; ``normalize=False`` divides by n, as ``MW-Net.py`` does.

    NOTE[DIFF]: ``lookahead_lr`` is 0.1. As published the virtual step has the size of the learning
    rate, which is 0.1 at first, for SGD. That of Adam, 1e-3, is too small to tell weights apart.

    NOTE[DIFF]: the loss that enters :math:`V` is detached, as in the paper and the scripts for
    noise. The released script for imbalance lets the gradient of the virtual step run through it.

    NOTE[DIFF]: meta batches go on from one epoch to the next, and a batch may begin in one
    permutation of the trusted rows and end in another. The released scripts begin anew with each
    epoch (imbalance: with each batch), and give a smaller batch at a permutation's end.

    NOTE[DIFF]: the memory, the prior and the hidden width of 32 that goes with them are ours. FSR
    (Zhang and Pfister, ICCV 2021) keeps a running mean of a margin for each row, FaMUS (CVPR 2021)
    learns the layers that are compared.
    """

    paper_url = "https://arxiv.org/abs/1902.07379"
    few_trusted = 8.0

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **FunctionBasedReweighter._parameter_constraints,
        "memory": [Interval(Real, 0, 1, closed="left")],
        "weighting": [nn.Module, StrOptions({"class-aware", "cmw", "lilaw"}), None],
        "meta_lr": [Interval(Real, 0, None, closed="neither"), None],
        "meta_interval": [Interval(Integral, 1, None, closed="left"), None],
        "prior": [Interval(Real, 0, None, closed="left")],
        "alignment_layers": [StrOptions({"last", "all"}), None],
    }

    def __init__(
        self,
        *,
        memory: float = 0.9,
        meta_lr: float | None = None,
        meta_interval: int | None = None,
        lookahead_lr: float | str = 0.1,
        normalize: bool = True,
        prior: float = 0.2,
        weighting: nn.Module | str | None = None,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        alignment_layers: str | None = None,
    ) -> None:
        super().__init__(
            meta_lr=meta_lr,
            meta_interval=meta_interval,
            lookahead_lr=lookahead_lr,
            normalize=normalize,
            weighting=weighting,
            optimizer=optimizer,
        )
        self.memory = memory
        self.prior = prior
        self.alignment_layers = alignment_layers

    @classmethod
    def paper(cls, setting: str = "noise") -> MetaWeightNet:
        r"""Return the released setting for label noise or for imbalanced classes.

        ``MetaWeightClassifier(module, method=MetaWeightNet.paper(), **PAPER_TRAINING)`` is the
        released ``MW-Net.py``: see :data:`~skmetaweight.reweighting.PAPER_TRAINING`. With another
        optimiser than SGD the fair published baseline is ``paper().set_params(lookahead_lr=0.1)``
        with ``meta_share=0, early_stopping=False``: the virtual step has the size of the learning
        rate, and that of AdamW is too small for it.

        Parameters
        ----------
        setting : {"noise", "imbalance"}, default="noise"
            Raw weights, and Adam at 1e-3 with weight decay 1e-4 for :math:`\psi`; or weights
            divided by their sum, and SGD at 1e-5 with Nesterov momentum 0.9 and weight decay 5e-4.
            The released script for WRN-28-10 with label noise is ``paper("imbalance")`` with
            ``meta_lr=1e-3``.
        """
        if check_setting(setting) == "noise":
            return cls(memory=0.0, lookahead_lr="lr", normalize=False)
        sgd = partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=5e-4)
        return cls(memory=0.0, lookahead_lr="lr", meta_lr=1e-5, optimizer=sgd)

    def build(self, n_classes: int, like: Tensor) -> None:
        """Create the weighting network and its optimiser."""
        super().build(n_classes, like)
        if self.memory and not self.learns_function:
            raise ValueError(
                f'weighting="lilaw" sees no alignments, got memory={self.memory}: pass '
                "method__memory=0."
            )
        if self.alignment_layers == "last" and not self.memory:
            raise ValueError(
                'alignment_layers="last" needs a memory: the virtual step of the published method '
                "moves all layers."
            )
        self.alignment_layers_ = self.alignment_layers or ("last" if self.memory else "all")
        self.meta_interval_ = self.meta_interval or (4 if self.memory else 1)
        decay = 0.0 if self.memory else 1e-4
        adam = partial(torch.optim.Adam, weight_decay=decay, fused=True)
        lr = self.meta_lr or (1e-2 if self.memory else 1e-3)
        self.network_optimizer_ = self._make_optimizer(adam, lr)

    def bind(
        self,
        objective: Objective,
        n_rows: int,
        n_trusted: Tensor | None = None,
        class_sizes: Tensor | None = None,
    ) -> None:
        """Set the losses, and what the fit that begins has of rows."""
        super().bind(objective, n_rows, n_trusted, class_sizes)
        if self.memory:
            self.class_weights_.n_trusted = self.n_trusted_

    def _forget_rows(self) -> None:
        super()._forget_rows()
        if self.memory:
            self.class_weights_ = ClassMeans(self.few_trusted, self.n_trusted_)

    def scaled(self, weights: Tensor, batch: Batch) -> Tensor:
        return super().scaled(self._drawn_together(weights, batch.y), batch)

    def raw_weights(self, rows: Evaluation) -> Tensor:
        return self._drawn_together(super().raw_weights(rows), rows.labels)

    def _drawn_together(self, weights: Tensor, labels: Tensor) -> Tensor:
        return self.class_weights_.drawn_together(weights, labels) if self.memory else weights

    @property
    def _shape(self) -> dict[str, Any]:
        return {"hidden_dim": 32, "max_weight": 2.0, "zero_init": True} if self.memory else {}

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        r"""Leave the gradient of the weighted loss in ``.grad``, and step :math:`\psi` if asked."""
        forward = self._training_pass(module, batch, meta_batch, update=update)
        inputs = self.inputs_of(forward)
        meta_loss = None
        # Alignments of the last layer come with the training pass: the memory gets them always.
        if self.memory and (update or self.compares_last_layer):
            alignments, meta_loss = self.align(module, forward, meta_batch)
            weights = self._weights_by_memory(inputs, batch, alignments, update=update)
        else:
            if update:
                grads, meta_loss = self.hypergradient(
                    module, forward, inputs, meta_batch, self.lookahead_size(lr)
                )
                self.step_weighting(grads)
            with torch.no_grad():
                weights = self.scaled(self._raw(inputs, batch), batch)
        loss = self._fill_gradients(forward, weights)
        return StepResult(loss, forward.y_pred, forward.losses.detach(), weights, meta_loss)

    def _raw(self, inputs: Tensor, batch: Batch) -> Tensor:
        """Apply the function to a batch, with which the mean weights of classes move."""
        raw = self.network_(inputs)
        if self.memory:
            self.class_weights_.follow(raw.detach(), batch.y)
        return raw

    def hypergradient(
        self,
        module: nn.Module,
        forward: TrainingPass,
        inputs: Tensor,
        meta_batch: Batch,
        lookahead_lr: float,
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        r"""Return the exact :math:`dL_{meta}(\hat\theta)/d\psi` and the meta loss at lookahead."""
        batch, params = forward.rows[0], trainable(module)
        weights = self.scaled(self.network_(inputs), batch)
        training_loss = self.objective_.training_loss(forward, weights.detach())
        grads = gradient(training_loss, params, retain_graph=True)
        lookahead_params = lookahead(params, grads, lookahead_lr)
        direction, meta_loss = meta_gradient(self.objective_, module, lookahead_params, meta_batch)
        alignments = self.alignments_(self.objective_, module, forward, direction)
        per_weight = -lookahead_lr * self.objective_.counts(batch, alignments)
        return self.network_gradient(weights, per_weight), meta_loss

    def _weights_by_memory(
        self, inputs: Tensor, batch: Batch, alignments: Tensor, *, update: bool
    ) -> Tensor:
        r"""Weigh by the memory as it was before the batch, from which :math:`\psi` then learns."""
        scaled = self.memory_.scale(alignments, batch.y)
        with torch.set_grad_enabled(update):
            raw = self._raw(inputs, batch)
            weights = self.scaled(raw, batch)
            if update:
                objective = self.prior * (raw - 1).square() - scaled * weights
                surrogate = sample_mean(objective, batch.sample_weight)
                self.step_weighting(self.network_gradient(surrogate))
        self.memory_.remember(batch.index, scaled)
        return self.confirmed(weights.detach(), raw.detach().mean())

    def state_dict(self) -> dict[str, Any]:
        """Return all that is learned, as tensors by name."""
        state = super().state_dict()
        if self.memory:
            state["class_weights"] = self.class_weights_.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        super().load_state_dict(state)
        if self.memory:
            self.class_weights_.load_state_dict(state["class_weights"])
