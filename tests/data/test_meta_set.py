"""Where trusted rows come from, and how their batches are drawn."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skmetaweight._data.meta_set import (
    MetaBatches,
    split_by_mask,
    split_off,
    warn_of_missing_classes,
)
from tests.conftest import Data, quick
from tests.data.test_batches import make_rows


def random_state(seed=0):
    return np.random.RandomState(seed)


def assert_parted(train, meta, n):
    assert np.array_equal(np.union1d(train, meta), np.arange(n))
    assert len(train) + len(meta) == n
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(meta) > 0)


# ------------------------------------------------------------------ mask


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=50).filter(lambda m: 0 < sum(m) < len(m)))
def test_mask_parts_the_rows(mask):
    train, meta = split_by_mask(mask, len(mask))
    assert_parted(train, meta, len(mask))
    assert np.array_equal(meta, np.flatnonzero(mask))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([0, 1, 1], "must be boolean, got dtype int64: pass e.g. `checked == 1`"),
        ([1, 2], r"of numbers of rows, `np\.isin\(np\.arange\(len\(X\)\), numbers\)`"),
        ([0.0, 1.0, 1.0], "must be boolean, got dtype float64"),
        (["a", "b", "c"], "must be boolean"),
        ([True, False], r"one entry per row of X, shape \(3,\), got \(2,\)"),
        ([[True], [False], [True]], r"one entry per row of X, shape \(3,\), got \(3, 1\)"),
        ([True] * 3, "marks all 3 rows as trusted"),
        ([False] * 3, r"marks none of the 3 rows as trusted.* stratify .*meta_mask\)"),
    ],
)
def test_mask_errors(mask, message):
    with pytest.raises(ValueError, match=message):
        split_by_mask(mask, 3)


# ------------------------------------------------------------------ split


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    share=st.floats(0.01, 0.95),
    seed=st.integers(0, 3),
)
def test_split_is_stratified(counts, share, seed):
    counts = [*counts, 4, 4]  # enough rows on both sides
    y = random_state(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, meta = split_off(y, share, random_state(seed))
    assert_parted(train, meta, len(y))
    for label, count in enumerate(counts):
        n_meta = np.sum(y[meta] == label)
        if count == 1:
            assert n_meta == 0
        else:
            assert 1 <= n_meta <= count - 1
            assert abs(n_meta - share * count) <= 1


def test_split_follows_its_seed():
    y = np.repeat([0, 1], 50)
    first, again = (split_off(y, 0.2, random_state(1))[1] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, split_off(y, 0.2, random_state(2))[1])


@pytest.mark.parametrize("meta_size", [20, 0.2])
def test_number_and_share_of_rows(meta_size):
    y = np.repeat([0, 1, 2, 3], 25)
    _, meta = split_off(y, meta_size, random_state())
    assert np.array_equal(np.bincount(y[meta]), [5, 5, 5, 5])


@pytest.mark.parametrize(
    ("y", "meta_size", "message"),
    [
        ([0, 0, 1, 1], 4, "meta_size=4 would take all of the 4 rows"),
        ([0, 0, 1, 1], 9, "meta_size=9 would take all"),
        ([0, 1, 2], 0.5, "n_samples=3 with 3 classes would leave 3 training and 0 trusted"),
        ([0, 0, 1], 0.5, "would leave 2 training and 1 trusted rows; both need at least 2"),
    ],
)
def test_split_errors(y, meta_size, message):
    with pytest.raises(ValueError, match=message):
        split_off(np.array(y), meta_size, random_state())


def test_missing_classes_are_named():
    classes = np.array(["ant", "bee", "cat"])
    with pytest.warns(UserWarning, match=r"no row of the classes \['bee', 'cat'\]"):
        warn_of_missing_classes(np.array([0, 0]), classes)
    warn_of_missing_classes(np.array([2, 0, 1]), classes)


# ------------------------------------------------------------------ meta batches


def stream(n, batch_size, seed=0):
    return MetaBatches(make_rows(n=n), batch_size, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 4), (7, 6), (12, 4), (9, 1)])
def test_each_trusted_row_comes_once_before_any_comes_again(n, batch_size):
    meta_batches = stream(n, batch_size)
    drawn = []
    for _ in range(5 * n):
        batch = next(meta_batches)
        assert batch.n_rows == batch_size
        assert torch.equal(batch.y, batch.index % 3)
        drawn.extend(batch.index.tolist())
    for start in range(0, len(drawn) - n + 1, n):
        assert sorted(drawn[start : start + n]) == list(range(n))


@pytest.mark.parametrize("batch_size", [5, 6, 100])
def test_a_small_meta_set_is_given_whole(batch_size):
    meta_batches = stream(5, batch_size)
    for _ in range(3):
        assert next(meta_batches).index.tolist() == [0, 1, 2, 3, 4]


def test_stream_follows_its_seed_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first = [next(batches).index.tolist() for batches in [stream(20, 6)] for _ in range(9)]
    again = [next(batches).index.tolist() for batches in [stream(20, 6)] for _ in range(9)]
    other = [next(batches).index.tolist() for batches in [stream(20, 6, seed=1)] for _ in range(9)]
    assert first == again != other
    assert torch.equal(before, torch.get_rng_state())


def test_a_copy_goes_on_where_the_stream_is():
    rows = make_rows(n=20)
    stream = MetaBatches(rows, 6, torch.Generator().manual_seed(0))
    for _ in range(5):
        next(stream)
        for copied in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
            original = copy.deepcopy(stream)
            assert [next(copied).index.tolist() for _ in range(9)] == [
                next(original).index.tolist() for _ in range(9)
            ]


@pytest.mark.parametrize("name", ["y", "sample_weight", "meta_mask"])
def test_the_rows_of_x_in_another_order_are_refused(name: str, data: Data) -> None:
    index = np.random.default_rng(0).permutation(len(data.y))
    X = pd.DataFrame(data.X, index=index).add_prefix("x")
    all_given = {"y": data.y, "sample_weight": np.ones(len(data.y)), "meta_mask": data.mask}
    series = pd.Series(all_given[name], index=index)
    with pytest.raises(ValueError, match=rf"{name} has the index of X in another .* {name}.loc\["):
        quick().fit(X, **{**all_given, name: series.sort_index()})
    other_index = pd.Series(all_given[name], index=index + 1000)
    same = series, other_index, all_given[name]
    fits = [quick().fit(X, **{**all_given, name: each}) for each in same]
    assert all((fit.predict(X) == fits[0].predict(X)).all() for fit in fits)
