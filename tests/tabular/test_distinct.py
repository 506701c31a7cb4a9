"""Columns of categories that hardly two rows share: numbers with odd cells, names, text."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from tests.conftest import make_data, quick

DATA = make_data(200, 40)
NUMBERS = pd.DataFrame(DATA.X, columns=list("abcd")).round(3).astype(str)


def odd_cells(odd: str, share: float) -> pd.DataFrame:
    frame = NUMBERS.copy()
    frame.loc[np.random.default_rng(0).random(200) < share, "b"] = odd
    frame.loc[100, "b"] = odd
    return frame


COLUMNS = {
    "?": odd_cells("?", 0.0),
    "NA": odd_cells("NA", 0.05),
    "missing": odd_cells("missing", 0.2),
    "decimal comma": NUMBERS.assign(b=NUMBERS["b"].str.replace(".", ",")),
    "percent": NUMBERS.assign(b=NUMBERS["b"] + "%"),
    "currency": NUMBERS.assign(b="$" + NUMBERS["b"]),
    "names": NUMBERS.assign(b=[f"id{i}" for i in range(200)]),
    "categories": NUMBERS.assign(b=NUMBERS["b"].astype("category")),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_which_nothing_can_be_learned_is_named_once(kind: str) -> None:
    frame, clf = COLUMNS[kind], quick(max_epochs=1)
    with pytest.warns(UserWarning, match=r"share a category.* column 'b' \(.*to_numeric") as record:
        clf.fit(frame, DATA.y, meta_mask=DATA.mask)
    assert [warning.filename for warning in record] == [__file__]
    if kind in ("?", "NA", "missing"):
        assert f"such as {kind!r}" in str(record[0].message)
    clf.predict(frame.iloc[:50])
    clf.predict(frame.assign(b=frame["b"].astype(str) + "x"))


@pytest.mark.parametrize(("n_towns", "is_told"), [(2, False), (90, False), (130, True)])
def test_columns_whose_categories_recur_are_not(n_towns: int, is_told: bool) -> None:
    frame = NUMBERS.assign(b=[f"town {i % n_towns}" for i in range(200)])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quick(max_epochs=1).fit(frame, DATA.y, meta_mask=DATA.mask)
    assert ["share a category" in str(each.message) for each in seen] == [True] * is_told
