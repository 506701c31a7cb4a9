"""Wild cells: found by one rule, clipped, told of; ordinary numbers are left alone."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skmetaweight._tabular.ranges import FAR, fit_ranges
from tests.tabular import _separable as data

WILD = [-1e6, 1e30, float(np.finfo(np.float32).max), -1e200, -999.0]
ROWS = {"a trusted row": [5], "a training row": [300], "both": [5, 300], "4%": range(300, 321)}


def with_cells(rows: np.ndarray, places: Any, columns: Any, value: float) -> np.ndarray:
    rows = rows.copy()
    rows[np.ix_(list(places), columns)] = value
    return rows


# ------------------------------------------------------------------ the rule


def naive_spread(column: np.ndarray) -> tuple[float, float]:
    column = np.sort(column[~np.isnan(column)])
    if not len(column):
        return 0.0, 0.0
    middle = column[(len(column) - 1) // 2]
    distances = sorted(abs(value - middle) for value in column if value != middle)
    if not distances:
        return middle, 0.0
    place = max(min(int(np.floor(0.95 * len(distances))), len(distances) - 2), 0)
    return middle, distances[place]


NUMBERS = st.one_of(st.just(np.nan), st.integers(-3, 3), st.floats(-1e6, 1e6))


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=NUMBERS))
def test_ranges_are_their_definition(rows: np.ndarray) -> None:
    ranges = fit_ranges(rows)
    for i, column in enumerate(rows.T):
        middle, spread = naive_spread(column)
        assert (ranges.middle[i], ranges.spread[i]) == (middle, spread)
        present = column[~np.isnan(column)]
        usual = present[np.abs(present - middle) <= FAR * spread] if spread else present
        if len(usual):
            assert ranges.lower[i] == usual.min() - spread
            assert ranges.upper[i] == usual.max() + spread
        assert not len(usual) or ranges.lower[i] <= middle <= ranges.upper[i]
    clipped = ranges.clip(rows)
    np.testing.assert_array_equal(ranges.clip(clipped), clipped)
    np.testing.assert_array_equal(np.isnan(clipped), np.isnan(rows))


ORDINARY = {
    "normal": lambda r, n: r.normal(size=(n, 30)),
    "uniform": lambda r, n: r.random((n, 30)),
    "lognormal": lambda r, n: r.lognormal(size=(n, 30)),
    "rare indicators": lambda r, n: r.random((n, 30)) < 0.01,
    "rare counts": lambda r, n: r.poisson(0.05, (n, 30)),
    "heavy tails": lambda r, n: r.standard_t(3, (n, 30)),
    "two clusters": lambda r, n: r.normal(size=(n, 30)) + 1000 * (r.random((n, 30)) < 0.3),
    "constant": lambda r, n: np.full((n, 30), 0.1),
}


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize("n", [30, 300, 12_000])
def test_ordinary_numbers_are_never_absurd(kind: str, n: int) -> None:
    rng = np.random.default_rng(0)
    rows, new = (ORDINARY[kind](rng, n).astype(np.float32) for _ in range(2))
    ranges = fit_ranges(rows)
    assert ranges.clip(rows) is rows
    assert not ranges.is_absurd(rows).any()
    assert not ranges.is_absurd(new).any()


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize("n", [1, 15, 100])
def test_ordinary_batches_change_no_column(kind: str, n: int) -> None:
    rng = np.random.default_rng(0)
    ranges = fit_ranges(ORDINARY[kind](rng, 300).astype(np.float32))
    for _ in range(20):
        was_constant = ranges.is_constant
        ranges, renewed = ranges.widened(ORDINARY[kind](rng, n).astype(np.float32))
        assert not (renewed & ~was_constant).any()


@pytest.mark.parametrize("density", [0.02, 0.3])
def test_sparse_ranges_are_those_of_dense_rows_around_zero(density: float) -> None:
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((500, 8)) < density, rng.normal(size=(500, 8)), 0)
    rows[:, 7] = 0
    for sparse, dense in zip(fit_ranges(sp.csr_array(rows)), fit_ranges(rows), strict=True):
        np.testing.assert_array_equal(sparse, dense)
    rows[3, 2] = 1e9
    ranges = fit_ranges(sp.csr_array(rows))
    clipped = ranges.clip(sp.csr_array(rows))
    np.testing.assert_array_equal(clipped.toarray(), ranges.clip(rows))
    assert clipped.max() < 10


def test_what_only_a_few_of_many_rows_show_is_no_constant() -> None:
    rows = np.zeros((25_000, 2), dtype=np.float32)
    rows[1234, 0] = 1
    ranges = fit_ranges(rows)
    assert ranges.is_constant.tolist() == [False, True]
    assert ranges.clip(rows) is rows


# ------------------------------------------------------------------ fits


@pytest.mark.parametrize("columns", [[2], [0, 1, 2, 3, 4, 5]], ids=["one", "all"])
@pytest.mark.parametrize("where", ROWS)
@pytest.mark.parametrize("value", WILD)
def test_a_wild_cell_does_no_harm_and_is_told_of(value: float, where: str, columns: Any) -> None:
    rows = with_cells(data.X, ROWS[where], columns, value)
    with pytest.warns(UserWarning, match=f"in column {columns[0]}.*usual: .*NaN.*quantile") as seen:
        clf = data.fit(rows)
    assert len(seen) == 1
    assert seen[0].filename == data.__file__
    assert data.accuracy(clf) > 0.97


@pytest.mark.parametrize("value", WILD)
def test_a_wild_cell_in_a_stream(value: float) -> None:
    clf = data.make()
    for i in range(12):
        rows = slice(60 + 45 * i, 105 + 45 * i)
        batch = with_cells(data.X[rows], [3], [1, 2], value) if i == 6 else data.X[rows]
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            clf.partial_fit(batch, data.Y[rows], X_meta=data.X[:60], y_meta=data.Y[:60])
        told = [str(w.message) for w in seen if "absurdly far" in str(w.message)]
        assert len(told) == (i == 6)
        before = data.accuracy(clf) if i == 5 else 0.0
    assert data.accuracy(clf) > max(0.9, before - 0.02)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, data.frame])
def test_wild_cells_at_prediction(container: Any) -> None:
    clf = data.fit(container(data.X))
    rows = with_cells(data.X_TEST, range(0, 600, 7), [3], 1e9)
    with pytest.warns(UserWarning, match="X has numbers absurdly far") as seen:
        probabilities = clf.predict_proba(container(rows))
    assert len(seen) == 1
    assert seen[0].filename == __file__
    is_sparse = container is sp.csr_array  # which quantiles do not take
    assert ("numeric_scaling='quantile'" in str(seen[0].message)) is not is_sparse
    usual = with_cells(data.X_TEST, range(0, 600, 7), [3], clf._table.bounds.upper[3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(probabilities, clf.predict_proba(container(usual)), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 7.0, -1e9, 0.1])
@pytest.mark.parametrize("later", [1.0, 1e6, -3e38])
def test_a_constant_column_stays_constant(value: float, later: float) -> None:
    rows, new = data.X.copy(), data.X_TEST.copy()
    rows[:, 3] = new[:, 3] = value
    clf = data.fit(rows)
    expected = clf.predict_proba(new)
    new[:, 3] = later * data.X_TEST[:, 3]
    np.testing.assert_array_equal(clf.predict_proba(new), expected)


def test_a_column_that_begins_to_vary_is_learned_from() -> None:
    first = data.X.copy()
    first[:, 1:] = 0
    clf = data.make(lr=0.01).partial_fit(first, data.Y, meta_mask=data.MASK)
    for _ in range(12):
        clf.partial_fit(data.X, data.Y, meta_mask=data.MASK)
    standardize = clf.net_.module_.standardize
    X_train = data.X[~data.MASK]
    np.testing.assert_allclose(standardize.mean[1:], X_train.mean(axis=0)[1:], atol=1e-4)
    np.testing.assert_allclose(standardize.scale[1:], X_train.std(axis=0)[1:], rtol=1e-4)
    assert data.accuracy(clf) > 0.9


def test_bounds_follow_rows_that_drift() -> None:
    clf = data.make().partial_fit(data.X, data.Y, meta_mask=data.MASK)
    upper = clf.net_.module_.standardize.upper.clone()
    clf.partial_fit(data.X + 8, data.Y, meta_mask=data.MASK)
    assert (clf.net_.module_.standardize.upper > upper + 6).all()
    expected = torch.tensor(clf._table.bounds.upper).float()
    assert torch.equal(clf.net_.module_.standardize.upper, expected)


@pytest.mark.parametrize("container", [np.asarray, data.frame])
@pytest.mark.parametrize("step", [0.0, 1.0, -1.0, 4.0])
def test_a_column_that_drifts_away_is_told_once(step: float, container: Any) -> None:
    clf, said = data.make(), []
    for call in range(40):
        rows = data.X.copy()
        rows[:, 1] += call * step
        rows[:, 2] += 1e-3 * call
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            clf.partial_fit(container(rows[:200]), data.Y[:200], meta_mask=data.MASK[:200])
        said += [(call, warning) for warning in seen]
    assert len(said) == (step != 0)
    for call, warning in said:
        name = "'b'" if container is data.frame else "1"
        assert f"far from those of the first call in column {name} (" in str(warning.message)
        assert warning.filename == __file__
        assert 10 < call * abs(step) < 80


CHANGES = {
    "place": lambda rows: rows + 5000,
    "far place": lambda rows: rows + 1.7e9,
    "larger unit": lambda rows: rows * 1000,
    "smaller unit": lambda rows: rows / 1000,
}


@pytest.mark.parametrize("container", [np.asarray, data.frame])
@pytest.mark.parametrize("kind", CHANGES)
def test_a_column_that_changes_altogether_is_learned_anew(kind: str, container: Any) -> None:
    clf, change = data.make(lr=0.01), lambda rows: container(CHANGES[kind](rows))
    for _ in range(6):
        clf.partial_fit(container(data.X), data.Y, meta_mask=data.MASK)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(10):
            clf.partial_fit(change(data.X), data.Y, meta_mask=data.MASK)
    assert len(seen) == 1
    assert "altogether unlike those before in column" in str(seen[0].message)
    assert seen[0].filename == __file__
    assert data.accuracy(clf, change(data.X_TEST)) > 0.95


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_a_stream_that_begins_with_wild_rows(container: Any) -> None:
    first = with_cells(data.X[60:64], [0, 1, 3], range(6), 1.0) * [[-1e6], [1e9], [1], [3e7]]
    meta = {"X_meta": container(data.X[:60]), "y_meta": data.Y[:60]}
    clf = data.make(lr=0.01, random_state=0)
    clf.partial_fit(container(first), data.Y[60:64], **meta, classes=[0, 1, 2])
    with pytest.warns(UserWarning, match="altogether unlike those before"):
        clf.partial_fit(container(data.X), data.Y, **meta)
    for _ in range(10):
        clf.partial_fit(container(data.X), data.Y, **meta)
    assert data.accuracy(clf, container(data.X_TEST)) > 0.95


def test_quantiles_need_no_warning() -> None:
    rows = with_cells(data.X, [300], [2], 1e30)
    clf = data.fit(rows, numeric_scaling="quantile")
    assert data.accuracy(clf) > 0.97


def test_a_wild_cell_beside_missing_numbers_and_categories() -> None:
    rows = data.frame(with_cells(data.X, [300], [2], 1e30)).assign(g="x")
    rows.loc[[4, 400], "b"] = np.nan
    with pytest.warns(UserWarning, match=r"1e\+30 in column 'c'"):
        clf = data.fit(rows)
    assert data.accuracy(clf, data.frame(data.X_TEST).assign(g="x")) > 0.97
    assert np.abs(clf._table.imputer.statistics_).max() < 10


def test_many_columns_are_counted() -> None:
    with pytest.warns(UserWarning, match=r"column 4 \(usual: [^)]*\) and 1 more\. The network"):
        data.fit(with_cells(data.X, [300], range(6), 1e9))


def test_ordinary_numbers_pass_as_they_are() -> None:
    clf = data.fit(data.X)
    standardize = clf.net_.module_.standardize
    X_train = torch.as_tensor(data.X[~data.MASK], dtype=torch.float32)
    assert torch.equal(X_train.clamp(standardize.lower, standardize.upper), X_train)
    copied = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copied.predict_proba(data.X), clf.predict_proba(data.X))
