"""What a user of scikit-learn and skorch expects of the classifier."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

import skmetaweight._training.rows_net
from skmetaweight import MetaWeightClassifier, MetaWeightNet, Uniform, WeightingFunction
from tests.conftest import METHODS, Data, Fitted, Linear, Softmax, make_data, noisy_blobs, quick


def assert_same_predictions(
    clf: MetaWeightClassifier, other: MetaWeightClassifier, X: Any, X_other: Any = None
) -> None:
    given = X if X_other is None else X_other
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(given))


# ------------------------------------------------------------------ labels


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["cat", "dog", "eel"]),
        np.array(["cat", "dog", "eel"], dtype=object),
        np.array([3, 7, 9]),
        np.array([-1.0, 0.0, 1.0]),
    ],
    ids=["str", "object", "int", "float"],
)
def test_labels_of_any_kind(labels: np.ndarray, data: Data) -> None:
    clf = quick().fit(data.X, labels[data.y], meta_mask=data.mask)
    np.testing.assert_array_equal(clf.classes_, labels)
    np.testing.assert_array_equal(clf.predict(data.X), labels[clf.predict_proba(data.X).argmax(1)])
    assert clf.predict(data.X).dtype == labels.dtype
    assert_same_predictions(clf, quick().fit(data.X, data.y, meta_mask=data.mask), data.X)
    weights = clf.compute_sample_weight(data.X, labels[data.y])
    assert weights.shape == data.y.shape


@pytest.mark.parametrize("labels", [[False, True], [3, 7], ["no", "yes"]])
def test_two_classes_have_two_columns_in_the_order_of_classes(labels: list[Any]) -> None:
    data = make_data()
    y = np.array(labels)[(data.X[:, 0] > data.X[:, 0].mean()).astype(int)]
    clf = quick(max_epochs=9, lr=0.02).fit(data.X, y, meta_mask=data.mask)
    assert clf.classes_.tolist() == labels
    probabilities = clf.predict_proba(data.X)
    assert probabilities.shape == (len(y), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(clf.predict(data.X) == labels[1], probabilities[:, 1] > 0.5)
    assert clf.score(data.X, y) > 0.8


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
    clf = quick(module=Linear, module__dtype=torch.float64, method=method)
    clf.fit(data.X.astype(float), data.y, meta_mask=data.mask)
    assert clf.net_.module_.linear.weight.dtype == torch.float64
    assert clf.sample_weights_.dtype == np.float64
    logits = clf.net_.module_(torch.as_tensor(data.X, dtype=torch.float64)).detach()
    np.testing.assert_allclose(
        clf.predict_proba(data.X), torch.softmax(logits, dim=1).numpy(), rtol=1e-12
    )


def test_nll_loss_takes_probabilities_as_in_skorch(method: str, data: Data) -> None:
    by_nll = quick(module=Softmax, criterion=nn.NLLLoss, method=method)
    by_nll.fit(data.X, data.y, meta_mask=data.mask)
    outputs = by_nll.net_.module_(torch.as_tensor(data.X)).detach().double().numpy()
    np.testing.assert_allclose(by_nll.predict_proba(data.X), outputs, rtol=1e-6)
    by_cross_entropy = quick(module=Linear, method=method)
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
    clf = quick(criterion=Absolute, method=method, robust_meta_loss=False)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    expected = 2 - 2 * clf.predict_proba(data.X_meta)[np.arange(18), data.y_meta].mean()
    assert min(clf.history_[:, "meta_loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("device", ["auto", "cpu", torch.device("cpu")])
def test_device(device: Any, fitted: Fitted) -> None:
    clf = fitted(device=device)
    if device != "auto":
        assert clf.net_.parameter.device.type == "cpu"


# ------------------------------------------------------------------ trusted rows


def test_meta_set_and_meta_mask_are_the_same_rows(method: str, data: Data) -> None:
    by_mask = quick(method=method).fit(data.X, data.y, meta_mask=data.mask)
    by_rows = quick(method=method).fit(
        data.X[~data.mask], data.y[~data.mask], X_meta=data.X_meta, y_meta=data.y_meta
    )
    assert_same_predictions(by_mask, by_rows, data.X)
    np.testing.assert_array_equal(by_mask.meta_indices_, np.flatnonzero(data.mask))
    assert by_rows.meta_indices_.size == 0
    np.testing.assert_array_equal(by_mask.sample_weights_[~data.mask], by_rows.sample_weights_)
    np.testing.assert_array_equal(by_mask.sample_weights_[data.mask], 1)


@pytest.mark.parametrize(("meta_size", "n_meta"), [(0.25, 24), (24, 24), (np.float32(0.25), 24)])
def test_split_is_stratified_and_warned_of(meta_size: Any, n_meta: int, data: Data) -> None:
    clf = quick(meta_size=meta_size)
    with pytest.warns(UserWarning, match=rf"{n_meta} rows \(meta_size=.*may be as noisy") as record:
        clf.fit(data.X, data.y)
    assert record[0].filename == __file__
    assert len(clf.meta_indices_) == n_meta
    shares = np.bincount(data.y[clf.meta_indices_]) / np.bincount(data.y)
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    np.testing.assert_array_equal(clf.sample_weights_[clf.meta_indices_], 1)
    quick(method="uniform").fit(data.X, data.y)  # no weights are learned, nothing to warn of


def final_meta_loss(clf: MetaWeightClassifier, q: float) -> Any:
    """Compute the meta loss of the kept epoch anew, by its equation."""
    losses = clf.net_.evaluate(clf.net_.meta_rows_).losses
    if q:
        losses = (1 - torch.exp(-q * losses)) / q
    return pytest.approx(float(losses.mean()))


@pytest.mark.parametrize("meta_share", [0, 0.2])
@pytest.mark.parametrize("given", ["auto", True, False])
def test_meta_loss_is_robust_if_learned_in_doubt_or_asked(
    given: Any, meta_share: float, data: Data
) -> None:
    # Uniform weights, since the others warn of a split.
    clf = quick(method="uniform", robust_meta_loss=given, meta_share=meta_share)
    trusted = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    for source, in_doubt in (({}, True), (trusted, False)):
        clf.fit(data.X, data.y, **source)
        is_robust = bool(in_doubt or meta_share) if given == "auto" else given
        q = 0.7 if in_doubt else 0.5 / np.log(3)
        expected = final_meta_loss(clf, q if is_robust else 0)
        assert clf.history_[clf.best_epoch_ - 1, "meta_loss"] == expected


def test_bound_of_the_training_loss_grows_with_the_epochs_of_a_fit(data: Data) -> None:
    seen: list[float] = []

    class Watch(Callback):
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            seen.append(net.objective_.stage.progress.item())

    clf = quick(max_epochs=4, callbacks=[Watch()])
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert seen == pytest.approx([0, 0.25, 0.5, 0.75], abs=1e-5)
    clf.partial_fit(data.X, data.y, meta_mask=data.mask)
    assert seen[4:] == pytest.approx([0], abs=1e-5)
    with pytest.warns(UserWarning, match="No trusted rows"):  # whose stand-ins are bounded at once
        clf.fit(data.X, data.y)
    assert seen[5:] == [1, 1, 1, 1]


@pytest.mark.parametrize("is_rare", [True, False])
def test_meta_loss_is_not_bounded_for_rare_classes(is_rare: bool) -> None:
    X = np.random.default_rng(0).normal(size=(420, 3))
    y = (np.arange(420) < (16 if is_rare else 24)).astype(int)
    clf = quick(method="uniform", meta_size=100).fit(X, y)
    counts = np.bincount(np.delete(y, clf.meta_indices_))
    assert (counts[0] > 20 * counts[1]) == is_rare
    expected = final_meta_loss(clf, 0 if is_rare else 0.7)
    assert clf.history_[clf.best_epoch_ - 1, "meta_loss"] == expected


def test_fewer_trusted_rows_than_a_meta_batch(method: str, data: Data) -> None:
    few = np.flatnonzero(data.mask)[::3]
    clf = quick(method=method, meta_batch_size=64)
    clf.fit(data.X, data.y, X_meta=data.X[few], y_meta=data.y[few])
    assert len(clf.net_.meta_rows_) == 6


def test_more_trusted_rows_than_training_rows(method: str, data: Data) -> None:
    clf = quick(method=method).fit(data.X, data.y, meta_mask=~data.mask)
    assert clf.sample_weights_.shape == (96,)
    clf.fit(data.X_meta, data.y_meta, X_meta=data.X, y_meta=data.y)
    assert clf.sample_weights_.shape == (18,)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"b": 2.0}])
def test_classes_missing_from_the_meta_set_are_named(class_weight: Any, data: Data) -> None:
    labels = np.array(["a", "b", "c"])[data.y]
    known = data.y_meta != 1
    clf = quick(class_weight=class_weight)
    with pytest.warns(UserWarning, match=r"no row of the classes \['b'\]") as record:
        clf.fit(data.X, labels, X_meta=data.X_meta[known], y_meta=labels[data.mask][known])
    assert record[0].filename == __file__
    assert clf.predict_proba(data.X).shape == (96, 3)


# ------------------------------------------------------------------ weights


def test_sample_weight_scales_out(method: str, data: Data) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2, 96)
    fits = [
        quick(method=method).fit(data.X, data.y, meta_mask=data.mask, sample_weight=w)
        for w in (weight, 1000 * weight, None)
    ]
    np.testing.assert_allclose(
        fits[0].predict_proba(data.X), fits[1].predict_proba(data.X), rtol=1e-4
    )
    assert np.abs(fits[0].predict_proba(data.X) - fits[2].predict_proba(data.X)).max() > 1e-4


def test_sample_weight_of_zero_hides_a_class() -> None:
    data = make_data(300)
    clf = quick(method="uniform", meta_share=0, max_epochs=20, lr=0.01, early_stopping=False)
    clf.fit(data.X, data.y, meta_mask=data.mask, sample_weight=(data.y != 2).astype(float))
    assert (clf.predict(data.X) == 2).mean() < 0.02


def test_class_weight_rules_the_meta_loss(data: Data) -> None:
    labels = np.array(["a", "b", "c"])[data.y]
    class_weight = {"a": 3.0, "b": 1.0, "c": 0.0}
    clf = quick(class_weight=class_weight, max_epochs=4, robust_meta_loss=False)
    clf.fit(data.X, labels, meta_mask=data.mask)
    losses = -np.log(clf.predict_proba(data.X_meta)[np.arange(18), data.y_meta])
    weight = np.array([3.0, 1.0, 0.0])[data.y_meta]
    expected = np.average(losses, weights=weight)
    assert min(clf.history_[:, "meta_loss"]) == pytest.approx(expected, rel=1e-4)


def test_balanced_class_weight_evens_the_meta_set_out(data: Data) -> None:
    trusted = np.concatenate([np.flatnonzero(data.mask & (data.y == k))[: k + 2] for k in range(3)])
    clf = quick(class_weight="balanced", max_epochs=3, robust_meta_loss=False)
    clf.fit(data.X, data.y, X_meta=data.X[trusted], y_meta=data.y[trusted])
    y_meta = data.y[trusted]
    losses = -np.log(clf.predict_proba(data.X[trusted])[np.arange(len(y_meta)), y_meta])
    expected = np.mean([losses[y_meta == label].mean() for label in range(3)])
    assert min(clf.history_[:, "meta_loss"]) == pytest.approx(expected, rel=1e-4)


def test_compute_sample_weight(method: str, data: Data) -> None:
    clf = quick(method=method, max_epochs=6).fit(data.X, data.y, meta_mask=data.mask)
    new = make_data(40, seed=1)
    weights = clf.compute_sample_weight(new.X, new.y)
    assert weights.shape == (40,)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    one = clf.compute_sample_weight(new.X[3:4], new.y[3:4])
    np.testing.assert_allclose(one, weights[3:4], rtol=1e-4)
    if method == "uniform":
        np.testing.assert_array_equal(weights, 1)
    other = LogisticRegression().fit(data.X, data.y, sample_weight=clf.sample_weights_)
    assert other.score(data.X, data.y) > 0.5
    with pytest.raises(ValueError, match=r"y has labels \[5\] that are not among .* \[0, 1, 2\]"):
        clf.compute_sample_weight(new.X, np.full(40, 5))
    with pytest.raises(ValueError, match="same length, got 40 rows and 39 labels"):
        clf.compute_sample_weight(new.X, new.y[:39])


@pytest.mark.parametrize("method", ["mw-net", "fmw-net", MetaWeightNet(memory=0, normalize=False)])
def test_function_of_the_loss_gives_the_weights_of_training_rows(method: Any, data: Data) -> None:
    memory = {"method__memory": 0} if method == "mw-net" else {}
    clf = quick(method=method, **memory).fit(data.X, data.y, meta_mask=data.mask)
    train = ~data.mask
    expected = clf.compute_sample_weight(data.X[train], data.y[train])
    np.testing.assert_allclose(clf.sample_weights_[train], expected, rtol=1e-5)
    losses = -np.log(clf.predict_proba(data.X[train])[np.arange(78), data.y[train]])
    np.testing.assert_allclose(clf.weighting_function_(losses), expected, rtol=1e-4)


@pytest.mark.parametrize("method", ["mw-net", "l2rw"])
def test_noisy_rows_get_smaller_weights(method: str) -> None:
    data = make_data(600, 60)
    true = make_data(600, 600).y
    clf = quick(method=method, max_epochs=20, lr=0.01, batch_size=64)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    wrong = data.y != true
    weights = clf.sample_weights_
    assert weights[wrong].mean() < 0.9 * weights[~wrong & ~data.mask].mean()
    assert weights[~data.mask].mean() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("method", "reason"),
    [("l2rw", "each row a weight of its own"), ("uniform", "every row has weight one")],
)
def test_methods_without_a_function_say_why(method: str, reason: str, fitted: Fitted) -> None:
    clf = fitted(method=method)
    assert not hasattr(clf, "weighting_function_")
    with pytest.raises(AttributeError, match=reason):
        _ = clf.weighting_function_


def test_unfitted_classifier_has_no_function() -> None:
    assert not hasattr(quick(), "weighting_function_")
    with pytest.raises(AttributeError, match="not fitted yet"):
        _ = quick().weighting_function_


def test_class_aware_weighting(data: Data) -> None:
    clf = quick(method__weighting="class-aware").fit(data.X, data.y, meta_mask=data.mask)
    assert isinstance(clf.weighting_function_, WeightingFunction)
    np.testing.assert_array_equal(clf.weighting_function_.classes_, clf.classes_)


class Constant(nn.Module):
    """A weighting network that has collapsed."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.logit(torch.tensor(weight)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.logit).expand(len(inputs))


