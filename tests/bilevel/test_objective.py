"""The losses of both levels, and the steps on them."""

import copy

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.gradients import accumulate, lookahead, meta_gradient, trainable
from skmetaweight._bilevel.objective import Objective
from skmetaweight._bilevel.stage import Stage
from tests._reference import cross_entropy
from tests.reweighting._cases import (
    MODULE_CASES,
    make_batch,
    make_meta_batch,
    make_module,
    mlp,
)


def objective(meta_share=0.0):
    return Objective(nn.CrossEntropyLoss(reduction="none"), meta_share)


def random_direction(module):
    return {name: torch.randn_like(param) for name, param in trainable(module).items()}


# ------------------------------------------------------------------ the training pass


@pytest.mark.parametrize("robustness", [0, 0.7])
@pytest.mark.parametrize("learned", [0, 0.9])
@pytest.mark.parametrize(("meta_share", "share"), [(0.0, 0.0), (0.3, 0.3), (0.3, 0.0)])
def test_training_loss_is_its_equation(meta_share, share, learned, robustness):
    module, weights = make_module(), torch.rand(12, dtype=torch.float64)
    batch, meta_batch = make_batch(weighted=True), make_meta_batch()
    class_weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    criterion = nn.CrossEntropyLoss(reduction="none")
    stage = Stage(share) if share != meta_share else None
    taught = torch.rand(len(meta_batch.y), dtype=torch.float64) if learned else None
    goal = Objective(criterion, meta_share, class_weight, robustness, learned, taught, stage)
    forward = goal.training_pass(module, batch, meta_batch)
    losses = cross_entropy(module(batch.X), batch.y)
    torch.testing.assert_close(forward.losses, losses)
    expected = (1 - share) * (batch.sample_weight * weights * losses).sum() / 12
    if meta_share:
        meta_losses = cross_entropy(module(meta_batch.X), meta_batch.y)

        def mean_bounded(q):  # generalized cross-entropy, by the probability of the given label
            bounded = (1 - torch.exp(-meta_losses) ** q) / q if q else meta_losses
            return (class_weight[meta_batch.y] * bounded).mean()

        torch.testing.assert_close(forward.meta_loss, mean_bounded(robustness))
        left = mean_bounded(robustness)
        if learned:
            counts = taught[meta_batch.index] * class_weight[meta_batch.y]
            left = (counts * torch.relu(meta_losses - learned)).mean()
            assert 0 < (meta_losses < learned).sum() < len(meta_losses)
        expected = expected + share * left
    found = goal.training_loss(forward, weights)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_meta_gradient_is_exact_and_moves_no_statistics():
    case = MODULE_CASES["both"]
    module, meta_batch = make_module(case), make_meta_batch(case)
    state = copy.deepcopy(module.state_dict())
    torch.manual_seed(0)
    grads, loss = meta_gradient(objective(), module, trainable(module), meta_batch)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    torch.manual_seed(0)
    expected = cross_entropy(module(meta_batch.X), meta_batch.y).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name, param in trainable(module).items():
        torch.testing.assert_close(grads[name], param.grad)


class TwoNames(nn.Module):
    """One matrix under two names of one layer."""

    def __init__(self):
        super().__init__()
        self.first = self.second = nn.Parameter(torch.randn(5, 5))
        self.out = nn.Linear(5, 3)

    def forward(self, X):
        return self.out(torch.tanh(X @ self.first) @ self.second)


def one_layer_twice():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(5, 3))


@pytest.mark.parametrize("make", [one_layer_twice, TwoNames])
def test_shared_tensors_are_moved_everywhere_and_put_back(make):
    torch.manual_seed(0)
    module = make().double()
    params, meta_batch = trainable(module), make_meta_batch()
    moved = {name: param.detach() + 1 for name, param in params.items()}
    got = objective().losses_at(module, moved, (meta_batch,))
    assert all(param is params[name] for name, param in module.named_parameters())
    with torch.no_grad():
        for param in module.parameters():
            param += 1
    torch.testing.assert_close(got, cross_entropy(module(meta_batch.X), meta_batch.y))


def test_lookahead_is_one_detached_step_of_sgd():
    module = mlp(nn.Tanh()).double()
    params = trainable(module)
    grads = random_direction(module)
    for name, moved in lookahead(params, grads, 0.3).items():
        torch.testing.assert_close(moved, params[name] - 0.3 * grads[name])
        assert moved.is_leaf
        assert moved.requires_grad


def test_accumulate_adds_to_what_is_there():
    module = mlp(nn.Tanh()).double()
    params, grads = trainable(module), random_direction(module)
    accumulate(params, grads)
    accumulate(params, grads)
    for name, param in params.items():
        torch.testing.assert_close(param.grad, 2 * grads[name])
