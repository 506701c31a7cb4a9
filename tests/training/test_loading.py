"""What a loader of the user's own may yield: batches that a training can use, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor
from torch.utils.data import default_collate

from tests.conftest import make_data, quick

DATA = make_data()
N = int((~DATA.mask).sum())
FIT: dict[str, Any] = {"X": DATA.X, "y": DATA.y, "meta_mask": DATA.mask}


def changed(change: Callable[[Tensor, Tensor, Tensor], Any]) -> dict[str, Any]:
    return {"collate_fn": lambda items: change(*default_collate(items))}


YIELDS = "^iterator_train=DataLoader yields a batch that "
FAILS = "^iterator_train=DataLoader fails to yield a batch: "
NONE = "^iterator_train=DataLoader yields no batch in an epoch: give its sampler some rows"
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (changed(lambda X, y, i: None), f"{YIELDS}is None: it must be"),
    "text": (changed(lambda X, y, i: "abc"), f"{YIELDS}is 'abc': "),
    "items": ({"collate_fn": lambda items: items}, f"{YIELDS}has 32 parts: "),
    "no places": (changed(lambda X, y, i: (X, y)), f"{YIELDS}has 2 parts: "),
    "more": (changed(lambda X, y, i: (X, y, i, i)), f"{YIELDS}has 4 parts: "),
    "arrays": (
        changed(lambda X, y, i: (X.numpy(), y, i)),
        rf"{YIELDS}has parts that are no tensors of rows, ndarray\(32, 4\), Tensor\(32,\), ",
    ),
    "one row": ({"batch_size": None}, rf"{YIELDS}.* Tensor\(4,\), Tensor\(\), Tensor\(\): "),
    "fewer rows": (changed(lambda X, y, i: (X[:3], y, i)), rf"{YIELDS}.* of \[3, 32, 32\] rows: "),
    "no rows": (changed(lambda X, y, i: (X[:0], y[:0], i[:0])), rf"{YIELDS}.*\[0, 0, 0\] rows: "),
    "dict of fewer": (changed(lambda X, y, i: ({"X": X[:3]}, y, i)), rf"{YIELDS}.*\[3, 32, 32\]"),
    "soft labels": (changed(lambda X, y, i: (X, y.float(), i)), f"{YIELDS}has y of torch.float32"),
    "column of labels": (changed(lambda X, y, i: (X, y[:, None], i)), rf"{YIELDS}.*\(32, 1\)"),
    "other labels": (changed(lambda X, y, i: (X, y + 1, i)), f"{YIELDS}has y outside 0 to 2: "),
    "other places": (changed(lambda X, y, i: (X, y, i + N)), f"{YIELDS}has index outside 0 to 77"),
    "places below": (changed(lambda X, y, i: (X, y, i - N)), f"{YIELDS}has index outside 0 to 77"),
    "failing": (changed(lambda X, y, i: 1 / 0), f"{FAILS}division by zero"),
    "collate_fn": ({"collate_fn": 3}, f"{FAILS}'int' object is not callable"),
    "batch_sampler": ({"batch_sampler": 3}, f"{FAILS}'int' object is not iterable"),
    "batches of numbers": ({"batch_sampler": [1, 2]}, f"{FAILS}'int' object is not iterable"),
    "empty batch": ({"batch_sampler": [[1, 2], []]}, FAILS),
    "sampler": ({"sampler": 3}, f"{FAILS}'int' object is not iterable"),
    "rows beyond": ({"sampler": range(N + 1)}, f"{FAILS}index out of range"),
    "rows below": ({"sampler": [-1] * 9}, f"{FAILS}index out of range"),
    "no batches": ({"batch_sampler": []}, NONE),
    "empty sampler": ({"sampler": []}, NONE),
    "too few rows": ({"batch_size": 1000, "drop_last": True}, NONE),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:Length of IterableDataset")
def test_what_is_no_batch_of_rows_is_told(name: str) -> None:
    options, said = BAD[name]
    loading = {f"iterator_train__{key}": value for key, value in options.items()}
    with pytest.raises((ValueError, TypeError), match=said) as error:
        quick(**loading).fit(**FIT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("loader", [lambda rows, **kw: [3], lambda rows, **kw: 3, list])
def test_what_is_no_loader_is_told(loader: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^iterator_train=\S+ (yields|fails|cannot)"):
        quick(iterator_train=loader).fit(**FIT)


def test_weights_of_rows_that_a_loader_drops() -> None:
    loading = {"iterator_train__collate_fn": lambda items: default_collate(items)[:3]}
    quick(**loading).fit(**FIT)
    with pytest.raises(ValueError, match=r"has 3 parts: .* X, y, index, sample_weight, with"):
        quick(**loading).fit(**FIT, sample_weight=np.ones(96))


@pytest.mark.parametrize("rows", [range(10), range(N), [*range(N)] * 2, [5] * 64])
def test_a_sampler_may_leave_rows_out_or_repeat_them(rows: Any) -> None:
    clf = quick(iterator_train__sampler=rows, iterator_train__batch_size=16).fit(**FIT)
    assert clf.history_[-1, "train_batch_count"] == -(-len(rows) // 16)
    assert np.isfinite(clf.sample_weights_).all()
