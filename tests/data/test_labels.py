"""Labels of every container come back in the dtype of their kind."""

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.utils.multiclass import check_classification_targets

from skmetaweight._data.validation import check_y
from skmetaweight.datasets import corrupt_labels
from skmetaweight.model_selection import TrustedKFold
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
    with pytest.raises(ValueError, match=r"Input y is ragged, e\.g\. .*: give all of its parts"):
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


STRINGS = getattr(np.dtypes, "StringDType", None)


@pytest.mark.skipif(STRINGS is None, reason="NumPy has had this dtype since 2.0")
def test_labels_in_the_strings_of_numpy(data: Data) -> None:
    text = np.array(["ant", "bee", "cat"])[data.y]
    y = text.astype(STRINGS())
    clf = quick().fit(data.X, y, meta_mask=data.mask)
    assert clf.classes_.tolist() == ["ant", "bee", "cat"]
    expected = quick().fit(data.X, text, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.predict_proba(data.X), expected.predict_proba(data.X))
    assert clf.score(data.X, y) == clf.score(data.X, text) == expected.score(data.X, y)
    np.testing.assert_array_equal(
        clf.compute_sample_weight(data.X, y), expected.compute_sample_weight(data.X, text)
    )
    quick().fit(data.X, y, X_meta=data.X_meta, y_meta=y[data.mask])
    folds = [list(TrustedKFold(2).split(data.X, labels, data.mask)) for labels in (y, text)]
    np.testing.assert_equal(*folds)
    noisy, _ = corrupt_labels(y, random_state=0)
    assert noisy.dtype == y.dtype
    quick().partial_fit(data.X, noisy, classes=np.unique(y), meta_mask=data.mask)
    function = quick(method__weighting="class-aware").fit(data.X, y, meta_mask=data.mask)
    losses = np.linspace(0, 1, 96)
    np.testing.assert_array_equal(
        function.weighting_function_(losses, y), function.weighting_function_(losses, text)
    )
    missing = np.array(["a", None, "b"], dtype=STRINGS(na_object=None))
    with pytest.raises(ValueError, match="Input y contains missing labels"):
        check_y(missing)


@pytest.mark.filterwarnings("ignore:The meta set has no row of the classes")
def test_as_many_known_classes_as_rows_are_no_regression(data: Data) -> None:
    rows = np.r_[:26]
    X, y = data.X[np.resize(rows, 78)], np.resize(rows, 78)
    mask = np.arange(78) < 26
    stream = quick().partial_fit(data.X, data.y, classes=rows, meta_mask=data.mask)
    stream.partial_fit(X[:30], y[:30], meta_mask=mask[:30])
    clf = quick().fit(X, y, X_meta=X[mask], y_meta=y[mask])
    clf.score(X[mask], y[mask])
    clf.compute_sample_weight(X[mask], y[mask])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_classification_targets(y[:30])  # which has warned since scikit-learn 1.7
        n_warnings = len(seen)
        quick().fit(X[:30], y[:30], meta_mask=mask[:30])
    assert len(seen) == 2 * n_warnings


@pytest.mark.parametrize(
    "y", [[0.5, 1, 2], [1.0, 2.0, 1e-9], [1e300, 0.0, 1.0], np.float32([0.1, 1, 2])]
)
def test_numbers_that_are_no_classes(y: Any) -> None:
    for given in (y, np.array(y, dtype=object), pd.Series(y)):
        with pytest.raises(ValueError, match=r"^Unknown label type: continuous\. y_meta has num"):
            check_y(given, "y_meta")


@pytest.mark.parametrize("y", [[2**64, 1, 2], [Fraction(1, 2), Fraction(1, 3)], [2**70, -(2**70)]])
def test_numbers_beyond_arrays(y: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^classes has numbers that no array holds as such, e\.g"):
        check_y(np.array(y, dtype=object), "classes")


@pytest.mark.parametrize("y", [3, {1, 2}, "abc", np.ones((2, 2)), np.ones((3, 1, 1)), iter([1, 2])])
def test_what_is_no_column_of_labels(y: Any) -> None:
    with pytest.raises(ValueError, match=r"^classes should be a 1d array of labels, got shape \("):
        quick().partial_fit(np.eye(3), [0, 1, 2], classes=y)


def test_bytes_are_no_labels() -> None:
    with pytest.raises(ValueError, match=r"^y has labels of bytes, e\.g\. b'a': decode them to"):
        check_y(np.array([b"a", b"b"]))


SAME = {
    "number": (CODES, CODES > 0, CODES * 1.0),
    "text": (np.array(["no", "yes"])[CODES], ["no"] * 12),
}


@pytest.mark.parametrize("fitted", SAME)
@pytest.mark.parametrize("scored", SAME)
def test_scores_are_of_labels_of_one_type(fitted: str, scored: str, data: Data) -> None:
    clf = quick().fit(data.X[:12], SAME[fitted][0], meta_mask=np.arange(12) < 4)
    for labels in SAME[scored]:
        if scored == fitted:
            right = clf.predict(data.X[:12]) == np.asarray(labels)
            assert clf.score(data.X[:12], labels) == right.mean()
            continue
        with pytest.raises(ValueError, match=r"y has labels such as .*of the type that fit had"):
            clf.score(data.X[:12], labels)
    assert clf.score(data.X[:3], [clf.classes_[0]] * 3) <= 1
