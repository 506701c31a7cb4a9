"""Numbers that differ and become equal before the default network sees them: told by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

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
