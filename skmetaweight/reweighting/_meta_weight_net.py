r"""Meta-Weight-Net: learn a function from losses to weights by its effect on the meta loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from skmetaweight._functional import (
    Batch,
    TrainingPass,
    gradient,
    lookahead,
    meta_gradient,
    sample_mean,
    trainable,
)
from skmetaweight._weighting import WeightingNetwork
from skmetaweight.reweighting._base import StepResult
from skmetaweight.reweighting._function_based import FunctionBasedReweighter


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
              w_i = V_i \big/ \textstyle\tfrac1n \sum_j V_j .

    Parameters
    ----------
    memory : float, default=0.9
        Decay :math:`\rho` of the alignment memory; 0 for the published function of the loss.
    meta_lr : float, optional
        Step size of :math:`\psi`; 6e-2 with a memory, 1e-3 without, if None.
    meta_interval : int, optional
        Batches between updates of :math:`\psi`; 4 with a memory, 1 without, if None. The memory of
        the last layer's alignments is kept up with every batch.
    normalize : bool, default=True
        Whether weights have mean one over the batch.
    prior : float, default=0.2
        :math:`\beta`, which holds the function near one; used with a memory only. It acts on
        :math:`V`, whose scale would else be free, and drift until all its sigmoids saturate.
    weighting : Module, optional
        Network from inputs (n, n_inputs) to weights (n,): the loss, then the memory if there is
        one, then the one-hot label if class-aware. None for :class:`WeightingNetwork`.
    class_aware : bool, default=False
        Whether the function sees the given label.
    optimizer : callable, optional
        Makes :math:`\psi`'s optimiser; Adam (with weight decay 1e-4 without a memory) if None.
    alignment_layers : {"last", "all"}, optional
        Layers whose gradients are compared; the last with a memory, all without, if None.

    References
    ----------
    .. [1] Shu et al. Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting.
       NeurIPS, 2019.

    Notes
    -----
    NOTE[DIFF]: weights have mean one. Raw sigmoid weights also rescale the learning rate and can
    all collapse to zero. One of the released scripts divides by their sum as well, which is the
    same loss. ``normalize=False`` divides by n.

    NOTE[DIFF]: the classifier's ``lookahead_lr`` is 0.1. As published the virtual step has the size
    of the learning rate, which is meant for SGD: that of Adam, 1e-3, is too small to tell weights
    apart.

    NOTE[DIFF]: the memory, the prior and the hidden width of 32 that goes with them are ours.
    """

    paper_url = "https://arxiv.org/abs/1902.07379"

    def __init__(
        self,
        *,
        memory: float = 0.9,
        meta_lr: float | None = None,
        meta_interval: int | None = None,
        normalize: bool = True,
        prior: float = 0.2,
        weighting: nn.Module | None = None,
        class_aware: bool = False,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        alignment_layers: str | None = None,
    ) -> None:
        if alignment_layers == "last" and not memory:
            raise ValueError(
                'alignment_layers="last" needs a memory: the virtual step of the published method '
                "moves all layers."
            )
        decay = 0.0 if memory else 1e-4
        super().__init__(
            weighting=weighting,
            class_aware=class_aware,
            memory=memory,
            normalize=normalize,
            meta_lr=meta_lr or (6e-2 if memory else 1e-3),
            optimizer=optimizer or partial(torch.optim.Adam, weight_decay=decay, fused=True),
            meta_interval=meta_interval or (4 if memory else 1),
        )
        self.prior = prior
        self.alignment_layers = alignment_layers or ("last" if memory else "all")

    @classmethod
    def paper(cls) -> MetaWeightNet:
        """Return the published setting: raw sigmoid weights, Adam 1e-3 with decay 1e-4.

        In the classifier, set ``meta_share=0`` and ``lookahead_lr="lr"`` too.
        """
        return cls(memory=0.0, normalize=False)

    def _network(self, n_inputs: int) -> nn.Module:
        if not self.memory_decay:
            return WeightingNetwork(n_inputs)
        return WeightingNetwork(n_inputs, 32, max_weight=2.0, zero_init=True)

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lookahead_lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        r"""Leave the gradient of the weighted loss in ``.grad``, and step :math:`\psi` if asked."""
        forward = self._training_pass(module, batch, meta_batch, update=update)
        inputs = self.batch_inputs(forward.losses, batch)
        meta_loss = None
        # Alignments of the last layer come with the training pass: the memory gets them always.
        if self.memory_decay and (update or self.compares_last_layer):
            alignments, meta_loss = self.align(module, forward, meta_batch)
            weights = self._weights_by_memory(inputs, batch, alignments, update=update)
        else:
            if update:
                grads, meta_loss = self.hypergradient(
                    module, forward, inputs, meta_batch, lookahead_lr
                )
                self.step_weighting(grads)
            with torch.no_grad():
                weights = self.scaled(self.network(inputs), batch)
        loss = self._fill_gradients(forward, weights)
        return StepResult(loss, forward.y_pred, forward.losses.detach(), weights, meta_loss)

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
        weights = self.scaled(self.network(inputs), batch)
        training_loss = self.objective.training_loss(forward, weights.detach())
        grads = gradient(training_loss, params, retain_graph=True)
        lookahead_params = lookahead(params, grads, lookahead_lr)
        direction, meta_loss = meta_gradient(self.objective, module, lookahead_params, meta_batch)
        alignments = self.alignments(self.objective, module, forward, direction)
        per_weight = -lookahead_lr * self.objective.counts(batch, alignments)
        return self.network_gradient(weights, per_weight), meta_loss

    def _weights_by_memory(
        self, inputs: Tensor, batch: Batch, alignments: Tensor, *, update: bool
    ) -> Tensor:
        r"""Weigh by the memory as it was before the batch, from which :math:`\psi` then learns."""
        scaled = self.memory.scale(alignments)
        with torch.set_grad_enabled(update):
            raw = self.network(inputs)
            weights = self.scaled(raw, batch)
            if update:
                objective = self.prior * (raw - 1).square() - scaled * weights
                surrogate = sample_mean(objective, batch.sample_weight)
                self.step_weighting(self.network_gradient(surrogate))
        self.memory.remember(batch.index, scaled)
        return self.confirmed(weights.detach())
