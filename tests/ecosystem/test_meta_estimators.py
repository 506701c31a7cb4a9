"""scikit-learn's ensembles and wrappers of classifiers; docs/ecosystem.rst has the table."""

from typing import Any

import numpy as np
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.semi_supervised import SelfTrainingClassifier

from skmetaweight.model_selection import TrustedKFold
from tests.conftest import UNCALIBRATED, Data, make_data, quick


@pytest.fixture(autouse=True)
def routing() -> Any:
    with config_context(enable_metadata_routing=True):
        yield


def sources(data: Data) -> dict[str, dict[str, Any]]:
    meta_set = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    return {"meta set": meta_set, "mask": {"meta_mask": data.mask}}


both = pytest.mark.parametrize("source", ["meta set", "mask"])


def two_classes(data: Data) -> Data:
    return data._replace(y=(data.y > 0).astype(int))


def test_calibration_on_trusted_rows(data: Data) -> None:
    calibrated = CalibratedClassifierCV(quick(), cv=TrustedKFold(3))
    calibrated.fit(data.X, data.y, meta_mask=data.mask)
    probabilities = calibrated.predict_proba(data.X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    fitted = [inner.estimator.meta_indices_.size for inner in calibrated.calibrated_classifiers_]
    assert fitted == [12, 12, 12]


@both
def test_calibration(source: str, data: Data) -> None:
    calibrated = CalibratedClassifierCV(quick(), cv=2).fit(data.X, data.y, **sources(data)[source])
    assert calibrated.predict_proba(data.X).shape == (96, 3)


@both
def test_bagging(source: str, data: Data) -> None:
    bagging = BaggingClassifier(
        quick().set_fit_request(sample_weight=True), n_estimators=2, random_state=0
    )
    bagging.fit(data.X, data.y, **sources(data)[source])
    for inner in bagging.estimators_:
        expected = np.flatnonzero(data.mask).tolist() if source == "mask" else []
        assert inner.meta_indices_.tolist() == expected


def test_bagging_by_rows_slices_the_mask() -> None:
    data = make_data(n_trusted=48)
    bagging = BaggingClassifier(quick(), n_estimators=2, random_state=0)
    bagging.fit(data.X, data.y, meta_mask=data.mask)
    assert bagging.predict(data.X).shape == (96,)


@both
def test_voting(source: str, data: Data) -> None:
    voters = [("few", quick()), ("more", quick(max_epochs=3)), ("other", LogisticRegression())]
    voting = VotingClassifier(voters, voting="soft").fit(data.X, data.y, **sources(data)[source])
    assert voting.predict(data.X).shape == (96,)


def test_voting_encodes_labels_but_not_those_of_the_meta_set(data: Data) -> None:
    names = np.array(["ant", "bee", "cow"])
    voting = VotingClassifier([("clf", quick())])
    voting.fit(data.X, names[data.y], meta_mask=data.mask)
    assert set(voting.predict(data.X)) <= set(names)
    with pytest.raises(ValueError, match=r"y_meta has labels .*'ant'.* not among the classes"):
        voting.fit(data.X, names[data.y], X_meta=data.X_meta, y_meta=names[data.y_meta])


def test_one_vs_rest_with_the_mask(data: Data) -> None:
    clf = OneVsRestClassifier(quick()).fit(data.X, data.y, meta_mask=data.mask)
    assert [inner.meta_indices_.size for inner in clf.estimators_] == [18, 18, 18]
    with pytest.raises(ValueError, match=r"y_meta has labels \[2\].*not among.*meta_mask instead"):
        clf.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)


def test_one_vs_rest_passes_the_mask_to_partial_fit(data: Data) -> None:
    clf = OneVsRestClassifier(quick())
    for _ in range(2):
        clf.partial_fit(data.X, data.y, classes=[0, 1, 2], meta_mask=data.mask)
    assert [(inner.n_iter_, inner.meta_indices_.size) for inner in clf.estimators_] == [(2, 18)] * 3


def test_threshold_tuned_on_trusted_rows(data: Data) -> None:
    data = two_classes(data)
    tuned = TunedThresholdClassifierCV(quick(), cv=TrustedKFold(3))
    tuned.fit(data.X, data.y, meta_mask=data.mask)
    assert 0 <= tuned.best_threshold_ <= 1
    assert tuned.predict(data.X).shape == (96,)


def test_threshold_with_a_meta_set(data: Data) -> None:
    data = two_classes(data)
    tuned = TunedThresholdClassifierCV(quick(), cv=2)
    tuned.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    assert tuned.predict(data.X).shape == (96,)


def test_self_training(data: Data) -> None:
    y = np.where(np.arange(96) % 3 == 0, -1, data.y)
    clf = SelfTrainingClassifier(quick(**UNCALIBRATED), max_iter=2, threshold=0.4)
    clf.fit(data.X, y, X_meta=data.X_meta, y_meta=data.y_meta)
    assert (clf.transduction_ != -1).sum() > (y != -1).sum()
    with pytest.raises(ValueError, match=r"adds or drops rows leaves the mask"):
        clf.fit(data.X, y, meta_mask=data.mask)


def test_ada_boost(data: Data) -> None:
    clf = AdaBoostClassifier(quick(), n_estimators=2, random_state=0)
    with pytest.warns(UserWarning, match="No trusted rows were given"):
        clf.fit(data.X, data.y)
    assert clf.predict(data.X).shape == (96,)


def test_stacking_passes_the_mask_to_the_final_estimator_as_well(data: Data) -> None:
    layers = [("clf", quick()), ("linear", LogisticRegression())]
    stack = StackingClassifier(layers, final_estimator=quick(), cv=2)
    stack.fit(data.X, data.y, meta_mask=data.mask)
    assert stack.final_estimator_.meta_indices_.size == 18
    assert stack.predict(data.X).shape == (96,)
    with pytest.raises(ValueError, match="X_meta must go through the same preprocessing"):
        stack.fit(data.X, data.y, **sources(data)["meta set"])
