"""FMW-Net's steps are those of its value function."""

from functools import partial

import pytest
import torch

from skmetaweight.reweighting import FirstOrderMetaWeightNet, MetaWeightNet
from tests._reference import FirstOrderMetaWeightNetReference
from tests.reweighting._cases import (
    MODULE_CASES,
    every_share,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
)
from tests.reweighting._runs import SGD, compare_runs

OPTIMIZERS = {"sgd": SGD, "adam": partial(torch.optim.Adam, lr=1e-2)}
CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


@every_share
@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("network_optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("normalize", [True, False])
def test_steps(normalize, network_optimizer, optimizer, interval, meta_share):
    compare_runs(
        FirstOrderMetaWeightNet(
            meta_lr=1e-2,
            meta_interval=interval,
            normalize=normalize,
            optimizer=network_optimizer,
        ),
        lambda network: FirstOrderMetaWeightNetReference(
            network,
            network_optimizer(network.parameters(), lr=1e-2),
            meta_share=meta_share,
            normalize=normalize,
        ),
        optimizer=optimizer,
        meta_share=meta_share,
    )


@every_share
@pytest.mark.parametrize("options", [{"weighting": "class-aware"}, {"eta": 0.1}, {"eta": 5.0}])
@pytest.mark.parametrize("name", ["batch norm", "cnn", "dict input", "running scale"])
def test_steps_with_options(name, options, meta_share):
    objective = {
        "meta_share": meta_share,
        "meta_class_weight": CLASS_WEIGHT,
        "meta_robustness": 0.7,
    }
    of_reference = {"class_aware": True} if "weighting" in options else options
    compare_runs(
        FirstOrderMetaWeightNet(meta_interval=1, **options),
        lambda network: FirstOrderMetaWeightNetReference(
            network, torch.optim.Adam(network.parameters(), lr=1e-2), **of_reference, **objective
        ),
        case=MODULE_CASES[name],
        weighted=True,
        **objective,
    )


def test_defaults():
    reweighter = ready(FirstOrderMetaWeightNet(), make_module())
    (group,) = reweighter.network_optimizer_.param_groups
    assert isinstance(reweighter.network_optimizer_, torch.optim.Adam)
    assert (group["lr"], reweighter.eta, reweighter.meta_interval_) == (1e-2, 0.5, 20)


@pytest.mark.parametrize(
    ("setting", "lr", "decay"), [("noise", 1e-3, 1e-4), ("imbalance", 1e-4, 1e-5)]
)
def test_published_preset(setting, lr, decay):
    reweighter = ready(FirstOrderMetaWeightNet.paper(setting), make_module())
    (group,) = reweighter.network_optimizer_.param_groups
    assert type(reweighter.network_optimizer_) is torch.optim.SGD
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (lr, decay, 0)
    assert (reweighter.eta, reweighter.meta_interval_) == (0.5, 20)
    assert (reweighter.memory, reweighter.normalize) == (0, False)
    assert reweighter.network_.hidden.out_features == 100


@pytest.mark.parametrize("method", [FirstOrderMetaWeightNet, MetaWeightNet])
def test_unknown_published_setting(method):
    with pytest.raises(ValueError, match="one of noise, imbalance; got 'images'"):
        method.paper("images")


def test_published_steps_across_an_interval():
    compare_runs(
        FirstOrderMetaWeightNet.paper(),
        lambda network: FirstOrderMetaWeightNetReference(
            network,
            torch.optim.SGD(network.parameters(), lr=1e-3, weight_decay=1e-4),
            normalize=False,
        ),
        n_steps=23,
    )


def test_multiplier_is_recorded_and_never_negative():
    module = make_module()
    reweighter = ready(FirstOrderMetaWeightNet(meta_interval=1, eta=0.0), module)
    for t in range(10):
        result = reweighter.step(module, make_batch(seed=t), make_meta_batch(seed=t), 0.1)
        assert result.diagnostics["fmw_lambda"] >= 0
    result = reweighter.step(module, make_batch(), make_meta_batch(), 0.1, update=False)
    assert not result.diagnostics
