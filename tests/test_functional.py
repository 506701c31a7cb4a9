"""The alignments are the per-sample products they stand for, whatever the module does."""

import copy
import warnings

import pytest
import torch
from torch import nn

from skmetaweight import _functional
from skmetaweight._functional import Alignments, Batch, Objective, trainable
from tests._reference import cross_entropy, per_sample_alignments
from tests.reweighting._cases import (
    APPROXIMATE_MODULE_CASES,
    MODULE_CASES,
    N_CLASSES,
    expected_warning,
    make_batch,
    make_meta_batch,
    make_module,
    mlp,
    relative_error,
)

ALL_MODULE_CASES = {**MODULE_CASES, **APPROXIMATE_MODULE_CASES}
FORWARD_MODE = {name: case for name, case in MODULE_CASES.items() if case.fallback is None}
FALLBACKS = {name: case for name, case in ALL_MODULE_CASES.items() if case.fallback}


def objective(meta_share=0.0):
    return Objective(nn.CrossEntropyLoss(reduction="none"), meta_share)


def random_direction(module):
    return {name: torch.randn_like(param) for name, param in trainable(module).items()}


def pass_and_direction(module, case, meta_share=0.0):
    batch, meta_batch = make_batch(case), make_meta_batch(case)
    forward = objective(meta_share).training_pass(module, batch, meta_batch)
    return forward, random_direction(module)


def to_float32(rows):
    X = rows.X.float() if rows.X.is_floating_point() else rows.X
    return Batch(X, rows.y, rows.index)


# ------------------------------------------------------------------ alignments


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("case", MODULE_CASES.values(), ids=MODULE_CASES)
def test_alignments_are_exact(case, meta_share):
    module = make_module(case)
    forward, direction = pass_and_direction(module, case, meta_share)
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    alignments = Alignments()
    with expected_warning(case):
        got = alignments(objective(meta_share), module, forward, direction)
    assert alignments.mode == (case.fallback or "forward-mode")
    assert not got.requires_grad
    assert relative_error(got, expected) < 1e-12


@pytest.mark.parametrize("case", FALLBACKS.values(), ids=FALLBACKS)
def test_fallback_warns_once_and_is_close_in_float32(case):
    module = make_module(case)
    single = copy.deepcopy(module).float()
    forward, direction = pass_and_direction(module, case)
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    direction = {name: tangent.float() for name, tangent in direction.items()}
    rows = to_float32(make_batch(case))
    forward = objective().training_pass(single, rows, rows)
    alignments = Alignments()
    with pytest.warns(UserWarning, match="The alignments are computed by") as caught:
        first = alignments(objective(), single, forward, direction)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = alignments(objective(), single, forward, direction)
    assert relative_error(first, expected) < 1e-3
    torch.testing.assert_close(first, second)
    forward.losses.sum().backward()  # the graph of the training pass is still there


@pytest.mark.parametrize("case", APPROXIMATE_MODULE_CASES.values(), ids=APPROXIMATE_MODULE_CASES)
def test_central_differences_converge_in_float64(case):
    module = make_module(case)
    forward, direction = pass_and_direction(module, case)
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    with expected_warning(case):
        got = Alignments()(objective(), module, forward, direction)
    assert relative_error(got, expected) < 1e-5


def test_lstm_in_float32_needs_a_double_backward():
    case = MODULE_CASES["lstm"]  # the fused kernel of the CPU, which float64 does not take
    module = make_module(case, dtype=torch.float32)
    rows = to_float32(make_batch(case))
    forward = objective().training_pass(module, rows, rows)
    direction = random_direction(module)
    alignments = Alignments()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = alignments(objective(), module, forward, direction)
    fell_back = alignments.mode == "double-backward"
    assert sum("alignments" in str(warning.message) for warning in caught) == fell_back
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 1e-5


@pytest.mark.parametrize("name", ["no_grad block", "custom function", "embedding bag"])
def test_alignments_of_a_pass_without_graph(name):
    """As when rows that were never trained on are weighed."""
    case = ALL_MODULE_CASES[name]
    module = make_module(case).eval()
    forward, direction = pass_and_direction(module, case)
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    alignments = Alignments()
    with expected_warning(case):
        alignments(objective(), module, forward, direction)
    rows = make_batch(case)
    with torch.no_grad():
        forward = objective().training_pass(module, rows, rows)
    got = alignments(objective(), module, forward, direction)
    assert not got.requires_grad
    assert relative_error(got, expected) < 1e-5


