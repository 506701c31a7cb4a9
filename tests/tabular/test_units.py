"""Digits that float32 would lose: kept for the default network, told of for others."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from skmetaweight._tabular.crowds import crowded_columns
from skmetaweight._tabular.ranges import fit_ranges
from skmetaweight._tabular.units import NO_UNITS, collapsing_columns, fit_units
from tests.conftest import Linear, make_data, quick
from tests.tabular import _separable as data

UNITS = {
    "timestamps": lambda rows: rows + 1.7e9,
    "large ids": lambda rows: 10 * rows + 1.7e12,
    "nanoseconds": lambda rows: (rows * 1e10).astype(np.int64) + 1_700_000_000_000_000_000,
    "tiny": lambda rows: rows * 1e-40,
    "tinier": lambda rows: rows * 1e-300,
    "huge": lambda rows: rows * 1e35,
    "huger": lambda rows: rows * 1e300,
    "several": lambda rows: rows * [1, 1e-40, 1, 1, 1e50, 1] + [0, 0, 1.7e9, 0, 0, 1e8],
}


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("scaling", ["standardize", "quantile"])
def test_the_default_network_keeps_all_digits(kind: str, scaling: str) -> None:
    clf = data.fit(UNITS[kind](data.X), numeric_scaling=scaling)
    assert len(clf._table.units.columns)
    assert data.accuracy(clf, UNITS[kind](data.X_TEST)) > 0.97


@pytest.mark.parametrize("size", [1e300, 5e307, 1e308, np.finfo(np.float64).max])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_numbers_as_large_as_there_are(size: float, low: float) -> None:
    signs = [np.where(rows > 0, 1.0, low) for rows in (data.X, data.X_TEST)]
    expected = data.accuracy(data.fit(signs[0]), signs[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = data.fit(signs[0] * size)
    assert abs(data.accuracy(clf, signs[1] * size) - expected) < 0.03


@pytest.mark.parametrize("kind", ["timestamps", "tiny", "huger"])
def test_missing_numbers_in_such_columns(kind: str) -> None:
    rows, new = UNITS[kind](data.X), UNITS[kind](data.X_TEST)
    new[::9, 2] = np.nan
    assert data.accuracy(data.fit(rows), new) > 0.95  # the first that is missing
    rows[::7, 2] = np.nan
    assert data.accuracy(data.fit(rows), new) > 0.95


@pytest.mark.parametrize("offset", [0.0, 100.0, -1000.0])
@pytest.mark.parametrize("unit", [1e-20, 1e-3, 1.0, 1e6, 1e20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ordinary_numbers_need_no_units(offset: float, unit: float, dtype: Any) -> None:
    rows = ((data.X + offset) * unit).astype(dtype)
    units = fit_units(rows, fit_ranges(rows))
    assert units is NO_UNITS or not len(units.columns)
    as_float32 = units.to_float32(rows)
    np.testing.assert_array_equal(as_float32, rows.astype(np.float32))
    assert (as_float32 is rows) == (dtype == np.float32)


COLLAPSING = ["timestamps", "large ids", "nanoseconds", "tinier"]


@pytest.mark.parametrize("kind", COLLAPSING)
@pytest.mark.parametrize("as_dict", [False, True])
def test_a_module_of_ones_own_is_warned_for(kind: str, as_dict: bool) -> None:
    rows = UNITS[kind](data.X)
    if as_dict:
        rows = rows.astype(float)  # integers of a dict are not cast
    assert len(collapsing_columns(rows))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        data.fit_own({"X": rows} if as_dict else rows, Linear(6))
    told = [w for w in seen if "become equal when X is cast to the float32" in str(w.message)]
    assert len(told) == 1
    assert told[0].filename == data.__file__
    assert ("'X', 0" in str(told[0].message)) == as_dict


def test_a_module_of_float64_and_ordinary_numbers_are_not() -> None:
    data.fit_own(data.X, Linear(6))
    data.fit_own(data.X + 1.7e9, Linear(6, dtype=torch.float64))
    for kind in (np.float32, np.int32, np.int8):
        assert not len(collapsing_columns(data.X.astype(kind)))
    assert not len(collapsing_columns(np.repeat([[1.7e12]], 50, axis=0)))


SENTINELS = {
    "a tenth zero": lambda rng, shape: (rng.random(shape) < 0.1, 0.0),
    "most zero": lambda rng, shape: (rng.random(shape) < 0.6, 0.0),
    "a fifth -1 or -9": lambda rng, shape: (rng.random(shape) < 0.2, rng.choice([-1, -9], shape)),
    "a tenth 1e12": lambda rng, shape: (rng.random(shape) < 0.1, 1e12),
}


@pytest.mark.parametrize("sentinel", SENTINELS)
@pytest.mark.parametrize("origin", [1.7e9, -1.7e12])
def test_frequent_sentinels_do_not_cost_the_digits(sentinel: str, origin: float) -> None:
    where, value = SENTINELS[sentinel](np.random.default_rng(0), data.X.shape)
    rows = np.where(where, value, 10 * data.X + origin)
    with pytest.warns(UserWarning, match="absurdly far .* replace them by NaN"):
        clf = data.fit(rows, confirm_weights=False)
    assert clf._table.units.columns.tolist() == list(range(6))
    assert data.accuracy(clf, 10 * data.X_TEST + origin) > 0.6  # of a third by chance
    assert collapsing_columns(rows).tolist() == list(range(6))


@pytest.mark.parametrize("spread", [1, 1e2, 1e4])
def test_columns_that_no_origin_serves_are_named(spread: float) -> None:
    rng, rows = np.random.default_rng(0), data.X.copy()
    origin = rng.choice([0.0, 1.7e9, 1.7e12], len(rows), p=[0.2, 0.4, 0.4])
    rows[:, 2] = spread * rows[:, 2] + origin
    with pytest.warns(UserWarning, match=r"become equal in float32, in column 2 \(up to 1.7e\+12"):
        data.make(max_epochs=1).fit(rows, data.Y, meta_mask=data.MASK)
    with pytest.warns(UserWarning, match="cast to the float32 of the module, in column 2. Sub"):
        data.fit_own(rows, Linear(6), max_epochs=1)


def noisy(numbers: np.ndarray) -> np.ndarray:
    return numbers * (1 + 1e-16 * np.random.default_rng(1).integers(-4, 5, numbers.shape))


ROOMY = {
    "normal": lambda r, n: r.normal(size=n),
    "lognormal": lambda r, n: r.lognormal(0, 5, n),
    "probabilities": lambda r, n: 1 / (1 + np.exp(-20 * r.normal(size=n))),
    "proportions": lambda r, n: r.dirichlet(np.full(n[1], 0.1), n[0]),
    "rounding": lambda r, n: noisy(r.integers(0, 3, n) / 10),
    "seconds of days": lambda r, n: 1.7e9 + r.integers(0, 864_000, n),
    "days": lambda r, n: 1.7e9 + 86_400.0 * r.integers(0, 365, n),
    "days, half zero": lambda r, n: r.choice([0, 1], n) * (1.7e9 + 86_400 * r.integers(0, 365, n)),
    "ids": lambda r, n: r.integers(0, 10**9, n),
    "indicators": lambda r, n: r.choice([0.0, 1.0, np.nan], n),
    "huge": lambda r, n: 1e300 * r.normal(size=n),
    "sparse": lambda r, n: sparse.csr_matrix(r.random(n) * (r.random(n) < 0.2)),
    "rounding, sparse": lambda r, n: sparse.csr_matrix(noisy(r.integers(0, 3, n) / 10)),
}


@pytest.mark.parametrize("kind", ROOMY)
@pytest.mark.parametrize("n", [1, 3, 300, 12_000])
def test_numbers_that_stay_apart_are_not_crowded(kind: str, n: int) -> None:
    assert not len(crowded_columns(ROOMY[kind](np.random.default_rng(0), (n, 20))))


@pytest.mark.parametrize("origin", [1e9, -1e10, 1e12])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_a_sparse_matrix_with_an_offset_is_refused(origin: float, density: float) -> None:
    is_there = np.random.default_rng(0).random(len(data.X)) < density
    rows = data.X.copy()
    rows[:, 2] = np.where(is_there, rows[:, 2] + origin, 0)
    rows = sparse.csr_matrix(rows)
    with pytest.raises(ValueError, match=r"X is sparse, and float32 cannot .* columns \[2\]"):
        data.fit(rows)
    with pytest.warns(UserWarning, match="cast to the float32 of the module, in column 2. Sub"):
        data.fit_own(rows, Linear(6), max_epochs=1)
    rows.data = np.where(np.abs(rows.data) > 1e8, rows.data - origin, rows.data)
    data.fit(rows, max_epochs=1)


@pytest.mark.parametrize("write", [lambda X: 1e33 * X, lambda X: 1e-35 * X])
def test_a_sparse_matrix_whose_digits_would_be_lost_is_refused(write: Any) -> None:
    data = make_data()
    X = sparse.csr_matrix(np.c_[data.X, write(data.X[:, 0])])
    with pytest.raises(ValueError, match=r"X is sparse, and float32 cannot .* columns \[4\]"):
        quick().fit(X, data.y, meta_mask=data.mask)
    quick().fit(X[:, :4], data.y, meta_mask=data.mask).predict(X[:, :4])
