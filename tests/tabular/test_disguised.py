"""Numbers in disguise are numbers; what only looks like them is not."""

import datetime
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmetaweight._tabular.columns import categorical_columns
from skmetaweight._tabular.disguised import NUMBER, kind_of_values, to_numbers
from tests.conftest import Linear
from tests.tabular import _separable as data

Disguise = Callable[[np.ndarray], Any]


torch.manual_seed(0)
OWN = Linear(6)


def each(function: Callable[[Any], Any]) -> Disguise:
    return lambda rows: data.frame(rows).map(function).astype(object)


def as_decimal(value: float) -> Decimal:
    return Decimal(str(value))


def to_polars(rows: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=data.NAMES)


DISGUISES: dict[str, Disguise] = {
    "text": lambda rows: data.frame(rows).astype(str),
    "text objects": each(str),
    "string dtype": lambda rows: data.frame(rows).astype(str).astype("string"),
    "text in scientific notation": each(lambda value: f" {value:.6e} "),
    "decimals": each(as_decimal),
    "fractions": each(lambda value: Fraction(str(value))),
    "floats as objects": each(float),
    "text and numbers": lambda rows: each(str)(rows).where(rows > 0, data.frame(rows)),
    "nullable": lambda rows: data.frame(rows).convert_dtypes(),
    "sparse dtype": lambda rows: data.frame(rows).astype(pd.SparseDtype(float)),
    "polars text": lambda rows: to_polars(rows).with_columns(pl.all().cast(pl.String)),
    "polars decimals": lambda rows: pl.DataFrame(each(as_decimal)(rows).to_dict("list")),
    "object array": lambda rows: rows.astype(object),
    "text array": lambda rows: rows.astype(str),
    "bytes array": lambda rows: rows.astype("S20"),
    "decimal array": lambda rows: each(as_decimal)(rows).to_numpy(),
}
PLAIN = data.fit(data.X).predict_proba(data.X_TEST)


@pytest.mark.parametrize("kind", DISGUISES)
def test_a_disguise_changes_nothing(kind: str) -> None:
    clf = data.fit(DISGUISES[kind](data.X))
    assert clf._table.categorical == ()
    np.testing.assert_array_equal(clf.predict_proba(DISGUISES[kind](data.X_TEST)), PLAIN)


@pytest.mark.parametrize("kind", DISGUISES)
def test_a_module_of_ones_own_gets_the_numbers(kind: str) -> None:
    expected = data.fit_own(data.X, OWN).predict_proba(data.X_TEST)
    clf = data.fit_own(DISGUISES[kind](data.X), OWN)
    np.testing.assert_allclose(clf.predict_proba(DISGUISES[kind](data.X_TEST)), expected, rtol=1e-6)


MISSING = {
    "text": lambda column: column.astype(str),  # keeps NaN, or makes it "nan"
    "objects": lambda column: column.astype(object).where(column.notna(), None),
    "empty text": lambda column: column.astype(str).where(column.notna(), ""),
    "words": lambda column: column.astype(object).map(str),
    "nullable": lambda column: column.astype("Float64"),
    "decimals": lambda column: column.map(lambda v: None if v != v else Decimal(str(v))),
}


@pytest.mark.parametrize("kind", MISSING)
def test_missing_numbers_in_disguise(kind: str) -> None:
    rows = data.frame(data.X)
    rows.loc[::7, "b"] = np.nan
    new = data.frame(data.X_TEST)
    new.loc[::5, "b"] = np.nan
    expected = data.fit(rows).predict_proba(new)
    clf = data.fit(rows.assign(b=MISSING[kind](rows.b)))
    actual = clf.predict_proba(new.assign(b=MISSING[kind](new.b)))
    np.testing.assert_array_equal(actual, expected)


BOOLEANS = {
    "bool": lambda column: column,
    "nullable": lambda column: column.astype("boolean"),
    "objects": lambda column: column.astype(object),
    "with NA": lambda column: column.astype("boolean").where(np.arange(len(column)) % 3 > 0),
    "with None": lambda column: column.astype(object).where(np.arange(len(column)) % 3 > 0, None),
}


@pytest.mark.parametrize("kind", BOOLEANS)
def test_booleans_are_zeros_and_ones(kind: str) -> None:
    rows = data.frame(data.X).assign(b=lambda frame: BOOLEANS[kind](frame.a > 0))
    clf, numbers = data.fit(rows), rows.assign(b=rows.b.astype("Float64"))
    assert clf.net_.module_.embeddings is None
    expected = data.fit(numbers).predict_proba(numbers)
    np.testing.assert_array_equal(clf.predict_proba(rows), expected)


CATEGORIES = {
    "leading zeros": ["01234", "99999"],
    "words": ["a", "b"],
    "words among numbers": ["1", "b"],
    "infinite": ["1.5", "inf"],
    "thousands": ["1,000", "2"],
    "underscores": ["1_000", "2"],
    "hexadecimal": ["0x1F", "2"],
    "nothing": ["", None],
    "missing": ["nan", "nan"],
    "dtype": pd.Categorical(["1", "2"]),
    "nested": ["(1,)", "2"],
    "other whitespace": ["0\x1f", "2"],
}


