"""Labels of every container come back in the dtype of their kind."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skmetaweight._data.validation import check_y
from tests.conftest import Data, quick

CODES = np.arange(12) % 2
KINDS = {
    "bool": (CODES > 0, ("boolean", "bool", "object", "category")),
    "number": (CODES, ("Int64", "Int8", "UInt16", "int32", "object", "category")),
    "text": (np.array(["no", "yes"], dtype=object)[CODES], ("string", "object", "category")),
}
CONTAINERS = {
    "Series": lambda y, dtype: pd.Series(y, dtype=dtype),
    "array": lambda y, dtype: pd.array(y, dtype=dtype),
    "frame": lambda y, dtype: pd.DataFrame({"y": pd.Series(y, dtype=dtype)}),
    "numpy": lambda y, dtype: np.asarray(pd.Series(y, dtype=dtype)),
    "list": lambda y, dtype: list(pd.Series(y, dtype=dtype)),
}
PLAIN = {"bool": "b", "number": "iu", "text": "OU"}


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("kind", "dtype"), [(kind, dtype) for kind, (_, dtypes) in KINDS.items() for dtype in dtypes]
)
def test_labels_keep_their_kind(kind: str, dtype: str, container: str) -> None:
    labels = KINDS[kind][0]
    checked = check_y(CONTAINERS[container](labels, dtype))
    assert checked.dtype.kind in PLAIN[kind]
    np.testing.assert_array_equal(checked, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_polars(kind: str) -> None:
    labels = KINDS[kind][0]
    checked = check_y(pl.Series(labels.tolist()))
    assert checked.dtype.kind in PLAIN[kind]
    np.testing.assert_array_equal(checked, labels)


@pytest.mark.parametrize("dtype", ["boolean", "Int64", "string", "object"])
def test_missing_labels_are_said_to_be_missing(dtype: str) -> None:
    labels = pd.Series(KINDS["text" if dtype == "string" else "bool"][0], dtype=dtype)
    labels[3] = pd.NA
    with pytest.raises(ValueError, match=r"Input y_meta contains (missing labels|NaN)"):
        check_y(labels, "y_meta")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, "a"], r"y has labels of several kinds, number and text: make them one, e\.g\. with"),
        ([True, 2], r"several kinds, bool and number"),
        ([True, "a", 3.0], r"several kinds, bool and number and text"),
        ([{1}, {2}], r"labels of type set, e\.g\. \{1\}: pass numbers, text or booleans"),
        ([b"a", b"b"], r"labels of type bytes"),
        ([pd.Timestamp(0), pd.Timestamp(1)], r"labels of type Timestamp"),
    ],
)
def test_labels_of_no_one_kind(labels: list[Any], message: str) -> None:
    y = np.empty(len(labels), dtype=object)
    y[:] = labels
    with pytest.raises(ValueError, match=message):
        check_y(y)


@pytest.mark.parametrize("labels", [[[1], [1, 2]], [1, [2]], [(1,), (1, 2, 3)]])
def test_ragged_labels(labels: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"Input y is ragged, e\.g\. .*: pass one label for each"):
        check_y(labels)


def test_nullable_booleans_come_back_as_booleans(data: Data) -> None:
    y = pd.Series(data.y > 0, dtype="boolean")
    clf = quick().fit(data.X, y, meta_mask=data.mask)
    stream = quick().partial_fit(data.X, y, classes=[True, False], meta_mask=data.mask)
    for fitted in (clf, stream):
        assert fitted.classes_.dtype == fitted.predict(data.X).dtype == bool
        assert fitted.score(data.X, y) == fitted.score(data.X, data.y > 0)
    assert clf.label_quality()["given_label"].dtype == bool
    mixed = y.astype(object)
    assert clf.score(data.X, mixed) == clf.score(data.X, y)
