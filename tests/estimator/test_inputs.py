"""Kinds of X, modules and criteria that the classifier takes."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from torch import nn

import skmetaweight._training.rows_net
from tests.conftest import UNCALIBRATED, Data, Fitted, Linear, Softmax, make_data, quick
from tests.estimator._asserts import assert_same_predictions

# ------------------------------------------------------------------ kinds of X


def as_frame(X: np.ndarray, library: Any) -> Any:
    return library.DataFrame({f"x{i}": column for i, column in enumerate(X.T)})


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_data_frames_keep_their_column_names(library: Any, data: Data) -> None:
    X = as_frame(data.X, library)
    clf = quick().fit(X, library.Series(data.y), meta_mask=library.Series(data.mask))
    assert clf.feature_names_in_.tolist() == ["x0", "x1", "x2", "x3"]
    assert_same_predictions(clf, quick().fit(data.X, data.y, meta_mask=data.mask), X, data.X)
    assert clf.compute_sample_weight(X, data.y).shape == (96,)
    with pytest.raises(ValueError, match="must be in the same order"):
        clf.predict(X[["x1", "x0", "x2", "x3"]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        clf.predict(X.rename({"x1": "z"}) if library is pl else X.rename(columns={"x1": "z"}))


def test_numeric_types_of_X(data: Data) -> None:
    X = np.round(data.X * 10)
    fits = [
        quick().fit(X.astype(dtype), data.y, meta_mask=data.mask)
        for dtype in (np.float32, np.float64, np.int64, np.float16)
    ]
    for clf in fits[1:]:
        assert_same_predictions(clf, fits[0], X)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.dok_matrix])
def test_sparse_rows_are_learned_from_as_dense_ones(
    container: Any, method: str, data: Data
) -> None:
    X = np.where(data.X > 0, data.X, 0)
    dense = quick(method=method).fit(X, data.y, meta_mask=data.mask)
    sparse = quick(method=method).fit(container(X), data.y, meta_mask=data.mask)
    # The column statistics differ in the last bits, which Adam enlarges.
    module, expected = sparse.net_.module_, dense.net_.module_
    for name in ("mean", "scale"):
        statistics = getattr(module.standardize, name), getattr(expected.standardize, name)
        torch.testing.assert_close(*statistics, rtol=1e-5, atol=1e-5)
    probabilities = sparse.predict_proba(container(X))
    np.testing.assert_allclose(probabilities, dense.predict_proba(X), atol=5e-3)
    np.testing.assert_allclose(sparse.sample_weights_, dense.sample_weights_, atol=1e-2)


def test_sparse_rows_equal_dense_ones_for_an_own_module(method: str, data: Data) -> None:
    X = np.where(data.X > 0, data.X, 0)
    dense = quick(module=Linear, method=method).fit(X, data.y, meta_mask=data.mask)
    sparse = quick(module=Linear, method=method).fit(
        sp.csr_array(X[~data.mask]),
        data.y[~data.mask],
        X_meta=sp.csr_array(X[data.mask]),
        y_meta=data.y_meta,
    )
    assert_same_predictions(sparse, dense, sp.csr_array(X), X)


def test_sparse_rows_are_never_made_dense_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(2500)
    X = sp.csr_matrix(np.where(data.X > 0, data.X, 0))
    seen = []
    to_array = sp.csr_matrix.toarray

    def spy(self: sp.csr_matrix, *args: Any, **kwargs: Any) -> np.ndarray:
        seen.append(self.shape[0])
        return to_array(self, *args, **kwargs)

    monkeypatch.setattr(skmetaweight._training.rows_net, "EVALUATION_ROWS", 512)
    monkeypatch.setattr(skmetaweight._estimator.default_network, "ROWS_FOR_BINS", 512)
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, spy)
    clf = quick(max_epochs=1, batch_size=256).fit(X, data.y, meta_mask=data.mask)
    clf.predict(X)
    clf.compute_sample_weight(X, data.y)
    assert sum(seen) > 3 * 2500
    assert max(seen) <= 1024


class Images(nn.Module):
    def __init__(self, n_classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2)
        self.linear = nn.Linear(4, n_classes)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(X)).flatten(1))


class Mixed(nn.Module):
    """Takes a dict: columns of numbers, and a column of codes for an embedding."""

    def __init__(self, n_classes: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 2)
        self.linear = nn.Linear(6, n_classes)

    def forward(self, numbers: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.cat([numbers, self.embedding(code)], dim=1))


def test_images(method: str, data: Data) -> None:
    X = data.X.reshape(-1, 1, 2, 2)
    clf = quick(module=Images, method=method, module__n_classes=3)
    clf.fit(X, data.y, X_meta=X[data.mask], y_meta=data.y_meta)
    assert clf.predict_proba(X).shape == (96, 3)
    assert clf.compute_sample_weight(X[:1], data.y[:1]).shape == (1,)


def test_dict_of_arrays(method: str, data: Data) -> None:
    X = {"numbers": data.X.astype(np.float64), "code": np.arange(96) % 5}
    for trusted in (
        {"meta_mask": data.mask},
        {"X_meta": {k: v[data.mask] for k, v in X.items()}, "y_meta": data.y_meta},
    ):
        clf = quick(module=Mixed, method=method).fit(X, data.y, **trusted)
        assert clf.predict_proba(X).shape == (96, 3)
        assert clf.compute_sample_weight(X, data.y).shape == (96,)


def test_integer_columns_reach_an_embedding_as_integers(data: Data) -> None:
    class Codes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 3)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return self.embedding(X).sum(dim=1)

    X = np.random.default_rng(0).integers(0, 7, (96, 4))
    with pytest.warns(UserWarning, match="does not return the output of one linear layer"):
        clf = quick(module=Codes).fit(X, data.y, meta_mask=data.mask)
    assert clf.predict_proba(X).shape == (96, 3)


# ------------------------------------------------------------------ modules and criteria


def test_own_module_as_class_or_instance(method: str, data: Data) -> None:
    torch.manual_seed(0)
    instance = Linear()
    before = {name: value.clone() for name, value in instance.state_dict().items()}
    clf = quick(module=instance, method=method).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.module is instance
    for name, value in instance.state_dict().items():
        assert torch.equal(value, before[name])
        assert not torch.equal(clf.net_.module_.state_dict()[name], before[name])
    clf = quick(module=Linear, module__n_features=4, method=method)
    assert clf.fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X).shape == (96, 3)


def test_float64_module(method: str, data: Data) -> None:
    clf = quick(module=Linear, module__dtype=torch.float64, method=method, **UNCALIBRATED)
    clf.fit(data.X.astype(float), data.y, meta_mask=data.mask)
    assert clf.net_.module_.linear.weight.dtype == torch.float64
    assert clf.sample_weights_.dtype == np.float64
    logits = clf.net_.module_(torch.as_tensor(data.X, dtype=torch.float64)).detach()
    np.testing.assert_allclose(
        clf.predict_proba(data.X), torch.softmax(logits, dim=1).numpy(), rtol=1e-12
    )


def test_nll_loss_takes_probabilities_as_in_skorch(method: str, data: Data) -> None:
    by_nll = quick(module=Softmax, criterion=nn.NLLLoss, method=method, **UNCALIBRATED)
    by_nll.fit(data.X, data.y, meta_mask=data.mask)
    outputs = by_nll.net_.module_(torch.as_tensor(data.X)).detach().double().numpy()
    np.testing.assert_allclose(by_nll.predict_proba(data.X), outputs, rtol=1e-6)
    by_cross_entropy = quick(module=Linear, method=method, **UNCALIBRATED)
    by_cross_entropy.fit(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_allclose(
        by_nll.predict_proba(data.X), by_cross_entropy.predict_proba(data.X), atol=1e-4
    )


def test_softmax_before_cross_entropy_is_warned_of_once(data: Data) -> None:
    with pytest.warns(UserWarning, match="pass criterion=torch.nn.NLLLoss") as record:
        quick(module=Softmax).fit(data.X, data.y, meta_mask=data.mask)
    assert len(record) == 1
    assert record[0].filename == __file__


def test_criterion_instance_with_loss_per_row(data: Data) -> None:
    criterion = nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)
    clf = quick(criterion=criterion).fit(data.X, data.y, meta_mask=data.mask)
    by_class = quick(criterion__label_smoothing=0.1).fit(data.X, data.y, meta_mask=data.mask)
    assert_same_predictions(clf, by_class, data.X)
    assert clf.net_.criterion_ is not criterion


class Absolute(nn.Module):
    """A criterion without a ``reduction`` argument: one loss per row."""

    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 2 - 2 * torch.softmax(y_pred, dim=-1).gather(1, y.unsqueeze(1)).squeeze(1)


def test_custom_criterion(method: str, data: Data) -> None:
    clf = quick(criterion=Absolute, method=method, robust_meta_loss=False, **UNCALIBRATED)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    expected = 2 - 2 * clf.predict_proba(data.X_meta)[np.arange(18), data.y_meta].mean()
    assert min(clf.history_[:, "meta_loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu")])
def test_device(device: Any, fitted: Fitted) -> None:
    clf = fitted(device=device)
    if device != "auto":
        assert clf.net_.parameter.device.type == "cpu"
