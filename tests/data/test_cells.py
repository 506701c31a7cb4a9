"""Rows with nested or missing cells are refused by name."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from torch.utils.data import Dataset

from skmetaweight._data.cells import refuse_complex, refuse_nested, refuse_ragged
from tests.conftest import Data, Linear, quick

NESTED = [[1.0, 2.0], (1, 2), {"a": 1}, {1, 2}, np.ones(2), []]


@pytest.mark.parametrize("value", NESTED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("share", [0.02, 1.0])
@pytest.mark.parametrize("module", [None, Linear])
def test_several_values_in_a_cell(value: Any, share: float, module: Any, data: Data) -> None:
    frame = pd.DataFrame(data.X, columns=list("abcd")).astype({"b": object})
    for row in range(int(share * len(frame))):
        frame.at[row, "b"] = value
    clf = quick(module=module)
    with pytest.raises(ValueError, match=r"Input X has several values in one cell of column 'b'"):
        clf.fit(frame, data.y, meta_mask=data.mask)
    array = frame.to_numpy()
    with pytest.raises(ValueError, match=r"Input X has several values in one cell of an array"):
        clf.fit(array, data.y, meta_mask=data.mask)
    plain = pd.DataFrame(data.X, columns=list("abcd"))
    meta = frame[data.mask | (np.arange(96) == 0)]
    with pytest.raises(ValueError, match=r"Input X_meta has several values in one cell of column"):
        clf.fit(plain, data.y, X_meta=meta, y_meta=np.resize([0, 1, 2], len(meta)))


def test_lists_of_polars() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [[1], [2, 3]]})
    with pytest.raises(ValueError, match=r"several values in one cell of column 'b', e\.g\. \[1\]"):
        refuse_nested(frame)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        ([[1, 2], [3]], "row 0 has 2 values and row 1 has 1 values"),
        ([(1, 2), (3, 4), (5, 6, 7)], "row 0 has 2 values and row 2 has 3 values"),
        ([np.ones(2), np.ones(3)], "row 0 has 2 values and row 1 has 3 values"),
        ([[1, 2], 3], "row 0 has 2 values and row 1 has one value of its own"),
    ],
)
def test_ragged_rows(X: Any, said: str) -> None:
    as_array = np.empty(len(X), dtype=object)
    as_array[:] = X
    for given in (X, as_array):
        with pytest.raises(ValueError, match=f"Input X is ragged: {said}. Give all rows the same"):
            refuse_ragged(given)


PLAIN = ([[1, 2], [3, 4]], [["a", 1.0]], np.eye(3), np.array([["a", None]], dtype=object))


@pytest.mark.parametrize("X", PLAIN, ids=lambda X: type(X).__name__)
def test_only_what_is_nested_or_ragged_is_refused(X: Any) -> None:
    for check in (refuse_nested, refuse_ragged, lambda X: refuse_complex(X, "X")):
        assert check(X) is None
        assert check(pd.DataFrame(X)) is None
    nested = np.array(X, dtype=object)
    nested[0, 1] = [1]
    with pytest.raises(ValueError, match="several values in one cell of an array"):
        refuse_nested(nested)
    with pytest.raises(ValueError, match="several values in one cell of column 1"):
        refuse_nested(pd.DataFrame(nested))
    with pytest.raises(ValueError, match="row 1 has 1 values"):
        refuse_ragged([*map(list, X[:1]), [3]])


COMPLEX = np.ones((96, 4)) + 1j


class Items(Dataset):
    def __len__(self) -> int:
        return 96

    def __getitem__(self, i: int) -> Any:
        return COMPLEX[i]


@pytest.mark.parametrize(
    "X",
    [
        COMPLEX,
        COMPLEX.real.astype(np.complex64),
        COMPLEX.tolist(),
        pd.DataFrame(COMPLEX),
        sparse.csr_array(COMPLEX),
        torch.as_tensor(COMPLEX),
        {"X": COMPLEX},
        Items(),
    ],
    ids=lambda X: type(X).__name__,
)
def test_complex_numbers(X: Any, data: Data) -> None:
    for module in [Linear] if isinstance(X, dict | Items) else [None, Linear]:
        with pytest.raises(ValueError, match=r"^Complex data not supported: Input X .* real and"):
            quick(module=module).fit(X, data.y, meta_mask=data.mask)


def test_complex_labels_and_weights(data: Data) -> None:
    fit = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    for name in ("y", "sample_weight"):
        for values in (data.y + 1j, (data.y + 1j).tolist(), pd.Series(data.y + 1j)):
            with pytest.raises(ValueError, match=f"Input {name} has complex numbers. Pass real"):
                quick().fit(**{**fit, name: values})


def test_masked_values(data: Data) -> None:
    fit = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    for name in ("X", "y"):
        masked = np.ma.masked_greater(fit[name], 1)
        with pytest.raises(ValueError, match=f"Input {name} has masked values: fill"):
            quick().fit(**{**fit, name: masked})
        quick(max_epochs=1).fit(**{**fit, name: np.ma.masked_array(fit[name])})
