"""A torch Dataset as X is the same as the arrays that its items come from."""

import copy
import pickle
from collections import UserDict
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from skorch.helper import SliceDataset
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    get_worker_info,
)

from skmetaweight import MetaWeightClassifier
from skmetaweight._data.dataset_labels import read_labels
from skmetaweight._data.dataset_rows import DatasetRows, rows_of
from tests.conftest import Data, Linear, make_data, quick

NAMES = np.array(["ant", "bee", "cow"])


class Items(Dataset):
    """Map-style; counts how often each item was read."""

    def __init__(self, values: Any) -> None:
        self.values = list(values)
        self.reads = np.zeros(len(self.values), dtype=int)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> Any:
        self.reads[i] += 1
        return self.values[i]


class ReadsMany(Items):
    """Has torch's protocol for reading many items at once."""

    def __getitems__(self, index: list[int]) -> list[Any]:
        return [self.values[i] for i in index]


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter([torch.zeros(4)])


class Endless(Dataset):
    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.zeros(4)


class NamedInput(Linear):
    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.linear(numbers)


def pairs(X: Any, y: Any) -> Items:
    return Items(zip(X, y, strict=True))


def results(clf: MetaWeightClassifier, X: Any, y: Any) -> list[np.ndarray]:
    return [
        clf.predict_proba(X),
        clf.predict(X),
        clf.sample_weights_,
        clf.meta_indices_,
        clf.compute_sample_weight(X, y),
        np.array(clf.score(X, y)),
        np.array(clf.history_[:, ("train_loss", "meta_loss", "mean_weight")]),
        clf.label_quality()["label_quality"].to_numpy(),
    ]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------ the same as arrays

