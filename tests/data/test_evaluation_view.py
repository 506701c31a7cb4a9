"""A Dataset may offer a view in which its rows are judged."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset

from skmetaweight._data.dataset_rows import rows_of
from tests.conftest import Linear, make_data, quick


class Marked(Dataset[Any]):
    """Tells by a fifth number, a one, that an item is not that of the view, which has a zero."""

    def __init__(self, X: Any, mark: float = 1.0, has_view: bool = True) -> None:
        self.X, self.mark = X, mark
        if has_view:
            self.evaluation_view = Marked(X, 0.0, has_view=False)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: int) -> Any:
        return np.append(self.X[i], np.float32(self.mark))


class Watching(nn.Module):
    """Remembers the marks of batches in training, and of those that are judged."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = Linear(4, 3)
        self.seen: set[tuple[bool, int, float]] = set()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        self.seen.add((self.training, len(X), float(X[:, 4].mean())))
        return self.linear(X[:, :4])


def marks(module: Watching, training: bool) -> set[float]:
    few = 2 + 8  # what is looked at before a fit, to see whether the module can take it
    return {mark for mode, n, mark in module.seen if mode == training and n > few}


def check_views(**options: Any) -> None:
    """Fit, predict and weigh; in training all marks are ones, else none is."""
    data = make_data(300, 60)
    for given in (
        {"meta_mask": data.mask},
        {"X_meta": Marked(data.X_meta), "y_meta": data.y_meta},
    ):
        clf = quick(module=Watching, max_epochs=10, **options)
        clf.fit(Marked(data.X), data.y, **given)
        assert marks(clf.net_.module_, training=True) == {1.0}
        assert marks(clf.net_.module_, training=False) == {0.0}
        clf.net_.module_.seen.clear()
        clf.predict(Subset(Marked(data.X), range(200)))
        clf.compute_sample_weight(Marked(data.X), data.y)
        assert marks(clf.net_.module_, training=False) == {0.0}


@pytest.mark.filterwarnings("ignore:The rows labelled", "ignore:The trusted rows")
def test_steps_see_the_items_and_judgements_the_view(method: str) -> None:
    check_views(method=method)


@pytest.mark.filterwarnings("ignore:The rows labelled", "ignore:The trusted rows")
def test_workers_read_the_view() -> None:
    check_views(iterator_train__num_workers=2, iterator_valid__num_workers=2)


def test_parts_and_joined_datasets_have_the_view_of_theirs() -> None:
    plain = Marked(make_data(3, 0).X, has_view=False)
    joined = ConcatDataset([Subset(Marked(plain.X), [2, 0]), plain])
    marked = [item[4] for item in rows_of(joined).collate(slice(0, 5))]
    assert marked == [1, 1, 1, 1, 1]
    judged = rows_of(joined).evaluation.collate(slice(0, 5))
    assert judged[:, 4].tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(judged[:, :4], plain.X[[2, 0, 0, 1, 2]])
    assert rows_of(ConcatDataset([plain])).evaluation.dataset.datasets == [plain]


def test_probabilities_are_those_of_the_view() -> None:
    data = make_data(200, 40)
    clf = quick(module=Linear(5)).fit(Marked(data.X), data.y, meta_mask=data.mask)
    found = clf.predict_proba(Marked(data.X))
    np.testing.assert_array_equal(found, clf.predict_proba(Marked(data.X).evaluation_view))
    assert np.abs(found - clf.predict_proba(Marked(data.X, has_view=False))).max() > 1e-3


def test_few_trusted_rows_are_drawn_anew() -> None:
    class Drawn(Marked):
        def __getitem__(self, i: int) -> Any:
            return np.append(self.X[i], np.float32(self.mark * next(turns)))

    turns = iter(range(10**6))
    data = make_data(60, 12)
    clf = quick(module=Watching, max_epochs=2, meta_share=0.0, method="mw-net", method__memory=0)
    clf.fit(Drawn(data.X), data.y, meta_mask=data.mask)
    means = [mark for training, n, mark in clf.net_.module_.seen if training and n == 12]
    assert len(means) > 1


VIEWS = {
    "no Dataset": (3, r"The evaluation_view of X \(Marked\) must be a map-style Dataset, got 3"),
    "a row less": (
        Marked(make_data(95).X, 0.0, has_view=False),
        r"The evaluation_view of X \(Marked\) has 95 rows, but the Dataset 96",
    ),
    "other keys": (
        [{"x": row} for row in make_data(96).X],
        r"The evaluation_view of X \(Marked\) has items that are dicts of \['x'\], but .* no dicts",
    ),
    "no tensors": (["text"] * 96, r"The X of an item of The evaluation_view"),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_that_cannot_be(kind: str) -> None:
    data = make_data()
    X = Marked(data.X)
    X.evaluation_view, message = VIEWS[kind]
    with pytest.raises(ValueError, match=message):
        quick(module=Linear(5)).fit(X, data.y, meta_mask=data.mask)
