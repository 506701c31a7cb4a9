"""Rows and the batches that are an index into them."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.utils.data import Dataset

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._data.batches import RowBatches, Rows
from skmetaweight._data.dataset_rows import DatasetRows

CPU = torch.device("cpu")


def table(n=10, n_columns=3):
    return np.arange(n * n_columns, dtype=np.float64).reshape(n, n_columns)


def make_rows(X=None, n=10, *, cast_integers=True, dtype=torch.float32, sample_weight=None):
    X = table(n) if X is None else X
    return Rows(
        X,
        np.arange(n) % 3,
        sample_weight,
        device=CPU,
        dtype=dtype,
        cast_integers=cast_integers,
    )


def batches(rows, batch_size, *, shuffle=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return RowBatches(rows, batch_size, generator, shuffle=shuffle)


def memory_map(path):
    values = np.memmap(path / "X", dtype=np.float64, mode="w+", shape=(10, 3))
    values[:] = table()
    values.flush()
    return np.memmap(path / "X", dtype=np.float64, mode="r", shape=(10, 3))


CONTAINERS = {
    "array": lambda path: table(),
    "read-only array": lambda path: np.broadcast_to(table(), (10, 3)),
    "Fortran array": lambda path: np.asfortranarray(table()),
    "tensor": lambda path: torch.as_tensor(table()),
    "csr matrix": lambda path: sp.csr_matrix(table()),
    "csr array": lambda path: sp.csr_array(table()),
    "memory map": memory_map,
}


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_any_container(make, dtype, tmp_path):
    rows = make_rows(make(tmp_path), dtype=dtype)
    index = torch.tensor([7, 0, 7, 3])
    batch = rows.take(index)
    assert len(rows) == 10
    assert torch.equal(batch.X, torch.as_tensor(table()[index], dtype=dtype))
    assert torch.equal(batch.y, index % 3)
    assert torch.equal(batch.index, index)
    assert batch.sample_weight is None
    assert batch.n_rows == 4


class Items(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return table()[i]


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    "make",
    [*CONTAINERS.values(), lambda path: {"a": table()}, lambda path: DatasetRows(Items())],
    ids=[*CONTAINERS, "dict", "dataset"],
)
def test_ranks_read_their_own_rows_of_a_batch(make, size, tmp_path):
    rows = make_rows(make(tmp_path), sample_weight=np.arange(10.0))
    index = torch.tensor([7, 0, 3])
    batches = [rows.take(index, Ranks(rank, size)) for rank in range(size)]
    parts = [batch.X["a"] if isinstance(batch.X, dict) else batch.X for batch in batches]
    assert max(map(len, parts)) == -(-3 // size)
    assert torch.equal(torch.cat(parts), torch.as_tensor(table()[index], dtype=torch.float32))
    for batch in batches:
        assert torch.equal(batch.y, index % 3)
        assert torch.equal(batch.index, index)
        assert batch.sample_weight.tolist() == index.tolist()


@pytest.mark.parametrize("name", ["csr matrix", "memory map"])
def test_large_containers_are_not_copied(name, tmp_path):
    X = CONTAINERS[name](tmp_path)
    assert make_rows(X).X is X


def test_rows_of_more_dimensions():
    X = np.arange(10 * 2 * 4, dtype=np.float32).reshape(10, 2, 4)
    assert torch.equal(make_rows(X).take(torch.tensor([2, 1])).X, torch.as_tensor(X[[2, 1]]))


def test_rows_of_a_dict(tmp_path):
    X = {"table": table(), "map": memory_map(tmp_path), "code": np.arange(10)}
    batch = make_rows(X, cast_integers=False).take(torch.tensor([4, 2]))
    assert batch.X.keys() == X.keys()
    for key, values in batch.X.items():
        np.testing.assert_array_equal(values, np.asarray(X[key])[[4, 2]])
    assert batch.X["code"].dtype == torch.int64
    assert batch.X["table"].dtype == batch.X["map"].dtype == torch.float32


@pytest.mark.parametrize("cast_integers", [True, False])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_integers_are_cast_only_for_tables(make, cast_integers):
    X = make(np.arange(30).reshape(10, 3))
    batch = make_rows(X, cast_integers=cast_integers).take(torch.tensor([0]))
    assert batch.X.is_floating_point() == cast_integers


def test_sample_weights_follow_their_rows():
    rows = make_rows(sample_weight=np.arange(10) / 10)
    batch = rows.take(torch.tensor([9, 4]))
    torch.testing.assert_close(batch.sample_weight, torch.tensor([0.9, 0.4]))


@pytest.mark.parametrize("sample_weight", [None, np.arange(10.0)])
def test_single_rows_are_those_of_a_data_set(sample_weight):
    rows = make_rows({"a": table(), "b": np.arange(10)}, sample_weight=sample_weight)
    X, y, index, *weight = rows[4]
    assert X["a"].tolist() == table()[4].tolist()
    assert (y, index) == (1, 4)
    assert weight == ([] if sample_weight is None else [4])
    assert make_rows()[4][0].tolist() == table()[4].tolist()


@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_chunks_are_all_rows_in_order(size):
    index = torch.cat([batch.index for batch in make_rows().chunks(size)])
    assert torch.equal(index, torch.arange(10))


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 11, 21])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 10, 50])
def test_every_row_comes_once_and_never_alone(n, batch_size):
    iterator = batches(make_rows(n=n), batch_size)
    sizes, indices = [], []
    for batch in iterator:
        sizes.append(batch.n_rows)
        indices.extend(batch.index.tolist())
        assert torch.equal(batch.y, batch.index % 3)
    assert sorted(indices) == list(range(n))
    assert len(sizes) == len(iterator)
    assert all(size == batch_size for size in sizes[:-1])
    if batch_size > 1 and n > 1:
        assert min(sizes) > 1
        assert max(sizes) <= batch_size + 1


def test_lone_last_row_joins_the_batch_before():
    assert [batch.n_rows for batch in batches(make_rows(n=9), 4)] == [4, 5]


def test_order_is_drawn_anew_each_epoch_and_follows_the_seed():
    iterator = batches(make_rows(n=50), 50)
    (first,), (second,) = list(iterator), list(iterator)
    assert not torch.equal(first.index, second.index)
    (again,) = batches(make_rows(n=50), 50)
    assert torch.equal(first.index, again.index)
    (other,) = batches(make_rows(n=50), 50, seed=1)
    assert not torch.equal(first.index, other.index)


def test_order_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    list(batches(make_rows(), 4))
    assert torch.equal(before, torch.get_rng_state())


def test_without_shuffling_rows_come_in_order():
    iterator = batches(make_rows(), 4, shuffle=False)
    assert [batch.index.tolist() for batch in iterator] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
