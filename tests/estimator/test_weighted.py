"""Weights that are safe for other learners, and the estimator that hands them on."""

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmetaweight import MetaWeightClassifier, MetaWeightedEstimator
from skmetaweight._data.containers import stack_rows
from skmetaweight._estimator.usable_weights import usable_weights
from skmetaweight.model_selection import TrustedKFold
from skmetaweight.pipeline import make_meta_pipeline
from tests.conftest import Data, make_data, quick
from tests.estimator.test_estimator_checks import SETTINGS, expected_failures

NAMES = np.array(["ant", "bee", "cow"])


# ------------------------------------------------------------------ the weights


@pytest.mark.parametrize("scale", [1e-6, 1.0, 40.0])
@pytest.mark.parametrize("seed", range(20))
def test_usable_weights(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, 300)
    trusted = np.isin(np.arange(300), rng.choice(300, 20, replace=False))
    learned = rng.random(300) ** rng.integers(1, 9)
    learned[y < rng.integers(0, 4)] *= rng.choice([0, 1e-9, 0.005, 0.05])
    relative = learned / learned[~trusted].mean()
    means = np.array([relative[~trusted & (y == label)].mean() for label in range(6)])
    expected = np.where(relative < 0.01, 0, relative)
    expected[means[y] < 0.01] = 1
    expected[trusted] = 1
    learned[trusted] = 1 / scale  # one in sample_weights_, whatever the scale of the others
    np.testing.assert_allclose(usable_weights(scale * learned, trusted, y), expected)


@pytest.mark.parametrize("value", [0.0, 1e-300])
def test_weights_that_say_nothing(value: float) -> None:
    weights = usable_weights(np.full(9, value), np.arange(9) == 4, np.arange(9) % 3)
    np.testing.assert_array_equal(weights, np.ones(9))


@pytest.mark.parametrize("estimator", ["boosting", "forest", "logistic"])
def test_classes_without_weight_are_not_given_up(estimator: str) -> None:
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)
    trusted = np.isin(np.arange(len(y)), np.unique(y, return_index=True)[1])
    learned = np.where((y >= 8) & ~trusted, 0.0, 1.0)
    learner: Any = {
        "boosting": HistGradientBoostingClassifier(max_iter=10, random_state=0),
        "forest": RandomForestClassifier(20, min_samples_leaf=3, random_state=0),
        "logistic": LogisticRegression(max_iter=500),
    }[estimator]

    def recall(weights: np.ndarray) -> float:
        return learner.fit(X, y, sample_weight=weights).score(X_test[rare], y_test[rare])

    rare = y_test >= 8
    assert recall(learned) < 0.2
    assert recall(usable_weights(learned, trusted, y)) > 0.8


# ------------------------------------------------------------------ the estimator


def weighted(estimator: Any = None, **params: Any) -> MetaWeightedEstimator:
    return MetaWeightedEstimator(estimator or LogisticRegression(), quick(**params))


def test_estimator_is_fit_with_usable_weights(data: Data) -> None:
    clf = weighted().fit(data.X, NAMES[data.y], meta_mask=data.mask)
    weigher = quick().fit(data.X, NAMES[data.y], meta_mask=data.mask)
    weights = usable_weights(weigher.sample_weights_, data.mask, data.y)
    np.testing.assert_array_equal(clf.sample_weights_, weights)
    kept = weights > 0
    plain = LogisticRegression().fit(data.X[kept], NAMES[data.y][kept], weights[kept])
    np.testing.assert_array_equal(clf.predict_proba(data.X), plain.predict_proba(data.X))
    np.testing.assert_array_equal(clf.predict(data.X), plain.predict(data.X))
    assert clf.classes_.tolist() == NAMES.tolist()
    assert 0 < clf.score(data.X, NAMES[data.y]) < 1


