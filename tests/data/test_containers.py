"""What X may come in: the result is that of plain arrays, or one sentence says why not."""

import warnings
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from torch import nn
from torch.utils.data import Dataset

from skmetaweight import MetaWeightClassifier
from tests.conftest import Data, Linear, make_data, quick

DATA = make_data()
TABLE = np.round(DATA.X * 8).clip(-100, 100)
torch.manual_seed(0)


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2)
        self.linear = nn.Linear(4, 3)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(X)).flatten(1))


class Codes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(201, 4)
        self.linear = nn.Linear(4, 3)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.linear(self.embedding(codes).mean(dim=1))


class Items(Dataset):
    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


LINEAR, IMAGES, CODES = Linear(), Images(), Codes()


def fit(X: Any, module: Any = None) -> MetaWeightClassifier:
    return quick(module=module, method="uniform").fit(X, DATA.y, meta_mask=DATA.mask)


def probabilities(X: Any, module: Any = None) -> np.ndarray:
    return fit(X, module).predict_proba(X)


def read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.setflags(write=False)
    return X


def memory_map(X: np.ndarray, folder: Path) -> np.ndarray:
    written = np.memmap(folder / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    written[:] = X
    written.flush()
    return np.memmap(folder / "X", dtype=X.dtype, mode="r", shape=X.shape)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "reversed columns": lambda X: np.ascontiguousarray(X[:, ::-1])[:, ::-1],
    "reversed rows": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "every other": lambda X: np.repeat(X, 2, axis=0)[::2],
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "objects": lambda X: X.astype(object),
    "masked": np.ma.masked_array,
}
DTYPES = ["f2", "f4", "f8", "longdouble", "i1", "i2", "i4", "i8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("module", [None, LINEAR], ids=["default", "own"])
def test_layouts_and_dtypes_of_tables(module: Any, layout: str, dtype: str) -> None:
    expected = probabilities(TABLE, module)
    X = LAYOUTS[layout](TABLE.astype(dtype))
    np.testing.assert_allclose(probabilities(X, module), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f4", "i2", ">i4"])
@pytest.mark.parametrize("module", [None, LINEAR], ids=["default", "own"])
def test_memory_maps(module: Any, dtype: str, tmp_path: Path) -> None:
    X = memory_map(TABLE.astype(dtype), tmp_path)
    np.testing.assert_allclose(probabilities(X, module), probabilities(TABLE, module), rtol=1e-5)


UNSIGNED = ["u1", "u2", "u4", "u8", ">u2"]


@pytest.mark.parametrize("dtype", [*UNSIGNED, "?", "i1", "i8", "f4", "O"])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_images_of_any_dtype_reach_a_convolution(dtype: str, as_dataset: bool) -> None:
    images = np.abs(TABLE).reshape(-1, 1, 2, 2) > 9 if dtype == "?" else np.abs(TABLE)
    images = images.reshape(-1, 1, 2, 2)
    expected = probabilities(images.astype(np.float32), IMAGES)
    X = images.astype(dtype)
    X = Items(X) if as_dataset and dtype != "O" else X
    np.testing.assert_allclose(probabilities(X, IMAGES), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [*UNSIGNED, "i2", "i4", "i8", ">i8"])
@pytest.mark.parametrize("wrap", [lambda X: X, lambda X: {"codes": X}, lambda X: Items(X)])
def test_codes_of_any_integer_type_reach_an_embedding(dtype: str, wrap: Any) -> None:
    codes = np.abs(TABLE).astype(np.int64)
    if dtype == "u1" and isinstance(wrap(codes), dict):
        pytest.skip("bytes of a dict are numbers, as in images")
    actual = probabilities(wrap(codes.astype(dtype)), CODES)
    np.testing.assert_array_equal(actual, probabilities(codes, CODES))


MAPPINGS: dict[str, Callable[[np.ndarray], Any]] = {
    "dict": lambda X: {"X": X},
    "UserDict": lambda X: UserDict(X=X),
    "tensors": lambda X: UserDict(X=torch.as_tensor(X)),
    "with a gradient": lambda X: {"X": torch.tensor(X, requires_grad=True)},
    "lists": lambda X: {"X": X.tolist()},
    "Dataset": lambda X: Items([UserDict(X=x) for x in X]),
}


@pytest.mark.parametrize("kind", MAPPINGS)
def test_mappings_are_dicts(kind: str) -> None:
    expected = probabilities(TABLE, LINEAR)
    X = MAPPINGS[kind](TABLE)
    clf = fit(X, LINEAR)
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-5)
    assert 0 <= clf.score(X, DATA.y) <= 1
    assert clf.compute_sample_weight(X, DATA.y).shape == DATA.y.shape
    clf.partial_fit(X, DATA.y, meta_mask=DATA.mask)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
@pytest.mark.parametrize("module", [None, LINEAR], ids=["default", "own"])
def test_tensors(module: Any, dtype: torch.dtype) -> None:
    X = torch.as_tensor(TABLE).to(dtype)
    np.testing.assert_allclose(probabilities(X, module), probabilities(TABLE, module), rtol=1e-5)


class ArrowTable:
    """Has of pyarrow's Table what is asked of it."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.column_names = list(frame.columns)

    def to_pandas(self) -> Any:
        return self.frame


@pytest.mark.parametrize("module", [None, LINEAR], ids=["default", "own"])
def test_frames_of_any_byte_order(module: Any) -> None:
    native = pd.DataFrame(TABLE).add_prefix("x")
    frame = native.astype({"x0": ">f8", "x2": ">f4", "x3": ">i2"})
    expected = probabilities(native, module)
    np.testing.assert_allclose(probabilities(frame, module), expected, rtol=1e-5)
    assert frame["x0"].dtype == ">f8"


@pytest.mark.parametrize("module", [None, LINEAR], ids=["default", "own"])
def test_arrow_tables_are_frames(module: Any) -> None:
    frame = pl.DataFrame(TABLE, schema=list("abcd"))
    clf = fit(ArrowTable(frame), module)
    assert clf.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(
        clf.predict_proba(ArrowTable(frame)), probabilities(frame, module)
    )


RAGGED = [list(row[: 2 + i % 3]) for i, row in enumerate(TABLE)]
REFUSED = {
    "ragged lists": (RAGGED, r"Input X is ragged: row 0 has 2 values and row 1 has 3.*padding"),
    "ragged arrays": (np.array([np.array(r) for r in RAGGED], dtype=object), "X is ragged"),
    "ragged values": ({"X": RAGGED}, "Input X 'X' is ragged"),
    "lazy": (pl.DataFrame(TABLE).lazy(), r"X \(LazyFrame\) .* pass X.collect\(\)"),
    "structured": (np.rec.fromarrays(TABLE.T), r"structured array .*'f0', 'f1'.*DataFrame"),
    "lengths": ({"X": TABLE, "Z": TABLE[:5]}, r"as many rows each, got \{'X': 96, 'Z': 5\}"),
    "names": (pd.DataFrame(TABLE, columns=list("abab")), r"columns of X are named \['a', 'b'\]"),
    "keys": ({0: TABLE}, r"arguments of the module's forward, hence text; got \[0\]"),
    "other argument": ({"Z": TABLE}, "Linear.* cannot take .*keys must be the arguments"),
    "integers of a dict": ({"X": TABLE.astype(int)}, "integers are not cast"),
    "width": (TABLE[:, :3], r"module=Linear.* cannot take .*X of torch.float32 and shape \(2, 3\)"),
    "no rows": (TABLE[:0], r"0 sample\(s\)"),
    "no columns": (TABLE[:, :0], r"0 feature\(s\)"),
    "ragged items": (Items([row[: 3 + i // 50] for i, row in enumerate(TABLE)]), "(stacked|take)"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_is_told(kind: str) -> None:
    X, message = REFUSED[kind]
    clf = quick(module=LINEAR)
    before = dict(vars(clf))
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(X, DATA.y, meta_mask=DATA.mask)
    assert kind == "ragged items" or dict(vars(clf)) == before


@pytest.mark.parametrize(
    ("fitted_on", "given"),
    [
        ({"X": TABLE}, {"Z": TABLE}),
        ({"X": TABLE}, {"X": TABLE, "Z": TABLE}),
        ({"X": TABLE}, TABLE),
        (TABLE, {"X": TABLE}),
        (sp.dok_array(TABLE), {"X": TABLE}),
        ({"X": TABLE}, Items(TABLE)),
        (Items(TABLE), UserDict(X=TABLE)),
    ],
)
def test_other_keys_than_in_fit(fitted_on: Any, given: Any) -> None:
    clf = fit(fitted_on, LINEAR)
    for call in (clf.predict, clf.predict_proba, lambda X: clf.score(X, DATA.y)):
        with pytest.raises(ValueError, match=r"Input X is .*, but X of fit is"):
            call(given)
    with pytest.raises(ValueError, match=r"Input X_meta is .*, but X of fit is"):
        quick(module=LINEAR).fit(fitted_on, DATA.y, X_meta=given, y_meta=DATA.y)


# ------------------------------------------------------------------ modules


class Output:
    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


class WithLogits(Linear):
    def forward(self, X: torch.Tensor) -> Any:
        return Output(super().forward(X))


def test_outputs_with_logits(method: str, data: Data) -> None:
    module = WithLogits()
    module.load_state_dict(LINEAR.state_dict())
    for settings in ({}, {"method__memory": 0} if method != "uniform" else {}):
        known = settings if method in ("mw-net", "l2rw") else {}
        clfs = [quick(module=m, method=method, **known) for m in (module, LINEAR)]
        a, b = (clf.fit(data.X, data.y, meta_mask=data.mask) for clf in clfs)
        np.testing.assert_array_equal(a.predict_proba(data.X), b.predict_proba(data.X))
        np.testing.assert_array_equal(a.sample_weights_, b.sample_weights_)


def frozen() -> nn.Module:
    return Linear().requires_grad_(False)


UNTRAINABLE = {
    "frozen": (frozen, "Linear has only frozen parameters"),
    "empty": (nn.Identity, "Identity has no parameters"),
    "scripted": (lambda: torch.jit.script(Linear()), "TorchScript.*Pass the module that"),
    "traced": (lambda: torch.jit.trace(Linear(), torch.zeros(2, 4)), "TorchScript"),
}


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", UNTRAINABLE)
def test_modules_that_cannot_be_trained(kind: str) -> None:
    make, message = UNTRAINABLE[kind]
    with pytest.raises(ValueError, match=message):
        fit(TABLE, make())


def test_partly_frozen_modules_keep_what_is_frozen() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    module[0].requires_grad_(False)
    trained = fit(TABLE, module).net_.module_
    assert torch.equal(trained[0].weight, module[0].weight)
    assert not torch.equal(trained[2].weight, module[2].weight)


def autocast() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, autocast])
@pytest.mark.parametrize("module", [None, Linear, "instance"])
def test_what_the_caller_switched_off(context: Any, module: Any) -> None:
    is_instance = module == "instance"
    expected = probabilities(TABLE, LINEAR if is_instance else module)
    with context():
        own = Linear() if is_instance else module
        if is_instance:
            own.load_state_dict(LINEAR.state_dict())
        clf = fit(TABLE, own)
        inside = clf.predict_proba(TABLE)
    if context is autocast:  # in which predictions are what the caller wants of them
        inside = clf.predict_proba(TABLE)
    np.testing.assert_array_equal(inside, expected)
    clf.partial_fit(TABLE, DATA.y, meta_mask=DATA.mask)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("method", ["mw-net", "fmw-net", "l2rw"])
def test_autocast_is_asked_for_by_mixed_precision(method: str) -> None:
    rows = (DATA.X, DATA.y)
    with autocast():
        clf = quick(method=method).fit(*rows, meta_mask=DATA.mask)
        weights = clf.compute_sample_weight(*rows)
        reduced = quick(method=method, mixed_precision="bfloat16")
        reduced.fit(*rows, meta_mask=DATA.mask)
    expected = quick(method=method).fit(*rows, meta_mask=DATA.mask)
    np.testing.assert_array_equal(clf.sample_weights_, expected.sample_weights_)
    np.testing.assert_array_equal(weights, expected.compute_sample_weight(*rows))
    assert (reduced.predict_proba(DATA.X) != expected.predict_proba(DATA.X)).any()


NAMES: dict[str, Any] = {
    "numbers": range(4),
    "pairs": pd.MultiIndex.from_product([["a", "b"], [0, 1]]),
    "times": pd.date_range("2026-01-01", periods=4),
}


@pytest.mark.parametrize("kind", NAMES)
def test_columns_whose_names_are_no_text_keep_their_places(kind: str) -> None:
    frame = pd.DataFrame(DATA.X, columns=NAMES[kind])
    clf = quick().fit(frame, DATA.y, meta_mask=DATA.mask)
    plain = clf.predict_proba(DATA.X)
    np.testing.assert_array_equal(clf.predict_proba(frame), plain)
    moved = frame.iloc[:, [0, 3, 2, 1]]
    with pytest.raises(ValueError, match=r"should match those of fit.*column 1 of X is"):
        clf.predict(moved)
    with pytest.raises(ValueError, match=r"X_meta must go through the same.*column 1 of X is"):
        quick().fit(frame, DATA.y, X_meta=moved, y_meta=DATA.y)
    clf.fit(moved, DATA.y, meta_mask=DATA.mask)
    assert clf.predict_proba(moved).shape == plain.shape


@pytest.mark.parametrize("wanted", ["pandas", "polars"])
@pytest.mark.parametrize("scaling", ["standardize", "quantile"])
def test_transformers_of_ours_return_arrays(wanted: str, scaling: str) -> None:
    frame = pd.DataFrame(DATA.X, columns=list("abcd")).assign(k=np.where(DATA.y, "u", "v"))
    frame.iloc[3:9, 1] = np.nan
    expected = quick(numeric_scaling=scaling).fit(frame, DATA.y, meta_mask=DATA.mask)
    plain = quick(numeric_scaling=scaling).fit(DATA.X, DATA.y, meta_mask=DATA.mask)
    lacking = np.where(np.arange(4) == 2, np.nan, DATA.X)
    by_plain = plain.predict_proba(lacking)
    plain = quick(numeric_scaling=scaling).fit(DATA.X, DATA.y, meta_mask=DATA.mask)
    with config_context(transform_output=wanted), warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        clf = quick(numeric_scaling=scaling).fit(frame, DATA.y, meta_mask=DATA.mask)
        found = clf.predict_proba(frame)
        np.testing.assert_array_equal(plain.predict_proba(lacking), by_plain)
    np.testing.assert_array_equal(found, expected.predict_proba(frame))


class Exhausted(Linear):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError


def test_lack_of_memory_stays_what_it_is() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        fit(TABLE, Exhausted())
