r"""What Meta-Weight-Net's theorems 1 and 2 state, step by step and over a run.

Shu et al., NeurIPS 2019. The batch is always the same, all rows, so that there is no variance. The
problem is strongly convex: half squared errors of a linear module. All constants are those of the
problem: :math:`L` of the losses, :math:`\rho` of their gradients where the run has been,
:math:`\delta` and :math:`B` of the weighting function.
"""

import math

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight.reweighting import MetaWeightNet
from tests.reweighting._cases import flat, grads_of

N_ROWS, N_META, N_FEATURES, N_CLASSES = 40, 20, 3, 3
STEEPEST = 1 / 4
r"""The largest :math:`\sigma'`."""
MOST_BENT = 1 / (6 * math.sqrt(3))
r"""The largest :math:`|\sigma''|`."""
ROUNDING = 1e-12


class Squares(nn.Module):
    """Half squared errors of each row."""

    def forward(self, y_pred, y):
        return 0.5 * (y_pred - nn.functional.one_hot(y, N_CLASSES)).square().sum(dim=1)


class Run:
    r"""Published steps on all rows, and the constants of what they met.

    Weights are :math:`\sigma(a\ell + b)`.
    """

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        X = torch.randn(N_ROWS + N_META, N_FEATURES, generator=generator, dtype=torch.float64)
        truth = torch.randn(N_FEATURES, N_CLASSES, generator=generator, dtype=torch.float64)
        y = (X @ truth).argmax(dim=1)
        wrong = torch.rand(N_ROWS, generator=generator) < 0.4
        y[:N_ROWS][wrong] = (y[:N_ROWS][wrong] + 1) % N_CLASSES
        self.batch = Batch(X[:N_ROWS], y[:N_ROWS], torch.arange(N_ROWS))
        self.meta_batch = Batch(X[N_ROWS:], y[N_ROWS:], torch.arange(N_META))
        torch.manual_seed(seed)
        self.module = nn.Linear(N_FEATURES, N_CLASSES, dtype=torch.float64)
        network = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Flatten(0)).double()
        self.reweighter = MetaWeightNet(
            memory=0.0,
            normalize=False,
            weighting=network,
            lookahead_lr="lr",
            meta_lr=1.0,
            optimizer=torch.optim.SGD,
        )
        self.reweighter.build(N_CLASSES, self.module.weight)
        self.reweighter.bind(Objective(Squares()), N_ROWS)
        self.inputs = torch.cat([X[:N_ROWS], torch.ones(N_ROWS, 1)], dim=1)  # with the bias
        self.smoothness = float((X.square().sum(dim=1) + 1).max())
        curvatures = torch.linalg.eigvalsh(self.inputs.T @ self.inputs / N_ROWS)
        self.mean_smoothness = float(curvatures[-1])
        self.rho, self.largest_loss = 0.0, 0.0

    @property
    def psi(self):
        return flat(self.reweighter.network_.parameters())

    def losses(self, theta, batch):
        W, b = theta[:-N_CLASSES].view(N_CLASSES, N_FEATURES), theta[-N_CLASSES:]
        return Squares()(batch.X @ W.T + b, batch.y)

    def weights(self, psi):
        return torch.sigmoid(psi[0] * self.at_start + psi[1])

    def training_loss(self, theta, psi):
        """Return the loss with weights of the losses where the last step began."""
        return (self.weights(psi) * self.losses(theta, self.batch)).mean()

    def meta_loss(self, theta):
        return self.losses(theta, self.meta_batch).mean()

    def step(self, alpha, beta):
        """Take a step; remember where it began, the gradients of both levels and the constants."""
        self.theta, self.alpha = flat(self.module.parameters()), alpha
        self.at_start = self.losses(self.theta, self.batch)
        self.psi_before = self.psi
        self.reweighter.network_optimizer_.param_groups[0]["lr"] = beta
        self.module.zero_grad()
        self.reweighter.step(self.module, self.batch, self.meta_batch, alpha)
        self.meta_gradient = (self.psi_before - self.psi) / beta
        self.gradient = flat(grads_of(self.module))
        with torch.no_grad():
            for param in self.module.parameters():
                param -= alpha * param.grad
        self._note_constants(alpha)

    def gradient_norms(self, theta, batch):
        """Return those of the losses of single rows."""
        return (2 * self.losses(theta, batch) * (batch.X.square().sum(dim=1) + 1)).sqrt()

    def _note_constants(self, alpha):
        r"""Raise :math:`\rho` to the gradients at the start and wherever a virtual step may end."""
        norms = [
            self.gradient_norms(self.theta, batch).max() for batch in (self.batch, self.meta_batch)
        ]
        beyond = norms[1] + self.smoothness * alpha * norms[0]
        self.rho = max(self.rho, float(norms[0]), float(beyond))
        self.largest_loss = max(self.largest_loss, float(self.at_start.max()))

    @property
    def delta(self):
        return STEEPEST * math.sqrt(self.largest_loss**2 + 1)

    def meta_smoothness(self, alpha):
        r"""Return the constant of lemma 1, :math:`\alpha\rho^2(\alpha L \delta^2 + B)`."""
        bent = MOST_BENT * (self.largest_loss**2 + 1)
        return alpha * self.rho**2 * (alpha * self.smoothness * self.delta**2 + bent)

    def training_gradient(self, theta, psi):
        theta = theta.clone().requires_grad_()
        return torch.autograd.grad(self.training_loss(theta, psi), theta)[0]

    def virtual(self, psi):
        """Return where a virtual step of the last step's length ends."""
        return self.theta - self.alpha * self.training_gradient(self.theta, psi)

    def curvatures(self):
        """Return the smallest and the largest curvature of the weighted loss."""
        weighted = self.weights(self.psi)[:, None] * self.inputs
        values = torch.linalg.eigvalsh(weighted.T @ self.inputs / N_ROWS)
        return float(values[0]), float(values[-1])


