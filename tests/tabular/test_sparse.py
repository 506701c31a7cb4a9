"""Tables of mostly zeros, which the default network does not make dense."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skmetaweight import MetaWeightClassifier
from skmetaweight._estimator.default_network import INPUT_DROPOUT, MAX_DENSITY
from skmetaweight._tabular.modules import TabularMLP
from skmetaweight._tabular.sparse import SparseLinear
from skmetaweight._tabular.standardize import Standardize
from tests.conftest import of_method, quick

TOLERANCE = 2e-3  # a tenth of what other masks make; Adam enlarges the last bits of what is learned
N_COLUMNS = 600  # too many for an encoding
SGD = {"optimizer": torch.optim.SGD, "lr": 0.1}


def table(n: int = 90, density: float = 0.008, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 3, (n, N_COLUMNS)).astype(np.float32)
    return np.where(rng.random((n, N_COLUMNS)) < density, values, 0).astype(np.float32)


def standardize(n_features: int, seed: int = 0) -> Standardize:
    """Make one with bounds, some of which leave zero out."""
    torch.manual_seed(seed)
    module = Standardize(n_features).double()
    module.set_statistics(torch.randn(n_features).double(), torch.rand(n_features).double() + 0.1)
    middle = torch.randn(n_features).double()
    module.set_bounds(middle - 1, middle + 1)
    return module


def sparse_rows(n: int, n_features: int, density: float) -> torch.Tensor:
    X = torch.randn(n, n_features, dtype=torch.float64)
    return torch.where(torch.rand(n, n_features) < density, X, 0.0)


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("to", [torch.Tensor.to_sparse, torch.Tensor.clone])
def test_layer_is_that_of_standardised_rows(density: float, training: bool, to: Any) -> None:
    known, layer = standardize(7), SparseLinear(7, 3, dropout=0.0).double().train(training)
    X = sparse_rows(5, 7, density)
    expected = known(X) @ layer.weight + layer.bias
    outputs = layer(to(X), known)
    torch.testing.assert_close(outputs, expected)
    direction = torch.randn_like(expected)
    params = list(layer.parameters())
    for pair in zip(
        torch.autograd.grad(outputs, params, direction),
        torch.autograd.grad(expected, params, direction),
        strict=True,
    ):
        torch.testing.assert_close(*pair)


def test_layer_has_derivatives_of_all_kinds() -> None:
    known, layer = standardize(7), SparseLinear(7, 3, dropout=0.0).double()
    X = sparse_rows(5, 7, 0.2).to_sparse()

    def outputs(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (X, known)).square()

    weight = layer.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(outputs, weight, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(outputs, weight)


def test_input_dropout_leaves_zeros_and_the_mean() -> None:
    torch.manual_seed(0)
    known, layer = standardize(40), SparseLinear(40, 1, dropout=0.25).double()
    known.lower.fill_(-torch.inf)
    known.upper.fill_(torch.inf)
    X = sparse_rows(1, 40, 0.3).expand(20_000, -1)
    with torch.no_grad():
        outputs = layer(X.to_sparse(), known)
        z, weight = known(X[:1]), layer.weight.squeeze(1)
        variance = ((X[0] != 0) * (z[0] * weight).square()).sum() * (1 / 0.75 - 1)
        torch.testing.assert_close(outputs.mean(), (z @ weight + layer.bias)[0], atol=0.02, rtol=0)
        torch.testing.assert_close(outputs.var(), variance, rtol=0.05, atol=0)


@pytest.mark.parametrize("layers", ["last", "all"])
def test_csr_gives_the_fit_of_the_same_dense_rows(method: str, layers: str) -> None:
    X, y = table(), np.arange(90) % 3
    settings = {"method": method, **of_method(method, alignment_layers=layers)}
    fits = [
        quick(**SGD, **settings).fit(container(X), y, meta_mask=np.arange(90) < 20)
        for container in (sp.csr_array, np.asarray)
    ]
    for clf in fits:
        assert clf.net_.module_.takes_sparse
        assert clf.net_.module_.first.dropout.p == INPUT_DROPOUT
    sparse, dense = (clf.predict_proba(sp.csr_matrix(X)) for clf in fits)
    np.testing.assert_allclose(sparse, dense, atol=TOLERANCE)
    np.testing.assert_allclose(sparse, fits[0].predict_proba(X), atol=1e-6)
    weights = [clf.compute_sample_weight(X, y) for clf in fits]
    np.testing.assert_allclose(*weights, atol=1e-2)


def test_how_a_matrix_is_written_makes_no_difference() -> None:
    X, y = sp.csr_array(table()), np.arange(90) % 3
    zeros = sp.csr_array(X + sp.csr_array(np.eye(90, N_COLUMNS, dtype=np.float32)))
    zeros.data[:] = np.asarray(X.toarray()[zeros.nonzero()])
    backwards = X[:, ::-1][:, ::-1]
    data, indices = zeros.data.copy(), zeros.indices.copy()
    mask = np.arange(90) < 20
    expected = quick().fit(X, y, meta_mask=mask).predict_proba(X)
    twice = sp.csr_array((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), X.shape)
    for other in (zeros, backwards, twice):
        clf = quick().fit(other, y, meta_mask=mask)
        np.testing.assert_array_equal(clf.predict_proba(other), expected)
    np.testing.assert_array_equal(zeros.data, data)
    np.testing.assert_array_equal(zeros.indices, indices)
    assert twice.nnz == 2 * X.nnz


def test_trusted_rows_may_be_written_otherwise() -> None:
    X, y = table(), np.arange(90) % 3
    fits = [
        quick(**SGD).fit(rows(X[20:]), y[20:], X_meta=trusted(X[:20]), y_meta=y[:20])
        for rows in (sp.csr_array, np.asarray)
        for trusted in (sp.csr_array, np.asarray)
    ]
    expected, *others = (clf.predict_proba(X) for clf in fits)
    for other in others:
        np.testing.assert_allclose(other, expected, atol=TOLERANCE)


@pytest.mark.parametrize("container", [sp.csr_array, np.asarray])
@pytest.mark.parametrize("density", [MAX_DENSITY / 2, 3 * MAX_DENSITY])
def test_density_tells_whether_zeros_are_left_out(container: Any, density: float) -> None:
    X, y = table(density=density), np.arange(90) % 3
    for dims in [(8,), (8, 8), ()]:
        clf = quick(max_epochs=1, module__hidden_dims=dims)
        clf.fit(container(X), y, meta_mask=np.arange(90) < 20)
        assert clf.net_.module_.takes_sparse == (density < MAX_DENSITY and len(dims) > 0)


def test_rows_are_never_made_dense_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = sp.csr_matrix(table(300)), np.arange(300) % 3
    clf = quick(max_epochs=2, batch_size=100).fit(X, y, meta_mask=np.arange(300) < 20)
    monkeypatch.setattr(sp.csr_matrix, "toarray", None)
    clf.predict(X)
    clf.compute_sample_weight(X, y)
    clf.label_quality()


@pytest.mark.parametrize(
    "settings",
    [
        {"iterator_train__num_workers": 0, "iterator_train__drop_last": True},
        {"mixed_precision": "bfloat16"},
        {"meta_share": 0.0},
    ],
    ids=["loader", "mixed precision", "no share"],
)
def test_other_ways_of_training(settings: dict[str, Any]) -> None:
    X, y = table(), np.arange(90) % 3
    fits = [
        quick(**SGD, **settings).fit(container(X), y, meta_mask=np.arange(90) < 20)
        for container in (sp.csr_array, np.asarray)
    ]
    sparse, dense = (clf.predict_proba(X) for clf in fits)
    np.testing.assert_allclose(
        sparse, dense, atol=1e-2 if "mixed_precision" in settings else TOLERANCE
    )


def test_a_file_holds_the_network_and_the_trusted_rows(tmp_path: Any) -> None:
    X, y = sp.csr_array(table()), np.arange(90) % 3
    clf = quick().fit(X, y, meta_mask=np.arange(90) < 20)
    clf.save(tmp_path / "clf", rows=True)
    loaded = MetaWeightClassifier.load(tmp_path / "clf")
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    weights = [each.compute_sample_weight(X, y) for each in (clf, loaded)]
    np.testing.assert_allclose(*weights, atol=1e-5)


@pytest.mark.parametrize("options", [{"cardinalities": (3,)}, {"bin_edges": [[0.0, 1.0, 2.0]]}])
def test_sparse_networks_have_neither_codes_nor_bins(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sparse=True takes neither codes nor bins"):
        TabularMLP(4, 3, sparse=True, **options)


def test_a_fit_without_bins_is_kept_in_checkpoints(tmp_path: Any) -> None:
    X, y, mask = table(), np.arange(90) % 3, np.arange(90) < 20
    for name, rows in (("csr", sp.csr_array(X)), ("dense", X)):
        kept = quick(checkpoint=tmp_path / name).fit(rows, y, meta_mask=mask)
        plain = quick().fit(rows, y, meta_mask=mask)
        np.testing.assert_array_equal(kept.predict_proba(rows), plain.predict_proba(rows))
