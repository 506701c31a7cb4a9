"""Gradients of rows by one backward pass are those of each row; rows that mix are told apart."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from skmetaweight._bilevel.alignments import Alignments
from skmetaweight._bilevel.forward import InapplicableModeError
from skmetaweight._bilevel.gradients import gradient, trainable
from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight._bilevel.row_gradients import MixedRowsError, found
from tests._reference import per_sample_alignments
from tests.reweighting._cases import (
    MODULE_CASES,
    N_CLASSES,
    N_ROWS,
    ONE_DERIVATIVE_CASES,
    MeanOf,
    ModuleCase,
    make_batch,
    make_meta_batch,
    make_module,
    mlp,
    normal,
    relative_error,
)

T = 4


class Calls(nn.Module):
    """Calls a function on itself, and a last layer on the mean over positions."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)
        self.out = nn.Linear(6, N_CLASSES)

    def forward(self, X):
        return self.out(self.function(self, X).mean(dim=1))


def parameter(*shape):
    return nn.Parameter(torch.randn(shape))


class Stop(torch.autograd.Function):
    """Passes values on, and no gradient back."""

    @staticmethod
    def forward(ctx, X):
        return X.clone()

    @staticmethod
    def backward(ctx, *grads):
        return None


def codes(n):
    return torch.randint(9, (n, T))


def with_frozen_bias():
    layer = nn.MultiheadAttention(6, 2, batch_first=True)
    layer.in_proj_bias.requires_grad_(False)
    return Calls(lambda self, X: self.layer(X, X, X)[0], layer=layer)


SEQUENCES, LONG = normal(T, 6), normal(40, 6)
BY_ROW = {
    name: case
    for name, case in (MODULE_CASES | ONE_DERIVATIVE_CASES).items()
    if case.mode == "row-by-row"
} | {
    "few positions": ModuleCase(lambda: MeanOf(nn.Linear(6, 6)), SEQUENCES),
    "many positions": ModuleCase(lambda: MeanOf(nn.Linear(6, 6)), LONG),
    "without bias": ModuleCase(lambda: MeanOf(nn.Linear(6, 6, bias=False)), SEQUENCES),
    "positions first": ModuleCase(
        lambda: Calls(
            lambda self, X: self.attention(self.linear(X.transpose(0, 1))).transpose(0, 1),
            attention=nn.TransformerEncoderLayer(6, 2, 8),
            linear=nn.Linear(6, 6),
        ),
        LONG,
    ),
    "as many positions as rows": ModuleCase(
        lambda: MeanOf(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)), normal(N_ROWS, 6)
    ),
    "three inputs": ModuleCase(
        lambda: Calls(
            lambda self, X: self.layer(X, torch.tanh(X), X.flip(1))[0],
            layer=nn.MultiheadAttention(6, 2, batch_first=True),
        ),
        SEQUENCES,
    ),
    "frozen bias": ModuleCase(with_frozen_bias, SEQUENCES),
    "not transposed": ModuleCase(
        lambda: Calls(
            lambda self, X: torch.addmm(self.bias, X.flatten(0, 1), self.weight).view(X.shape),
            bias=parameter(6),
            weight=parameter(6, 6),
        ),
        SEQUENCES,
    ),
    "learned places": ModuleCase(
        lambda: Calls(lambda self, X: X + self.places, places=parameter(1, T, 6)), SEQUENCES
    ),
    "places in a table": ModuleCase(
        lambda: Calls(
            lambda self, X: self.words(X) + self.places(torch.arange(T)[None]),
            words=nn.Embedding(9, 6),
            places=nn.Embedding(7, 6),
        ),
        codes,
    ),
    "padding": ModuleCase(lambda: MeanOf(nn.Embedding(9, 6, padding_idx=3)), codes),
    "scales": ModuleCase(
        lambda: Calls(
            lambda self, X: self.scale * X * self.scales, scale=parameter(), scales=parameter(6)
        ),
        SEQUENCES,
    ),
    "unused": ModuleCase(lambda: Calls(lambda self, X: X, unused=parameter(3)), SEQUENCES),
    "backward that gives none": ModuleCase(
        lambda: Calls(
            lambda self, X: torch.tanh(self.layer(X) + Stop.apply(self.unused(X))),
            layer=nn.Linear(6, 6),
            unused=nn.Linear(6, 6),
        ),
        SEQUENCES,
    ),
}
OTHERS = {
    "norm": MODULE_CASES["batch norm"],
    "norm without parameters": ModuleCase(lambda: mlp(nn.Tanh(), nn.BatchNorm1d(8, affine=False))),
    "attention between rows": ModuleCase(
        lambda: MeanOf(nn.TransformerEncoderLayer(6, 2, 8)), SEQUENCES
    ),
    "mean over rows": ModuleCase(
        lambda: Calls(lambda self, X: X + self.layer(X).mean(), layer=nn.Linear(6, 6)), SEQUENCES
    ),
    "convolution": ModuleCase(lambda: MeanOf(nn.Conv1d(T, 5, 1)), SEQUENCES),
    "hardly mixed": ModuleCase(
        lambda: Calls(
            lambda self, X: self.first(X) + self.layer(X - 1e-2 * X.roll(1, 0)).tanh().roll(1, 0),
            layer=nn.Linear(6, 6),
            first=nn.Linear(6, 6),
        ),
        SEQUENCES,
    ),
    "part without numbers": ModuleCase(
        lambda: Calls(lambda self, X: X + X[..., :0] @ self.p, p=parameter(0, 6)), SEQUENCES
    ),
    "other alpha": ModuleCase(
        lambda: Calls(lambda self, X: torch.add(X, self.p, alpha=1.1), p=parameter(6)), SEQUENCES
    ),
    "sparse": ModuleCase(lambda: MeanOf(nn.Embedding(9, 6, sparse=True)), codes),
    "checkpoint": ModuleCase(
        lambda: Calls(
            lambda self, X: checkpoint(self.layers, X, use_reentrant=False),
            layers=nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)),
        ),
        SEQUENCES,
    ),
}