@pytest.mark.parametrize("case", MODULE_CASES.values(), ids=MODULE_CASES)
def test_alignments_leave_module_and_generator_alone(case):
    module = make_module(case)
    forward, direction = pass_and_direction(module, case)
    state, generator = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    with expected_warning(case):
        Alignments()(objective(), module, forward, direction)
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(param.grad is None for param in module.parameters())


def test_alignments_are_linear_in_the_direction():
    module = make_module(MODULE_CASES["both"])
    forward, first = pass_and_direction(module, MODULE_CASES["both"])
    second = random_direction(module)
    mixed = {name: 2 * first[name] - 3 * second[name] for name in first}
    alignments = Alignments()
    at_first, at_second, at_mixed = (
        alignments(objective(), module, forward, direction) for direction in (first, second, mixed)
    )
    torch.testing.assert_close(at_mixed, 2 * at_first - 3 * at_second)


def test_a_direction_of_zeros_gives_zeros():
    for case in (MODULE_CASES["both"], MODULE_CASES["custom function"]):
        module = make_module(case)
        forward, direction = pass_and_direction(module, case)
        zeros = {name: torch.zeros_like(tangent) for name, tangent in direction.items()}
        with expected_warning(case):
            got = Alignments()(objective(), module, forward, zeros)
        assert not got.any()


def test_central_differences_of_a_direction_of_zeros_are_finite():
    case = APPROXIMATE_MODULE_CASES["embedding bag"]
    module = make_module(case)
    forward, direction = pass_and_direction(module, case)
    zeros = {name: torch.zeros_like(tangent) for name, tangent in direction.items()}
    with expected_warning(case):
        assert not Alignments()(objective(), module, forward, zeros).any()


def test_errors_of_the_module_are_not_taken_for_missing_derivatives():
    class Fails(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, N_CLASSES)

        def forward(self, X):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("size mismatch")
            return self.linear(X)

    module = Fails().double()
    forward, direction = pass_and_direction(module, MODULE_CASES["plain"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        Alignments()(objective(), module, forward, direction)


# ------------------------------------------------------------------ the training pass


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
def test_training_loss_is_its_equation(meta_share):
    module, weights = make_module(), torch.rand(12, dtype=torch.float64)
    batch, meta_batch = make_batch(weighted=True), make_meta_batch()
    class_weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    criterion = nn.CrossEntropyLoss(reduction="none")
    goal = Objective(criterion, meta_share, class_weight)
    forward = goal.training_pass(module, batch, meta_batch)
    losses = cross_entropy(module(batch.X), batch.y)
    torch.testing.assert_close(forward.losses, losses)
    expected = (1 - meta_share) * (batch.sample_weight * weights * losses).sum() / 12
    if meta_share:
        meta_losses = cross_entropy(module(meta_batch.X), meta_batch.y)
        expected = expected + meta_share * (class_weight[meta_batch.y] * meta_losses).mean()
    torch.testing.assert_close(goal.training_loss(forward, weights), expected)


def test_meta_gradient_is_exact_and_moves_no_statistics():
    case = MODULE_CASES["both"]
    module, meta_batch = make_module(case), make_meta_batch(case)
    state = copy.deepcopy(module.state_dict())
    torch.manual_seed(0)
    grads, loss = _functional.meta_gradient(objective(), module, trainable(module), meta_batch)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    torch.manual_seed(0)
    expected = cross_entropy(module(meta_batch.X), meta_batch.y).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name, param in trainable(module).items():
        torch.testing.assert_close(grads[name], param.grad)


def test_lookahead_is_one_detached_step_of_sgd():
    module = mlp(nn.Tanh()).double()
    params = trainable(module)
    grads = random_direction(module)
    for name, moved in _functional.lookahead(params, grads, 0.3).items():
        torch.testing.assert_close(moved, params[name] - 0.3 * grads[name])
        assert moved.is_leaf
        assert moved.requires_grad


def test_accumulate_adds_to_what_is_there():
    module = mlp(nn.Tanh()).double()
    params, grads = trainable(module), random_direction(module)
    _functional.accumulate(params, grads)
    _functional.accumulate(params, grads, 0.5)
    for name, param in params.items():
        torch.testing.assert_close(param.grad, 1.5 * grads[name])
