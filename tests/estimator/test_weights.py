"""What rows count: as given, by class, and as learned."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from skmetaweight import MetaWeightClassifier, MetaWeightNet, WeightingFunction
from tests.conftest import UNCALIBRATED, Data, Fitted, make_data, noisy_blobs, quick


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
    clf = quick(class_weight=class_weight, max_epochs=4, robust_meta_loss=False, temperature=1)
    clf.fit(data.X, labels, meta_mask=data.mask)
    losses = -np.log(clf.predict_proba(data.X_meta)[np.arange(18), data.y_meta])
    weight = np.array([3.0, 1.0, 0.0])[data.y_meta]
    expected = np.average(losses, weights=weight)
    assert min(clf.history_[:, "meta_loss"]) == pytest.approx(expected, rel=1e-4)


def test_balanced_class_weight_evens_the_meta_set_out(data: Data) -> None:
    trusted = np.concatenate([np.flatnonzero(data.mask & (data.y == k))[: k + 2] for k in range(3)])
    clf = quick(class_weight="balanced", max_epochs=3, robust_meta_loss=False, temperature=1)
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
    clf = quick(method=method, **UNCALIBRATED, **memory)
    clf.fit(data.X, data.y, meta_mask=data.mask)
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
    [
        ("l2rw", "each row a weight of its own"),
        ("uniform", "every row has weight one"),
        ("lilaw", "the probability of its label and on the largest one"),
        (MetaWeightNet(memory=0, weighting="lilaw"), "the probability of its label and on the"),
    ],
)
def test_methods_without_a_function_say_why(method: Any, reason: str, fitted: Fitted) -> None:
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
    assert [warning.filename for warning in record] == [__file__]
    quick(method=method, max_epochs=9).fit(data.X, data.y, meta_mask=data.mask)  # still warming up


def test_warns_of_a_class_without_weight() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    y_meta = np.repeat([0, 1, 2], 20)
    y = np.repeat([0, 1, 2], [300, 300, 60])
    truth = np.where(y == 2, 0, y)  # whoever labelled the rows took some zeros for twos
    X, X_meta = (centres[labels] + rng.normal(size=(len(labels), 2)) for labels in (truth, y_meta))
    sharp: dict[str, Any] = {"method": "l2rw", "method__sharpness": 40.0, "meta_batch_size": 60}
    clf = MetaWeightClassifier(confirm_weights=False, random_state=0, device="cpu", **sharp)
    message = r'The rows labelled \[2\] have hardly any weight: .* class_weight="balanced"'
    with pytest.warns(UserWarning, match=message) as record:
        clf.fit(X, y, X_meta=X_meta, y_meta=y_meta)
    assert [warning.filename for warning in record] == [__file__]


def test_noise_estimate_is_near_the_noise_rate_where_classes_hardly_overlap() -> None:
    X, y, checked = noisy_blobs(0.3)
    clf = MetaWeightClassifier(random_state=0, device="cpu").fit(X, y, meta_mask=checked)
    assert clf.label_noise_estimate_ == pytest.approx(0.3, abs=0.06)


class Recording(nn.Linear):
    """A module that remembers how many rows it was given at a time."""

    n_rows: ClassVar[list[int]] = []

    def forward(self, input: Tensor) -> Tensor:
        Recording.n_rows.append(len(input))
        return super().forward(input)


def test_alignments_of_new_rows_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data(96, 60)
    few = quick(method="l2rw", module=Recording(4, 3)).fit(data.X, data.y, meta_mask=data.mask)
    expected = few.compute_sample_weight(data.X, data.y)
    monkeypatch.setattr("skmetaweight._training.net.EVALUATION_ROWS", 20)
    Recording.n_rows.clear()
    weights = few.compute_sample_weight(data.X, data.y)
    assert max(Recording.n_rows[1:]) <= 40  # after the losses
    assert np.corrcoef(weights, expected)[0, 1] > 0.8
