"""The default network."""

import pytest
import torch
from torch import nn

from skmetaweight._modules import Standardize, TabularMLP


def test_standardize_is_its_equation():
    module = Standardize(3).double()
    X = torch.randn(50, 3, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1]) + 5
    module.set_statistics(X.mean(dim=0), X.var(dim=0, correction=0))
    Z = module(X)
    torch.testing.assert_close(Z.mean(dim=0), torch.zeros(3).double())
    torch.testing.assert_close(Z.std(dim=0, correction=0), torch.ones(3).double())


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5, 1e6])
def test_constant_column_is_only_shifted(value):
    module = Standardize(1)
    rounding = abs(value) * 1e-8  # what a running variance leaves of a constant
    module.set_statistics(torch.tensor([value]), torch.tensor([rounding]) ** 2)
    assert module.scale.item() == 1
    assert module(torch.tensor([[value]])).item() == 0


def test_small_but_real_spread_is_scaled():
    module = Standardize(1).double()
    module.set_statistics(torch.tensor([1.0]).double(), torch.tensor([1e-10]).double())
    assert module.scale.item() == pytest.approx(1e-5)


def test_statistics_are_buffers():
    module = Standardize(2)
    module.set_statistics(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 9.0]))
    assert not list(module.parameters())
    other = Standardize(2)
    other.load_state_dict(module.state_dict())
    assert other.mean.tolist() == [1, 2]
    assert other.scale.tolist() == [2, 3]
    assert module.double()(torch.ones(1, 2).double()).dtype == torch.float64


@pytest.mark.parametrize("hidden_dims", [(), (7,), (7, 6, 5)])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_mlp_has_the_layers_it_was_asked_for(hidden_dims, batch_norm, dropout):
    module = TabularMLP(4, 3, hidden_dims, dropout, batch_norm)
    kinds = [type(layer) for layer in module.layers]
    block = [nn.Linear, *[nn.BatchNorm1d] * batch_norm, nn.ReLU, *[nn.Dropout] * bool(dropout)]
    assert kinds == [*block * len(hidden_dims), nn.Linear]
    widths = [layer.out_features for layer in module.layers if isinstance(layer, nn.Linear)]
    assert widths == [*hidden_dims, 3]
    assert {layer.p for layer in module.layers if isinstance(layer, nn.Dropout)} <= {dropout}
    assert module(torch.randn(6, 4)).shape == (6, 3)


def test_mlp_defaults():
    module = TabularMLP(4, 3)
    assert [p.shape[0] for n, p in module.named_parameters() if "weight" in n and p.ndim == 2] == [
        128,
        128,
        3,
    ]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in module.layers) == 2
    assert {layer.p for layer in module.layers if isinstance(layer, nn.Dropout)} == {0.15}


def test_mlp_does_not_depend_on_the_units_of_its_columns():
    X = torch.randn(20, 4, dtype=torch.float64)
    module = TabularMLP(4, 3).double().eval()
    module.standardize.set_statistics(X.mean(dim=0), X.var(dim=0))
    expected = module(X)
    other = 1000 * X + 7
    module.standardize.set_statistics(other.mean(dim=0), other.var(dim=0))
    torch.testing.assert_close(module(other), expected)