@pytest.mark.parametrize("kind", CATEGORIES)
def test_what_only_looks_like_numbers_is_a_category(kind: str) -> None:
    assert categorical_columns(pd.DataFrame({"c": CATEGORIES[kind]}), "from_dtype") == (0,)


def test_categorical_features_win_over_looks() -> None:
    rows = pd.DataFrame({"a": data.X[:, 0], "b": np.where(data.X[:, 1] > 0, "1", "2")})
    assert data.fit(rows)._table.categorical == ()
    clf = data.fit(rows, categorical_features=["b"])
    assert clf._table.encoder.categories_[0].tolist() == ["1", "2"]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers()))
def test_what_python_writes_of_a_number_is_read_as_that_number(value: float) -> None:
    assert NUMBER.fullmatch(str(value))
    assert kind_of_values([str(value)]) == "number"
    assert to_numbers([str(value), None, ""], "a").tolist()[0] == float(value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=6) | st.text("01.e+- \t\n\x1f\x85\u00a0\u0661", max_size=6))
def test_what_counts_as_a_number_can_be_read(text: str) -> None:
    if kind_of_values([text]) == "number":
        assert np.isfinite(to_numbers([text], "a")).all() or "e" in text.lower()


# ------------------------------------------------------------------ what differs later


FRAME = data.frame(data.X).assign(f=data.X[:, 5] > 0, g=np.where(data.X[:, 1] > 0, "x", "y"))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("f", "True", "str 'True' in column 'f', where numbers are expected"),
        ("a", "high", "str 'high' in column 'a', where numbers are expected"),
        ("a", "x" * 200, "str 'xxx.*[.][.][.] in column 'a'"),
        ("a", [1j] * data.N, "complex 1j in column 'a'"),
        ("a", [10**400] * data.N, r"int 10+\.\.\. in column 'a'.*too large"),
    ],
)
def test_a_column_that_is_no_longer_numbers(column: str, values: Any, message: str) -> None:
    clf = data.fit(FRAME)
    new = FRAME.assign(
        **{
            column: pd.Series(
                [values] * data.N if isinstance(values, str) else values, dtype=object
            )
        }
    )
    with pytest.raises(ValueError, match=message):
        clf.predict(new)
    with pytest.raises(ValueError, match=f"Input X_meta has {message}"):
        data.make().fit(FRAME, data.Y, X_meta=new[:60], y_meta=data.Y[:60])


@pytest.mark.parametrize("n", [1, 9, 10, 600])
@pytest.mark.parametrize("value", ["X", 1, True, 1.5, Decimal(1)])
def test_a_column_of_unknown_categories_only(value: Any, n: int) -> None:
    clf = data.fit(FRAME)
    new = FRAME.head(n).assign(g=pd.Series([value] * n, dtype=object))
    if isinstance(value, str) and n < 10:
        clf.predict(new)  # may well be chance
        return
    with pytest.warns(UserWarning, match="in column 'g' .*known: 'x', 'y'") as seen:
        clf.predict(new)
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_integers_then_text() -> None:
    rows = np.column_stack([data.X, data.X[:, 0] > 0]).astype(object)
    rows[:, 6] = rows[:, 6].astype(int)
    clf = data.fit(rows, categorical_features=[6])
    new = rows.copy()
    new[:, 6] = new[:, 6].astype(str)
    with pytest.warns(UserWarning, match=r"column 6 \(such as '1'; known: 0, 1\)"):
        clf.predict(new)


def test_known_and_missing_categories_give_no_warning() -> None:
    clf = data.fit(FRAME)
    one_known = FRAME.assign(g=["x"] + ["new"] * (data.N - 1))
    for new in (one_known, FRAME.assign(g=None)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            clf.predict(new)
        assert not seen
    with pytest.warns(UserWarning, match="in column 'g'"):
        clf.predict(one_known[1:])


DATES: dict[str, Any] = {
    "datetime64": (data.X * 1e9).astype("M8[ns]"),
    "timedelta64": (data.X * 1e9).astype("m8[s]"),
    "NaT": np.full(data.X.shape, "NaT", dtype="M8[s]"),
    "objects": (data.X * 1e9).astype("M8[us]").astype(object),
    "dates": np.full(data.X.shape, datetime.date(2020, 1, 1)),
    "one cell": np.where(np.eye(data.N, 6) > 0, datetime.timedelta(1), data.X.astype(object)),
    "frame": data.frame(data.X).assign(a=pd.Timestamp("2020")),
    "polars": to_polars(data.X).with_columns(pl.lit(datetime.time(1)).alias("a")),
}


@pytest.mark.parametrize("kind", DATES)
@pytest.mark.parametrize("module", [None, Linear])
def test_dates_are_refused_in_every_container(kind: str, module: Any) -> None:
    with pytest.raises(ValueError, match=r"X has (columns of )?dates or times.*DatetimeEncoder"):
        data.fit(DATES[kind], module=module)
