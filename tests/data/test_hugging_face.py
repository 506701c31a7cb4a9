"""A ``datasets.Dataset`` goes in as it is: its items are dicts, its labels a column."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from tests.conftest import Data, quick
from tests.data.test_dataset_rows import NAMES, NamedInput, assert_same, fails, results

CLASS = SimpleNamespace(str2int={}.get)
NUMBER = SimpleNamespace()


def as_tensor(cell: Any) -> Any:
    return cell if isinstance(cell, str) else torch.as_tensor(cell)


class StandIn:
    """Has of a Dataset of Hugging Face's what is asked of it; tells which columns were read."""

    def __init__(self, columns: dict[str, Any], kinds: dict[str, Any] | None = None) -> None:
        self.columns = columns
        self.features = {name: (kinds or {}).get(name, NUMBER) for name in columns}
        self.column_names = list(columns)
        self.format: dict[str, Any] = {"type": None}
        self.transform: Callable[[Any], Any] = np.asarray
        self.read: list[str] = []

    def to_pandas(self) -> Any:
        raise AssertionError("all of it was read into memory")

    def _like(self, columns: list[str], form: Any, transform: Any) -> StandIn:
        other = StandIn({name: self.columns[name] for name in columns})
        other.features, other.read = self.features, self.read
        other.format, other.transform = {"type": form}, transform
        return other

    def select_columns(self, names: list[str]) -> StandIn:
        return self._like(names, self.format["type"], self.transform)

    def with_format(self, form: str) -> StandIn:
        made = {"torch": as_tensor, "numpy": np.asarray}[form]
        return self._like(list(self.columns), form, made)

    def with_transform(self, transform: Any) -> StandIn:
        return self._like(list(self.columns), "custom", transform)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i: Any) -> Any:
        self.read += self.columns
        if isinstance(i, slice):
            return {name: self.transform(column[i]) for name, column in self.columns.items()}
        if self.format["type"] is None:
            return {name: column[i] for name, column in self.columns.items()}
        return {name: self.transform(column[i]) for name, column in self.columns.items()}

    def __getitems__(self, index: list[int]) -> list[Any]:
        return [self[i] for i in index]


def stand_in(columns: dict[str, Any], is_class: bool = False) -> Any:
    return StandIn(columns, {name: CLASS for name in columns if is_class and name == "y"})


def real(columns: dict[str, Any], is_class: bool = False) -> Any:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict(columns)
    if not is_class:
        return made
    names = [str(label) for label in sorted(set(columns["y"]))]
    return made.cast_column("y", datasets.ClassLabel(names=names))


@pytest.fixture(params=[stand_in, real])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


def columns_of(data: Data, label: str = "label", names: Any = None) -> dict[str, Any]:
    labels = data.y.tolist() if names is None else names[data.y].tolist()
    return {"numbers": data.X.tolist(), label: labels}


def expected(data: Data, y: Any = None, **options: Any) -> Any:
    y = data.y if y is None else y
    return quick(module=NamedInput, **options).fit({"numbers": data.X}, y, meta_mask=data.mask)


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
@pytest.mark.parametrize("label", ["label", "labels", "y"])
def test_fit_is_that_of_a_dict(form: Any, label: str, make: Any, data: Data) -> None:
    X = make(columns_of(data, label), is_class=label == "y")
    X = X if form is None else X.with_format(form)
    clf = quick(module=NamedInput).fit(X, meta_mask=data.mask)
    assert_same(results(clf, X, None), results(expected(data), {"numbers": data.X}, data.y))
    clf = quick(module=NamedInput).fit(X, X_meta=X)
    assert clf.score(X) == clf.score({"numbers": data.X}, data.y)


def test_labels_may_be_text_or_given(make: Any, data: Data) -> None:
    X = make(columns_of(data, names=NAMES))
    clf = quick(module=NamedInput).fit(X, meta_mask=data.mask)
    assert clf.score(X) == expected(data, NAMES[data.y]).score({"numbers": data.X}, NAMES[data.y])
    for given in (X, make({"numbers": data.X.tolist()})):
        clf = quick(module=NamedInput).fit(given, data.y, meta_mask=data.mask)
        assert_same(
            results(clf, given, data.y), results(expected(data), {"numbers": data.X}, data.y)
        )


