"""The weighting network, and the function of NumPy arrays that a user holds."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skmetaweight.reweighting import Evaluation, MetaWeightNet
from skmetaweight.reweighting._weighting import (
    WeightingFunction,
    WeightingNetwork,
    weighting_inputs,
)
from tests.reweighting._cases import (
    N_CLASSES,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
)

LOSSES = torch.tensor([0.2, 0.9, 3.5, 1.0])
CLASSES = np.array(["ant", "bee", "cat"])


def make_function(
    *, memory=None, classes=None, loss_scale=1.0, normalizer=1.0, dtype=torch.float64
):
    torch.manual_seed(1)
    n_inputs = 1 + (memory is not None) + (0 if classes is None else len(classes))
    network = WeightingNetwork(n_inputs, 16).to(dtype)
    return WeightingFunction(
        network,
        losses=LOSSES,
        loss_scale=loss_scale,
        normalizer=normalizer,
        memory=memory,
        classes=classes,
    ), network


def weigh(network, *columns):
    with torch.no_grad():
        return network(torch.tensor([columns], dtype=torch.float64)).item()


FUNCTIONS = {
    "loss": {},
    "memory": {"memory": torch.linspace(-1, 2, 7)},
    "classes": {"classes": CLASSES},
    "both": {"memory": torch.linspace(-1, 2, 7), "classes": CLASSES},
}
every_function = pytest.mark.parametrize("options", FUNCTIONS.values(), ids=FUNCTIONS)


# ------------------------------------------------------------------ the network


def test_network_is_its_equation():
    network = WeightingNetwork(2, 5, max_weight=3.0).double()
    x = torch.randn(7, 2, dtype=torch.float64)
    hidden = torch.clamp(x @ network.hidden.weight.T + network.hidden.bias, min=0)
    scores = hidden @ network.output.weight[0] + network.output.bias
    torch.testing.assert_close(network(x), 3 / (1 + torch.exp(-scores)))


def test_network_can_start_at_half_of_its_largest_weight():
    network = WeightingNetwork(2, 5, max_weight=2.0, zero_init=True)
    assert torch.equal(network(torch.randn(4, 2)), torch.ones(4))


def test_inputs_are_loss_then_memory_then_label():
    losses, memory = torch.tensor([0.1, 0.2]), torch.tensor([5.0, 6.0])
    labels = torch.tensor([2, 0])
    assert weighting_inputs(losses, None, None, 3).tolist() == losses[:, None].tolist()
    both = weighting_inputs(losses, memory, labels, 3)
    expected = torch.tensor([[0.1, 5, 0, 0, 1], [0.2, 6, 1, 0, 0]])
    assert torch.equal(both, expected)
    assert torch.equal(weighting_inputs(losses, None, labels, 3), expected[:, [0, 2, 3, 4]])


# ------------------------------------------------------------------ values


@every_function
@pytest.mark.parametrize("shape", [(), (1,), (6,), (0,), (2, 3), (2, 1, 3)])
def test_any_shape(options, shape):
    function, _ = make_function(**options)
    losses = np.random.default_rng(0).random(shape)
    classes = None if "classes" not in options else np.full(shape, "bee")
    weights = function(losses, classes)
    assert weights.shape == shape
    assert weights.dtype == np.float64
    flat_classes = None if classes is None else classes.ravel()
    np.testing.assert_allclose(function(losses.ravel(), flat_classes), np.ravel(weights))
    assert function.quantile(losses, 0.5, classes).shape == shape


@pytest.mark.parametrize("normalizer", [1.0, 0.3])
@pytest.mark.parametrize("loss_scale", [1.0, np.log(3)])
def test_weights_are_those_of_the_network(loss_scale, normalizer):
    function, network = make_function(loss_scale=loss_scale, normalizer=normalizer)
    losses = [0.0, 0.5, 4.0]
    expected = [weigh(network, loss / loss_scale) / normalizer for loss in losses]
    np.testing.assert_allclose(function(losses), expected)


@pytest.mark.parametrize("n_alignments", [1, 7, 256])
def test_partial_dependence_is_the_mean_over_alignments(n_alignments):
    memory = torch.randn(n_alignments, dtype=torch.float64)
    function, network = make_function(memory=memory, normalizer=0.7)
    for loss in (0.1, 2.0):
        weights = [weigh(network, loss, alignment) / 0.7 for alignment in memory.tolist()]
        np.testing.assert_allclose(function(loss), np.mean(weights))
        for q in (0, 0.25, 1):
            np.testing.assert_allclose(function.quantile(loss, q), np.quantile(weights, q))


def fitted_function(n_rows):
    module = make_module()
    reweighter = MetaWeightNet(meta_interval=1, meta_lr=0.1, alignment_layers="all")
    ready(reweighter, module, n_rows=n_rows)
    for t in range(4):
        batch = make_batch(n=n_rows // 2, seed=t, places=n_rows)
        reweighter.step(module, batch, make_meta_batch(seed=t), 0.1)
    losses = torch.rand(n_rows, dtype=torch.float64) * 3
    labels = torch.zeros(n_rows, dtype=torch.long)
    rows = Evaluation(losses, labels, torch.arange(n_rows), lambda: losses, torch.Tensor)
    weights = reweighter.calibrate(rows)
    return reweighter, reweighter.weighting_function(rows, None), losses, weights


@pytest.mark.parametrize("n_rows", [20, 256])
def test_fitted_partial_dependence_is_exact_up_to_256_rows(n_rows):
    reweighter, function, _, _ = fitted_function(n_rows)
    total = [
        weigh(reweighter.network_, 1.3 / np.log(N_CLASSES), alignment)
        for alignment in reweighter.memory_.values.tolist()
    ]
    np.testing.assert_allclose(function(1.3), np.mean(total) / reweighter.normalizer_)


def test_fitted_partial_dependence_of_many_rows_is_close():
    reweighter, function, _, _ = fitted_function(3000)
    alignments = reweighter.memory_.values
    inputs = torch.stack([torch.full_like(alignments, 1.3 / np.log(N_CLASSES)), alignments], 1)
    with torch.no_grad():
        expected = reweighter.network_(inputs).mean().item() / reweighter.normalizer_
    assert len(function._memory) == 256
    np.testing.assert_allclose(function(1.3), expected, rtol=0.01)


def test_fitted_function_keeps_what_it_was():
    reweighter, function, losses, weights = fitted_function(20)
    before = function(losses.numpy())
    with torch.no_grad():
        reweighter.network_.output.bias += 1
        reweighter.memory_.values += 1
    np.testing.assert_array_equal(function(losses.numpy()), before)
    assert function.loss_range_ == (losses.min().item(), losses.max().item())
    np.testing.assert_allclose(weights.mean(), 1)


def test_float32_networks_give_float64_weights():
    function, network = make_function(dtype=torch.float32)
    weights = function(LOSSES.numpy())
    assert weights.dtype == np.float64
    with torch.no_grad():
        np.testing.assert_allclose(weights, network(LOSSES[:, None]).double())


def test_lists_and_integers_are_losses():
    function, _ = make_function()
    np.testing.assert_array_equal(function([0, 1]), function(np.array([0.0, 1.0])))


# ------------------------------------------------------------------ classes


def test_classes_broadcast_and_matter():
    function, network = make_function(classes=CLASSES)
    weights = function(np.full((4, 3), 0.5), CLASSES)
    expected = [weigh(network, 0.5, *row) for row in np.eye(3)]
    np.testing.assert_allclose(weights, np.tile(expected, (4, 1)))
    assert len(set(weights[0])) == 3
    np.testing.assert_array_equal(function([0.5, 0.5], "cat"), weights[0, 2])


@pytest.mark.parametrize(
    ("options", "classes", "message"),
    [
        ({}, ["ant"], "takes losses only, but got classes"),
        ({"classes": CLASSES}, None, "class-aware: pass the label of each loss as classes"),
        ({"classes": CLASSES}, ["ape"], r"Unknown classes \['ape'\]: not in \['ant', 'bee', 'cat"),
        ({"classes": CLASSES}, ["ant", "bee"], "one for each loss"),
    ],
)
def test_class_errors(options, classes, message):
    function, _ = make_function(**options)
    for call in (function, lambda losses, given: function.quantile(losses, 0.5, given)):
        with pytest.raises(ValueError, match=message):
            call([0.5], classes)


# ------------------------------------------------------------------ how it shows itself


@every_function
def test_to_frame_tabulates_the_range_of_losses(options):
    function, _ = make_function(**options)
    frame = function.to_frame(11)
    grid = np.linspace(*function.loss_range_, 11)
    if "classes" not in options:
        assert list(frame.columns) == ["loss", "weight"]
        np.testing.assert_allclose(frame["loss"], grid)
        np.testing.assert_allclose(frame["weight"], function(grid))
        return
    assert list(frame.columns) == ["class", "loss", "weight"]
    assert len(frame) == 33
    for label, part in frame.groupby("class"):
        np.testing.assert_allclose(part["loss"], grid)
        np.testing.assert_allclose(part["weight"], function(grid, label))


@pytest.mark.parametrize(
    ("options", "inputs"),
    [
        (FUNCTIONS["loss"], "loss"),
        (FUNCTIONS["memory"], "loss, alignment"),
        (FUNCTIONS["classes"], "loss, class"),
        (FUNCTIONS["both"], "loss, alignment, class"),
    ],
)
def test_repr_names_the_inputs_and_both_ends(options, inputs):
    function, _ = make_function(**options)
    label = "ant" if "classes" in options else None
    low, high = function(0.2, label), function(3.5, label)
    assert repr(function).startswith(f"WeightingFunction({inputs} -> weight; loss 0.2 -> {low:.3g}")
    assert repr(function).endswith(f"loss 3.5 -> {high:.3g})")


def test_loss_range_and_percentiles():
    function, _ = make_function()
    assert function.loss_range_ == (LOSSES.min().item(), LOSSES.max().item())
    assert all(isinstance(loss, float) for loss in function.loss_range_)
    assert function.loss_percentiles_.shape == (101,)
    np.testing.assert_allclose(function.loss_percentiles_[[0, 100]], function.loss_range_)


@every_function
def test_function_can_be_pickled(options):
    function, _ = make_function(**options)
    restored = pickle.loads(pickle.dumps(function))
    label = "cat" if "classes" in options else None
    np.testing.assert_array_equal(restored(LOSSES.numpy(), label), function(LOSSES.numpy(), label))


def test_any_module_can_be_the_network():
    network = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Flatten(0))
    function = WeightingFunction(network, losses=LOSSES, loss_scale=1.0, normalizer=1.0)
    assert function(np.zeros((2, 2))).shape == (2, 2)


BAD_CALLS = {
    **{
        f"losses {losses!r}": (lambda f, losses=losses: f(losses), "losses must be numbers, got")
        for losses in ("a", ["a"], {}, len, ["1 2"])
    },
    **{
        f"losses {losses!r}": (
            lambda f, losses=losses: f(losses),
            "losses must be finite, at least 0 and at most 1e+20, got [",
        )
        for losses in ([-1], -1e-3, [np.nan], [1.0, np.inf], None, [[1.0, -np.inf]])
    },
    **{
        f"q={q!r}": (lambda f, q=q: f.quantile([1.0], q), "q must be a number from 0 to 1, got")
        for q in (2, -0.1, np.nan, "x", None, [0.1, 0.9], 1j)
    },
    **{
        f"epoch {epoch!r}": (lambda f, epoch=epoch: f.at_epoch(epoch), "epoch must be one on recor")
        for epoch in (0, 9, "x", None, [1], 1.5, {})
    },
    **{
        f"n_points={n!r}": (lambda f, n=n: f.to_frame(n), "n_points must be a whole number from 1")
        for n in (0, -1, 2.5, "x", None)
    },
}


@pytest.mark.parametrize("options", [FUNCTIONS["loss"], FUNCTIONS["memory"]])
@pytest.mark.parametrize("case", BAD_CALLS)
def test_what_a_function_cannot_take(options, case):
    call, message = BAD_CALLS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        call(make_function(**options)[0])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["ant", "bee"], "one for each loss, shape (3,); got shape (2,)"),
        (np.full((3, 3), "ant"), "one for each loss, shape (3,); got shape (3, 3)"),
        (["ant", None, "bee"], "Unknown classes [None]: not in ['ant', 'bee', 'cat']"),
        ([1, 2, 3], "Unknown classes [1, 2, 3]: not in"),
        (np.nan, "Unknown classes [nan"),
    ],
)
def test_classes_that_a_function_does_not_know(classes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_function(classes=CLASSES)[0]([0.1, 0.2, 0.3], classes)


def test_losses_of_a_criterion_that_goes_below_zero():
    network = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Flatten(0))
    function = WeightingFunction(network, losses=LOSSES - 2, loss_scale=1.0, normalizer=1.0)
    assert function.loss_range_[0] < 0
    assert "loss -1.8 ->" in repr(function)
    with pytest.raises(ValueError, match=r"at least -1\.8"):
        function([-1.9])


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, pd.Series])
def test_losses_of_any_form(form):
    function, _ = make_function()
    losses = [0.1, 0.2]
    np.testing.assert_allclose(function(form(losses)), function(losses), rtol=1e-6)
