"""The product of a chain of layers is the per-sample product, and other modules are told apart."""

import copy

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.alignments import Alignments
from skmetaweight._bilevel.chain import BATCH_NORMS, SYMMETRIC, chain_product
from skmetaweight._bilevel.forward import InapplicableModeError
from skmetaweight._bilevel.gradients import trainable
from skmetaweight._bilevel.objective import Objective
from skmetaweight._bilevel.randomness import Dropout
from tests._reference import per_sample_alignments
from tests.reweighting._cases import (
    MODULE_CASES,
    N_CLASSES,
    CubeFunction,
    Tied,
    expected_warning,
    make_batch,
    make_meta_batch,
    mlp,
    relative_error,
)


class Shift(nn.Module):
    """Has nothing to learn, and no rule."""

    def forward(self, X):
        return X + 1


class WithinForward(nn.Module):
    """Does something between its layers that no layer shows."""

    def __init__(self, between):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.between = between
        self.out = nn.Linear(5, N_CLASSES)

    def forward(self, X):
        return self.out(self.between(self.first(X)))


class Doubled(nn.Linear):
    def forward(self, X):
        return 2 * super().forward(X)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = mlp(nn.Tanh())
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, X):
        return self.layers(self.scale * X)


def called_twice():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(5, N_CLASSES))


def with_frozen(module, index):
    module[index].requires_grad_(False)
    return module


def default_like():
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4)]
    more = [nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), Dropout(0.4)]
    return nn.Sequential(*layers, *more, nn.Linear(8, N_CLASSES))


SIMPLE = set(SYMMETRIC) - {nn.Softmax, *BATCH_NORMS}
CHAINS = {
    **{layer.__name__: lambda layer=layer: mlp(layer()) for layer in sorted(SIMPLE, key=str)},
    "softmax": lambda: nn.Sequential(*mlp(nn.Tanh()), nn.Softmax(dim=1)),
    "norm": lambda: mlp(nn.BatchNorm1d(8)),
    "of many layers": default_like,
    "without bias": lambda: nn.Sequential(
        nn.Linear(5, 8, bias=False), nn.Tanh(), nn.Linear(8, N_CLASSES)
    ),
    "norm without parameters": lambda: mlp(nn.BatchNorm1d(8, affine=False), nn.Tanh()),
    "norm without statistics": lambda: mlp(nn.BatchNorm1d(8, track_running_stats=False)),
    "norm first": lambda: nn.Sequential(nn.BatchNorm1d(5), *mlp(nn.ReLU())),
    "nothing to learn first": lambda: nn.Sequential(Shift(), *mlp(nn.ReLU())),
    "frozen at first": lambda: with_frozen(mlp(nn.Tanh()), 0),
    "activation at last": lambda: nn.Sequential(*mlp(nn.Tanh()), nn.Tanh()),
}
BY_ROW = {
    "in place": lambda: mlp(nn.ReLU(inplace=True)),
    "between layers": lambda: WithinForward(torch.tanh),
    "called twice": called_twice,
    "tied": Tied,
    "of a subclass": lambda: nn.Sequential(Doubled(5, 8), nn.Tanh(), nn.Linear(8, N_CLASSES)),
    "without rule": lambda: mlp(nn.LayerNorm(8)),
    "parameter of its own": Scaled,
    "logarithm of softmax": lambda: nn.Sequential(*mlp(nn.Tanh()), nn.LogSoftmax(dim=1)),
}
MIXED = {
    "skipped": lambda: WithinForward(lambda x: x + x.mean()),
    "frozen within": lambda: with_frozen(mlp(nn.BatchNorm1d(8)), 1),
}
OTHERS = BY_ROW | MIXED


def objective(meta_share=0.0):
    return Objective(nn.CrossEntropyLoss(reduction="none"), meta_share)


def recorded_pass(module, meta_share=0.0):
    goal = objective(meta_share)
    return goal.training_pass(module, make_batch(), make_meta_batch(), keep_calls=True)


def random_direction(module):
    return {name: torch.randn_like(param) for name, param in trainable(module).items()}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("make", CHAINS.values(), ids=CHAINS)
def test_product_of_a_chain_is_exact(make, meta_share, training):
    torch.manual_seed(0)
    module = make().double().train(training)
    forward, direction = recorded_pass(module, meta_share), random_direction(module)
    state = copy.deepcopy(module.state_dict())
    expected = per_sample_alignments(forward.all_losses, trainable(module), direction)
    got = chain_product(objective(meta_share), module, forward, direction)
    assert not got.requires_grad
    assert relative_error(got, expected) < 1e-12
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    forward.losses.sum().backward()  # the graph of the training pass is still there


@pytest.mark.parametrize("name", OTHERS)
def test_other_modules_are_no_chain_and_just_as_exact(name):
    torch.manual_seed(0)
    module = OTHERS[name]().double()
    forward, direction = recorded_pass(module), random_direction(module)
    with pytest.raises(InapplicableModeError):
        chain_product(objective(), module, forward, direction)
    alignments = Alignments()
    got = alignments(objective(), module, forward, direction)
    assert alignments.mode == ("row-by-row" if name in BY_ROW else "forward-mode")
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 1e-12


@pytest.mark.filterwarnings("ignore:The module cannot be differentiated in forward mode")
def test_a_weight_that_a_hook_makes_is_no_parameter():
    torch.manual_seed(0)
    module = mlp(nn.Tanh()).double()
    nn.utils.spectral_norm(module[0])
    forward, direction = recorded_pass(module), random_direction(module)
    got = Alignments()(objective(), module, forward, direction)
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 1e-12


def test_a_rule_that_does_not_hold_is_found_out():
    module = mlp(nn.Tanh()).double()
    module[1].register_forward_hook(lambda layer, args, output: output.cumsum(dim=0))
    forward, direction = recorded_pass(module), random_direction(module)
    alignments = Alignments()
    got = alignments(objective(), module, forward, direction)
    assert alignments.mode == "forward-mode"
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 1e-12


class CubedLoss(nn.CrossEntropyLoss):
    """Has no forward-mode derivative."""

    def forward(self, input, target):
        return CubeFunction.apply(super().forward(input, target))


def test_a_chain_needs_no_forward_mode_derivative_of_the_losses():
    module = mlp(nn.Tanh()).double()
    goal = Objective(CubedLoss(reduction="none"))
    forward = goal.training_pass(module, make_batch(), make_meta_batch(), keep_calls=True)
    alignments, direction = Alignments(), random_direction(module)
    got = alignments(goal, module, forward, direction)
    assert alignments.mode == "layer-by-layer"
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 1e-12


@pytest.mark.parametrize("name", ["both", "cnn", "weight norm"])
def test_calls_are_kept_only_while_they_serve(name):
    case = MODULE_CASES[name]
    torch.manual_seed(0)
    module = case.make().double()
    batch, meta_batch = make_batch(case), make_meta_batch(case)
    forward = objective().training_pass(module, batch, meta_batch, keep_calls=True)
    alignments = Alignments()
    assert alignments.needs_calls
    with expected_warning(case):
        alignments(objective(), module, forward, random_direction(module))
    assert alignments.needs_calls == (name == "both")
