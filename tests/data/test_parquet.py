"""Rows of Parquet files are those of the array that was written, in an order that reads blocks."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, Subset

from skmetaweight._data import parquet
from skmetaweight._data.batches import RowBatches, Rows
from skmetaweight._data.dataset_labels import read_labels
from skmetaweight._data.dataset_rows import DatasetRows, rows_of
from skmetaweight.datasets import ParquetRows
from tests.conftest import Data, Linear, quick
from tests.data.test_dataset_rows import assert_same, fails, results

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = [f"x{i}" for i in range(4)]


def write(
    folder: Path, X: Any, y: Any = None, *, cuts: tuple[int, ...] = (), groups: int = 7
) -> str:
    """Write files that end at the cuts and at the last row; return the pattern of their names."""
    ends = [*cuts, len(X)]
    for i, (start, stop) in enumerate(zip([0, *cuts], ends, strict=True)):
        columns = {name: X[start:stop, j] for j, name in enumerate(NAMES[: X.shape[1]])}
        labels = {} if y is None else {"y": y[start:stop]}
        pq.write_table(pa.table({**columns, **labels}), folder / f"{i}.parquet", groups)
    return str(folder / "*.parquet")


def write_columns(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.fixture
def files(data: Data, tmp_path: Path) -> str:
    return write(tmp_path, data.X, data.y, cuts=(30, 31, 60))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the first row groups of all blocks that are read from now on."""
    places = []
    content = parquet._content

    def counted(block: Any, *args: Any) -> Any:
        places.append((block.path, block.groups.start))
        return content(block, *args)

    monkeypatch.setattr(parquet, "_content", counted)
    return places


# ------------------------------------------------------------------ rows and their order

LAYOUTS = [
    (n, cuts, groups, buffer_rows)
    for n, cuts in ((1, ()), (50, ()), (50, (1, 20)), (97, (96,)))
    for groups in (1, 7, 100)
    for buffer_rows in (1, 16, 40, 1000)
]


@pytest.mark.parametrize(("n", "cuts", "groups", "buffer_rows"), LAYOUTS)
def test_rows_are_numbered_as_written(
    n: int, cuts: tuple[int, ...], groups: int, buffer_rows: int, tmp_path: Path
) -> None:
    X = np.arange(4.0 * n, dtype=np.float32).reshape(n, 4)
    pattern = write(tmp_path, X, np.arange(n) % 3, cuts=cuts, groups=groups)
    rows = ParquetRows(pattern, "y", buffer_rows=buffer_rows)
    index = np.random.default_rng(0).permutation(n)
    assert len(rows) == n
    assert torch.equal(DatasetRows(rows).collate(torch.from_numpy(index)), torch.tensor(X[index]))
    assert torch.equal(rows[n - 1][0], torch.tensor(X[n - 1]))
    assert [label for _, label in rows.__getitems__([0, n - 1])] == [0, (n - 1) % 3]
    np.testing.assert_array_equal(rows.targets, np.arange(n) % 3)


@pytest.mark.parametrize(("n", "cuts", "groups", "buffer_rows"), LAYOUTS)
def test_an_epoch_reads_each_block_once_and_holds_few(
    n: int, cuts: tuple[int, ...], groups: int, buffer_rows: int, tmp_path: Path, read: list[Any]
) -> None:
    X = np.arange(4.0 * n, dtype=np.float32).reshape(n, 4)
    rows = ParquetRows(write(tmp_path, X, cuts=cuts, groups=groups), buffer_rows=buffer_rows)
    device, dtype = torch.device("cpu"), torch.float32
    placed = Rows(DatasetRows(rows), np.zeros(n), device=device, dtype=dtype, cast_integers=True)
    generator, again = (torch.Generator().manual_seed(3) for _ in range(2))
    batches = RowBatches(placed, 4, generator)
    seen = []
    for batch in batches:
        assert torch.equal(batch.X, torch.tensor(X)[batch.index])
        seen += batch.index.tolist()
        held = [len(block) for block in rows._held.values()]
        assert len(held) == 1 or sum(held) <= buffer_rows
    assert sorted(seen) == list(range(n))
    assert seen == rows.shuffled_places(again).tolist()
    assert len(read) == len(set(read)) == len(rows._blocks)
    if n > 10:
        assert next(iter(batches)).index.tolist() != seen[:4]


