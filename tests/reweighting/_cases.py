"""The tables that the tests of the methods run through: methods, modules, and small batches."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight._bilevel.randomness import Dropout
from skmetaweight.reweighting import (
    METHODS,
    FirstOrderMetaWeightNet,
    LearningToReweight,
    LiLAW,
    MetaWeightNet,
    Reweighter,
    Uniform,
)

N_ROWS, N_META, N_CLASSES = 12, 10, 3
CLASS_SIZES = torch.tensor([4, 7, 4])
"""Of two clusters."""


class MethodCase(NamedTuple):
    """One row for each method.

    ``make`` builds it; ``method`` is its name in METHODS; ``normalized`` says whether the weights
    of a batch have mean one, ``has_function`` whether it learns a function of the loss.
    ``own_meta_pass`` says when a step draws a meta batch through the module by itself:
    "always" at an update, "without share" if the trusted rows were not in the training pass.
    """

    make: Callable[[], Reweighter]
    method: str
    normalized: bool
    has_function: bool
    own_meta_pass: str | None


METHOD_CASES = {
    "mw-net": MethodCase(
        partial(MetaWeightNet, alignment_layers="all"), "mw-net", True, True, "without share"
    ),
    "mw-net class-aware": MethodCase(
        partial(MetaWeightNet, weighting="class-aware", alignment_layers="all"),
        "mw-net",
        True,
        True,
        "without share",
    ),
    "mw-net cmw": MethodCase(
        partial(MetaWeightNet, weighting="cmw", alignment_layers="all"),
        "mw-net",
        True,
        True,
        "without share",
    ),
    "mw-net cmw without memory": MethodCase(
        partial(MetaWeightNet, weighting="cmw", memory=0.0), "mw-net", True, True, "always"
    ),
    "mw-net lilaw": MethodCase(
        partial(MetaWeightNet, weighting="lilaw", memory=0.0), "mw-net", True, False, "always"
    ),
    "mw-net without memory": MethodCase(
        partial(MetaWeightNet, memory=0.0), "mw-net", True, True, "always"
    ),
    "mw-net paper": MethodCase(MetaWeightNet.paper, "mw-net", False, True, "always"),
    "fmw-net": MethodCase(FirstOrderMetaWeightNet, "fmw-net", True, True, "without share"),
    "fmw-net cmw": MethodCase(
        partial(FirstOrderMetaWeightNet, weighting="cmw"), "fmw-net", True, True, "without share"
    ),
    "fmw-net paper": MethodCase(
        FirstOrderMetaWeightNet.paper, "fmw-net", False, True, "without share"
    ),
    "l2rw": MethodCase(
        partial(LearningToReweight, alignment_layers="all"), "l2rw", True, False, "without share"
    ),
    "l2rw paper": MethodCase(LearningToReweight.paper, "l2rw", True, False, "without share"),
    "lilaw": MethodCase(partial(LiLAW, warm_up=0), "lilaw", False, False, "without share"),
    "lilaw paper": MethodCase(LiLAW, "lilaw", False, False, None),  # in its warm-up
    "uniform": MethodCase(Uniform, "uniform", True, False, None),
}
assert {case.method for case in METHOD_CASES.values()} == set(METHODS)

every_method = pytest.mark.parametrize("case", METHOD_CASES.values(), ids=METHOD_CASES)
every_share = pytest.mark.parametrize("meta_share", [0.0, 0.3])


# ------------------------------------------------------------------ modules


class LastOutput(nn.Module):
    def __init__(self, recurrent):
        super().__init__()
        self.recurrent = recurrent
        self.out = nn.Linear(6, N_CLASSES)

    def forward(self, X):
        return self.out(self.recurrent(X)[0][:, -1])


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.linear = nn.Linear(5, 4)
        self.out = nn.Linear(8, N_CLASSES)

    def forward(self, numbers, code):
        hidden = torch.cat([torch.tanh(self.linear(numbers)), self.embedding(code)], dim=1)
        return self.out(hidden)


class Tied(nn.Module):
    """Uses one matrix twice, once under a second name."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.second.weight = self.first.weight
        self.out = nn.Linear(5, N_CLASSES)

    def forward(self, X):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(X)))))


