"""Weighting networks and optimisers of the user's own: what is told before any step."""

import re

import pytest
import torch
from torch import nn

from skmetaweight import FirstOrderMetaWeightNet, MetaWeightNet
from skmetaweight.reweighting import make_reweighter
from tests.conftest import quick

METHODS = {
    "loss": (FirstOrderMetaWeightNet, 1),
    "published": (MetaWeightNet.paper, 1),
    "memory": (MetaWeightNet, 2),
}
every_method = pytest.mark.parametrize(("make", "n_inputs"), METHODS.values(), ids=METHODS)


class Weighting(nn.Module):
    """Returns what a function makes of one score for each row."""

    def __init__(self, n_inputs, function):
        super().__init__()
        self.linear = nn.Linear(n_inputs, 1)
        self.function = function

    def forward(self, inputs):
        return self.function(self.linear(inputs).squeeze(-1))


WRONG = {
    "a column": (lambda s: torch.sigmoid(s)[:, None], "of shape (9,), got (9, 1): let it end"),
    "two columns": (lambda s: torch.stack([s, s], 1), "of shape (9,), got (9, 2): let it end"),
    "one number": (lambda s: torch.sigmoid(s).sum(), "of shape (9,), got (): let it end"),
    "a row less": (lambda s: torch.sigmoid(s)[1:], "of shape (9,), got (8,): let it end"),
    "nothing": (lambda s: None, "of shape (9,), got NoneType: let it end"),
    "a pair": (lambda s: (s, s), "of shape (9,), got tuple: let it end"),
    "integers": (lambda s: (s > 0).long(), "of shape (9,), got torch.int64: let it end"),
    "negative": (lambda s: -torch.sigmoid(s), "weights of zero or more, got [-0."),
    "some negative": (lambda s: s - s.mean(), "weights of zero or more, got ["),
    "NaN": (lambda s: s * torch.nan, "weights of zero or more, got [nan, nan"),
    "infinite": (lambda s: s * 0 + torch.inf, "weights of zero or more, got [inf, inf"),
}


def build(method):
    method.build(3, torch.empty(0, dtype=torch.float64))
    return method


@every_method
@pytest.mark.parametrize("case", WRONG)
def test_wrong_weights(make, n_inputs, case):
    function, message = WRONG[case]
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=f"^method__weighting=Weighting .*{re.escape(message)}"):
        build(make().set_params(weighting=Weighting(n_inputs, function)))


@every_method
@pytest.mark.parametrize("n_too_many", [1, 2, 5])
def test_wrong_inputs(make, n_inputs, n_too_many):
    seen = "the loss" + (" and its alignment" if n_inputs == 2 else "") + " of each row"
    said = rf"cannot take inputs of shape \(9, {n_inputs}\), {seen}: .* Give it as many inputs\."
    network = nn.Sequential(nn.Linear(n_inputs + n_too_many, 1), nn.Sigmoid(), nn.Flatten(0))
    with pytest.raises(ValueError, match=said):
        build(make().set_params(weighting=network))


@every_method
def test_nothing_to_learn(make, n_inputs):
    frozen = Weighting(n_inputs, torch.sigmoid)
    frozen.linear.bias.requires_grad_(False)
    for network in (nn.Sigmoid(), nn.Identity(), frozen, frozen.requires_grad_(False)):
        with pytest.raises(ValueError, match="must have parameters, all with requires_grad=True"):
            build(make().set_params(weighting=network))


@every_method
def test_no_gradient(make, n_inputs):
    network = Weighting(n_inputs, lambda scores: torch.sigmoid(scores).detach())
    with pytest.raises(ValueError, match="gives weights without a gradient: let its forward"):
        build(make().set_params(weighting=network))


@every_method
@pytest.mark.parametrize("function", [torch.sigmoid, torch.exp, torch.relu, torch.square])
def test_trying_a_network_out_leaves_it_as_it_is(make, n_inputs, function):
    network = nn.Sequential(nn.BatchNorm1d(n_inputs), nn.Dropout(), Weighting(n_inputs, function))
    state, random = network.state_dict(), torch.get_rng_state()
    made = build(make().set_params(weighting=network)).network_
    assert made.training
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in made.state_dict().items():
        torch.testing.assert_close(value, state[name], check_dtype=False)


@pytest.mark.parametrize("method", ["mw-net", "fmw-net"])
@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (
            lambda params, lr: None,
            "method__optimizer=<lambda> makes no optimiser of torch's",
        ),
        (dict, "method__optimizer=dict cannot be built: "),
        (nn.Linear, "method__optimizer=Linear cannot be built: "),
        (torch.optim.Optimizer, "method__optimizer=Optimizer cannot be built: "),
        (torch.optim.LBFGS, "method__optimizer=LBFGS needs a closure"),
    ],
)
def test_wrong_optimisers(data, method, optimizer, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        quick(method=method, method__optimizer=optimizer).fit(data.X, data.y, meta_mask=data.mask)


@pytest.mark.parametrize("method", ["x", None, 3, MetaWeightNet, ["mw-net"], {}])
def test_methods_that_do_not_exist(method):
    with pytest.raises(ValueError, match=r"^method must be one of mw-net, .*, or a Reweighter; "):
        make_reweighter(method)