def objective(meta_share=0.0):
    return Objective(nn.CrossEntropyLoss(reduction="none"), meta_share)


def pass_of(case, meta_share=0.0):
    module = make_module(case)
    rows = make_batch(case), make_meta_batch(case)
    return module, objective(meta_share).training_pass(module, *rows)


@pytest.mark.parametrize("case", BY_ROW.values(), ids=BY_ROW)
def test_products_are_exact(case):
    module, forward = pass_of(case)
    losses, params = forward.losses, trainable(module)
    direction = {name: torch.randn_like(param) for name, param in params.items()}
    weights = torch.rand(N_ROWS, dtype=torch.float64)
    along = per_sample_alignments(losses, params, direction)
    expected = gradient(weights @ losses, params, retain_graph=True)
    rows, _, is_sure = found(losses, params, 1e-3)
    assert is_sure
    assert relative_error(rows.along(direction), along) < 1e-12
    for _ in range(2):
        grads = dict(zip(params, rows.weighted(weights), strict=True))
        assert [name for name, grad in grads.items() if grad is None] == [
            name for name in params if "unused" in name
        ]
        grads = {n: params[n] * 0 if grad is None else grad for n, grad in grads.items()}
        assert relative_error(grads, expected) < 1e-12


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_others_are_told_apart(case):
    module, forward = pass_of(case)
    with pytest.raises(InapplicableModeError) as caught:
        found(forward.losses, trainable(module), 1e-3)
    if caught.type is not MixedRowsError:
        forward.losses.sum().backward()  # the graph of the training pass is still there


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("name", ["attention", "fused attention", "unused"])
def test_a_prepared_pass_has_the_same_gradients(name, meta_share):
    module, forward = pass_of(BY_ROW[name], meta_share)
    goal, alignments, params = objective(meta_share), Alignments(), trainable(module)
    weights = torch.rand(N_ROWS, dtype=torch.float64)
    goal.training_loss(forward, weights).backward(retain_graph=True)
    expected = {n: param.grad for n, param in params.items()}
    module.zero_grad()
    meta_grads = None
    if meta_share:
        meta_grads = gradient(forward.meta_loss, params, retain_graph=True)
    losses = forward.all_losses
    prepared = alignments.prepared(goal, module, forward)
    assert alignments.mode == "row-by-row"
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        losses.sum().backward()
    module.zero_grad()
    if meta_grads is not None:
        got = gradient(prepared.meta_loss, params, retain_graph=True)
        assert relative_error(got, meta_grads) < 1e-12
    goal.training_loss(prepared, weights).backward()
    for n, param in params.items():
        assert (param.grad is None) == (expected[n] is None) == (n == "unused")
        if param.grad is not None:
            torch.testing.assert_close(param.grad, expected[n], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("mixes", [False, True])
def test_what_lies_behind_zeros_is_looked_at_later(mixes):
    def gated(self, X):
        hidden = self.layer(X.transpose(0, 1)).transpose(0, 1)
        return X + self.gate * (hidden - mixes * hidden.mean(dim=0))

    gate = nn.Parameter(torch.zeros(6))
    case = ModuleCase(lambda: Calls(gated, layer=nn.Linear(6, 6), gate=gate), SEQUENCES)
    module, _ = pass_of(case)
    goal, alignments, params = objective(), Alignments(), trainable(module)
    direction = {name: torch.randn_like(param) for name, param in params.items()}
    for size in (0.0, 0.5):
        nn.init.constant_(module.gate, size)
        forward = goal.training_pass(module, make_batch(case), make_meta_batch(case))
        expected = per_sample_alignments(forward.losses, params, direction)
        forward = alignments.prepared(goal, module, forward)
        got = alignments(goal, module, forward, direction)
        assert relative_error(got, expected) < 1e-12
        assert alignments.may_repeat(forward.rows) == (mixes or not size)
    assert alignments.mode == ("forward-mode" if mixes else "row-by-row")


def test_rows_that_mix_later_are_found():
    def gated(self, X):
        hidden = self.layer(X)
        return hidden - self.size * hidden.roll(1, 0)

    case = ModuleCase(lambda: Calls(gated, layer=nn.Linear(6, 6)), SEQUENCES)
    module = make_module(case)
    goal, alignments, params = objective(), Alignments(), trainable(module)
    direction = {name: torch.randn_like(param) for name, param in params.items()}
    modes = []
    for n in range(1, 9):
        module.size = float(n > 4)
        forward = goal.training_pass(module, make_batch(case), make_meta_batch(case))
        forward = alignments.prepared(goal, module, forward)
        alignments(goal, module, forward, direction)
        modes.append(alignments.mode)
    assert modes == ["row-by-row"] * 7 + ["forward-mode"]


@pytest.mark.parametrize("leading", [(1,), ()], ids=["a row of places", "places"])
@pytest.mark.parametrize("n_both", [T, 10], ids=["fewer rows", "more positions"])
def test_a_later_batch_of_as_many_rows_as_positions(n_both, leading):
    def with_places(self, X):
        places = torch.arange(X.shape[1]).view(*leading, -1)
        return (self.words(X) + self.places(places)).tanh()

    parts = {"words": nn.Embedding(9, 6), "places": nn.Embedding(10, 6)}
    module = Calls(with_places, **parts).double()
    goal, alignments, params = objective(), Alignments(), trainable(module)
    direction = {name: torch.randn_like(param) for name, param in params.items()}
    for n, n_positions in ((10, T), (10, T), (n_both, n_both), (10, T)):
        X = torch.randint(9, (n, n_positions))
        batch = Batch(X, torch.randint(N_CLASSES, (n,)), torch.arange(n))
        forward = goal.training_pass(module, batch, batch)
        expected = per_sample_alignments(forward.losses, params, direction)
        expected_grads = gradient(forward.losses.sum(), params, retain_graph=True)
        forward = alignments.prepared(goal, module, forward)
        grads = gradient(forward.losses.sum(), params, retain_graph=True)
        assert relative_error(grads, expected_grads) < 1e-12
        got = alignments(goal, module, forward, direction)
        assert relative_error(got, expected) < 1e-12
    assert alignments.mode == ("row-by-row" if leading else "forward-mode")


def test_a_later_batch_that_has_no_rule_is_not_prepared():
    module = MeanOf(nn.Identity()).double()
    goal, alignments = objective(), Alignments()
    case = ModuleCase(lambda: module, SEQUENCES)
    rows = make_batch(case), make_meta_batch(case)
    forward = goal.training_pass(module, *rows)
    assert alignments.prepared(goal, module, forward).row_gradients is not None
    module.layer = nn.BatchNorm1d(T).double()
    forward = goal.training_pass(module, *rows)
    assert alignments.prepared(goal, module, forward) is forward
    direction = {name: torch.randn_like(param) for name, param in trainable(module).items()}
    got = alignments(goal, module, forward, direction)
    assert alignments.mode == "forward-mode"
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 1e-12