def test_rows_of_a_buffer_are_mixed(tmp_path: Path) -> None:
    rows = ParquetRows(write(tmp_path, np.zeros((1600, 4)), groups=10), buffer_rows=160)
    order = rows.shuffled_places(torch.Generator().manual_seed(0)).numpy()
    first = order[:160] // 10
    assert len(set(first)) == 16
    assert len(set(first[:16])) > 6
    assert not np.array_equal(np.unique(first), np.arange(16))


@pytest.mark.parametrize("subset", [False, True])
def test_places_of_a_part_keep_the_order_of_the_whole(subset: bool, files: str) -> None:
    rows = ParquetRows(files, "y", buffer_rows=20)
    kept = np.random.default_rng(0).permutation(96)[:40]
    part = rows_of(Subset(rows, kept.tolist())) if subset else DatasetRows(rows)[kept]
    order = part.shuffled(torch.Generator().manual_seed(5))
    whole = rows.shuffled_places(torch.Generator().manual_seed(5)).tolist()
    assert kept[order].tolist() == [place for place in whole if place in set(kept)]
    np.testing.assert_array_equal(read_labels(part), rows.targets[kept])


# ------------------------------------------------------------------ fits


class InMemory(Dataset[Any]):
    """The same items and the same order, from an array."""

    def __init__(self, data: Data, rows: ParquetRows) -> None:
        self.data, self.shuffled_places = data, rows.shuffled_places

    def __len__(self) -> int:
        return 96

    def __getitem__(self, i: int) -> Any:
        return self.data.X[i], self.data.y[i]


def test_fit_is_that_of_rows_in_memory(method: str, data: Data, files: str) -> None:
    rows = ParquetRows(files, "y", buffer_rows=20)
    X_meta, y_meta = pd.DataFrame(data.X_meta, columns=NAMES), data.y_meta
    options = {"module": Linear, "method": method, "max_epochs": 8}
    for trusted in ({"meta_mask": data.mask}, {"X_meta": X_meta, "y_meta": y_meta}):
        one = quick(**options).fit(rows, **trusted)
        trusted = {k: v.to_numpy() if k == "X_meta" else v for k, v in trusted.items()}
        other = quick(**options).fit(InMemory(data, rows), **trusted)
        assert_same(results(one, rows, None), results(other, data.X, data.y))
    options |= {"iterator_train__shuffle": False}
    one = quick(**options).fit(rows, meta_mask=data.mask)
    other = quick(**options).fit(data.X, data.y, meta_mask=data.mask)
    assert_same(results(one, rows, None), results(other, data.X, data.y))


def test_trusted_rows_stay_in_memory(data: Data, files: str, read: list[Any]) -> None:
    rows = ParquetRows(files, "y", buffer_rows=16)
    clf = quick(module=Linear, max_epochs=4, batch_size=8, meta_batch_size=4)
    clf.fit(rows, meta_mask=data.mask)
    passes = 4 + 1 + 1 + 1  # epochs, all weights, trusted rows; first rows, for checks
    assert len(read) <= passes * len(rows._blocks)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_take_the_order_too(num_workers: int, data: Data, files: str) -> None:
    rows = ParquetRows(files, "y", buffer_rows=20)
    by_loader = quick(module=Linear, iterator_train__num_workers=num_workers)
    by_loader.fit(rows, meta_mask=data.mask)
    assert by_loader.net_.batching_ == "loader"
    expected = quick(module=Linear).fit(rows, meta_mask=data.mask)
    np.testing.assert_array_equal(by_loader.sample_weights_, expected.sample_weights_)