KINDS: dict[str, Callable[[Data], Any]] = {
    "arrays": lambda data: Items(data.X),
    "float64": lambda data: Items(data.X.astype(np.float64)),
    "tensors": lambda data: Items(torch.as_tensor(data.X)),
    "pairs": lambda data: pairs(data.X, data.y),
    "tuples of one": lambda data: TensorDataset(torch.as_tensor(data.X)),
    "many at once": lambda data: ReadsMany(data.X),
    "two halves": lambda data: ConcatDataset([Items(data.X[:50]), Items(data.X[50:])]),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_fit_is_that_of_the_array(make: Callable[[Data], Any], data: Data) -> None:
    by_array, by_dataset = quick(module=Linear), quick(module=Linear)
    by_array.fit(data.X, data.y, meta_mask=data.mask)
    X = make(data)
    by_dataset.fit(X, data.y, meta_mask=data.mask)
    assert by_dataset.net_.batching_ == "tensors"
    assert_same(results(by_dataset, X, data.y), results(by_array, data.X, data.y))
    np.testing.assert_array_equal(by_dataset.predict_proba(data.X), by_array.predict_proba(X))


class Offers(Items):
    """Says what the labels of its items are, as torchvision's do."""

    def __init__(self, values: Any, targets: Any, target_transform: Any = None) -> None:
        super().__init__(values)
        self.targets = targets
        self.target_transform = target_transform

    def __getitem__(self, i: int) -> Any:
        return super().__getitem__(i)

    __getitem__.__module__ = "torchvision.datasets"


class Changed(Offers):
    """A user's own class, which changes labels but not what is said of them."""

    def __getitem__(self, i: int) -> Any:
        X, y = super().__getitem__(i)
        return X, y if i in (0, 48, 95) else 2 - y


OFFERS: dict[str, Callable[[Data], Any]] = {
    "a list": lambda data: Offers(zip(data.X, data.y, strict=True), data.y.tolist()),
    "an array": lambda data: Offers(zip(data.X, data.y, strict=True), data.y),
    "a tensor": lambda data: Offers(zip(data.X, data.y, strict=True), torch.as_tensor(data.y)),
    "names": lambda data: Offers(
        zip(data.X, NAMES[data.y].tolist(), strict=True), NAMES[data.y].tolist()
    ),
}


@pytest.mark.parametrize("make", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("part", [False, True])
def test_labels_that_a_dataset_offers_need_no_item(
    make: Callable[[Data], Any], part: bool, data: Data
) -> None:
    items = make(data)
    places = list(range(95, -1, -1)) if part else list(range(96))
    rows = rows_of(Subset(items, places) if part else items)
    labels = read_labels(rows)
    assert (items.reads > 0).sum() == 3
    assert list(labels) == [items.values[i][1] for i in places]


@pytest.mark.parametrize(
    "targets", [[0, 1], "aei", 3, None, [5] * 96, [[0]] * 96], ids=lambda targets: str(targets)[:9]
)
def test_what_is_offered_must_be_what_the_items_hold(targets: Any, data: Data) -> None:
    rows = DatasetRows(Offers(zip(data.X, data.y, strict=True), targets))
    assert read_labels(rows) == data.y.tolist()
    others = Offers(zip(data.X, 2 - data.y, strict=True), data.y.tolist(), lambda y: 2 - y)
    assert read_labels(DatasetRows(others)) == (2 - data.y).tolist()
    changed = Changed(zip(data.X, data.y, strict=True), data.y.tolist())
    expected = [changed[i][1] for i in range(96)]
    assert read_labels(DatasetRows(changed)) == expected != data.y.tolist()


def test_every_method_and_source_of_trusted_rows(method: str, data: Data) -> None:
    weight = np.linspace(0.5, 2, 96)
    options = {
        "module": Linear,
        "method": method,
        **({"method__memory": 0} if method == "l2rw" else {}),
    }
    for trusted, arrays in (
        ({"meta_mask": data.mask}, {"meta_mask": data.mask}),
        (
            {"X_meta": pairs(data.X_meta, data.y_meta)},
            {"X_meta": data.X_meta, "y_meta": data.y_meta},
        ),
    ):
        by_array = quick(**options).fit(data.X, data.y, sample_weight=weight, **arrays)
        X = pairs(data.X, data.y)
        by_dataset = quick(**options).fit(X, sample_weight=weight, **trusted)
        assert_same(results(by_dataset, X, None), results(by_array, data.X, data.y))
        by_array.partial_fit(data.X, data.y, **arrays)
        by_dataset.partial_fit(X, **trusted)
        assert_same(results(by_dataset, X, None), results(by_array, data.X, data.y))


@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
def test_split_off_rows(data: Data) -> None:
    by_array = quick(module=Linear, meta_size=0.3).fit(data.X, data.y)
    by_dataset = quick(module=Linear, meta_size=0.3).fit(Items(data.X), data.y)
    assert_same(results(by_dataset, Items(data.X), data.y), results(by_array, data.X, data.y))


@pytest.mark.parametrize("array", ["X", "X_meta"])
def test_one_of_both_sets_is_an_array(array: str, data: Data) -> None:
    given = {"X": pairs(data.X, data.y), "X_meta": pairs(data.X_meta, data.y_meta)}
    labels = {"y" if array == "X" else "y_meta": data.y if array == "X" else data.y_meta}
    given[array] = data.X if array == "X" else data.X_meta
    clf = quick(module=Linear).fit(**given, **labels)
    expected = quick(module=Linear).fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    assert_same(results(clf, data.X, data.y), results(expected, data.X, data.y))


def test_items_that_were_computed_with_a_gradient(data: Data) -> None:
    X = torch.from_numpy(data.X)
    items = TensorDataset(X.clone().requires_grad_(), torch.from_numpy(data.y))
    clf = quick(module=Linear).fit(items, meta_mask=data.mask)
    expected = quick(module=Linear).fit(TensorDataset(X, items.tensors[1]), meta_mask=data.mask)
    np.testing.assert_array_equal(clf.predict_proba(items), expected.predict_proba(items))


@pytest.mark.parametrize("mapping", [dict, UserDict])
def test_dicts(mapping: Any, data: Data) -> None:
    X = Items([mapping(numbers=row) for row in data.X])
    arrays = {"numbers": data.X}
    by_array = quick(module=NamedInput).fit(arrays, data.y, meta_mask=data.mask)
    by_dataset = quick(module=NamedInput).fit(X, data.y, meta_mask=data.mask)
    assert_same(results(by_dataset, X, data.y), results(by_array, arrays, data.y))


def test_integers_are_cast_for_tables_and_kept_for_embeddings(data: Data) -> None:
    X = data.X.astype(int)
    by_array = quick(module=Linear).fit(X, data.y, meta_mask=data.mask)
    by_dataset = quick(module=Linear).fit(Items(X), data.y, meta_mask=data.mask)
    assert_same(results(by_dataset, Items(X), data.y), results(by_array, X, data.y))

    codes = np.arange(96 * 4).reshape(96, 4) % 7
    module = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(12, 3))
    by_array = quick(module=module).fit(codes, data.y, meta_mask=data.mask)
    by_dataset = quick(module=module).fit(Items(codes), data.y, meta_mask=data.mask)
    assert_same(results(by_dataset, Items(codes), data.y), results(by_array, codes, data.y))


# ------------------------------------------------------------------ labels


@pytest.mark.parametrize("labels", [int, torch.tensor, NAMES.__getitem__, np.int64])
def test_labels_come_from_the_items_or_from_y(labels: Any, data: Data) -> None:
    X = pairs(data.X, [labels(label) for label in data.y])
    clf = quick(module=Linear).fit(X, meta_mask=data.mask)
    expected = quick(module=Linear).fit(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.sample_weights_, expected.sample_weights_)
    assert clf.score(X) == expected.score(data.X, data.y)
    wrong = pairs(data.X, np.zeros(96))
    clf = quick(module=Linear).fit(wrong, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.sample_weights_, expected.sample_weights_)


def test_labels_are_read_once(data: Data) -> None:
    with_labels, without = pairs(data.X, data.y), pairs(data.X, data.y)
    quick(module=Linear).fit(with_labels, meta_mask=data.mask)
    quick(module=Linear).fit(without, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(with_labels.reads, without.reads + 1)


def test_weights_are_in_the_order_of_the_items(data: Data) -> None:
    order = np.random.default_rng(0).permutation(96)
    clf = quick(module=Linear, max_epochs=5).fit(pairs(data.X, data.y), meta_mask=data.mask)
    np.testing.assert_array_equal(clf.sample_weights_[data.mask], 1)
    np.testing.assert_array_equal(clf.meta_indices_, np.flatnonzero(data.mask))
    X = Subset(pairs(data.X, data.y), order.tolist())
    moved = clf.compute_sample_weight(X)
    np.testing.assert_allclose(moved, clf.compute_sample_weight(data.X, data.y)[order], rtol=1e-5)


# ------------------------------------------------------------------ loaders


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_through_a_loader(num_workers: int, data: Data) -> None:
    options = {"module": Linear, "iterator_train__shuffle": False}
    by_loader = quick(**options, iterator_train__num_workers=num_workers)
    X = pairs(data.X, data.y)
    by_loader.fit(X, meta_mask=data.mask)
    assert by_loader.net_.batching_ == "loader"
    by_tensors = quick(**options).fit(data.X, data.y, meta_mask=data.mask)
    assert_same(results(by_loader, X, None), results(by_tensors, data.X, data.y))


class TellsWho(Dataset[Any]):
    """Tells by its second number whether a worker read it."""

    def __init__(self, X: Any) -> None:
        self.X = X

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: int) -> Any:
        return np.append(self.X[i], np.float32(get_worker_info() is not None))


class Watching(nn.Module):
    """Remembers of which batches the rows came from workers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.seen: set[tuple[bool, int, float]] = set()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        self.seen.add((self.training, len(X), float(X[:, 4].mean())))
        return self.linear(X[:, :4])


def test_workers_read_trusted_rows_and_those_of_evaluations() -> None:
    data = make_data(700, 300)
    options = {"module": Watching, "meta_share": 0.0, "meta_batch_size": 16}
    alone = quick(**options).fit(
        TellsWho(data.X), data.y, X_meta=TellsWho(data.X_meta), y_meta=data.y_meta
    )
    workers = {"iterator_train__num_workers": 2, "iterator_valid__num_workers": 2}
    clf = quick(**options, **workers, iterator_train__shuffle=False)
    clf.fit(TellsWho(data.X), data.y, X_meta=TellsWho(data.X_meta), y_meta=data.y_meta)
    assert {share for *_, share in alone.net_.module_.seen} == {0.0}
    by_workers = {n for _, n, share in clf.net_.module_.seen if share == 1.0}
    assert {16, 32, 300, 700} <= by_workers


@pytest.mark.parametrize("kind", ["pairs", "dicts"])
def test_workers_change_nothing(kind: str, method: str) -> None:
    data = make_data(500, 200)
    X: Any = pairs(data.X, data.y) if kind == "pairs" else Items([{"numbers": x} for x in data.X])
    options = {"method": method, "module": Linear if kind == "pairs" else NamedInput}
    options |= {"iterator_train__shuffle": False, "meta_batch_size": 30}
    found = []
    for n in (0, 2):
        workers = {"iterator_train__num_workers": n, "iterator_valid__num_workers": n}
        clf = quick(**options, **workers)
        clf.fit(X, data.y, meta_mask=data.mask, sample_weight=np.linspace(0.5, 2, 500))
        found.append(results(clf, X, data.y))
    assert_same(*found)


@pytest.mark.parametrize("name", ["iterator_train", "iterator_valid"])
def test_workers_that_cannot_be_are_told(name: str, data: Data) -> None:
    clf, fit = quick(module=Linear, **{f"{name}__num_workers": -1}), {"meta_mask": data.mask}
    fails(clf.fit, f"{name}=DataLoader cannot be built: num_workers", pairs(data.X, data.y), **fit)


# ------------------------------------------------------------------ copies and columns


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps, cloudpickle.dumps])
def test_copies_hold_the_trusted_rows_and_not_the_dataset(
    copied: Any, method: str, data: Data
) -> None:
    class Local(Items):
        """Cannot be pickled."""

        def __reduce__(self) -> Any:
            raise TypeError("the Dataset was pickled")

    X = Local(zip(data.X, data.y, strict=True))
    clf = quick(module=Linear, method=method, warm_start=True).fit(X, meta_mask=data.mask)
    other = copied(clf)
    other = pickle.loads(other) if isinstance(other, bytes) else other
    assert torch.equal(other.net_.meta_rows_.X, torch.as_tensor(data.X_meta))
    assert_same(results(other, X, None), results(clf, X, None))
    for each in (clf, other):
        each.partial_fit(X, meta_mask=data.mask)
    assert_same(results(other, X, None), results(clf, X, None))


def test_columns_of_a_fit_before_are_forgotten(data: Data) -> None:
    clf = quick(module=Linear).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.n_features_in_ == 4
    clf.fit(Items(data.X), data.y, meta_mask=data.mask)
    assert not hasattr(clf, "n_features_in_")


def test_cross_validation_slices_what_skorch_wraps(data: Data) -> None:
    clf, params = quick(module=Linear), {"meta_mask": data.mask}
    X = SliceDataset(pairs(data.X, data.y))
    scores = cross_val_score(clf, X, data.y, cv=3, params=params, error_score="raise")
    expected = cross_val_score(clf, data.X, data.y, cv=3, params=params, error_score="raise")
    np.testing.assert_array_equal(scores, expected)


# ------------------------------------------------------------------ errors

ITEMS = {
    "iterable": (Stream(), r"X \(Stream\) is an iterable-style Dataset, .* Pass a map-style one"),
    "no length": (Endless(), r"X \(Endless\) has no __len__"),
    "empty": (Items([]), r"X \(Items\) has no items"),
    "triples": (Items([(0, 1, 2)] * 96), "are tuples of 3, but must be X or .* into a dict"),
    "objects": (Items([object()] * 96), r"The items of X \(Items\) cannot be stacked: .* 'object'"),
    "text": (Items(["a"] * 96), "must be a tensor, an array .* got str with list"),
    "lists": (Items([[1.0, 2.0]] * 96), "must be a tensor, an array .* got list with list"),
    "text in a dict": (Items([{"a": "b"}] * 96), "got dict with list"),
    "length": (Items(np.zeros((95, 4))), "same length, got 95 rows and 96 labels"),
}


def fails(function: Callable[..., Any], message: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        function(*args, **kwargs)


@pytest.mark.parametrize("kind", ITEMS)
def test_datasets_that_cannot_be_used(kind: str, data: Data) -> None:
    X, message = ITEMS[kind]
    clf = quick(module=Linear)
    before = dict(vars(clf))
    fails(clf.fit, message, X, data.y, meta_mask=data.mask)
    assert dict(vars(clf)) == before
    clf.fit(data.X, data.y, meta_mask=data.mask)
    if kind == "length":
        fails(clf.compute_sample_weight, message, X, data.y)
        return
    for function in (clf.predict, clf.predict_proba, clf.score, clf.compute_sample_weight):
        fails(function, message, X)
    fails(clf.fit, message.replace(r"X \(", r"X_meta \("), data.X, data.y, X_meta=X)


def test_labels_that_are_nowhere(data: Data) -> None:
    clf, X = quick(module=Linear), Items(data.X)
    message = r"y is None, but the items .* an item is a ndarray, not a pair \(X, y\)"
    fails(clf.fit, message, X, meta_mask=data.mask)
    fails(clf.fit, message, data.X, data.y, X_meta=X)
    clf.fit(X, data.y, meta_mask=data.mask)
    fails(clf.score, message, X)
    fails(clf.compute_sample_weight, message, X)
    fails(clf.fit, "the target y is None", data.X, meta_mask=data.mask)


def test_other_errors(data: Data) -> None:
    X = pairs(data.X, data.y)
    message = r"X \(Items\) is a Dataset, which only a module of your own can take"
    fails(quick().fit, message, X, meta_mask=data.mask)
    fails(quick().fit(data.X, data.y, meta_mask=data.mask).predict, message, X)
    clf = quick(module=Linear)
    fails(clf.fit, "shape .* got", X, X_meta=pairs(data.X_meta[:, :3], data.y_meta))
    unknown = pairs(data.X_meta, data.y_meta + 7)
    fails(clf.fit, r"y_meta has labels \[7, 8, 9\]", X, X_meta=unknown)
    fails(clf.fit, "trusted rows were given twice|given twice", X, X_meta=X, meta_mask=data.mask)
    nan = pairs(np.full_like(data.X, np.nan), data.y)
    fails(clf.fit, "returns NaN or infinite numbers before any training", nan, meta_mask=data.mask)


# ------------------------------------------------------------------ orders that are offered


@pytest.mark.parametrize(
    "order", [range(95), range(1, 97), [0] * 96, range(-1, 95), np.arange(96.0), [[0]] * 96]
)
def test_an_order_that_is_offered_has_each_place_once(order: Any, data: Data) -> None:
    X: Any = pairs(data.X, data.y)
    X.shuffled_places = lambda generator: list(order)
    message = "shuffled_places of the Dataset Items must return the places 0 to 95, each once"
    fails(quick(module=Linear).fit, message, X, meta_mask=data.mask)


def test_an_order_that_is_offered_is_taken(data: Data) -> None:
    X: Any = pairs(data.X, data.y)
    X.shuffled_places = lambda generator: torch.arange(96)
    clf = quick(module=Linear).fit(X, meta_mask=data.mask)
    unshuffled = quick(module=Linear, iterator_train__shuffle=False)
    expected = unshuffled.fit(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.predict_proba(data.X), expected.predict_proba(data.X))
