"""The default network."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from skmetaweight import MetaWeightClassifier
from skmetaweight._bilevel.randomness import Dropout
from skmetaweight._estimator.default_network import INPUT_DROPOUT
from skmetaweight._tabular.modules import PiecewiseLinear, TabularMLP
from skmetaweight._tabular.standardize import Standardize


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
    block = [nn.Linear, *[nn.BatchNorm1d] * batch_norm, nn.ReLU, *[Dropout] * bool(dropout)]
    assert kinds == [*block * len(hidden_dims), nn.Linear]
    widths = [layer.out_features for layer in module.layers if isinstance(layer, nn.Linear)]
    assert widths == [*hidden_dims, 3]
    assert {layer.p for layer in module.layers if isinstance(layer, nn.Dropout)} <= {dropout}
    assert module(torch.randn(6, 4)).shape == (6, 3)


def test_mlp_defaults():
    module = TabularMLP(4, 3)
    assert [p.shape[0] for n, p in module.named_parameters() if "weight" in n and p.ndim == 2] == [
        256,
        256,
        3,
    ]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in module.layers) == 2
    assert {layer.p for layer in module.layers if isinstance(layer, nn.Dropout)} == {0.4}


def test_mlp_does_not_depend_on_the_units_of_its_columns():
    X = torch.randn(20, 4, dtype=torch.float64)
    module = TabularMLP(4, 3).double().eval()
    module.standardize.set_statistics(X.mean(dim=0), X.var(dim=0))
    expected = module(X)
    other = 1000 * X + 7
    module.standardize.set_statistics(other.mean(dim=0), other.var(dim=0))
    torch.testing.assert_close(module(other), expected)


def test_piecewise_linear_is_its_equation():
    edges = [[0.0, 1.0, 3.0], [5.0, 6.0], [-1.0, 0.0, 1.0, 9.0]]
    X = torch.tensor([[-2.0, 5.5, -3.0], [0.5, 5.5, 0.25], [2.0, 5.5, 5.0], [7.0, 5.5, 99.0]])
    expected = []
    for row in X.tolist():
        bins = [(row[i], *pair) for i in (0, 2) for pair in pairwise(edges[i])]
        expected.append([min(max((x - left) / (right - left), 0), 1) for x, left, right in bins])
    module = PiecewiseLinear(edges)
    assert module.n_outputs == 5
    torch.testing.assert_close(module(X), torch.tensor(expected))


def test_piecewise_linear_without_bins_is_empty():
    assert PiecewiseLinear([]).n_outputs == 0
    assert PiecewiseLinear([[0.0, 1.0]])(torch.zeros(3, 1)).shape == (3, 0)


def test_edges_are_quantiles_of_the_training_rows():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.exponential(size=400), rng.integers(0, 2, 400), np.full(400, 7.0)])
    y = rng.integers(0, 2, 400)
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu")
    clf.fit(X, y, X_meta=X[:20] * [1.1, 1, 1], y_meta=y[:20])
    piecewise = clf.net_.module_.piecewise
    assert piecewise.column.tolist() == [0] * 8  # two values need no bins, one value even less
    edges = np.quantile(X[:, 0], np.linspace(0, 1, 9), method="inverted_cdf")
    np.testing.assert_allclose(piecewise.left, edges[:-1], rtol=1e-6)
    np.testing.assert_allclose(piecewise.width, np.diff(edges), rtol=1e-5)


def test_edges_follow_the_sample_weights():
    X = np.arange(300.0)[:, None]
    y = np.arange(300) % 2
    fit = {"X_meta": X[::15], "y_meta": y[::15]}
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu")
    weighted = clf.fit(X, y, sample_weight=(X[:, 0] < 100).astype(float), **fit)
    left, width = weighted.net_.module_.piecewise.left, weighted.net_.module_.piecewise.width
    assert (left + width).max() == 99


@pytest.mark.parametrize(("n_features", "n_bins"), [(4, 8), (64, 8), (100, 5), (257, 0)])
def test_many_columns_get_fewer_bins(n_features, n_bins):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, n_features)), rng.integers(0, 2, 80)
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu")
    clf.fit(X, y, X_meta=X[:10], y_meta=y[:10])
    assert clf.net_.module_.piecewise.n_outputs == n_features * n_bins


def test_no_edges_no_encoding():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 4)), rng.integers(0, 2, 80)
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu", module__bin_edges=())
    clf.fit(X, y, X_meta=X[:10], y_meta=y[:10])
    linear = next(layer for layer in clf.net_.module_.layers if isinstance(layer, nn.Linear))
    assert linear.in_features == 4


@pytest.mark.parametrize(
    ("n_rows", "options", "dropped"),
    [
        (359, {}, True),  # 4 numbers of 8 bins
        (360, {}, False),
        (39, {"module__bin_edges": ()}, True),
        (40, {"module__bin_edges": ()}, False),
    ],
)
def test_inputs_are_dropped_if_there_are_few_rows_for_each(n_rows, options, dropped):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_rows, 4)), rng.integers(0, 2, n_rows)
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu", **options)
    clf.fit(X, y, X_meta=X[:10], y_meta=y[:10])
    first = clf.net_.module_.layers[0]
    assert isinstance(first, nn.Dropout) == dropped
    assert not dropped or first.p == INPUT_DROPOUT


@pytest.mark.parametrize("scale", [1.0, 3.0], ids=["zeros and ones", "zeros and threes"])
def test_a_rare_indicator_does_not_stand_out(scale):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=400), np.arange(400) < 4]) * [1.0, scale]
    y = rng.integers(0, 2, 400)
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu")
    clf.fit(X, y, X_meta=X[:10], y_meta=y[:10])
    deviation = X[:, 1].std() if scale > 1 else 0.5
    assert clf.net_.module_.standardize.scale[1].item() == pytest.approx(deviation)


@pytest.mark.parametrize("cardinalities", [(), (3,), (3, 4)])
@pytest.mark.parametrize("wrong", [-1, 1, 3])
def test_columns_are_as_many_as_the_network_was_made_for(cardinalities, wrong):
    network = TabularMLP(5, 3, cardinalities=cardinalities).eval()
    assert network(torch.zeros(2, 5)).shape == (2, 3)
    with pytest.raises(ValueError, match=f"X has {5 + wrong} columns, but .* was made for 5"):
        network(torch.zeros(2, 5 + wrong))


@pytest.mark.parametrize("name", ["n_features", "n_classes", "hidden_dims", "cardinalities"])
@pytest.mark.parametrize("size", [0, -1, 2.5, "x", True, None])
def test_sizes_are_whole_numbers(name, size):
    sizes = {"n_features": 4, "n_classes": 3}
    sizes[name] = (size,) if name in ("hidden_dims", "cardinalities") else size
    with pytest.raises(ValueError, match=f"{name} must be whole numbers from 1, got {size!r}"):
        TabularMLP(**sizes)


def test_more_codes_than_columns():
    with pytest.raises(ValueError, match="cardinalities are of 3 columns, but X has 2"):
        TabularMLP(2, 3, cardinalities=(3, 3, 3))
