"""Learned weights as the sample_weight of other estimators."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.tree import DecisionTreeClassifier

from skmetaweight import MetaWeightClassifier, MetaWeightedEstimator
from skmetaweight.datasets import corrupt_labels
from tests.conftest import make_data, quick

ESTIMATORS = [
    LogisticRegression(),
    SGDClassifier(random_state=0),
    DecisionTreeClassifier(max_depth=4, random_state=0),
    RandomForestClassifier(10, min_samples_leaf=5, random_state=0),
    GradientBoostingClassifier(n_estimators=10, random_state=0),
    HistGradientBoostingClassifier(max_iter=10, random_state=0),
    AdaBoostClassifier(n_estimators=10, random_state=0),
]


LIBRARIES = {
    "lightgbm": ("LGBMClassifier", {"n_estimators": 10, "n_jobs": 1, "verbose": -1}),
    "xgboost": ("XGBClassifier", {"n_estimators": 10, "max_depth": 3, "n_jobs": 1}),
    "catboost": (
        "CatBoostClassifier",
        {"iterations": 10, "depth": 3, "verbose": 0, "allow_writing_files": False},
    ),
}


@pytest.fixture(scope="module")
def task() -> Any:
    X, y = make_blobs(1000, n_features=4, centers=3, cluster_std=1.5, random_state=0)
    X, X_test, y, y_test = X[:400], X[400:], y[:400], y[400:]
    noisy, _ = corrupt_labels(y, noise_rate=0.45, noise="pair", random_state=0)
    mask = np.arange(400) % 8 == 0
    noisy[mask] = y[mask]
    clf = MetaWeightClassifier(random_state=0).fit(X, noisy, meta_mask=mask)
    return X, y, noisy, clf, X_test, y_test


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_learned_weights_help_other_estimators(estimator: Any, task: Any) -> None:
    X, _, noisy, clf, X_test, y_test = task
    plain = estimator.fit(X, noisy).score(X_test, y_test)
    weighted = estimator.fit(X, noisy, sample_weight=clf.sample_weights_).score(X_test, y_test)
    assert weighted > plain


@pytest.mark.parametrize("library", LIBRARIES)
def test_learned_weights_help_boosting_libraries(library: str, task: Any) -> None:
    name, params = LIBRARIES[library]
    estimator = getattr(pytest.importorskip(library), name)(**params)
    test_learned_weights_help_other_estimators(estimator, task)


@pytest.mark.parametrize("library", LIBRARIES)
def test_boosting_libraries_in_a_meta_weighted_estimator(library: str) -> None:
    name, params = LIBRARIES[library]
    boosting = getattr(pytest.importorskip(library), name)(**params)
    data = make_data()
    clf = MetaWeightedEstimator(boosting, quick())
    clf.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    assert clf.predict_proba(data.X).shape == (96, 3)
    assert clf.score(data.X_meta, data.y_meta) > 0.5


def test_weights_of_new_rows(task: Any) -> None:
    X, y, _, clf, X_test, y_test = task
    noisy, changed = corrupt_labels(y, noise_rate=0.45, noise="pair", random_state=1)
    weights = clf.compute_sample_weight(X, noisy)
    assert weights[changed].mean() < weights[~changed].mean()
    forest = RandomForestClassifier(10, min_samples_leaf=5, random_state=0)
    plain = forest.fit(X, noisy).score(X_test, y_test)
    assert forest.fit(X, noisy, sample_weight=weights).score(X_test, y_test) > plain
