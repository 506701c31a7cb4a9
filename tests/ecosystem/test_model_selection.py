"""Searches and cross-validation of scikit-learn and optuna."""

from typing import Any

import numpy as np
import optuna
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.preprocessing import StandardScaler

from skmetaweight import MetaWeightClassifier
from skmetaweight.model_selection import TrustedKFold
from skmetaweight.pipeline import make_meta_pipeline
from tests.conftest import QUICK, Data, quick

GRID = {"lr": [1e-3, 1e-2]}


def by_hand(data: Data, **params: Any) -> list[float]:
    """Scores on the trusted rows of three folds, each fit to all other rows."""
    folds = TrustedKFold(3).split(data.X, data.y, data.mask)
    return [
        quick(**params)
        .fit(data.X[train], data.y[train], meta_mask=data.mask[train])
        .score(data.X[test], data.y[test])
        for train, test in folds
    ]


def best_lr(search: Any) -> float:
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    return search.cv_results_["params"][int(np.argmax(scores))]["lr"]


def test_cross_validate_routes_the_mask_to_classifier_and_splitter(data: Data) -> None:
    with config_context(enable_metadata_routing=True):
        result = cross_validate(
            quick(), data.X, data.y, cv=TrustedKFold(3), params={"meta_mask": data.mask}
        )
    assert result["test_score"].tolist() == by_hand(data)


def test_cross_validate_without_routing(data: Data) -> None:
    result = cross_validate(
        quick(),
        data.X,
        data.y,
        groups=data.mask,
        cv=TrustedKFold(3),
        params={"meta_mask": data.mask},
    )
    assert result["test_score"].tolist() == by_hand(data)


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search(routing: bool, data: Data) -> None:
    groups = {} if routing else {"groups": data.mask}
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(quick(), GRID, cv=TrustedKFold(3))
        search.fit(data.X, data.y, meta_mask=data.mask, **groups)
    expected = [np.mean(by_hand(data, lr=lr)) for lr in GRID["lr"]]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected)
    assert search.best_params_["lr"] == best_lr(search)
    assert search.best_estimator_.meta_indices_.tolist() == np.flatnonzero(data.mask).tolist()


@pytest.mark.parametrize("library", [pd, pl])
def test_grid_search_of_frames(library: Any, data: Data) -> None:
    kinds = np.array(["plain", "striped"])[np.arange(96) % 2]
    columns = {name: data.X[:, i] for i, name in enumerate("abcd")}
    X = library.DataFrame({**columns, "kind": kinds})
    y = library.Series(np.array(["ant", "bee", "cow"])[data.y])
    mask = library.Series(data.mask)
    search = GridSearchCV(quick(), GRID, cv=TrustedKFold(3), error_score="raise")
    search.fit(X, y, meta_mask=mask, groups=mask)
    assert search.best_estimator_.feature_names_in_.tolist() == [*columns, "kind"]
    assert set(search.predict(X)) <= {"ant", "bee", "cow"}


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search_of_a_pipeline_with_a_meta_set(routing: bool, data: Data) -> None:
    with config_context(enable_metadata_routing=routing):
        pipe = make_meta_pipeline(StandardScaler(), quick())
        grid = {"metaweightclassifier__lr": GRID["lr"]}
        search = GridSearchCV(pipe, grid, cv=2, error_score="raise")
        search.fit(100 + 50 * data.X, data.y, X_meta=100 + 50 * data.X_meta, y_meta=data.y_meta)
    assert search.best_estimator_[-1].meta_indices_.size == 0


HALVING = {"resource": "max_epochs", "min_resources": 1, "max_resources": 2, "factor": 2}


@pytest.mark.parametrize(
    ("Search", "params"),
    [
        (GridSearchCV, {}),
        (RandomizedSearchCV, {"n_iter": 2, "random_state": 0}),
        (HalvingGridSearchCV, {**HALVING, "random_state": 0}),
    ],
)
def test_searches_pass_a_meta_set_on(Search: Any, params: Any, data: Data) -> None:
    seen = []

    class Spy(MetaWeightClassifier):
        def fit(self, X: Any, y: Any, **trusted: Any) -> MetaWeightClassifier:
            seen.append({name: values.shape for name, values in trusted.items()})
            return super().fit(X, y, **trusted)

    search = Search(Spy(**QUICK), GRID, cv=2, error_score="raise", **params)
    with config_context(enable_metadata_routing=True):
        search.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    assert len(seen) >= 5
    assert all(shapes == {"X_meta": (18, 4), "y_meta": (18,)} for shapes in seen)


def test_cross_validate_passes_a_meta_set_on(data: Data) -> None:
    trusted = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    with config_context(enable_metadata_routing=True):
        result = cross_validate(
            quick(), data.X, data.y, cv=[(np.arange(60), np.arange(60, 96))], params=trusted
        )
    expected = quick().fit(data.X[:60], data.y[:60], **trusted).score(data.X[60:], data.y[60:])
    assert result["test_score"].tolist() == [expected]


def test_randomized_search(data: Data) -> None:
    search = RandomizedSearchCV(quick(), GRID, n_iter=2, cv=TrustedKFold(3), random_state=0)
    with config_context(enable_metadata_routing=True):
        search.fit(data.X, data.y, meta_mask=data.mask)
    assert search.best_params_["lr"] == best_lr(search)


def test_halving_search_spends_epochs(data: Data) -> None:
    search = HalvingGridSearchCV(
        quick(),
        GRID,
        cv=TrustedKFold(3),
        random_state=0,
        **HALVING,
    )
    with config_context(enable_metadata_routing=True):
        search.fit(data.X, data.y, meta_mask=data.mask)
    assert search.n_resources_ == [1, 2]
    assert search.best_estimator_.n_iter_ == 2


def test_optuna(data: Data) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        clf = quick(lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True))
        return cross_val_score(
            clf,
            data.X,
            data.y,
            groups=data.mask,
            cv=TrustedKFold(3),
            params={"meta_mask": data.mask},
        ).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=3)
    assert study.best_value == pytest.approx(np.mean(by_hand(data, **study.best_params)))