def test_copies_open_the_files_again(files: str) -> None:
    rows = ParquetRows(files, "y", columns=["x2", "x0"], buffer_rows=5)
    assert rows[3][0].shape == (2,)
    copy = pickle.loads(pickle.dumps(rows))
    assert not copy._held
    assert torch.equal(copy[3][0], rows[3][0])
    assert (copy.label, copy.buffer_rows, copy.files) == ("y", 5, rows.files)


# ------------------------------------------------------------------ columns


def test_columns_in_another_order_are_told(data: Data, files: str) -> None:
    rows, other = ParquetRows(files, "y"), ParquetRows(files, "y", columns=NAMES[::-1])
    clf = quick(module=Linear).fit(rows, X_meta=rows)
    assert list(clf.feature_names_in_) == NAMES
    message = "The feature names should match those of fit, in the same order"
    for use in (clf.predict, clf.score, clf.compute_sample_weight):
        fails(use, message, other)
    fails(lambda: quick(module=Linear).fit(rows, X_meta=other), message)
    frame = pd.DataFrame(data.X, columns=NAMES)
    np.testing.assert_array_equal(clf.predict(frame), clf.predict(rows))
    fails(clf.predict, "The feature names should match", frame[NAMES[::-1]])
    fails(quick(module=Linear).fit(frame, data.y, meta_mask=data.mask).predict, message, other)


@pytest.mark.parametrize("name", [None, "id"])
def test_an_index_of_pandas_is_no_column(name: str | None, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([7, 3], name=name))
    frame.to_parquet(tmp_path / "a.parquet")
    assert ParquetRows(tmp_path / "a.parquet").columns == ["a"]


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": np.float32([1, 2]), "b": np.float32([3, 4])}, np.float32),
        ({"a": np.float32([1, 2]), "b": np.array([3, 4])}, np.float64),
        ({"a": np.float32([1, 2]), "b": np.array([3, 4], dtype=np.int8)}, np.float32),
        ({"a": np.array([True, False]), "b": np.float32([3, 4])}, np.float32),
        ({"a": np.array([True, False]), "b": np.array([True, True])}, np.bool_),
        ({"a": np.uint16([1, 2]), "b": np.int32([3, 4])}, np.int32),
        ({"a": np.float16([1, 2]), "b": np.float32([3, 4])}, np.float32),
        ({"a": np.uint32([1, 2]), "b": np.uint16([3, 4])}, np.uint32),
    ],
)
def test_columns_have_one_dtype(columns: Any, dtype: Any, tmp_path: Path) -> None:
    rows = ParquetRows(write_columns(tmp_path / "a.parquet", **columns))
    assert rows.dtype == dtype
    expected = np.column_stack([columns["a"], columns["b"]])
    np.testing.assert_array_equal(torch.stack(list(rows)).numpy(), expected)


def test_missing_numbers_are_nan(tmp_path: Path) -> None:
    floats, whole = pa.array([1.0, None], pa.float32()), pa.array([None, 2])
    rows = ParquetRows(write_columns(tmp_path / "a.parquet", a=floats, b=whole))
    np.testing.assert_array_equal(torch.stack(list(rows)), [[1, np.nan], [np.nan, 2]])
    path = write_columns(tmp_path / "b.parquet", b=whole, y=[0, 1])
    fails(lambda: ParquetRows(path, "y")[0], "Column 'b' of .* missing values, which int64 cannot")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2, 0, 2]),
        np.array(["b", "a", "b"]),
        np.array([True, False, True]),
        pa.array(["b", "a", "b"]).dictionary_encode(),
    ],
    ids=["int", "text", "bool", "dictionary"],
)
def test_labels_of_any_kind(labels: Any, tmp_path: Path) -> None:
    for name in "ab":
        write_columns(tmp_path / f"{name}.parquet", x=np.zeros(3), y=labels)
    rows = ParquetRows(tmp_path / "*.parquet", "y")
    assert rows.targets.tolist() == 2 * list(labels.tolist())
    assert rows[2][1] == labels.tolist()[2]


