"""What a user of scikit-learn and skorch expects of the classifier."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from skmetaweight import MetaWeightClassifier, MetaWeightNet, Uniform
from tests.conftest import METHODS, Data, Fitted, Linear, make_data, quick
from tests.estimator._asserts import assert_same_predictions

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

    def told() -> Any:
        if method == "uniform":  # whose weights cannot vanish
            return nullcontext()
        return pytest.warns(UserWarning, match=r"no row of the classes \[9\]")

    with told():
        clf.partial_fit(data.X[two], data.y[two], classes=[0, 1, 2, 9], **trusted)
    assert clf.classes_.tolist() == [0, 1, 2, 9]
    with told():
        clf.partial_fit(data.X, data.y, **trusted)
    state = clf.net_.optimizer_.state
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
    before = [p.clone() for p in clf.net_.reweighter_.network_.parameters()]
    steps = [s["step"].item() for s in clf.net_.reweighter_.network_optimizer_.state.values()]
    clf.fit(data.X, data.y, meta_mask=data.mask)
    later = [s["step"].item() for s in clf.net_.reweighter_.network_optimizer_.state.values()]
    assert min(later) > max(steps) > 0
    if method == "mw-net":  # fmw-net's multiplier is zero while both gradients agree
        after = clf.net_.reweighter_.network_.parameters()
        assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert clf.n_iter_ == len(clf.history_) == 4
    clf.set_params(warm_start=False).fit(data.X, data.y, meta_mask=data.mask)
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
    assert len(search.cv_results_["params"]) == 4 * len(METHODS)
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
