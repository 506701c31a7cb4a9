"""Tables with missing values and categories, as they come."""

import datetime
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils import get_tags

from skmetaweight import MetaWeightClassifier, TabularMLP
from skmetaweight._tabular.reading import read_table
from skmetaweight._tabular.tables import MISSING, UNKNOWN, fit_table
from tests.conftest import Linear, of_method, quick

N = 96


def make_columns(seed: int = 0) -> dict[str, list[Any]]:
    """Make columns in the manner of a census, as lists with None."""
    rng = np.random.default_rng(seed)
    work = rng.choice(["private", "public", "none"], N).tolist()
    owns = rng.choice([True, False], N).tolist()
    return {
        "age": rng.integers(17, 90, N).tolist(),
        "work": [None if i % 11 == 3 else value for i, value in enumerate(work)],
        "income": [None if i % 7 == 2 else float(v) for i, v in enumerate(rng.normal(3, 2, N))],
        "degree": rng.choice(["school", "college"], N).tolist(),
        "owns": [None if i % 13 == 5 else value for i, value in enumerate(owns)],
        "hours": rng.normal(40, 5, N).tolist(),
    }


def as_pandas(columns: dict[str, list[Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    frame["income"] = frame["income"].astype(float)
    frame["degree"] = frame["degree"].astype("category")
    return frame


def as_nullable(columns: dict[str, list[Any]]) -> pd.DataFrame:
    return as_pandas(columns).astype(
        {"age": "Int64", "work": "string", "income": "Float64", "owns": "boolean"}
    )


def as_objects(columns: dict[str, list[Any]]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=object)


def as_polars(columns: dict[str, list[Any]]) -> pl.DataFrame:
    return pl.DataFrame(columns).with_columns(pl.col("degree").cast(pl.Categorical))


def as_enum(columns: dict[str, list[Any]]) -> pl.DataFrame:
    degrees = pl.Enum(["college", "school"])
    return pl.DataFrame(columns).with_columns(pl.col("degree").cast(degrees))


COLUMNS = make_columns()
FRAME = as_pandas(COLUMNS)
Y = np.array(
    [(work == "public") + (hours > 40) for work, hours in zip(FRAME.work, FRAME.hours, strict=True)]
)
MASK = np.arange(N) % 5 == 0


def fit(X: Any, **params: Any) -> MetaWeightClassifier:
    return quick(**params).fit(X, Y, meta_mask=MASK)


def with_column(name: str, values: Any) -> pd.DataFrame:
    return FRAME.assign(**{name: values})


# ------------------------------------------------------------------ kinds of tables


@pytest.mark.parametrize("make", [as_nullable, as_objects, as_polars, as_enum])
def test_every_kind_of_frame_is_learned_from_alike(make: Any) -> None:
    X = make(COLUMNS)
    clf, expected = fit(X), fit(FRAME)
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(FRAME))
    np.testing.assert_array_equal(clf.sample_weights_, expected.sample_weights_)
    assert clf.feature_names_in_.tolist() == list(COLUMNS)
    assert clf.n_features_in_ == 6
    with pytest.raises(ValueError, match="must be in the same order"):
        clf.predict(X[list(COLUMNS)[::-1]])
    with pytest.raises(ValueError, match="yet now missing"):
        clf.predict(X[list(COLUMNS)[:5]])


def test_every_method(method: str) -> None:
    for layers in (None, "all"):
        settings = of_method(method, alignment_layers=layers)
        clf = fit(FRAME, method=method, **settings)
        assert np.isfinite(clf.predict_proba(FRAME)).all()
        assert (clf.compute_sample_weight(FRAME, Y) >= 0).all()


def test_categories_are_learned_from() -> None:
    y = (FRAME.work == "public").to_numpy() | (FRAME.degree == "school").to_numpy()
    clf = quick(max_epochs=60, lr=0.02, method="uniform").fit(FRAME, y, meta_mask=MASK)
    assert clf.score(FRAME, y) > 0.95


@pytest.mark.parametrize("as_matrix", [np.asarray, np.ndarray.tolist])
@pytest.mark.parametrize("features", [[1, 3, 4], [False, True, False, True, True, False]])
def test_arrays_with_given_categories(as_matrix: Any, features: list[Any]) -> None:
    X = as_matrix(pd.DataFrame(COLUMNS, dtype=object).to_numpy())
    clf = fit(X, categorical_features=features)
    expected = fit(FRAME, categorical_features=["work", "degree", "owns"])
    np.testing.assert_array_equal(clf.predict_proba(X), expected.predict_proba(FRAME))


def test_names_and_codes_as_numbers() -> None:
    names = ["degree", "work"]
    expected = fit(FRAME).predict_proba(FRAME)
    by_name = fit(FRAME, categorical_features=names)
    np.testing.assert_array_equal(by_name.predict_proba(FRAME), expected)
    X = np.random.default_rng(0).integers(0, 4, (N, 3))
    clf = fit(X, categorical_features=[1])
    assert clf.net_.module_.standardize.mean.shape == (2,)
    assert [e.num_embeddings for e in clf.net_.module_.embeddings.columns] == [4 + 2]


def test_none_takes_no_categories() -> None:
    numeric = FRAME[["age", "income", "hours"]]
    clf = fit(numeric, categorical_features=None)
    np.testing.assert_array_equal(clf.predict_proba(numeric), fit(numeric).predict_proba(numeric))
    with pytest.raises(ValueError, match="could not convert string to float"):
        fit(FRAME, categorical_features=None)


def test_categories_only() -> None:
    X = FRAME[["work", "degree"]]
    assert fit(X).predict_proba(X).shape == (N, 3)


def test_plain_numbers_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    X = FRAME[["age", "hours"]].to_numpy(dtype=np.float32)
    with monkeypatch.context() as patch:
        for name in ("SimpleImputer", "OrdinalEncoder"):
            patch.setattr(f"skmetaweight._tabular.tables.{name}", None)
        clf = fit(X)
    assert clf.net_.module_.embeddings is None
    table = fit_table((), X, X)
    assert table.encode(X) is X
    assert read_table(clf, X, (), reset=False) is X


# ------------------------------------------------------------------ missing values


def test_missing_numbers_are_imputed_and_indicated() -> None:
    clf = fit(FRAME)
    train = FRAME[~MASK]
    matrix = clf._table.encode(read_table(clf, train, (1, 3), reset=False))
    assert matrix.dtype == np.float32
    income = train.income.to_numpy()
    missing = np.isnan(income)
    np.testing.assert_allclose(matrix[missing, 1], income[~missing].mean(), rtol=1e-6)
    np.testing.assert_array_equal(matrix[~missing, 1], income[~missing].astype(np.float32))
    np.testing.assert_array_equal(matrix[:, 4], missing)
    np.testing.assert_array_equal(matrix[:, 5], train.owns.isna())
    standardize = clf.net_.module_.standardize
    assert not standardize.mean[4:].any()
    assert (standardize.scale[4:] == 1).all()
    assert (standardize.lower[4:] == -np.inf).all()


def test_statistics_depend_on_training_rows_only() -> None:
    other = FRAME.copy()
    trusted = np.flatnonzero(MASK)
    other.loc[trusted, "income"] = 1e6
    other.loc[trusted, "age"] = 1000
    other.loc[trusted, "work"] = "of trusted rows"
    clf = fit(FRAME)
    unknown = pytest.warns(UserWarning, match="No category is known")
    with unknown, pytest.warns(UserWarning, match=r"1e\+06 in column 'income'"):
        changed = fit(other)
    for name in ("mean", "scale", "lower", "upper"):
        a, b = (getattr(c.net_.module_.standardize, name) for c in (clf, changed))
        assert torch.equal(a, b)
    np.testing.assert_array_equal(
        clf._table.imputer.statistics_, changed._table.imputer.statistics_
    )
    for a, b in zip(
        clf._table.encoder.categories_, changed._table.encoder.categories_, strict=True
    ):
        assert list(map(str, a)) == list(map(str, b))
    with unknown:
        a, b = (fit(X, numeric_scaling="quantile")._table.scaler for X in (FRAME, other))
    np.testing.assert_array_equal(a.quantiles_, b.quantiles_)
    before = pickle.dumps(clf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf.predict(other)
        clf.compute_sample_weight(other, Y)
    assert pickle.dumps(clf) == before


def test_number_that_is_missing_only_at_prediction_is_the_mean() -> None:
    X = FRAME[["age", "hours"]].to_numpy(dtype=float)
    clf = fit(X)
    mean = X[~MASK].mean(axis=0)
    new, filled = X[:3].copy(), X[:3].copy()
    new[1], filled[1] = np.nan, mean
    np.testing.assert_allclose(clf.predict_proba(new), clf.predict_proba(filled), rtol=1e-4)
    others = clf.predict_proba(new)[[0, 2]]
    np.testing.assert_allclose(others, clf.predict_proba(X[[0, 2]]), rtol=1e-5)
    assert np.isfinite(clf.compute_sample_weight(new, Y[:3])).all()
    clf = fit(FRAME)
    new = FRAME.assign(hours=np.nan)
    filled = FRAME.assign(hours=FRAME.hours[~MASK].mean())
    np.testing.assert_allclose(clf.predict_proba(new), clf.predict_proba(filled), rtol=1e-4)


def test_number_that_is_missing_only_in_trusted_rows_or_later_fits() -> None:
    X = FRAME[["age", "hours"]].to_numpy(dtype=float)
    X_meta = X[MASK].copy()
    X_meta[0, 0] = np.nan
    clf = quick().partial_fit(X[~MASK], Y[~MASK], X_meta=X_meta, y_meta=Y[MASK])
    assert clf.net_.module_.standardize.mean.shape == (2,)
    clf = quick().partial_fit(X, Y, meta_mask=MASK)
    X[5, 1] = np.nan
    clf.partial_fit(X, Y, meta_mask=MASK)
    assert clf._table.imputer is None
    assert clf.n_iter_ == 2


@pytest.mark.parametrize("value", [np.nan, None, pd.NA])
def test_column_without_a_value_is_left_out(value: Any) -> None:
    X = with_column("income", pd.array([value] * N, dtype="Float64"))
    clf = fit(X)
    assert clf.net_.module_.standardize.mean.shape == (4,)  # owns is missing in some rows
    expected = clf.predict_proba(X)
    new = with_column("income", 1e9)
    np.testing.assert_array_equal(clf.predict_proba(new), expected)


def test_categories_that_are_all_missing() -> None:
    X = with_column("work", pd.Series([None] * N, dtype=object))
    clf = fit(X)
    assert clf._table.cardinalities[0] == 2
    assert clf.predict(with_column("work", "private")).shape == (N,)


@pytest.mark.parametrize("value", [3.5, "same", True])
def test_constant_column(value: Any) -> None:
    X = with_column("income", value)
    assert np.isfinite(fit(X).predict_proba(X)).all()


# ------------------------------------------------------------------ quantiles


def test_quantiles_make_numbers_normal_whatever_their_scale() -> None:
    bent = FRAME.assign(age=np.exp(FRAME.age / 5.0), hours=FRAME.hours**5)
    clf, expected = (fit(X, numeric_scaling="quantile", temperature=1) for X in (bent, FRAME))
    np.testing.assert_allclose(clf.predict_proba(bent), expected.predict_proba(FRAME), atol=5e-3)
    matrix = clf._table.encode(read_table(clf, bent[~MASK], (1, 3), reset=False))
    scaler = QuantileTransformer(n_quantiles=len(matrix), output_distribution="normal")
    numbers = bent[~MASK][["age", "income", "owns", "hours"]].astype(np.float32)
    transformed = scaler.fit_transform(numbers)
    missing = np.isnan(transformed[:, 1])
    np.testing.assert_allclose(matrix[~missing, :2], transformed[~missing, :2], atol=1e-5)
    np.testing.assert_allclose(matrix[:, 3], transformed[:, 3], atol=1e-5)
    np.testing.assert_allclose(matrix[missing, 1], np.nanmean(transformed[:, 1]), atol=1e-5)
    np.testing.assert_array_equal(matrix[:, 4], missing)


def test_quantiles_of_plain_numbers() -> None:
    X = FRAME[["age", "hours"]].to_numpy(dtype=float)
    kept = X.copy()
    clf = fit(X, numeric_scaling="quantile")
    lacking = np.where(np.arange(N)[:, None] == 3, np.nan, X)
    assert np.isfinite(clf.predict_proba(lacking)).all()
    far = clf.predict_proba([[1e9, -1e9], [90.0, 0.0]])
    np.testing.assert_allclose(far[0], far[1], rtol=1e-6)
    np.testing.assert_array_equal(X, kept)
    of_sparse = clf.predict_proba(sp.csr_array(X))
    np.testing.assert_allclose(of_sparse, clf.predict_proba(X), atol=1e-6)


# ------------------------------------------------------------------ categories


def codes(clf: MetaWeightClassifier, X: Any) -> np.ndarray:
    return clf._table.encode(read_table(clf, X, clf._table.categorical, reset=False))[:, -2:]


def test_unknown_and_missing_categories_have_codes_of_their_own() -> None:
    clf = fit(FRAME)
    X = FRAME.head(4).copy()
    X["work"] = ["private", None, "retired", "public"]
    X["degree"] = pd.Categorical(["school", None, "doctorate", "college"])
    # work was missing in training rows, degree never.
    assert codes(clf, X)[:, 0].tolist() == [3, MISSING, UNKNOWN, 4]
    assert codes(clf, X)[:, 1].tolist() == [3, UNKNOWN, UNKNOWN, 2]
    for embedding in clf.net_.module_.embeddings.columns:
        assert not embedding.weight[UNKNOWN].any()
        assert embedding.weight[UNKNOWN + 2 :].any()
    probabilities = clf.predict_proba(X)
    assert np.isfinite(probabilities).all()
    X.loc[2, "work"] = "student"  # as unknown as any other
    np.testing.assert_array_equal(clf.predict_proba(X), probabilities)


def test_category_of_trusted_rows_that_X_lacks() -> None:
    X_meta = FRAME[MASK].assign(work="abroad")
    with pytest.warns(UserWarning, match="column 'work' .such as 'abroad'; known: 'none', "):
        clf = quick().fit(FRAME[~MASK], Y[~MASK], X_meta=X_meta, y_meta=Y[MASK])
    assert "abroad" not in clf._table.encoder.categories_[0]
    assert (codes(clf, X_meta)[:, 0] == UNKNOWN).all()


def test_trusted_rows_go_through_the_same_preprocessing() -> None:
    by_mask = fit(FRAME)
    train = FRAME[~MASK]
    by_rows = quick().fit(train, Y[~MASK], X_meta=FRAME[MASK], y_meta=Y[MASK])
    np.testing.assert_array_equal(by_mask.predict_proba(FRAME), by_rows.predict_proba(FRAME))
    with pytest.raises(ValueError, match=r"(?s)X_meta must go through .* same order"):
        quick().fit(train, Y[~MASK], X_meta=FRAME[MASK].iloc[:, ::-1], y_meta=Y[MASK])


@pytest.mark.parametrize("warm_start", [False, True])
def test_later_calls_keep_the_categories_of_the_first(warm_start: bool) -> None:
    clf = quick(warm_start=warm_start)
    again = clf.fit if warm_start else clf.partial_fit
    again(FRAME, Y, meta_mask=MASK)
    table = clf._table
    with pytest.warns(UserWarning, match="No category is known from the training rows"):
        again(FRAME.assign(work="new", age=FRAME.age + 100), Y, meta_mask=MASK)
    assert clf._table.encoder is table.encoder
    assert clf._table.imputer is table.imputer
    clf.set_params(warm_start=False).fit(FRAME.drop(columns="work"), Y, meta_mask=MASK)
    assert len(clf._table.cardinalities) == 1


scalars = st.one_of(st.none(), st.sampled_from(["a", "b", ""]), st.just(float("nan")))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    train=st.lists(scalars, min_size=2, max_size=8), new=st.lists(scalars, min_size=1, max_size=8)
)
def test_codes_are_places_among_the_categories_of_training_rows(
    train: list[Any], new: list[Any]
) -> None:
    clf = MetaWeightClassifier()
    fit_rows = read_table(clf, pd.DataFrame({"c": train}, dtype=object), (0,), reset=True)
    table = fit_table((0,), fit_rows, fit_rows)
    rows = read_table(clf, pd.DataFrame({"c": new}, dtype=object), (0,), reset=False)
    known = sorted({v for v in train if isinstance(v, str)})
    lacks = any(not isinstance(v, str) for v in train)
    expected = [
        (MISSING if lacks else UNKNOWN)
        if not isinstance(v, str)
        else 2 + known.index(v)
        if v in known
        else UNKNOWN
        for v in new
    ]
    assert table.encode(rows).ravel().tolist() == expected
    assert table.cardinalities == (2 + len(known),)


# ------------------------------------------------------------------ errors, tags, copies

DATES = [datetime.datetime(2020, 1, 1) + datetime.timedelta(days=i) for i in range(N)]
BAD = {
    "infinity": (with_column("hours", np.inf), {}, "Input X contains infinity"),
    "dates": (with_column("when", DATES), {}, r"dates or times: 'when' \(datetime64.*skrub"),
    "date objects": (
        with_column("when", pd.Series([d.date() for d in DATES], dtype=object)),
        {},
        r"dates or times: 'when' \(object\)",
    ),
    "polars dates": (
        as_polars(COLUMNS).with_columns(pl.Series("when", DATES)),
        {},
        r"dates or times: 'when' \(Datetime",
    ),
    "types": (with_column("work", pd.Series(["a", 1] * 48, dtype=object)), {}, "several types"),
    "mask": (FRAME, {"categorical_features": [True]}, "one entry per column of X, 6, got 1"),
    "index": (FRAME, {"categorical_features": [1, 6]}, r"must be in \[0, 5\], got \[1, 6\]"),
    "name": (FRAME, {"categorical_features": ["job"]}, r"no columns of X: \['job'\]"),
    "kind": (FRAME, {"categorical_features": [1.5]}, "a list of bool, int or str"),
    "text": (FRAME, {"categorical_features": "work"}, "categorical_features"),
    "names of an array": (
        FRAME.to_numpy(),
        {"categorical_features": ["work"]},
        "X has no column names",
    ),
    "sparse": (sp.csr_array(np.eye(N)), {"categorical_features": [1]}, "pass it dense"),
    "scaling": (FRAME, {"numeric_scaling": "log"}, "numeric_scaling.*quantile.*'log'"),
    "quantiles of sparse rows": (
        sp.csr_array(np.eye(N)),
        {"numeric_scaling": "quantile"},
        "Input X is sparse.*Pass it dense",
    ),
    "quantiles for an own module": (
        FRAME,
        {"module": Linear, "numeric_scaling": "quantile"},
        "numeric_scaling='quantile' is for the default network",
    ),
    "own module": (
        FRAME,
        {"module": Linear, "categorical_features": [1]},
        "for the default network",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables(name: str) -> None:
    X, params, message = BAD[name]
    clf = quick(**params)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y, meta_mask=MASK)
    assert dict(vars(clf)) == before


def test_bad_tables_after_fit() -> None:
    clf = fit(FRAME)
    for X, message in (
        (with_column("hours", DATES), "dates or times: 'hours'"),
        (with_column("hours", "long"), "could not convert string to float"),
        (with_column("hours", -np.inf), "Input X contains infinity"),
        (sp.csr_array((3, 6)), "pass it dense"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            clf.predict(X)


def test_missing_numbers_and_sparse_rows() -> None:
    X = FRAME[["age", "hours"]].to_numpy(dtype=float)
    lacking = X.copy()
    lacking[3, 0] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fit(sp.csr_array(lacking))
    with pytest.raises(ValueError, match="Input X_meta contains NaN"):
        quick().fit(sp.csr_array(X), Y, X_meta=lacking, y_meta=Y)
    clf = fit(lacking)
    of_sparse = clf.predict_proba(sp.csr_array(X))
    np.testing.assert_allclose(of_sparse, clf.predict_proba(X), atol=1e-6)
    clf = fit(sp.csr_array(X))
    assert np.isfinite(clf.predict_proba(lacking)).all()


def test_tags() -> None:
    def tags(**params: Any) -> tuple[bool, bool]:
        inputs = get_tags(MetaWeightClassifier(**params)).input_tags
        return inputs.allow_nan, inputs.categorical

    assert tags() == (True, True)
    assert tags(categorical_features=None) == (True, False)
    assert tags(module=Linear) == (False, False)
    assert get_tags(MetaWeightClassifier()).input_tags.sparse
    assert not get_tags(MetaWeightClassifier(numeric_scaling="quantile")).input_tags.sparse


def test_copies() -> None:
    clf = fit(FRAME)
    expected = clf.predict_proba(FRAME)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(FRAME), expected)
    copied = clone(clf)
    assert not hasattr(copied, "_table")
    np.testing.assert_array_equal(
        copied.fit(FRAME, Y, meta_mask=MASK).predict_proba(FRAME), expected
    )


# ------------------------------------------------------------------ the network


def test_network_embeds_its_last_columns() -> None:
    module = TabularMLP(4, 3, (8,), cardinalities=(5, 200)).eval()
    assert [e.embedding_dim for e in module.embeddings.columns] == [3, 50]
    X = torch.tensor([[0.5, -1.0, 4.0, 199.0], [0.5, -1.0, 0.0, 0.0]])
    first, second = module.embeddings.columns
    inputs = torch.cat([X[0, :2], first.weight[4], second.weight[199]])
    torch.testing.assert_close(module(X)[0], module.layers(inputs[None])[0])
    module(X).sum().backward()
    assert not first.weight.grad[UNKNOWN].any()
    assert first.weight.grad[4].any()