def test_missing_labels_are_refused(tmp_path: Path) -> None:
    for labels in (["a", "b", None, "a"], [0, 1, None, 0]):
        path = write_columns(tmp_path / "a.parquet", **dict.fromkeys(NAMES, np.zeros(4)), y=labels)
        clf = quick(module=Linear)
        fails(clf.fit, "y contains missing labels", ParquetRows(path, "y"), meta_mask=np.eye(4)[0])


# ------------------------------------------------------------------ errors


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    numbers = write_columns(tmp_path / "a.parquet", x=[1.0, 2.0], y=[0, 1])
    other = write_columns(tmp_path / "b.parquet", x=["a", "b"], y=["c", "d"])
    nothing = write_columns(tmp_path / "c.parquet", x=np.zeros(0))
    fails(ParquetRows, "Column 'x' of .*b.parquet is of type .*string", other, "y")
    fails(ParquetRows, "Column 'x' of .*b.parquet is of type", [numbers, other], "y")
    fails(ParquetRows, r"must have one column 'z', got the columns \['x', 'y'\]", numbers, "z")
    fails(ParquetRows, "must have one column 'z'", numbers, "y", columns=["x", "z"])
    fails(ParquetRows, "has no columns but", numbers, "y", columns=[])
    fails(ParquetRows, "have no rows", nothing)
    fails(ParquetRows, "files is empty", [])
    (tmp_path / "e.parquet").write_text("x,y")
    fails(ParquetRows, r"e\.parquet is no Parquet file", [numbers, tmp_path / "e.parquet"])
    for labels in ([[0], [1, 2]], [{"a": 0}, {"a": 1}]):
        nested = write_columns(tmp_path / "f.parquet", x=[1.0, 2.0], y=labels)
        fails(lambda path=nested: ParquetRows(path, "y").targets, "'y' of .*must have one label")
    for wrong in (0, -1, 2.5, True, "many"):
        fails(ParquetRows, "buffer_rows must be", numbers, buffer_rows=wrong)
    for columns in (["x", "y"], "x"):
        fails(ParquetRows, "columns must be a list of columns", numbers, "y", columns=columns)
    fails(ParquetRows, "a.parquet would be read twice", [numbers, str(tmp_path / "a*")])
    mixed = write_columns(tmp_path / "d.parquet", x=[1.0], y=["c"])
    fails(lambda: ParquetRows([numbers, mixed], "y").targets, "'y' is of the types .*in different")
    with pytest.raises(FileNotFoundError, match=r"is a folder: pass the pattern .*\*\.parquet"):
        ParquetRows(tmp_path)
    for path in (tmp_path / "z.parquet", tmp_path / "z*"):
        with pytest.raises(FileNotFoundError, match="There is no Parquet file"):
            ParquetRows(path)
    for place in (-1, 2):
        with pytest.raises(IndexError, match=rf"0 to 1, got \[{place}\]"):
            ParquetRows(numbers)[place]


def test_numbers_of_numpy_and_no_places(tmp_path: Path) -> None:
    path = write_columns(tmp_path / "a.parquet", x=[1.0, 2.0], y=[0, 1])
    rows = ParquetRows(path, "y", buffer_rows=np.int64(10))  # pyright: ignore[reportArgumentType]
    assert rows.__getitems__([]) == []


@pytest.mark.parametrize("n", [1, 3, 5])
def test_files_that_change_are_told(n: int, tmp_path: Path) -> None:
    write(tmp_path, np.zeros((4, 4)), groups=2)
    rows = ParquetRows(tmp_path / "*.parquet", buffer_rows=2)
    write(tmp_path, np.zeros((n, 4)), groups=1)
    fails(lambda: rows[3], "has changed since ParquetRows opened it: open it anew")


def test_pyarrow_is_asked_for(files: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"need pyarrow: install .*'skmetaweight\[parquet\]"):
        ParquetRows(files)
