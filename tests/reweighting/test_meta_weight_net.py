"""MW-Net's hypergradient is exact, and its steps are those of the equations."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from skmetaweight import PAPER_TRAINING, MetaWeightClassifier
from skmetaweight._bilevel.objective import Batch
from skmetaweight.reweighting import MetaWeightNet
from skmetaweight.reweighting._weighting import WeightingNetwork
from tests._reference import (
    MemoryMetaWeightNetReference,
    MetaWeightNetReference,
    cross_entropy,
    paper_meta_weight_net_step,
)
from tests.reweighting._cases import (
    MODULE_CASES,
    N_CLASSES,
    N_META,
    N_ROWS,
    ONE_DERIVATIVE_CASES,
    expected_warning,
    flat,
    grads_of,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
    relative_error,
)
from tests.reweighting._runs import N_TRUSTED, compare_runs

UNIT_STEP = {"meta_lr": 1.0, "optimizer": torch.optim.SGD}
CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
SETTINGS = {
    "normalised": {},
    "raw": {"normalize": False},
    "class-aware": {"weighting": "class-aware"},
    "cmw": {"weighting": "cmw"},
    "lilaw": {"weighting": "lilaw"},
    "raw lilaw": {"weighting": "lilaw", "normalize": False, "meta_share": 0.3, "weighted": True},
    "sample weight": {"weighted": True},
    "raw with sample weight": {"normalize": False, "weighted": True},
    "class weight": {"meta_class_weight": CLASS_WEIGHT},
    "meta share": {"meta_share": 0.3},
    "raw with meta share": {"meta_share": 0.3, "normalize": False},
    "robust": {"meta_robustness": 0.7},
    "learned": {"meta_share": 0.3, "learned_loss": 0.9},
    "everything": {
        "meta_share": 0.3,
        "learned_loss": 0.9,
        "taught": torch.tensor([1.5, 0.0, 1.5]).double()[torch.arange(N_META) % 3],
        "weighting": "class-aware",
        "weighted": True,
        "meta_class_weight": CLASS_WEIGHT,
        "meta_robustness": 0.7,
    },
}
BY_NAME = ("cmw", "lilaw")
OF_THE_OBJECTIVE = {
    *("meta_share", "meta_class_weight", "meta_robustness", "learned_loss", "taught"),
}


def of_reference(setting):
    """Name the settings as the references do."""
    setting = dict(setting)
    weighting = setting.pop("weighting", None)
    return {
        "class_aware": weighting in ("class-aware", "cmw"),
        "sees_probabilities": weighting == "lilaw",
        **setting,
    }


def bent_network(n_inputs, hidden_dim):
    """A weighting network whose hidden units bend between losses of 0.5 and 1.5."""
    torch.manual_seed(3)
    network = WeightingNetwork(n_inputs, hidden_dim)
    signs = torch.tensor([1.0, -1.0]).repeat(hidden_dim // 2)
    with torch.no_grad():
        network.hidden.weight[:, 0] = signs
        network.hidden.bias.copy_(-signs * torch.linspace(0.5, 1.5, hidden_dim))
    return network


def smooth_network(n_inputs):
    """A weighting network that differences can differentiate."""
    torch.manual_seed(3)
    layers = nn.Linear(n_inputs, 2), nn.Tanh(), nn.Linear(2, 1), nn.Sigmoid(), nn.Flatten(0)
    return nn.Sequential(*layers)


class Problem:
    """A reweighter and the reference with equal networks, a module and two batches."""

    def __init__(
        self,
        case,
        *,
        smooth=False,
        normalize=True,
        weighting=None,
        weighted=False,
        **objective,
    ):
        self.module = make_module(case)
        self.batch, self.meta_batch = make_batch(case, weighted=weighted), make_meta_batch(case)
        seen = of_reference({"weighting": weighting})
        if weighting not in BY_NAME:
            n_inputs = 1 + N_CLASSES * seen["class_aware"]
            weighting = smooth_network(n_inputs) if smooth else bent_network(n_inputs, 6)
            weighting.class_aware = seen["class_aware"]
        reweighter = MetaWeightNet(
            memory=0.0,
            normalize=normalize,
            weighting=weighting,
            lookahead_lr="lr",
            **UNIT_STEP,
        )
        self.reweighter = ready(reweighter, self.module, **objective)
        self.reference = MetaWeightNetReference(
            copy.deepcopy(self.reweighter.network_),
            normalize=normalize,
            **seen,
            **objective,
        )

    def hypergradient(self, lookahead_lr=0.5):
        """What a unit step of SGD takes off the weighting network."""
        before = flat(self.reweighter.network_.parameters())
        torch.manual_seed(11)
        self.reweighter.step(self.module, self.batch, self.meta_batch, lookahead_lr)
        return before - flat(self.reweighter.network_.parameters())

    def meta_loss(self, lookahead_lr=0.5):
        torch.manual_seed(11)
        return self.reference.meta_loss_after_lookahead(
            self.module, self.batch, self.meta_batch, lookahead_lr
        )

    def double_backward(self):
        params = list(self.reference.network.parameters())
        return flat(torch.autograd.grad(self.meta_loss(), params, materialize_grads=True))

    def differences(self, step=1e-3):
        """Five-point central differences of the meta loss, one number of V at a time."""
        result = []
        for param in self.reference.network.parameters():
            numbers = param.data.view(-1)
            for i, number in enumerate(numbers.tolist()):
                at = {}
                for k in (-2, -1, 1, 2):
                    numbers[i] = number + k * step
                    at[k] = self.meta_loss().item()
                numbers[i] = number
                result.append((8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * step))
        return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", ["plain", "batch norm", "dropout", "both"])
def test_hypergradient_equals_double_backward(name, setting):
    problem = Problem(MODULE_CASES[name], **setting)
    expected = problem.double_backward()
    assert relative_error(problem.hypergradient(), expected) < 1e-8


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("case", MODULE_CASES.values(), ids=MODULE_CASES)
def test_hypergradient_through_any_module(case, meta_share):
    problem = Problem(case, meta_share=meta_share)
    expected = problem.double_backward()
    with expected_warning(case):
        got = problem.hypergradient()
    assert relative_error(got, expected) < 1e-8


@pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "cmw"])
@pytest.mark.parametrize("name", ["plain", "both"])
def test_hypergradient_equals_differences_of_the_meta_loss(name, setting):
    """But for the hidden units of CMW-Net, which bend."""
    problem = Problem(MODULE_CASES[name], smooth=True, **SETTINGS[setting])
    expected = problem.differences()
    assert relative_error(problem.hypergradient(), expected) < 1e-8


@pytest.mark.parametrize("name", ["gru", "cnn", "dict input", "layer norm"])
def test_hypergradient_equals_differences_through_other_modules(name):
    problem = Problem(MODULE_CASES[name], smooth=True)
    expected = problem.differences()
    assert relative_error(problem.hypergradient(), expected) < 1e-8


@pytest.mark.parametrize("case", ONE_DERIVATIVE_CASES.values(), ids=ONE_DERIVATIVE_CASES)
def test_hypergradient_without_any_second_derivative(case):
    problem = Problem(case, smooth=True)
    expected = problem.differences()
    with expected_warning(case):
        got = problem.hypergradient()
    assert relative_error(got, expected) < 1e-5


def test_normalised_hypergradient_has_no_part_along_the_size_of_the_weights():
    """Mean-one weights do not change when V is scaled, so neither does the meta loss."""
    problem = Problem(MODULE_CASES["plain"])
    network = problem.reweighter.network_
    torch.nn.init.zeros_(network.output.weight)  # a constant V: the bias only scales it
    torch.manual_seed(11)
    problem.reweighter.step(problem.module, problem.batch, problem.meta_batch, 0.5)
    assert abs(network.output.bias.grad.item()) < 1e-15
    assert float(network.output.weight.grad.abs().max()) > 1e-6


# ------------------------------------------------------------------ whole steps


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_gradient_of_the_module_is_that_of_the_newly_weighted_loss(setting):
    problem = Problem(MODULE_CASES["both"], **setting)
    start = copy.deepcopy(problem.module)
    problem.hypergradient()
    problem.reference.network.load_state_dict(problem.reweighter.network_.state_dict())
    torch.manual_seed(11)
    problem.reference.step(start, problem.batch, problem.meta_batch, 0.5, update=False)
    assert relative_error(grads_of(problem.module), grads_of(start)) < 1e-12


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_steps_without_memory(setting):
    setting = dict(setting)
    objective = {key: setting.pop(key) for key in OF_THE_OBJECTIVE & setting.keys()}
    weighted = setting.pop("weighted", False)
    compare_runs(
        MetaWeightNet(memory=0.0, **setting),
        lambda network: MetaWeightNetReference(
            network,
            torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4),
            **of_reference(setting),
            **objective,
        ),
        weighted=weighted,
        **objective,
    )


@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("name", [n for n in SETTINGS if "raw" not in n and n != "lilaw"])
def test_steps_with_memory(name, interval):
    setting = dict(SETTINGS[name])
    objective = {key: setting.pop(key) for key in OF_THE_OBJECTIVE & setting.keys()}
    weighted = setting.pop("weighted", False)
    reweighter, reference = compare_runs(
        MetaWeightNet(meta_interval=interval, meta_lr=1e-3, alignment_layers="all", **setting),
        lambda network: MemoryMetaWeightNetReference(
            network,
            torch.optim.Adam(network.parameters(), lr=1e-3),
            n_rows=3 * N_ROWS,
            n_trusted=N_TRUSTED,
            class_aware=setting.get("weighting") in ("class-aware", "cmw"),
            **objective,
        ),
        weighted=weighted,
        **objective,
    )
    torch.testing.assert_close(
        reweighter.memory_.values, torch.tensor(reference.memory.values, dtype=torch.float64)
    )


PAPER_OPTIMIZERS = {
    "noise": partial(torch.optim.Adam, lr=1e-3, weight_decay=1e-4),
    "imbalance": partial(torch.optim.SGD, lr=1e-5, momentum=0.9, nesterov=True, weight_decay=5e-4),
}


@pytest.mark.parametrize("setting", PAPER_OPTIMIZERS)
@pytest.mark.parametrize("name", ["plain", "batch norm"])
def test_published_preset_is_the_loop_of_the_paper(name, setting):
    case = MODULE_CASES[name]
    module = make_module(case)
    reweighter = ready(MetaWeightNet.paper(setting), module)
    their_module, their_network = copy.deepcopy(module), copy.deepcopy(reweighter.network_)
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=5e-4)
    optimizer, their_optimizer = sgd(module.parameters()), sgd(their_module.parameters())
    network_optimizer = PAPER_OPTIMIZERS[setting](their_network.parameters())
    start = flat(their_network.parameters())
    for t in range(6):
        batch, meta_batch = make_batch(case, seed=t), make_meta_batch(case, seed=t)
        optimizer.zero_grad()
        reweighter.step(module, batch, meta_batch, 0.1)
        optimizer.step()
        paper_meta_weight_net_step(
            their_module,
            their_optimizer,
            their_network,
            network_optimizer,
            batch,
            meta_batch,
            lr=0.1,
            setting=setting,
        )
    theirs, ours = flat(their_network.parameters()), flat(reweighter.network_.parameters())
    assert (theirs - start).norm() > (1e-3 if setting == "noise" else 1e-7)
    assert relative_error(ours - start, theirs - start) < 1e-8
    for key, value in their_module.state_dict().items():
        torch.testing.assert_close(module.state_dict()[key], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("setting", PAPER_OPTIMIZERS)
def test_classifier_in_the_published_setting_is_the_loop_of_the_paper(setting):
    module, network = make_module(), WeightingNetwork()
    batch, meta_batch = make_batch(n=20), make_meta_batch()
    clf = MetaWeightClassifier(
        module,
        method=MetaWeightNet.paper(setting).set_params(weighting=network),
        iterator_train__shuffle=False,
        device="cpu",
        random_state=0,
        **{
            **PAPER_TRAINING,
            "batch_size": 8,
            "meta_batch_size": len(meta_batch.y),
            "max_epochs": 3,
            "lr_schedule": (2,),
        },
    )
    clf.fit(
        batch.X.numpy(), batch.y.numpy(), X_meta=meta_batch.X.numpy(), y_meta=meta_batch.y.numpy()
    )
    network = network.double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    network_optimizer = PAPER_OPTIMIZERS[setting](network.parameters())
    for lr in (0.1, 0.1, 0.01):
        optimizer.param_groups[0]["lr"] = lr
        for rows in (slice(0, 8), slice(8, 16), slice(16, 20)):
            paper_meta_weight_net_step(
                module,
                optimizer,
                network,
                network_optimizer,
                Batch(batch.X[rows], batch.y[rows], batch.index[rows]),
                meta_batch,
                lr=lr,
                setting=setting,
            )
    fitted = clf.net_.module_.state_dict()
    for key, value in module.state_dict().items():
        torch.testing.assert_close(fitted[key], value, rtol=1e-9, atol=1e-12)
    losses = np.linspace(0, 3, 5)
    with torch.no_grad():
        expected = network(torch.as_tensor(losses)[:, None])
        if setting == "imbalance":  # then scaled to mean one over the training rows
            expected /= network(cross_entropy(module(batch.X), batch.y)[:, None]).mean()
    np.testing.assert_allclose(clf.weighting_function_(losses), expected, rtol=1e-9)


def test_published_network_is_one_layer_of_a_hundred_units():
    reweighter = ready(MetaWeightNet.paper(), make_module())
    assert {name: tuple(p.shape) for name, p in reweighter.network_.named_parameters()} == {
        "hidden.weight": (100, 1),
        "hidden.bias": (100,),
        "output.weight": (1, 100),
        "output.bias": (1,),
    }
    assert reweighter.network_.max_weight == 1
    assert reweighter.meta_interval_ == 1
    assert not reweighter.normalize
    (group,) = reweighter.network_optimizer_.param_groups
    assert isinstance(reweighter.network_optimizer_, torch.optim.Adam)
    assert (group["lr"], group["weight_decay"]) == (1e-3, 1e-4)


def test_with_memory_all_weights_start_at_one():
    module = make_module()
    reweighter = ready(MetaWeightNet(alignment_layers="all"), module)
    result = reweighter.step(module, make_batch(), make_meta_batch(), 0.1, update=False)
    assert torch.equal(result.weights, torch.ones(N_ROWS, dtype=torch.float64))


def test_a_weighting_network_given_by_the_user_is_copied():
    network = WeightingNetwork(1, 4)
    before = copy.deepcopy(network.state_dict())
    module = make_module()
    reweighter = ready(MetaWeightNet(memory=0.0, weighting=network), module)
    reweighter.step(module, make_batch(), make_meta_batch(), 0.1)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert next(reweighter.network_.parameters()).dtype == torch.float64


def test_result_tells_the_meta_loss_after_the_lookahead():
    problem = Problem(MODULE_CASES["both"])
    torch.manual_seed(11)
    expected_losses = cross_entropy(copy.deepcopy(problem.module)(problem.batch.X), problem.batch.y)
    expected = problem.meta_loss()
    torch.manual_seed(11)
    result = problem.reweighter.step(problem.module, problem.batch, problem.meta_batch, 0.5)
    torch.testing.assert_close(result.meta_loss, expected.detach())
    torch.testing.assert_close(result.sample_losses, expected_losses.detach())
