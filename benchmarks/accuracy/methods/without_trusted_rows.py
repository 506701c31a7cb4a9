"""Fits that see no trusted row."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from benchmarks.accuracy.methods.method import Fitted
from benchmarks.accuracy.methods.same_network import network, plain_on
from benchmarks.accuracy.tasks import Problem


def plain_on_noisy(problem: Problem, seed: int, **params: Any) -> Fitted:
    return Fitted(plain_on(problem.X, problem.y, seed, **params))


def split_off(problem: Problem, seed: int, **params: Any) -> Fitted:
    """The meta set is a tenth of the noisy rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clf = network(seed, **params).fit(problem.X, problem.y)
    return Fitted(clf, clf.sample_weights_)


def pseudo_trusted(problem: Problem, seed: int, *, n_trusted: int = 200, **params: Any) -> Fitted:
    """Trust the rows of each class whose label two networks, out of fold, are surest of."""
    X, y = problem.X, problem.y
    margin = np.empty(len(y))
    folds = StratifiedKFold(n_splits=2, shuffle=True, random_state=seed)
    for train, test in folds.split(X, y):
        clf = plain_on(X[train], y[train], seed)
        p = clf.predict_proba(X[test])
        given = np.searchsorted(clf.classes_, y[test])
        p_given = p[np.arange(len(test)), given]
        p[np.arange(len(test)), given] = 0
        margin[test] = p_given - p.max(axis=1)
    share = min(1.0, n_trusted / len(y))
    trusted = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        surest = members[np.argsort(-margin[members])]
        trusted[surest[: max(1, round(share * len(members)))]] = True
    clf = network(seed, **params).fit(X, y, meta_mask=trusted)
    return Fitted(clf, clf.sample_weights_)
