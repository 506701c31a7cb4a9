r"""FMW-Net: Meta-Weight-Net by a value function, with first-order gradients only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from skmetaweight._forward import Params
from skmetaweight._functional import (
    Batch,
    TrainingPass,
    accumulate,
    gradient,
    lookahead,
    sample_mean,
    trainable,
)
from skmetaweight.reweighting._base import StepResult
from skmetaweight.reweighting._function_based import FunctionBasedReweighter


class FirstOrderMetaWeightNet(FunctionBasedReweighter):
    r"""FMW-Net: one first-order step on both levels [1]_.

    Every ``meta_interval`` batches, with :math:`V` frozen where it weighs losses,

    .. math::
        p &= \theta - \alpha \nabla_\theta \tfrac1n \sum_i V_\psi(\ell_i(\theta))\,\ell_i(\theta) \\
        q(\theta, \psi) &= \tfrac1n \sum_i V_\psi(\ell_i(\theta))\,\ell_i(\theta)
                         - \tfrac1n \sum_i V_\psi(\ell_i(p))\,\ell_i(p) \\
        \lambda &= \max\Bigl(\eta - \frac{\langle \nabla L_{meta}(\theta), \nabla_\theta q \rangle}
                  {\lVert\nabla_\theta q\rVert^2 + \lVert\nabla_\psi q\rVert^2 + 10^{-8}},\, 0\Bigr)

    and the steps are :math:`\nabla L_{meta} + \lambda \nabla_\theta q` for :math:`\theta`,
    :math:`\lambda \nabla_\psi q` for :math:`\psi`. Between them the batch is weighted and
    :math:`V` stays as it is. The gradient that makes :math:`p` is :math:`\nabla_\theta q`: it is
    computed once.

    Parameters
    ----------
    meta_lr : float, default=1e-2
        Step size of :math:`\psi`.
    meta_interval : int, default=20
        Batches between meta steps.
    eta : float, default=0.5
        :math:`\eta`.
    normalize : bool, default=True
        Whether weights have mean one over the batch.
    weighting : Module, optional
        Network from inputs (n, n_inputs) to weights (n,); None for :class:`WeightingNetwork`.
    class_aware : bool, default=False
        Whether the function sees the given label.
    optimizer : callable, optional
        Makes :math:`\psi`'s optimiser; Adam if None.

    References
    ----------
    .. [1] Zhou, Shu, Liu and Meng. FMW-Net: A First-Order Meta-Weight-Net Approach for Sample
       Weighting. International Journal of Machine Learning and Cybernetics, 16, 2025.

    Notes
    -----
    NOTE[DIFF]: :math:`\psi` is trained by Adam at 1e-2. The released setting, plain SGD at 1e-3,
    hardly moves :math:`V`; :meth:`paper` gives it.

    NOTE[DIFF]: weights have mean one. Raw weights fall during training, and the few trusted rows
    then outweigh all others.

    NOTE[DIFF]: the losses at :math:`p` use the dropout mask of the losses at :math:`\theta`, so
    that :math:`q` compares parameters and not masks.

    It compares values, not alignments, and so has no alignment memory.
    """

    paper_url = (
        "https://scholar.xjtu.edu.cn/en/publications/"
        "fmw-net-a-first-order-meta-weight-net-approach-for-sample-weighti/"
    )

    def __init__(
        self,
        *,
        meta_lr: float | None = None,
        meta_interval: int | None = None,
        eta: float = 0.5,
        normalize: bool = True,
        weighting: nn.Module | None = None,
        class_aware: bool = False,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    ) -> None:
        super().__init__(
            weighting=weighting,
            class_aware=class_aware,
            memory=0.0,
            normalize=normalize,
            meta_lr=meta_lr or 1e-2,
            optimizer=optimizer or partial(torch.optim.Adam, fused=True),
            meta_interval=meta_interval or 20,
        )
        self.eta = eta

    @classmethod
    def paper(cls) -> FirstOrderMetaWeightNet:
        """Return the released setting for label noise: SGD 1e-3, decay 1e-4, interval 20.

        In the classifier, set ``meta_share=0`` and ``lookahead_lr="lr"`` too.
        """
        sgd = partial(torch.optim.SGD, weight_decay=1e-4)
        return cls(meta_lr=1e-3, meta_interval=20, normalize=False, optimizer=sgd)

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lookahead_lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        """Take a meta step if it is due, else weigh the batch; fill ``.grad``."""
        params = trainable(module)
        forward = self.objective.training_pass(module, batch, meta_batch, repeatable=update)
        losses = forward.losses.detach()
        weights = self.scaled(self.network(self.batch_inputs(losses, batch)), batch)
        meta_loss, diagnostics = None, {}
        if update:
            loss = self.objective.weighted_loss(forward, weights.detach())
            q_theta = gradient(loss, params, retain_graph=forward.meta_loss is not None)
            q_psi = self._value_gradient(module, params, forward, weights, q_theta, lookahead_lr)
            meta_grads, meta_loss = self._meta_gradient_at_params(module, forward, meta_batch)
            multiplier = self._multiplier(meta_grads, q_theta, q_psi)
            accumulate(
                params,
                {k: torch.addcmul(meta_grads[k], multiplier, q_theta[k]) for k in params},
            )
            self.step_weighting([multiplier * grad for grad in q_psi])
            diagnostics = {"fmw_lambda": multiplier}
        else:
            loss = self._fill_gradients(forward, weights.detach())
        return StepResult(
            loss.detach(), forward.y_pred, losses, weights.detach(), meta_loss, diagnostics
        )

    def _value_gradient(
        self,
        module: nn.Module,
        params: Params,
        forward: TrainingPass,
        weights: Tensor,
        q_theta: Params,
        lookahead_lr: float,
    ) -> tuple[Tensor, ...]:
        r"""Return :math:`\nabla_\psi q`."""
        batch = forward.rows[0]
        p = lookahead(params, q_theta, lookahead_lr)
        with torch.no_grad():
            losses_p = self.objective.repeated(module, p, forward)[: batch.n_rows]
        weights_p = self.scaled(self.network(self.batch_inputs(losses_p, batch)), batch)
        q = weights * forward.losses.detach() - weights_p * losses_p
        return self.network_gradient(sample_mean(q, batch.sample_weight))

    def _multiplier(self, meta_grads: Params, q_theta: Params, q_psi: tuple[Tensor, ...]) -> Tensor:
        meta, theta = (
            torch.cat([grads[k].flatten() for k in q_theta]) for grads in (meta_grads, q_theta)
        )
        psi = torch.cat([grad.flatten() for grad in q_psi])
        return (self.eta - meta @ theta / (theta @ theta + psi @ psi + 1e-8)).clamp(min=0)