@pytest.mark.parametrize(
    ("weight", "message"), [(1e-5, "all near zero"), (0.5, "all equal")], ids=["zero", "constant"]
)
def test_collapsed_weights_are_warned_of_once(weight: float, message: str, data: Data) -> None:
    method = MetaWeightNet(weighting=Constant(weight), normalize=False, memory=0)
    clf = quick(method=method, max_epochs=10)
    with pytest.warns(ConvergenceWarning, match=message) as record:
        clf.fit(data.X, data.y, meta_mask=data.mask)
    # Torch warns of its own on the first use of forward mode.
    assert [w.filename for w in record if w.category is not DeprecationWarning] == [__file__]
    quick(method=method, max_epochs=9).fit(data.X, data.y, meta_mask=data.mask)  # still warming up


def test_warns_of_a_class_without_weight() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    y_meta = np.repeat([0, 1, 2], 20)
    y = np.repeat([0, 1, 2], [300, 300, 60])
    truth = np.where(y == 2, 0, y)  # whoever labelled the rows took some zeros for twos
    X, X_meta = (centres[labels] + rng.normal(size=(len(labels), 2)) for labels in (truth, y_meta))
    clf = MetaWeightClassifier(confirm_weights=False, random_state=0, device="cpu", max_epochs=40)
    message = r'The rows labelled \[2\] have hardly any weight: .* class_weight="balanced"'
    with pytest.warns(UserWarning, match=message) as record:
        clf.fit(X, y, X_meta=X_meta, y_meta=y_meta)
    assert [warning.filename for warning in record] == [__file__]


