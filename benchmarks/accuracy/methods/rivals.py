"""scikit-learn's, CatBoost's and cleanlab's classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.accuracy.methods.method import Fitted, import_rival
from benchmarks.accuracy.methods.same_network import network
from benchmarks.accuracy.tasks import Problem
from skmetaweight import MetaWeightedEstimator

TRUSTED_SHARE = 0.5
"""Trusted rows together count as much as all others. No test row was asked."""

HGB = HistGradientBoostingClassifier(learning_rate=0.05)
FOREST = RandomForestClassifier(n_estimators=200, min_samples_leaf=5)
LOGISTIC = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def seeded_clone(estimator: Any, seed: int) -> Any:
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.endswith("random_state")]
    return estimator.set_params(**dict.fromkeys(names, seed))


def on_union(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    X, y, _ = problem.union()
    return Fitted(seeded_clone(estimator, seed).fit(X, y))


def on_union_upweighted(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    """The trusted rows carry half of the weight."""
    X, y, trusted = problem.union()
    share = np.where(trusted, TRUSTED_SHARE / trusted.sum(), (1 - TRUSTED_SHARE) / (~trusted).sum())
    return Fitted(seeded_clone(estimator, seed).fit(X, y, sample_weight=share * len(y)))


def with_learned_weights(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    """MetaWeightClassifier's weights, handed to another estimator."""
    X, y, trusted = problem.union()
    clf = MetaWeightedEstimator(seeded_clone(estimator, seed), network(seed))
    clf.fit(X, y, meta_mask=trusted)
    return Fitted(clf, clf.weigher_.sample_weights_[~trusted])


def validation_rows(problem: Problem) -> dict[str, NDArray]:
    """Return the trusted rows of classes that training rows are labelled as; others refuse more."""
    known = np.isin(problem.y_meta, problem.y)
    return {"X_val": problem.X_meta[known], "y_val": problem.y_meta[known]}


def catboost(problem: Problem, seed: int) -> Fitted:
    """As it comes, stopped where the trusted rows have the least loss."""
    CatBoostClassifier = import_rival("catboost").CatBoostClassifier
    classifier = CatBoostClassifier(
        early_stopping_rounds=50,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    X_val, y_val = validation_rows(problem).values()
    return Fitted(classifier.fit(problem.X, problem.y, eval_set=(X_val, y_val)))


class FromZero(ClassifierMixin):
    """Takes the labels 0, 1, ... of a classifier that needs them without gaps back to y's."""

    def __init__(self, classifier: Any, classes: NDArray[np.int64]) -> None:
        self.classifier = classifier
        self.classes_ = classes

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.classifier.predict_proba(X)


def clean_learning(estimator: Any, seed: int) -> Any:
    CleanLearning = import_rival("cleanlab.classification").CleanLearning
    # Its own processes lack their data within a worker of ours.
    return CleanLearning(estimator, seed=seed, find_label_issues_kwargs={"n_jobs": 1})


def cleanlab_on_union(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    """Rows with suspect labels are dropped, but no trusted one."""
    X, y, trusted = problem.union()
    classes, y = np.unique(y, return_inverse=True)
    cleaner = clean_learning(seeded_clone(estimator, seed), seed)
    issues = cleaner.find_label_issues(X, y)
    issues.loc[trusted, "is_label_issue"] = False
    quality = issues["label_quality"].to_numpy()[~trusted]
    return Fitted(FromZero(cleaner.fit(X, y, label_issues=issues), classes), quality)


def cleanlab_around(
    problem: Problem, seed: int, *, classifier: Any, trusted: dict[str, NDArray]
) -> Fitted:
    """Around a classifier that is given the trusted rows in every fold."""
    cleaner = clean_learning(classifier, seed)
    issues = cleaner.find_label_issues(problem.X, problem.y, clf_kwargs=trusted)
    cleaner.fit(problem.X, problem.y, label_issues=issues, clf_kwargs=trusted)
    return Fitted(cleaner.clf, issues["label_quality"].to_numpy())


def cleanlab_with_meta(problem: Problem, seed: int) -> Fitted:
    """Around our unweighted classifier."""
    meta = {"X_meta": problem.X_meta, "y_meta": problem.y_meta}
    classifier = network(seed, method="uniform")
    return cleanlab_around(problem, seed, classifier=classifier, trusted=meta)