def steps_of_theorem_1(run, horizon):
    r"""Take the steps of a horizon; return the squared meta gradients and what bounds the least."""
    alpha, beta = min(1.0, 2 / horizon), 1 / math.sqrt(horizon)
    squares, meta_losses = [], []
    for _ in range(horizon):
        run.step(alpha, beta)
        squares.append(float(run.meta_gradient.square().sum()))
        meta_losses.append(float(run.meta_loss(run.virtual(run.psi_before))))
        change = float(run.meta_loss(run.virtual(run.psi))) - meta_losses[-1]
        slack = run.meta_smoothness(alpha) * beta / 2
        assert slack < 0.5, "with longer steps lemma 1 says too little"
        lower, upper = (-beta * (1 + sign * slack) * squares[-1] for sign in (1, -1))
        assert lower - ROUNDING <= change <= upper + ROUNDING
        # The step of the module is the virtual step with the new function: the proof's telescope.
        torch.testing.assert_close(flat(run.module.parameters()), run.virtual(run.psi))
    drift = alpha * run.rho**2 * (1 + alpha * run.smoothness / 2)
    increases = torch.tensor(meta_losses).diff()
    assert increases.max() <= drift
    slack = run.meta_smoothness(alpha) * beta / 2
    return squares, (meta_losses[0] + horizon * drift) / (horizon * beta * (1 - slack))


@pytest.mark.parametrize("seed", range(2))
def test_theorem_1_the_meta_gradient_vanishes_as_one_over_the_root_of_the_steps(seed):
    r"""With :math:`\alpha = \min(1, k/T)` and :math:`\beta = c/\sqrt T`."""
    least = {}
    for horizon in (200, 400):
        squares, bound = steps_of_theorem_1(Run(seed), horizon)
        least[horizon] = min(squares)
        assert least[horizon] <= bound
    assert least[400] <= least[200] / math.sqrt(2)


@pytest.mark.parametrize("seed", range(2))
def test_theorem_2_the_training_gradient_vanishes(seed):
    r"""With steps whose sum diverges, and the sum of whose squares does not.

    A step on weighted losses with Hessian eigenvalues from :math:`\mu` to :math:`L` shrinks their
    gradient by a factor from :math:`1 - \alpha L` to :math:`1 - \alpha\mu`; weights that change
    then add at most :math:`\rho` times their mean change.
    """
    run = Run(seed)
    first, bound, rho, weights = 0.0, 0.0, 0.0, torch.zeros(N_ROWS)
    for t in range(200):
        alpha, beta = 1 / (run.mean_smoothness * (1 + t / 50)), 1 / (1 + t / 50)
        run.step(alpha, beta)
        norm = float(run.gradient.norm())
        if t == 0:
            first = bound = norm
        else:
            bound += rho * float((run.weights(run.psi) - weights).abs().mean())
        assert norm <= bound + ROUNDING
        low, high = run.curvatures()
        after, weights = flat(run.module.parameters()), run.weights(run.psi)
        shrunk = float(run.training_gradient(after, run.psi).norm())
        assert (1 - alpha * high) * norm - ROUNDING <= shrunk <= (1 - alpha * low) * norm + ROUNDING
        bound *= 1 - alpha * low
        rho = float(run.gradient_norms(after, run.batch).max())
    assert bound < 1e-2 * first
