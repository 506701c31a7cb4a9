"""Numbers that differ and become equal before the default network sees them: told by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from skmetaweight._tabular.whole_numbers import LARGEST, merging_columns
from tests.conftest import make_data, noisy_blobs, quick

DATA = make_data()
IDS = np.column_stack([np.arange(96), LARGEST + np.arange(96), np.arange(96) * 2**55])
CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "array": lambda X: X,
    "objects": lambda X: X.astype(object),
    "text": lambda X: pd.DataFrame(X).astype(str).to_numpy(),
    "lists": lambda X: X.tolist(),
    "frame": lambda X: pd.DataFrame(X, columns=list("abc")),
    "nullable": lambda X: pd.DataFrame(X, columns=list("abc")).astype("Int64").mask(X == 0),
    "frame of text": lambda X: pd.DataFrame(X, columns=list("abc")).astype(str),
    "polars": lambda X: pl.DataFrame(dict(zip("abc", X.T, strict=True))),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_ids_that_float64_merges_are_named(container: str, sign: int) -> None:
    X = CONTAINERS[container](sign * IDS)
    assert merging_columns(X) == [1]
    assert merging_columns(CONTAINERS[container](sign * (IDS // 2))) == []
    name = "'b'" if hasattr(X, "columns") else "1"
    with pytest.warns(UserWarning, match=rf"beyond 2\*\*53 .* in column {name}\. Leave") as seen:
        quick(max_epochs=1).fit(X, DATA.y, meta_mask=DATA.mask)
    assert [each.filename for each in seen] == [__file__]


LARGE: dict[str, Callable[[Any], Any]] = {
    "objects": lambda X: X,
    "text": lambda X: X.astype(str),
    "frame": lambda X: pd.DataFrame(X),
    "frame of text": lambda X: pd.DataFrame(X).astype(str),
    "decimals": lambda X: np.vectorize(Decimal, otypes=[object])(X),
    "fractions": lambda X: np.vectorize(Fraction, otypes=[object])(X),
    "lists": lambda X: X.tolist(),
}


def merging_and_not(origin: int) -> np.ndarray:
    """Return two columns beyond an origin, of which float64 merges one."""
    step = 2 * origin // LARGEST
    numbers = np.array([[origin + i // 3 + 1, origin + step * i] for i in range(96)], dtype=object)
    return np.column_stack([np.arange(96), numbers])


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("origin", [2**70, -(2**64), 10**40, 2**62])
def test_numbers_beyond_any_dtype_are_named(kind: str, origin: int) -> None:
    X = LARGE[kind](merging_and_not(origin))
    assert merging_columns(X) == [1]
    with pytest.warns(UserWarning, match=r"^Numbers beyond 2\*\*53 .* in column 1\. Leave"):
        quick(max_epochs=1).fit(X, DATA.y, meta_mask=DATA.mask)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="longdouble is float64 here")
@pytest.mark.parametrize("origin", [1e18, -1e17])
def test_long_doubles_are_numbers_that_float64_may_lack(origin: float) -> None:
    X = DATA.X.astype(np.longdouble)
    assert merging_columns(X) == []
    X[:, 1] += origin
    X[0, 0], X[1, 0] = np.nan, np.inf
    assert merging_columns(X) == [1]
    assert merging_columns(X.astype(object)) == [1]


@pytest.mark.parametrize("write", [sp.csr_matrix, sp.csc_array, sp.coo_array])
@pytest.mark.parametrize("origin", [2**60, -(2**62)])
def test_sparse_ids_that_float64_merges_are_named(write: Any, origin: int) -> None:
    X = np.where(np.arange(96)[:, None] % 2, merging_and_not(origin), 0).astype(np.int64)
    assert merging_columns(write(X)) == [1]
    assert merging_columns(write(X.astype(float))) == []
    with pytest.warns(UserWarning, match=r"beyond 2\*\*53 .* in column 1\. Leave"):
        quick(max_epochs=1).fit(write(X), DATA.y, meta_mask=DATA.mask)


@pytest.mark.parametrize("values", [["9" * 400, "8" * 400], [10**400, 3], [Decimal("NaN"), 1.5]])
def test_what_is_no_large_number_merges_with_none(values: list[Any]) -> None:
    assert merging_columns(np.array([values, values[::-1]], dtype=object)) == []


def test_ids_that_are_categories_are_not_read_as_numbers() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit = {"X": IDS // 50 * 50 + IDS % 2, "y": DATA.y, "meta_mask": DATA.mask}
        quick(max_epochs=1, categorical_features=[1, 2]).fit(**fit)
    assert not [each for each in seen if "2**53" in str(each.message)]


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("value", [1e60, -1e200])
def test_numbers_that_huge_ones_drown_are_named(share: float, value: float) -> None:
    data = noisy_blobs(0.3)
    X = data.X.copy()
    X[np.random.default_rng(0).random(600) < share, 1] = value
    said = rf"Most of the numbers .* become equal in float32, in column 1 \(up to {abs(value):g}\)"
    with pytest.warns(UserWarning, match=said.replace("+", r"\+")):
        quick(max_epochs=1).fit(X, data.y, meta_mask=data.mask)
    X[:, 1] = np.where(X[:, 1] == value, np.nan, X[:, 1])
    quick(max_epochs=1).fit(X, data.y, meta_mask=data.mask)  # the cure: no warning
