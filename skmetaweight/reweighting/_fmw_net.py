r"""FMW-Net: Meta-Weight-Net by a value function, with first-order gradients only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skmetaweight._bilevel.forward import Params
from skmetaweight._bilevel.gradients import accumulate, gradient, lookahead, trainable
from skmetaweight._bilevel.objective import Batch, TrainingPass, sample_mean
from skmetaweight.reweighting._exchange import StepResult
from skmetaweight.reweighting._function_based import FunctionBasedReweighter, check_setting


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
    lookahead_lr : float or "lr", default=0.1
        Step size :math:`\alpha` of the virtual step; "lr" for the learning rate that the optimiser
        has now, as published.
    eta : float, default=0.5
        :math:`\eta`.
    normalize : bool, default=True
        Whether weights have mean one over the batch.
    weighting : Module, "class-aware", "cmw" or None, default=None
        Network from inputs (n, n_inputs) to weights (n,). None for :class:`WeightingNetwork`;
        "class-aware" adds the given label, one-hot, to what that sees. A network of yours sees it
        if it has a true attribute ``class_aware``. "cmw" has a head for each cluster of classes
        of like size, as CMW-Net.
    optimizer : callable or None, default=None
        Makes :math:`\psi`'s optimiser from parameters and ``lr``; None for Adam.

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

    NOTE[DIFF]: only the training pass moves BatchNorm statistics. In the released code the pass of
    the meta batch moves them as well.

    NOTE[DIFF]: the first meta step comes with the first batch, and the count goes on from epoch to
    epoch. In the released code it comes with the 20th batch of each epoch.

    It compares values, not alignments, and so has no alignment memory.
    """

    paper_url = (
        "https://scholar.xjtu.edu.cn/en/publications/"
        "fmw-net-a-first-order-meta-weight-net-approach-for-sample-weighti/"
    )

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **FunctionBasedReweighter._parameter_constraints,
        "eta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        meta_lr: float = 1e-2,
        meta_interval: int = 20,
        lookahead_lr: float | str = 0.1,
        eta: float = 0.5,
        normalize: bool = True,
        weighting: nn.Module | str | None = None,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    ) -> None:
        super().__init__(
            meta_lr=meta_lr,
            meta_interval=meta_interval,
            lookahead_lr=lookahead_lr,
            normalize=normalize,
            weighting=weighting,
            optimizer=optimizer,
        )
        self.eta = eta

    @classmethod
    def paper(cls, setting: str = "noise") -> FirstOrderMetaWeightNet:
        r"""Return the released setting for label noise or for imbalanced classes.

        For the training around it, which has batches of 256, see
        :data:`~skmetaweight.reweighting.PAPER_TRAINING`. With another optimiser than SGD the fair
        published baseline is ``paper().set_params(lookahead_lr=0.1)`` with ``meta_share=0,
        early_stopping=False``.

        Parameters
        ----------
        setting : {"noise", "imbalance"}, default="noise"
            Raw weights, a meta step every 20 batches, and SGD for :math:`\psi`: at 1e-3 with weight
            decay 1e-4, or at 1e-4 with weight decay 1e-5.
        """
        meta_lr, decay = (1e-3, 1e-4) if check_setting(setting) == "noise" else (1e-4, 1e-5)
        sgd = partial(torch.optim.SGD, weight_decay=decay)
        return cls(meta_lr=meta_lr, lookahead_lr="lr", normalize=False, optimizer=sgd)

    def build(self, n_classes: int, like: Tensor) -> None:
        """Create the weighting network and its optimiser."""
        super().build(n_classes, like)
        self.meta_interval_ = self.meta_interval
        adam = partial(torch.optim.Adam, fused=True)
        self.network_optimizer_ = self._make_optimizer(adam, self.meta_lr)

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        """Take a meta step if it is due, else weigh the batch; fill ``.grad``."""
        params = trainable(module)
        forward = self.objective_.training_pass(module, batch, meta_batch, repeatable=update)
        losses = forward.losses.detach()
        weights = self.scaled(self.network_(self.batch_inputs(losses, batch)), batch)
        meta_loss, diagnostics = None, {}
        if update:
            loss = self.objective_.weighted_loss(forward, weights.detach())
            alpha = self.lookahead_size(lr)
            q_theta = gradient(loss, params, retain_graph=forward.meta_loss is not None)
            q_psi = self._value_gradient(module, params, forward, weights, q_theta, alpha)
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
            losses_p = self.objective_.repeated(module, p, forward)[: batch.n_rows]
        weights_p = self.scaled(self.network_(self.batch_inputs(losses_p, batch)), batch)
        q = weights * forward.losses.detach() - weights_p * losses_p
        return self.network_gradient(sample_mean(q, batch.sample_weight))

    def _multiplier(self, meta_grads: Params, q_theta: Params, q_psi: tuple[Tensor, ...]) -> Tensor:
        meta, theta = (
            torch.cat([grads[k].flatten() for k in q_theta]) for grads in (meta_grads, q_theta)
        )
        psi = torch.cat([grad.flatten() for grad in q_psi])
        return (self.eta - meta @ theta / (theta @ theta + psi @ psi + 1e-8)).clamp(min=0)
