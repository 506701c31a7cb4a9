"""Rows of Parquet files, read in blocks that are shuffled."""

from __future__ import annotations

import glob
import importlib
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import accumulate
from numbers import Integral
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from skmetaweight._data.dataset_rows import native
from skmetaweight._messages import first_line, import_for, listed, shortened

BLOCKS_AT_ONCE = 16
"""Blocks that the buffer takes, where row groups are small enough."""

ROWS_AT_ONCE = 2**14
"""Rows that are turned from columns into rows at a time, so that they stay in a cache."""


class Block(NamedTuple):
    """Consecutive row groups of a file."""

    path: str
    groups: range
    n_rows: int


class ParquetRows(Dataset[Any]):
    """Rows of Parquet files that need not fit into memory, as a torch Dataset.

    Rows are numbered file by file, by the files' names. Row groups are read as they are needed,
    and the order of an epoch respects that: it takes them in a drawn order, as many as the buffer
    holds, and shuffles the rows of these. Trusted rows among them stay in memory.

    Parameters
    ----------
    files : path-like or list of path-like
        A path, a pattern such as ``"folder/*.parquet"``, or several paths, taken as they come.
    label : str, optional
        The column of the labels; without one, items have none.
    columns : list of str, optional
        Columns of X, of numbers or booleans; by default all but the label and what pandas wrote as
        the index of its rows.
    buffer_rows : int, default=262144
        Rows in memory, shuffled among one another; never fewer than those of a row group.

    Attributes
    ----------
    files : list of str
    columns : list of str
    dtype : numpy.dtype
        The one that holds the numbers of all columns.
    targets : ndarray of shape (n_samples,)
        The column of labels, read when it is first asked for; None without one.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file comes twice, a column is missing or holds anything but numbers, the label is among
        ``columns``, or there are no rows.
    """

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        label: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        buffer_rows: int = 2**18,
    ) -> None:
        self.files = _found(files)
        self.label = label
        self.buffer_rows = buffer_rows
        _check_buffer(buffer_rows)
        footers = [_opened(file) for file in self.files]
        first = _columns_of(footers[0].schema_arrow)
        self.columns = [name for name in first if name != label] if columns is None else [*columns]
        if isinstance(columns, str) or label in self.columns:
            raise ValueError(
                f"columns must be a list of columns of X, without that of the labels, {label!r}; "
                f"got {shortened(columns)}."
            )
        dtypes = [
            _dtype_of(footer.schema_arrow, file, name)
            for footer, file in zip(footers, self.files, strict=True)
            for name in self.columns
        ]
        if not dtypes:
            raise ValueError(f"{self.files[0]} has no columns but {listed(first)}: X needs one.")
        for footer, file in zip(footers, self.files, strict=True):
            _check_columns(footer.schema_arrow, file, [label] if label else [])
        self.dtype = np.result_type(*dtypes)
        target = buffer_rows // BLOCKS_AT_ONCE
        self._blocks = [
            block
            for footer, file in zip(footers, self.files, strict=True)
            for block in _blocks_of(file, footer.metadata, target)
        ]
        self._starts = np.array([0, *accumulate(block.n_rows for block in self._blocks)])
        if not len(self):
            raise ValueError(f"{listed(self.files)} have no rows.")
        self._held: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> Any:
        options = {"label": self.label, "columns": self.columns, "buffer_rows": self.buffer_rows}
        return partial(ParquetRows, **options), (self.files,)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, i: int) -> Any:
        return self.__getitems__([i])[0]

    def __getitems__(self, index: Sequence[int]) -> list[Any]:
        """Return several items at once, as torch's loaders ask for them."""
        places = np.asarray(index, dtype=np.intp)
        rows = self.stacked(places).unbind()
        return list(rows if self.label is None else zip(rows, self.targets[places], strict=True))

    def stacked(self, places: NDArray[np.intp]) -> Tensor:
        """Return X at several places, of shape (n_places, n_columns)."""
        if places.size and not 0 <= places.min() <= places.max() < len(self):
            raise IndexError(f"Rows are numbered 0 to {len(self) - 1}, got {listed(places)}.")
        return torch.from_numpy(native(self._read(places)))

    @cached_property
    def targets(self) -> Any:
        return None if self.label is None else _labels(self.files, self.label)

    def shuffled_places(self, generator: torch.Generator) -> Tensor:
        """Return all places in the order of an epoch.

        Parameters
        ----------
        generator : torch.Generator

        Returns
        -------
        places : Tensor of shape (n_samples,)
        """
        return torch.cat(
            [
                places[torch.randperm(len(places), generator=generator)]
                for places in self._buffers(generator)
            ]
        )

    def _buffers(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield the places of drawn blocks, as many as the buffer holds."""
        drawn: list[Tensor] = []
        for block in torch.randperm(len(self._blocks), generator=generator).tolist():
            start, stop = self._starts[block : block + 2].tolist()
            if drawn and sum(map(len, drawn)) + stop - start > self.buffer_rows:
                yield torch.cat(drawn)
                drawn = []
            drawn.append(torch.arange(start, stop))
        yield torch.cat(drawn)

    def _read(self, places: NDArray[np.intp]) -> NDArray[Any]:
        """Read X; blocks in memory come first, as others may push them out."""
        X = np.empty((len(places), len(self.columns)), self.dtype)
        blocks = np.searchsorted(self._starts, places, side="right") - 1
        for block in sorted(dict.fromkeys(blocks.tolist()), key=lambda i: i not in self._held):
            at = np.flatnonzero(blocks == block)
            X[at] = self._block(block)[places[at] - self._starts[block]]
        return X

    def _block(self, i: int) -> NDArray[Any]:
        with self._lock:
            if i not in self._held:
                block = self._blocks[i]
                most = self.buffer_rows - block.n_rows
                while self._held and sum(map(len, self._held.values())) > most:
                    self._held.popitem(last=False)
                self._held[i] = _content(block, self.columns, self.dtype)
            self._held.move_to_end(i)
            return self._held[i]


def _parquet() -> Any:
    return import_for("Parquet files need", "pyarrow.parquet", extra="parquet")


def _opened(file: str) -> Any:
    try:
        return _parquet().ParquetFile(file)
    except importlib.import_module("pyarrow").ArrowInvalid as error:
        raise ValueError(f"{file} is no Parquet file: {first_line(error)}.") from error


def _found(files: Any) -> list[str]:
    given = [files] if isinstance(files, str | os.PathLike) else list(files)
    found: list[str] = []
    for each in map(os.fspath, given):
        if os.path.isdir(each):
            pattern = os.path.join(each, "*.parquet")
            raise FileNotFoundError(f"{each} is a folder: pass the pattern {pattern!r}.")
        matching = [each] if os.path.isfile(each) else sorted(glob.glob(each, recursive=True))
        if not matching or os.path.isdir(matching[0]):
            raise FileNotFoundError(
                f"There is no Parquet file {each}: pass a path, or a pattern such as "
                "'folder/*.parquet'."
            )
        found += matching
    if not found:
        raise ValueError("files is empty: pass at least one path.")
    twice = [path for path, times in Counter(map(os.path.realpath, found)).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]} would be read twice: name each file once.")
    return found


def _check_buffer(buffer_rows: Any) -> None:
    is_count = isinstance(buffer_rows, Integral) and buffer_rows is not True
    if not is_count or buffer_rows < 1:
        raise ValueError(f"buffer_rows must be a number of rows, got {shortened(buffer_rows)}.")


def _columns_of(schema: Any) -> list[str]:
    """Return the columns without those that pandas keeps the index of its rows in."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in schema.names if name not in index]


def _check_columns(schema: Any, file: str, names: list[str]) -> None:
    for name in names:
        if schema.names.count(name) != 1:
            raise ValueError(
                f"{file} must have one column {name!r}, got the columns {listed(schema.names)}."
            )


def _dtype_of(schema: Any, file: str, name: str) -> np.dtype[Any]:
    """Return the dtype of a column of numbers."""
    _check_columns(schema, file, [name])
    kind, types = schema.field(name).type, importlib.import_module("pyarrow").types
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise ValueError(
            f"Column {name!r} of {file} is of type {kind}, and must be of numbers or booleans: "
            "turn it into numbers, or leave it out with columns=[...]."
        )
    return np.dtype(kind.to_pandas_dtype())


def _blocks_of(file: str, metadata: Any, target: int) -> Iterator[Block]:
    """Yield row groups, as many together as do not exceed a number of rows."""
    start, n_rows = 0, 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if n_rows and n_rows + size > target:
            yield Block(file, range(start, group), n_rows)
            start, n_rows = group, 0
        n_rows += size
    if n_rows:
        yield Block(file, range(start, metadata.num_row_groups), n_rows)


def _content(block: Block, columns: list[str], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read the rows of a block."""
    X = np.empty((block.n_rows, len(columns)), dtype)
    with _parquet().ParquetFile(block.path) as file:
        known = range(file.metadata.num_row_groups)
        sizes = [file.metadata.row_group(i).num_rows for i in block.groups if i in known]
        if sum(sizes) != block.n_rows:
            raise ValueError(f"{block.path} has changed since ParquetRows opened it: open it anew.")
        start = 0
        for part in file.iter_batches(ROWS_AT_ONCE, row_groups=[*block.groups], columns=columns):
            for i, name in enumerate(columns):
                X[start : start + len(part), i] = _numbers(part.column(name), name, block, dtype)
            start += len(part)
    return X


def _numbers(column: Any, name: str, block: Block, dtype: np.dtype[Any]) -> NDArray[Any]:
    if column.null_count and dtype.kind != "f":
        raise ValueError(
            f"Column {name!r} of {block.path} has missing values, which {dtype} cannot hold: write "
            "it as floating-point numbers, or fill them."
        )
    arrow = importlib.import_module("pyarrow")
    cast = column.cast(arrow.from_numpy_dtype(dtype), safe=False)
    return cast.to_numpy(zero_copy_only=False)


def _labels(files: list[str], label: str) -> NDArray[Any]:
    """Read a column; equal values are one object."""
    arrow = importlib.import_module("pyarrow")
    tables = []
    for file in files:
        column = _parquet().read_table(file, columns=[label]).column(label)
        is_encoded = arrow.types.is_dictionary(column.type)
        column = column.cast(column.type.value_type) if is_encoded else column
        if arrow.types.is_nested(column.type):
            raise ValueError(
                f"Column {label!r} of {file} is of type {column.type}, and must have one label in "
                "each row."
            )
        tables.append(arrow.table({label: column}))
    try:
        whole = arrow.concat_tables(tables, promote_options="permissive").column(label)
    except arrow.ArrowTypeError as error:
        types = listed(sorted({str(table.schema.field(label).type) for table in tables}))
        raise ValueError(
            f"Column {label!r} is of the types {types} in different files: write it as one type."
        ) from error
    encoded = whole.combine_chunks().dictionary_encode("encode")
    return np.array(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()]