class RunningScale(nn.Module):
    """Divides by a running mean that the same pass has moved."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 8)
        self.out = nn.Linear(8, N_CLASSES)
        self.register_buffer("size", torch.ones(8))

    def forward(self, X):
        hidden = self.linear(X)
        if self.training:
            self.size.lerp_(hidden.detach().abs().mean(dim=0), 0.5)
        return self.out(torch.tanh(hidden / self.size))


class ConstantScale(nn.Module):
    """Takes a part of its computation for a constant, which forward mode does not."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 8)
        self.out = nn.Linear(8, N_CLASSES)

    def forward(self, X):
        hidden = self.linear(X)
        with torch.no_grad():
            size = hidden.abs().mean(dim=0)
        return self.out(hidden / size)


class CubeFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x + x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (1 + 3 * x**2)


class StraightThroughFunction(torch.autograd.Function):
    """A backward that is no derivative: differences of its values would be zero."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        return grad


class Apply(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


class MeanOf(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.out = nn.Linear(6, N_CLASSES)

    def forward(self, X):
        return self.out(self.layer(X).mean(dim=1))


def mlp(*between, width=8):
    return nn.Sequential(nn.Linear(5, width), *between, nn.Linear(width, N_CLASSES))


def frozen():
    module = mlp(nn.Tanh())
    module[0].requires_grad_(False)
    return module


def attention(dropout=0.0):
    """Fused without dropout."""
    return MeanOf(nn.TransformerEncoderLayer(6, 2, 8, dropout=dropout, batch_first=True))


def weight_norm():
    linear = parametrizations.weight_norm(nn.Linear(5, 8))
    return nn.Sequential(linear, nn.Tanh(), nn.Linear(8, N_CLASSES))


def spectral_norm():
    """With a power iteration that is far from converged: each pass moves it."""
    linear = parametrizations.spectral_norm(nn.Linear(5, 8))
    for vector in linear.parametrizations.weight[0].buffers():
        vector.copy_(nn.functional.normalize(torch.randn(len(vector)), dim=0))
    return nn.Sequential(linear, nn.Tanh(), nn.Linear(8, N_CLASSES))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, N_CLASSES),
    )


def normal(*shape):
    return lambda n: torch.randn(n, *shape)


def numbers_and_codes(n):
    return {"numbers": torch.randn(n, 5), "code": torch.randint(7, (n,))}


def bags(n):
    return torch.randint(20, (n, 4))


class ModuleCase(NamedTuple):
    """A module, its rows, and how its alignments have to be computed if its calls are not kept."""

    make: Callable[[], nn.Module]
    rows: Callable = normal(5)
    mode: str = "row-by-row"


MODULE_CASES = {
    "plain": ModuleCase(lambda: mlp(nn.Tanh())),
    "batch norm": ModuleCase(lambda: mlp(nn.BatchNorm1d(8), nn.ReLU()), mode="forward-mode"),
    "dropout": ModuleCase(lambda: mlp(nn.ReLU(), nn.Dropout(0.4))),
    "both": ModuleCase(
        lambda: mlp(nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.4)), mode="forward-mode"
    ),
    "dropout from bytes": ModuleCase(
        lambda: mlp(nn.BatchNorm1d(8), nn.Tanh(), Dropout(0.4)), mode="forward-mode"
    ),
    "layer norm": ModuleCase(lambda: mlp(nn.LayerNorm(8), nn.GELU())),
    "cnn": ModuleCase(cnn, normal(1, 6, 6), "forward-mode"),
    "dict input": ModuleCase(TwoInputs, numbers_and_codes),
    "gru": ModuleCase(lambda: LastOutput(nn.GRU(4, 6, batch_first=True)), normal(3, 4)),
    "lstm": ModuleCase(lambda: LastOutput(nn.LSTM(4, 6, batch_first=True)), normal(3, 4)),
    "attention": ModuleCase(partial(attention, dropout=0.3), normal(4, 6)),
    "tied": ModuleCase(Tied),
    "frozen": ModuleCase(frozen),
    "running scale": ModuleCase(RunningScale),
    "weight norm": ModuleCase(weight_norm),
    "no_grad block": ModuleCase(ConstantScale),
    "custom function": ModuleCase(lambda: mlp(Apply(CubeFunction))),
    "straight-through": ModuleCase(lambda: mlp(Apply(StraightThroughFunction))),
    "spectral norm": ModuleCase(spectral_norm, mode="double-backward"),
    "norm, no_grad block": ModuleCase(
        lambda: nn.Sequential(nn.BatchNorm1d(5), ConstantScale()), mode="double-backward"
    ),
    "norm, custom function": ModuleCase(
        lambda: mlp(nn.BatchNorm1d(8), Apply(CubeFunction)), mode="double-backward"
    ),
    "norm, straight-through": ModuleCase(
        lambda: mlp(nn.BatchNorm1d(8), Apply(StraightThroughFunction)), mode="double-backward"
    ),
}
ONE_DERIVATIVE_CASES = {
    "fused attention": ModuleCase(attention, normal(4, 6)),
    "norm, fused attention": ModuleCase(
        lambda: nn.Sequential(attention(), nn.BatchNorm1d(N_CLASSES)),
        normal(4, 6),
        "central-differences",
    ),
    "embedding bag": ModuleCase(
        lambda: nn.Sequential(nn.EmbeddingBag(20, 6), nn.Tanh(), nn.Linear(6, N_CLASSES)),
        bags,
        "central-differences",
    ),
}

FALLBACK_WARNINGS = {
    "double-backward": "double backward instead: still exact, but .* costs memory",
    "central-differences": "central differences instead: one more forward pass .* relative error",
}


def expected_warning(case):
    if case.mode not in FALLBACK_WARNINGS:
        return contextlib.nullcontext()
    return pytest.warns(UserWarning, match=FALLBACK_WARNINGS[case.mode])


# ------------------------------------------------------------------ batches


def make_module(case=MODULE_CASES["plain"], seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return case.make().to(dtype).train()


def make_batch(case=MODULE_CASES["plain"], *, seed=0, n=N_ROWS, weighted=False, places=None):
    torch.manual_seed(100 + seed)
    X = case.rows(n)
    X = {k: as_double(v) for k, v in X.items()} if isinstance(X, dict) else as_double(X)
    index = torch.randperm(n if places is None else places)[:n]
    sample_weight = torch.rand(n, dtype=torch.float64) + 0.5 if weighted else None
    return Batch(X, torch.randint(N_CLASSES, (n,)), index, sample_weight)


def make_meta_batch(case=MODULE_CASES["plain"], *, seed=0):
    return make_batch(case, seed=500 + seed, n=N_META)


def as_double(X):
    return X.double() if X.is_floating_point() else X


def ready(reweighter, module, *, n_rows=N_ROWS, n_trusted=None, **objective):
    """Build a reweighter for a module, and bind it to a fit."""
    torch.manual_seed(7)
    criterion = nn.CrossEntropyLoss(reduction="none")
    reweighter.build(N_CLASSES, next(module.parameters()))
    reweighter.bind(Objective(criterion, **objective), n_rows, n_trusted, CLASS_SIZES)
    return reweighter


def relative_error(got, expected):
    """Of tensors or of dicts of tensors, all taken as one vector."""
    got, expected = flat(got), flat(expected)
    return float((got - expected).norm() / expected.norm())


def flat(values):
    if isinstance(values, torch.Tensor):
        return values.detach().double().flatten()
    values = values.values() if isinstance(values, dict) else values
    return torch.cat([value.detach().double().flatten() for value in values])


def grads_of(module):
    return [param.grad for param in module.parameters() if param.requires_grad]