@pytest.mark.parametrize("is_real", [False, True])
def test_classes_numbered_otherwise_are_told(is_real: bool, data: Data) -> None:
    datasets = pytest.importorskip("datasets") if is_real else None
    names = ["a", "b", "c"]

    def numbered(names: list[str]) -> Any:
        labels = [names.index("abc"[label]) for label in data.y]
        columns = columns_of(data) | {"label": labels}
        if datasets is None:
            return StandIn(columns, {"label": SimpleNamespace(str2int={}.get, names=names)})
        made = datasets.Dataset.from_dict(columns)
        return made.cast_column("label", datasets.ClassLabel(names=names))

    X, other = numbered(names), numbered(names[::-1])
    clf = quick(module=NamedInput).fit(X, X_meta=X)
    message = r"The labels of a Dataset stand for \['c', 'b', 'a'\], and those of the X of fit"
    fails(lambda: quick(module=NamedInput).fit(X, X_meta=other), message)
    fails(clf.score, message, other)
    fails(clf.compute_sample_weight, message, other)
    np.testing.assert_array_equal(clf.predict(other), clf.predict(X))
    assert clf.score(other, data.y) == clf.score(X)
    assert clf.fit(other, X_meta=other).score(other) > 0


def test_parts_and_loaders(make: Any, data: Data) -> None:
    X = make(columns_of(data))
    part = Subset(X, list(range(95, -1, -1)))
    clf = quick(module=NamedInput).fit(X, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.predict(part), clf.predict(X)[::-1])
    assert clf.score(part) == clf.score(X)
    options = {"iterator_train__shuffle": False}
    clf = quick(module=NamedInput, **options, iterator_train__num_workers=2)
    clf.fit(X, meta_mask=data.mask)
    assert pickle.loads(pickle.dumps(clf)).score(X) == expected(data, **options).score(
        {"numbers": data.X}, data.y
    )


def test_a_format_of_the_users_is_kept(data: Data) -> None:
    X = StandIn(columns_of(data)).with_transform(lambda cell: torch.as_tensor(cell) * 2)
    clf = quick(module=NamedInput).fit(X, meta_mask=data.mask)
    other = quick(module=NamedInput).fit({"numbers": data.X * 2}, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.sample_weights_, other.sample_weights_)


def test_labels_are_read_without_items(data: Data) -> None:
    X = StandIn(columns_of(data))
    quick(module=NamedInput).fit(X, meta_mask=data.mask)
    with_labels = X.read.count("numbers")
    X.read.clear()
    quick(module=NamedInput).fit(X, data.y, meta_mask=data.mask)
    assert X.read.count("numbers") == with_labels


def test_what_cannot_be_used(make: Any, data: Data) -> None:
    clf, fit = quick(module=NamedInput), {"meta_mask": data.mask}
    X = make(columns_of(data))
    fails(
        quick().fit, r"X \(\w+\) is a Dataset, which only a module of your own can take", X, **fit
    )
    both = make({**columns_of(data), "labels": data.y.tolist()})
    fails(clf.fit, r"columns \['label', 'labels'\] of the Dataset may all be its labels", both)
    unlabelled = make({"numbers": data.X.tolist()})
    message = r"y is None, and none of the columns \['numbers'\] of the Dataset is its labels: name"
    fails(clf.fit, message, unlabelled, **fit)


def test_several_datasets_are_told(make: Any, data: Data) -> None:
    X = {"train": make(columns_of(data)), "test": make(columns_of(data))}
    fails(quick(module=NamedInput).fit, r"is of several Datasets, \['train', 'test'\]: pass one", X)


def test_text_is_refused_by_name(data: Data) -> None:
    X = real({**columns_of(data), "text": ["word"] * 96})
    message = "must be a tensor, .* got dict with list as 'text'"
    fails(quick(module=NamedInput).fit, message, X, meta_mask=data.mask)


def test_views_of_theirs_are_read(make: Any, data: Data) -> None:
    X = make(columns_of(data))
    clf = quick(module=NamedInput).fit(X, meta_mask=data.mask)
    other = make({**columns_of(data), "numbers": np.zeros_like(data.X).tolist()})
    probabilities = clf.predict_proba(X)
    other.evaluation_view = X
    np.testing.assert_array_equal(clf.predict_proba(other), probabilities)
    X.evaluation_view = make({"words": data.X.tolist()})
    fails(quick(module=NamedInput).fit, r"are dicts of \['words'\]", X, meta_mask=data.mask)
