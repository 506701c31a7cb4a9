r"""LiLAW: three learned numbers weigh rows by two probabilities."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from skmetaweight._bilevel.certainties import certainties
from skmetaweight._bilevel.objective import Batch, TrainingPass
from skmetaweight.reweighting._base import Reweighter
from skmetaweight.reweighting._exchange import Evaluation, StepResult

PUBLISHED = (10.0, 2.0, 6.0)
r""":math:`\alpha, \beta, \delta` at the start, in the released script for Clothing1M."""

WHY_NO_FUNCTION = (
    "the weight of a row depends on the probability of its label and on the largest one, of which "
    "a loss tells only the first."
)


class LiLAW(Reweighter):
    r"""LiLAW: weigh easy, hard and moderate rows by three learned numbers [1]_.

    With :math:`s_i` the probability of the label, and :math:`m_i` the largest of any class,

    .. math:: w_i = \sigma(\alpha s_i - m_i) + \sigma(m_i - \beta s_i)
                    + e^{-(\delta s_i - m_i)^2 / 2} .

    The gradient of the training loss :math:`\tfrac1n \sum_i w_i \ell_i` goes through :math:`w_i`
    too. Then, with :math:`\theta` as it is, each of the three numbers :math:`p` takes a step on the
    same loss of a meta batch,

    .. math:: p \leftarrow p - \eta \Bigl(\frac{\partial}{\partial p}
              \tfrac1m \sum_j w_j \ell_j + \mu p\Bigr),

    and is held to :math:`\alpha \ge 1` and :math:`\delta \ge \beta`. Trusted rows may be wrong as
    others are.

    Parameters
    ----------
    alpha, beta, delta : float, default=10.0, 2.0 and 6.0
        Where the three numbers start.
    meta_lr : float, default=0.005
        Their step size :math:`\eta`.
    weight_decay : float, default=1e-4
        :math:`\mu`.
    warm_up : int, default=2
        First epochs, in which all rows have weight one.

    References
    ----------
    .. [1] Moturu et al. LiLAW: Lightweight Learnable Adaptive Weighting to Meta-Learn Sample
       Difficulty and Improve Noisy Training. arXiv 2509.20786, 2025.

    Notes
    -----
    It is no bilevel method. A loss that is not negative rises with :math:`\alpha` and falls with
    :math:`\beta` whatever the rows are, so that but for the decay the one always falls, and the
    other always rises. ``MetaWeightNet(memory=0, weighting="lilaw")`` steps the same three numbers
    along the true hypergradient.

    NOTE[DIFF]: a meta step comes before its batch instead of after it, so that there is one before
    the first batch and none after the last.

    NOTE[DIFF]: only the training pass moves BatchNorm statistics. In the released code the pass of
    the meta batch moves them as well.

    With a bounded meta loss, weights of classes or a meta share, :math:`\ell_j` are those losses of
    trusted rows that other methods have; without them it is as published. The weights of a fitted
    classifier are always those of the equation, also if the warm-up was never over.
    """

    why_no_function = WHY_NO_FUNCTION
    paper_url = "https://arxiv.org/abs/2509.20786"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "alpha": [Interval(Real, 1, None, closed="left")],
        "beta": [Interval(Real, None, None, closed="neither")],
        "delta": [Interval(Real, None, None, closed="neither")],
        "meta_lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "warm_up": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        alpha: float = PUBLISHED[0],
        beta: float = PUBLISHED[1],
        delta: float = PUBLISHED[2],
        meta_lr: float = 0.005,
        weight_decay: float = 1e-4,
        warm_up: int = 2,
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.delta = delta
        self.meta_lr = meta_lr
        self.weight_decay = weight_decay
        self.warm_up = warm_up

    def build(self, n_classes: int, like: Tensor) -> None:
        """Create the three numbers."""
        super().build(n_classes, like)
        if self.delta < self.beta:
            raise ValueError(
                f"LiLAW holds delta to at least beta, got delta={self.delta} and "
                f"beta={self.beta}: raise delta."
            )
        self.numbers_ = self.like_.new_tensor([self.alpha, self.beta, self.delta])
        self.rows_seen_ = 0

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        """Step the three numbers; leave the gradient of the loss that they weigh in ``.grad``."""
        del lr
        forward = self.objective_.training_pass(module, batch, meta_batch, repeatable=False)
        is_warm = self.rows_seen_ >= self.warm_up * self.n_rows_
        self.rows_seen_ += batch.n_rows
        meta_loss = forward.meta_loss
        weights = torch.ones_like(forward.losses)
        if is_warm:
            if update:
                meta_loss = self._step_numbers(module, forward, meta_batch)
            weights = self._weights(self.numbers_, forward.outputs[: batch.n_rows], batch.y)
        loss = self._fill_gradients(forward, weights)
        return StepResult(
            loss,
            forward.y_pred,
            forward.losses.detach(),
            weights.detach(),
            None if meta_loss is None else meta_loss.detach(),
            dict(zip(("lilaw_alpha", "lilaw_beta", "lilaw_delta"), self.numbers_, strict=True)),
        )

    def _weights(self, numbers: Tensor, outputs: Tensor, y: Tensor) -> Tensor:
        probabilities = self.objective_.to_probabilities(outputs)
        return lilaw_weights(numbers, certainties(probabilities, y))

    def _step_numbers(self, module: nn.Module, forward: TrainingPass, meta_batch: Batch) -> Tensor:
        """Return the meta loss, of the training pass if trusted rows were in it."""
        if forward.meta_loss is None:
            with torch.no_grad():
                forward = self.objective_.meta_pass(module, meta_batch)
        assert forward.meta_loss is not None
        places = slice(-meta_batch.n_rows, None)
        numbers = self.numbers_.clone().requires_grad_()
        weights = self._weights(numbers, forward.outputs[places].detach(), meta_batch.y)
        losses = forward.all_losses[places].detach()
        loss = self.objective_.meta_loss(losses, meta_batch.y, weights)
        (grad,) = torch.autograd.grad(loss, numbers)
        decay = self.weight_decay * self.numbers_
        alpha, beta, delta = self.numbers_ - self.meta_lr * (grad + decay)
        self.numbers_ = torch.stack([alpha.clamp(min=1), beta, torch.maximum(delta, beta)])
        return forward.meta_loss

    def raw_weights(self, rows: Evaluation) -> Tensor:
        """Weigh rows by what the fitted classifier makes of them."""
        return lilaw_weights(self.numbers_, rows.certainties())

    def state_dict(self) -> dict[str, Any]:
        """Return the three numbers, and how far the warm-up has come."""
        own = {"numbers": self.numbers_.clone(), "rows_seen": self.rows_seen_}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self.numbers_, self.rows_seen_ = state["numbers"].clone(), state["rows_seen"]


class ThreeNumbers(nn.Module):
    """The weights of LiLAW as a weighting network, of inputs (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor(PUBLISHED))

    def forward(self, inputs: Tensor) -> Tensor:
        return lilaw_weights(self.numbers, inputs)


def lilaw_weights(numbers: Tensor, certainties: Tensor) -> Tensor:
    alpha, beta, delta = numbers
    s, m = certainties.unbind(-1)
    easy, hard = torch.sigmoid(alpha * s - m), torch.sigmoid(m - beta * s)
    return easy + hard + torch.exp(-0.5 * (delta * s - m).square())