def test_noise_estimate_is_near_the_noise_rate() -> None:
    X, y, checked = noisy_blobs(0.3)
    clf = MetaWeightClassifier(random_state=0, device="cpu").fit(X, y, meta_mask=checked)
    assert clf.label_noise_estimate_ == pytest.approx(0.3, abs=0.06)


# ------------------------------------------------------------------ epochs


class Spoil(Callback):
    """Makes the outputs of the last epochs far too certain."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) > 5:
            net.module_.layers[-1].weight.data.mul_(100)


def test_epoch_with_the_lowest_meta_loss_is_kept(method: str, data: Data) -> None:
    clf = quick(method=method, callbacks=[Spoil()], max_epochs=8, robust_meta_loss=False)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    meta_losses = clf.history_[:, "meta_loss"]
    assert clf.best_epoch_ == 1 + np.argmin(meta_losses)
    assert clf.best_epoch_ <= 5 < clf.n_iter_ == 8
    losses = clf.net_.evaluate(clf.net_.meta_rows_).losses
    assert losses.mean().item() == pytest.approx(min(meta_losses), rel=1e-6)

    last = clone(clf).set_params(early_stopping=False).fit(data.X, data.y, meta_mask=data.mask)
    assert last.best_epoch_ == 8
    losses = last.net_.evaluate(last.net_.meta_rows_).losses
    assert losses.mean().item() == pytest.approx(meta_losses[-1], rel=1e-6)


def test_history_of_each_epoch(fitted: Fitted) -> None:
    clf = fitted(max_epochs=3, lr=0.01)
    assert clf.n_iter_ == 3
    for name in ("train_loss", "meta_loss", "mean_weight", "effective_sample_size"):
        values = clf.history_[:, name]
        assert np.isfinite(values).all()
        assert np.min(values) > 0
    np.testing.assert_allclose(clf.history_[:, "learning_rate"], [0.01, 0.0075, 0.0025])


def test_partial_fit_goes_on(method: str, data: Data) -> None:
    clf = quick(method=method, lr=0.01)
    trusted = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    two = data.y != 2
    with pytest.warns(UserWarning, match=r"no row of the classes \[9\]"):
        clf.partial_fit(data.X[two], data.y[two], classes=[0, 1, 2, 9], **trusted)
    assert clf.classes_.tolist() == [0, 1, 2, 9]
    net, reweighter, module = clf.net_, clf.net_.reweighter_, clf.net_.module_
    state = clf.net_.optimizer_.state
    with pytest.warns(UserWarning, match="no row"):
        clf.partial_fit(data.X, data.y, **trusted)
    assert clf.net_ is net
    assert clf.net_.reweighter_ is reweighter
    assert clf.net_.module_ is module
    assert clf.n_iter_ == 2
    n_batches = 2 + 3  # of 64 rows (two of three classes), then of 96
    assert clf.net_.n_batches_ == n_batches
    assert {int(s["step"]) for s in state.values()} == {n_batches}
    assert set(clf.history_[:, "learning_rate"]) == {0.01}
    assert clf.predict_proba(data.X).shape == (96, 4)

    before = clf.predict_proba(data.X)
    with pytest.raises(ValueError, match=r"y has labels \[5\] that are not among the classes"):
        clf.partial_fit(data.X, np.full(96, 5), **trusted)
    with pytest.raises(ValueError, match=r"classes=\[0, 1\] differ from those of the first call"):
        clf.partial_fit(data.X, data.y, classes=[0, 1], **trusted)
    np.testing.assert_array_equal(clf.predict_proba(data.X), before)


@pytest.mark.parametrize("method", ["mw-net", "fmw-net"])
def test_warm_start_goes_on_with_the_weighting_function(method: str, data: Data) -> None:
    clf = quick(method=method, method__meta_interval=1, warm_start=True)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    network = clf.net_.reweighter_.network_
    steps = [s["step"].item() for s in clf.net_.reweighter_.network_optimizer_.state.values()]
    before = [p.clone() for p in network.parameters()]
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert clf.net_.reweighter_.network_ is network
    later = [s["step"].item() for s in clf.net_.reweighter_.network_optimizer_.state.values()]
    assert min(later) > max(steps) > 0
    if method == "mw-net":  # fmw-net's multiplier is zero while both gradients agree
        after = network.parameters()
        assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert clf.n_iter_ == len(clf.history_) == 4
    clf.set_params(warm_start=False).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.net_.reweighter_.network_ is not network
    assert clf.n_iter_ == 2


def test_dropout_masks_differ_between_partial_fits(data: Data) -> None:
    masks = []

    class Noisy(Linear):
        def forward(self, X: torch.Tensor) -> torch.Tensor:
            if self.training:
                masks.append(torch.rand(5))
            return super().forward(X)

    clf = quick(module=Noisy, method="uniform", batch_size=-1)
    for _ in range(2):
        clf.partial_fit(data.X, data.y, meta_mask=data.mask)
    first, second = masks
    assert not torch.equal(first, second)


def test_verbose_prints_the_table_of_skorch(
    fitted: Fitted, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted()
    assert capsys.readouterr().out == ""
    fitted(verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "epoch"
    assert {"train_loss", "meta_loss", "mean_weight"} <= set(lines[0].split())
    assert len(lines) == 2 + 2


def test_batch_sizes(data: Data) -> None:
    for batch_size, n_batches in ((-1, 1), (78, 1), (32, 3), ("auto", 2), (77, 1), (11, 7)):
        clf = quick(batch_size=batch_size, max_epochs=1).fit(data.X, data.y, meta_mask=data.mask)
        assert clf.net_.n_batches_ == n_batches, batch_size  # 77 and 11 would leave a row alone


# ------------------------------------------------------------------ parameters


def test_prefixed_parameters_are_parameters() -> None:
    clf = quick(optimizer__weight_decay=0.1, method__memory=0.5)
    params = clf.get_params()
    assert params["optimizer__weight_decay"] == 0.1
    assert params["module__hidden_dims"] == (8,)
    for text in (repr(clf), clf._repr_html_()):
        assert "optimizer__weight_decay" in text
        assert "method__memory" in text
    assert "meta_share" not in repr(clf)
    copied = clone(clf)
    assert copied.get_params() == params
    assert copied.set_params(module__dropout=0.0, lr=0.5) is copied
    assert copied.module__dropout == 0.0
    assert copied.lr == 0.5
    assert "module__dropout" not in clf.get_params()


def test_prefixed_parameters_reach_the_net(data: Data) -> None:
    clf = quick(
        module__dropout=0.5,
        module__input_dropout=0.1,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.8,
        criterion__label_smoothing=0.2,
    ).fit(data.X, data.y, meta_mask=data.mask)
    module = clf.net_.module_
    assert {m.p for m in module.modules() if isinstance(m, nn.Dropout)} == {0.1, 0.5}
    assert clf.net_.optimizer_.param_groups[0]["momentum"] == 0.8
    assert clf.net_.criterion_.label_smoothing == 0.2


def test_method_objects_bring_settings_of_their_own(data: Data) -> None:
    method = MetaWeightNet(meta_lr=0.5, meta_interval=3)
    clf = quick(method=method).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.method is method
    assert not hasattr(method, "network")
    assert clf.net_.reweighter_.network_optimizer_.param_groups[0]["lr"] == 0.5
    by_uniform = quick(method=Uniform()).fit(data.X, data.y, meta_mask=data.mask)
    assert_same_predictions(
        by_uniform, quick(method="uniform").fit(data.X, data.y, meta_mask=data.mask), data.X
    )
    assert clone(clf).fit(data.X, data.y, meta_mask=data.mask).n_iter_ == 2


def test_grid_search_varies_parameters_that_were_never_set(data: Data) -> None:
    clf = MetaWeightClassifier(max_epochs=1, batch_size=32, random_state=0)
    grid = {
        "method": list(METHODS),
        "lr": [1e-3, 1e-2],
        "module__hidden_dims": [(4,), (8, 4)],
    }
    search = GridSearchCV(clf, grid, cv=2, error_score="raise")
    with config_context(enable_metadata_routing=True):
        clf.set_fit_request(meta_mask=True)
        search.fit(data.X, data.y, meta_mask=data.mask)
    assert len(search.cv_results_["params"]) == 16
    assert search.best_estimator_.module__hidden_dims in [(4,), (8, 4)]
    assert search.predict(data.X).shape == (96,)


def test_cross_validation_slices_the_mask(data: Data) -> None:
    seen = []

    class Spy(MetaWeightClassifier):
        def fit(self, X: Any, y: Any, *, meta_mask: Any = None) -> MetaWeightClassifier:
            seen.append((len(X), int(meta_mask.sum())))
            return super().fit(X, y, meta_mask=meta_mask)

    with config_context(enable_metadata_routing=True):
        clf = Spy(max_epochs=1, random_state=0).set_fit_request(meta_mask=True)
        result = cross_validate(clf, data.X, data.y, cv=3, params={"meta_mask": data.mask})
    assert np.isfinite(result["test_score"]).all()
    assert [n for n, _ in seen] == [64, 64, 64]
    assert sum(n for _, n in seen) == 2 * 18


# ------------------------------------------------------------------ pipelines


def test_pipeline_passes_the_mask(data: Data) -> None:
    X = 100 + 50 * data.X
    scaled = StandardScaler().fit_transform(X)
    expected = quick().fit(scaled, data.y, meta_mask=data.mask).predict_proba(scaled)
    pipe = Pipeline([("scale", StandardScaler()), ("clf", quick())])
    pipe.fit(X, data.y, clf__meta_mask=data.mask)
    np.testing.assert_array_equal(pipe.predict_proba(X), expected)
    with config_context(enable_metadata_routing=True):
        pipe = Pipeline(
            [("scale", StandardScaler()), ("clf", quick().set_fit_request(meta_mask=True))]
        )
        pipe.fit(X, data.y, meta_mask=data.mask)
        np.testing.assert_array_equal(pipe.predict_proba(X), expected)


def test_pipeline_transforms_the_meta_set(data: Data) -> None:
    X = 100 + 50 * data.X
    scaler = StandardScaler().fit(X)
    expected = quick().fit(
        scaler.transform(X),
        data.y,
        X_meta=scaler.transform(X[data.mask]),
        y_meta=data.y_meta,
    )
    with config_context(enable_metadata_routing=True):
        clf = quick().set_fit_request(X_meta=True, y_meta=True)
        pipe = Pipeline([("scale", StandardScaler()), ("clf", clf)], transform_input=["X_meta"])
        pipe.fit(X, data.y, X_meta=X[data.mask], y_meta=data.y_meta)
        probabilities = pipe.predict_proba(X)
    np.testing.assert_array_equal(probabilities, expected.predict_proba(scaler.transform(X)))
