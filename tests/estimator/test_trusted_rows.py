"""Where trusted rows come from, and what their losses are."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skmetaweight import MetaWeightClassifier, MetaWeightedEstimator
from skmetaweight._estimator.usable_weights import usable_weights
from skmetaweight.inspection import SampleWeightDisplay, audit_report
from tests.conftest import Data, quick
from tests.estimator._asserts import assert_same_predictions


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
    quick(method="uniform").fit(data.X, data.y)  # no weights are learned, nothing to warn of


@pytest.mark.filterwarnings("ignore:No trusted rows")
def test_rows_that_fit_splits_off_are_judged_as_the_others(method: str, data: Data) -> None:
    clf = quick(method=method, meta_size=0.25).fit(data.X, data.y)
    apart, weights = clf.meta_indices_, clf.sample_weights_
    as_new = clf.compute_sample_weight(data.X[apart], data.y[apart])
    np.testing.assert_allclose(weights[apart], as_new, rtol=1e-5)
    frame, issues = clf.label_quality(), clf.find_label_issues()
    relative = weights / weights.mean()
    quality = frame["p_given_label"] * np.minimum(relative, 1)
    np.testing.assert_allclose(frame["label_quality"], quality)
    suspected = (frame["predicted_label"] != data.y) & (relative <= 1)
    np.testing.assert_array_equal(frame["is_label_issue"], suspected)
    assert suspected[apart].any()
    assert clf.label_noise_estimate_ == len(issues) / 96
    page = audit_report(clf)
    assert "<dt>rows judged</dt><dd>96</dd>" in page
    assert "<dt>trusted rows of X, not judged</dt><dd>0</dd>" in page
    assert SampleWeightDisplay.from_estimator(clf).weights.tolist() == weights.tolist()
    handed_on = MetaWeightedEstimator(LogisticRegression(), clf).fit(data.X, data.y)
    expected = usable_weights(weights, np.zeros(96, dtype=bool), data.y)
    np.testing.assert_array_equal(handed_on.sample_weights_, expected)


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


def test_trusted_rows_push_until_they_are_learned_stand_ins_do_not(data: Data) -> None:
    learned = []
    for source in ({"meta_mask": data.mask}, {}):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No trusted rows")
            clf = quick(max_epochs=1).fit(data.X, data.y, **source)
        learned.append(clf.net_.objective_.learned_loss)
    assert learned == [pytest.approx(np.log(2)), 0.0]


def test_losses_of_another_kind_are_never_learned(data: Data) -> None:
    clf = quick(max_epochs=1, criterion=torch.nn.MultiMarginLoss)
    assert clf.fit(data.X, data.y, meta_mask=data.mask).net_.objective_.learned_loss == 0


@pytest.mark.parametrize("is_rare", [True, False])
def test_meta_loss_is_not_bounded_for_rare_classes(is_rare: bool) -> None:
    X = np.random.default_rng(0).normal(size=(420, 3))
    y = (np.arange(420) < (16 if is_rare else 24)).astype(int)
    clf = quick(method="uniform", meta_size=100).fit(X, y)
    counts = np.bincount(np.delete(y, clf.meta_indices_))
    assert (counts[0] > 20 * counts[1]) == is_rare
    expected = final_meta_loss(clf, 0 if is_rare else 0.7)
    assert clf.history_[clf.best_epoch_ - 1, "meta_loss"] == expected


def test_whichever_of_both_lacks_names_of_columns_is_named(data: Data) -> None:
    frame, rest = pd.DataFrame(data.X, columns=list("abcd")), ~data.mask
    expected = quick().fit(data.X[rest], data.y[rest], X_meta=data.X_meta, y_meta=data.y_meta)
    pairs = {
        "of X have names and those of X_meta": (frame[rest], data.X_meta),
        "of X_meta have names and those of X": (data.X[rest], frame[data.mask]),
    }
    for said, (X, X_meta) in pairs.items():
        with pytest.warns(UserWarning, match=f"^The columns {said} have none") as record:
            clf = quick().fit(X, data.y[rest], X_meta=X_meta, y_meta=data.y_meta)
        assert [warning.filename for warning in record] == [__file__]
        assert hasattr(clf, "feature_names_in_") == hasattr(X, "columns")
        predicted, same = clf.predict_proba(X), expected.predict_proba(data.X[rest])
        np.testing.assert_array_equal(predicted, same)


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
