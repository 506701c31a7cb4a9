"""Digits that float32 would lose: kept for the default network, told of for others."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

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


@pytest.mark.parametrize("write", [lambda X: 1e33 * X, lambda X: 1e-35 * X])
def test_a_sparse_matrix_whose_digits_would_be_lost_is_refused(write: Any) -> None:
    data = make_data()
    X = sparse.csr_matrix(np.c_[data.X, write(data.X[:, 0])])
    with pytest.raises(ValueError, match=r"X is sparse, and float32 cannot .* columns \[4\]"):
        quick().fit(X, data.y, meta_mask=data.mask)
    quick().fit(X[:, :4], data.y, meta_mask=data.mask).predict(X[:, :4])