FORMS: dict[str, Any] = {
    "array": np.asarray,
    "list": lambda X: X.tolist(),
    "sparse": sp.csr_matrix,
    "coordinates": sp.coo_array,
    "pandas": lambda X: pd.DataFrame(X, columns=list("abcd")),
    "polars": lambda X: pl.DataFrame(X, schema=list("abcd")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("times", [None, 1.0, 1000.0])
def test_trusted_rows_apart_and_among_the_others_are_the_same(form: str, times: Any) -> None:
    data = make_data()
    make, rest = FORMS[form], ~data.mask
    order = np.r_[np.flatnonzero(rest), np.flatnonzero(data.mask)]
    X, y = data.X[order], data.y[order]
    counts = np.where(data.mask[order], 1.0, np.arange(96) % 2 + 0.5)  # mean one, apart or not
    weight = {} if times is None else {"sample_weight": times * counts}
    apart = {name: values[: rest.sum()] for name, values in weight.items()}
    meta_set = {"X_meta": make(data.X_meta), "y_meta": data.y_meta}
    one = weighted().fit(make(X), y, meta_mask=data.mask[order], **weight)
    other = weighted().fit(make(data.X[rest]), data.y[rest], **meta_set, **apart)
    np.testing.assert_allclose(one.sample_weights_, other.sample_weights_)
    expected = one.predict_proba(make(data.X))
    np.testing.assert_allclose(other.predict_proba(make(data.X)), expected, rtol=1e-6)


def test_what_the_weigher_warns_of_is_said_of_the_line_of_the_user(data: Data) -> None:
    search = GridSearchCV(weighted(), {"estimator__C": [1.0]}, cv=2)
    for clf in (weighted(), make_pipeline(StandardScaler(), weighted()), search):
        with pytest.warns(UserWarning, match="No trusted rows") as record:
            clf.fit(data.X, data.y)
        assert {warning.filename for warning in record} == {__file__}


def test_trusted_rows_take_the_categories_of_the_others(data: Data) -> None:
    frame = pd.DataFrame(data.X, columns=list("abcd"))
    frame["kind"] = pd.Categorical(NAMES[data.y])
    meta = frame[data.mask].assign(kind=pd.Categorical(["ant"] * data.mask.sum()))
    clf = weighted(HistGradientBoostingClassifier(max_iter=2))
    clf.fit(frame, data.y, X_meta=meta, y_meta=data.y_meta)
    assert clf.estimator_.is_categorical_.tolist() == [False] * 4 + [True]
    assert clf.feature_names_in_.tolist() == [*"abcd", "kind"]
    assert len(clf.sample_weights_) == 96 + 18


def test_average_is_the_mean_of_both(data: Data) -> None:
    X, y = data.X, NAMES[data.y]
    fits = [weighted().set_params(average=average) for average in (False, True)]
    alone, both = (clf.fit(X, y, meta_mask=data.mask) for clf in fits)
    expected = (alone.predict_proba(X) + alone.weigher_.predict_proba(X)) / 2
    np.testing.assert_allclose(both.predict_proba(X), expected)
    np.testing.assert_array_equal(both.predict(X), NAMES[expected.argmax(axis=1)])
    assert (np.abs(both.predict_proba(X) - alone.predict_proba(X)) > 0.01).any()


@pytest.mark.parametrize("average", [False, True])
def test_a_class_without_sample_weight_is_known(average: bool, data: Data) -> None:
    weight = np.where((data.y == 1) & ~data.mask, 0.0, 1.0)
    rest = ~data.mask
    clf = weighted(LogisticRegression(max_iter=1000)).set_params(average=average)
    meta_set = {"X_meta": data.X_meta[data.y_meta != 1], "y_meta": data.y_meta[data.y_meta != 1]}
    with pytest.warns(UserWarning, match="no row of the classes"):
        clf.fit(data.X[rest], data.y[rest], sample_weight=weight[rest], **meta_set)
    assert clf.predict_proba(data.X).shape == (96, 3)


def test_without_probabilities(data: Data) -> None:
    clf = weighted(Perceptron()).fit(data.X, data.y, meta_mask=data.mask)
    assert not hasattr(clf, "predict_proba")
    assert set(clf.predict(data.X)) <= {0, 1, 2}


def test_search_over_both_in_a_pipeline(data: Data) -> None:
    grid = {
        "metaweightedestimator__estimator__C": [0.1, 1.0],
        "metaweightedestimator__weigher__method__memory": [0, 0.5],
    }
    pipe = make_meta_pipeline(StandardScaler(), weighted())
    search = GridSearchCV(pipe, grid, cv=TrustedKFold(2), error_score="raise")
    with config_context(enable_metadata_routing=True):
        search.fit(data.X, data.y, meta_mask=data.mask)
    best = search.best_estimator_[-1]
    assert best.estimator_.C in (0.1, 1.0)
    assert best.weigher_.net_.reweighter_.memory in (0, 0.5)
    pipe.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    np.testing.assert_allclose(pipe[-1].weigher_.net_.meta_rows_.X.numpy(), scaled(data), atol=1e-4)


def scaled(data: Data) -> np.ndarray:
    return StandardScaler().fit(data.X).transform(data.X_meta)


def test_a_failed_fit_leaves_the_last_one(data: Data) -> None:
    clf = weighted().fit(data.X, data.y, meta_mask=data.mask)
    before = clf.predict_proba(data.X)
    with pytest.raises(ValueError, match="C"):
        clf.set_params(estimator__C=-1).fit(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.predict_proba(data.X), before)


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "neighbours": (KNeighborsClassifier(), {}, r"KNeighborsClassifier.fit takes no sample_weight"),
    "pipeline": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        {},
        "put the steps of a pipeline before MetaWeightedEstimator",
    ),
    "average": (
        Perceptron(),
        {"average": True},
        "average=True needs .* Perceptron has no predict_",
    ),
    "weigher": (LogisticRegression(), {"weigher": LogisticRegression()}, "'weigher' parameter"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_error_each(case: str, data: Data) -> None:
    estimator, params, message = BAD[case]
    clf = MetaWeightedEstimator(clone(estimator)).set_params(**params)
    with pytest.raises((TypeError, ValueError), match=message):
        clf.fit(data.X, data.y, meta_mask=data.mask)


KINDS = {
    "array": "ndarray",
    "pandas": "pandas.DataFrame",
    "polars": "polars.DataFrame",
    "sparse": "csr_matrix",
}


@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_trusted_rows_of_another_kind(
    one: str, other: str, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, X_meta = FORMS[one](data.X), FORMS[other](data.X_meta)
    if one == other:
        weighted().fit(X, data.y, X_meta=X_meta, y_meta=data.y_meta)
        return
    monkeypatch.setattr(MetaWeightClassifier, "fit", None)  # nothing is trained in vain
    said = f"X is a {KINDS[one]} and X_meta a {KINDS[other]}: pass both alike"
    with pytest.raises(ValueError, match=re.escape(said)):
        weighted().fit(X, data.y, X_meta=X_meta, y_meta=data.y_meta)


@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
@pytest.mark.filterwarnings("ignore:The meta set has no row:UserWarning")
@parametrize_with_checks(
    [
        MetaWeightedEstimator(
            LogisticRegression(max_iter=500), MetaWeightClassifier(random_state=0, **SETTINGS)
        )
    ],
    expected_failed_checks=expected_failures,
)
def test_estimator_checks(estimator: MetaWeightedEstimator, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("wrong", [LinearRegression(), KMeans(2), LogisticRegression], ids=repr)
def test_only_classifiers_are_taken(wrong: Any, data: Data) -> None:
    clf = MetaWeightedEstimator(wrong, quick())
    with pytest.raises(TypeError, match="takes a classifier, an object and no class"):
        clf.fit(data.X, data.y, meta_mask=data.mask)
    assert not hasattr(clf, "weigher_")


def test_trusted_rows_may_have_other_categories(data: Data) -> None:
    def frame(X: np.ndarray, values: list[str]) -> pd.DataFrame:
        table = pd.DataFrame(X).add_prefix("x")
        return table.assign(g=pd.Categorical(np.resize(values, len(X))))

    clf = MetaWeightedEstimator(
        HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype"), quick()
    )
    X_meta = frame(data.X_meta, ["u", "w"])
    clf.fit(frame(data.X, ["u", "v"]), data.y, X_meta=X_meta, y_meta=data.y_meta)
    assert list(stack_rows(frame(data.X, ["u", "v"]), X_meta)["g"].cat.categories) == list("uvw")
    assert clf.predict(X_meta).shape == data.y_meta.shape


TYPES = {
    bool: int,
    np.int8: np.int64,
    float: int,
    str: object,
    "datetime64[s]": "datetime64[ns]",
}


@pytest.mark.parametrize("kind", TYPES)
def test_labels_are_those_of_y_whatever_y_meta_is(kind: Any, data: Data) -> None:
    y, y_meta = ((labels == 1).astype(int).astype(kind) for labels in (data.y, data.y_meta))
    clf = MetaWeightedEstimator(LogisticRegression(), quick())
    clf.fit(data.X, y, X_meta=data.X_meta, y_meta=y_meta.astype(TYPES[kind]))
    assert clf.classes_.dtype == clf.weigher_.classes_.dtype == clf.predict(data.X).dtype
    assert set(clf.predict(data.X)) <= set(y)
