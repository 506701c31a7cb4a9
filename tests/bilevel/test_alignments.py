"""The alignments are the per-sample products they stand for, whatever the module does."""

import copy
import warnings

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.alignments import Alignments
from skmetaweight._bilevel.gradients import trainable
from skmetaweight._bilevel.last_layer import LastLayerAlignments, find_head
from skmetaweight._bilevel.objective import Batch, Objective
from tests._reference import cross_entropy, gradients, per_sample_alignments, stacked
from tests.reweighting._cases import (
    FALLBACK_WARNINGS,
    MODULE_CASES,
    N_CLASSES,
    N_ROWS,
    ONE_DERIVATIVE_CASES,
    expected_warning,
    make_batch,
    make_meta_batch,
    make_module,
    mlp,
    relative_error,
)

ALL_MODULE_CASES = {**MODULE_CASES, **ONE_DERIVATIVE_CASES}
FALLBACKS = {
    name: case for name, case in ALL_MODULE_CASES.items() if case.mode in FALLBACK_WARNINGS
}


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


# ------------------------------------------------------------------ of all layers


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("case", MODULE_CASES.values(), ids=MODULE_CASES)
def test_alignments_are_exact(case, meta_share):
    module = make_module(case)
    forward, direction = pass_and_direction(module, case, meta_share)
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    alignments = Alignments()
    with expected_warning(case):
        got = alignments(objective(meta_share), module, forward, direction)
    assert alignments.mode == case.mode
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


@pytest.mark.parametrize("case", ONE_DERIVATIVE_CASES.values(), ids=ONE_DERIVATIVE_CASES)
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


@pytest.mark.parametrize(
    "name", ["custom function", "norm, no_grad block", "norm, custom function", "embedding bag"]
)
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
    for name in ("both", "plain", "norm, custom function"):
        case = MODULE_CASES[name]
        module = make_module(case)
        forward, direction = pass_and_direction(module, case)
        zeros = {name: torch.zeros_like(tangent) for name, tangent in direction.items()}
        with expected_warning(case):
            got = Alignments()(objective(), module, forward, zeros)
        assert not got.any()


def test_central_differences_of_a_direction_of_zeros_are_finite():
    case = ONE_DERIVATIVE_CASES["embedding bag"]
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
            self.layers = mlp(nn.BatchNorm1d(8))

        def forward(self, X):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("size mismatch")
            return self.layers(X)

    module = Fails().double()
    forward, direction = pass_and_direction(module, MODULE_CASES["plain"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        Alignments()(objective(), module, forward, direction)


# ------------------------------------------------------------------ of the last layer

WITHOUT_BIAS = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3, False))


def last_layer_objective(module, meta_share, meta_class_weight=None, robustness=0.0):
    criterion = nn.CrossEntropyLoss(reduction="none")
    return Objective(criterion, meta_share, meta_class_weight, robustness, head=module[-1])


def last_layer_reference(module, batch, meta_batch, meta_share, class_weight, robustness=0.0):
    """Products of the gradients of the last layer's parameters, and those of the meta loss."""
    params = dict(module[-1].named_parameters())
    n = len(batch.y)
    if meta_share:
        logits = copy.deepcopy(module)[:-1](stacked(batch.X, meta_batch.X))
        logits = module[-1](logits)
        losses, meta_losses = (
            cross_entropy(logits[:n], batch.y),
            cross_entropy(logits[n:], meta_batch.y),
        )
    else:
        losses = cross_entropy(module[-1](copy.deepcopy(module)[:-1](batch.X)), batch.y)
        logits = module[-1](copy.deepcopy(module)[:-1](meta_batch.X))
        meta_losses = cross_entropy(logits, meta_batch.y)
    if robustness:
        meta_losses = (1 - torch.exp(-robustness * meta_losses)) / robustness
    direction = gradients((class_weight[meta_batch.y] * meta_losses).mean(), params)
    return per_sample_alignments(losses, params, direction), direction, losses, params


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("robustness", [0.0, 0.7])
def test_last_layer_alignments_are_exact(meta_share, bias, robustness):
    case = MODULE_CASES["batch norm"]
    module = make_module(case) if bias else copy.deepcopy(WITHOUT_BIAS).double()
    batch, meta_batch = make_batch(case), make_meta_batch(case)
    class_weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    goal = last_layer_objective(module, meta_share, class_weight, robustness)
    expected, _, _, _ = last_layer_reference(
        module, batch, meta_batch, meta_share, class_weight, robustness
    )
    forward = goal.training_pass(module, batch, meta_batch)
    state = copy.deepcopy(module.state_dict())
    got, meta_loss = LastLayerAlignments()(goal, module, forward, meta_batch)
    assert relative_error(got, expected) < 1e-12
    assert not got.requires_grad
    assert not meta_loss.requires_grad
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    forward.losses.sum().backward()


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_meta_gradient_of_the_last_layer_is_a_running_mean(decay):
    case = MODULE_CASES["batch norm"]
    module = make_module(case)
    alignments, running = LastLayerAlignments(decay), None
    goal = last_layer_objective(module, 0.3)
    for t in range(4):
        batch, meta_batch = make_batch(case, seed=t), make_meta_batch(case, seed=t)
        _, direction, losses, params = last_layer_reference(
            module, batch, meta_batch, 0.3, torch.ones(N_CLASSES).double()
        )
        if running is None:
            running = direction
        running = {k: decay * running[k] + (1 - decay) * direction[k] for k in direction}
        forward = goal.training_pass(module, batch, meta_batch)
        got, _ = alignments(goal, module, forward, meta_batch)
        assert relative_error(got, per_sample_alignments(losses, params, running)) < 1e-12


class ReturnsTwice(nn.Module):
    """Uses its last layer twice, so that a row has two gradients there."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, X):
        return self.linear(self.linear(X))


def test_head_is_the_linear_layer_that_returns():
    X = torch.randn(2, 5)
    module = mlp(nn.Tanh())
    assert find_head(module, X) is module[-1]
    nested = nn.Sequential(nn.Sequential(module))
    assert find_head(nested, X) is module[-1]
    for probabilities in (nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        assert find_head(nn.Sequential(module, probabilities), X) is module[-1]
    assert find_head(nn.Sequential(module, nn.Tanh()), X) is None
    assert find_head(ReturnsTwice(), X) is None
    assert find_head(nn.Sequential(nn.Linear(5, 3), nn.ReLU()), X) is None


def test_head_of_a_module_with_dict_input():
    case = MODULE_CASES["dict input"]
    module = case.make()
    X = {
        key: value.float() if value.is_floating_point() else value
        for key, value in case.rows(N_ROWS).items()
    }
    assert find_head(module, X) is module.out
