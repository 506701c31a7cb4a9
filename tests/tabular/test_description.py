"""The description of a table's encoding, followed by the encoder of the documentation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from skmetaweight import MetaWeightClassifier, export_onnx
from skmetaweight._tabular.description import described
from tests.conftest import quick
from tests.test_readme import rst_code

pytestmark = pytest.mark.filterwarnings("ignore:.*(absurdly far|No category is known|unknown)")
N_ROWS = 120


def documented() -> Callable[[np.ndarray, dict[str, Any]], np.ndarray]:
    names: dict[str, Any] = {}
    (code,) = [block for block in rst_code("saving.rst") if "def encode" in block]
    exec(compile(code, "saving.rst", "exec"), names)
    return names["encode"]


encode = documented()


def column(kind: str, rng: np.random.Generator) -> Any:
    """Return a column of numbers or categories."""
    numbers = rng.normal(size=N_ROWS)
    match kind:
        case "numbers":
            return numbers
        case "gaps":
            return np.where(rng.random(N_ROWS) < 0.3, np.nan, numbers)
        case "times":
            return 1.7e15 + 1e4 * numbers
        case "tiny":
            return 1e-35 * numbers
        case "nothing":
            return np.full(N_ROWS, np.nan)
        case "constant":
            return np.ones(N_ROWS)
        case "wild":
            return np.where(np.arange(N_ROWS) == 5, 1e20, numbers)
        case "text":
            return rng.choice(np.array(["a", "b", "ß", None], dtype=object), N_ROWS)
        case "categories":
            return pd.Categorical(rng.choice([3, 5, 8], N_ROWS))
        case _:
            return pd.Series(rng.choice([True, False, None], N_ROWS), dtype="boolean")


KINDS = ("numbers", "gaps", "times", "tiny", "nothing", "constant", "wild", "text", "categories")


def table(seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kinds = [*rng.choice([*KINDS, "truth"], rng.integers(1, 7)), ("numbers", "text")[seed % 2]]
    frame = pd.DataFrame({f"{kind}{i}": column(kind, rng) for i, kind in enumerate(kinds)})
    return frame, np.arange(N_ROWS) % 3, np.arange(N_ROWS) % 10 < 3


def altered(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """Return rows with missing values everywhere, and values that no training row had."""
    rng = np.random.default_rng(seed)
    rows = frame.astype(object).to_numpy(na_value=None)
    rows[rng.random(rows.shape) < 0.1] = None
    for i, name in enumerate(frame):
        rows[7, i] = "new" if name.startswith("text") else rows[8, i]
        if name.startswith(("numbers", "gaps", "wild")):
            rows[9:12, i] = [-1e3, 1e3, 3]
    return rows


def as_frame(rows: np.ndarray, like: pd.DataFrame) -> pd.DataFrame:
    """Return rows as a frame of the dtypes of another."""
    frame = pd.DataFrame(rows, columns=like.columns)
    return frame.astype({name: d for name, d in like.dtypes.items() if d.kind in "fb"})


def fitted(seed: int, scaling: str) -> tuple[MetaWeightClassifier, pd.DataFrame]:
    frame, y, mask = table(seed)
    clf = quick(max_epochs=1, numeric_scaling=scaling)
    return clf.fit(frame, y, meta_mask=mask), frame


@pytest.mark.parametrize("scaling", ["standardize", "quantile"])
@pytest.mark.parametrize("seed", range(40))
def test_the_documented_encoder_does_what_the_classifier_does(seed: int, scaling: str) -> None:
    clf, frame = fitted(seed, scaling)
    description = described(clf._table, clf.net_.module_.standardize.mean.numpy())
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    rows = altered(frame, seed)
    _, inside = clf._net_and_rows(as_frame(rows, frame))
    found, expected = encode(rows, description), inside.X.numpy()
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "string", "category", "object"])
def test_the_documented_line_takes_frames_of_any_dtype(dtype: str) -> None:
    values = [1, 0, None] if dtype in ("Int64", "Float64", "boolean") else ["a", "b", None]
    columns = {"number": np.arange(90.0), "given": pd.array(values * 30, dtype=dtype)}
    frame = pd.DataFrame(columns)
    clf = quick(max_epochs=1).fit(frame, np.arange(90) % 2, meta_mask=np.arange(90) % 9 < 3)
    description = described(clf._table, clf.net_.module_.standardize.mean.numpy())
    (code,) = [block for block in rst_code("saving.rst") if "rows = encode(" in block]
    names = {"frame": frame, "encode": encode, "about": {"encoding": description}}
    exec(compile(code, "saving.rst", "exec"), names)
    _, inside = clf._net_and_rows(frame)
    np.testing.assert_allclose(names["rows"], inside.X.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaps", "text", "numbers"])
def test_a_file_gives_what_predict_proba_gives(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"first": column("numbers", rng), "second": column(kind, rng)})
    clf = quick().fit(frame, np.arange(N_ROWS) % 3, meta_mask=np.arange(N_ROWS) % 10 < 3)
    export_onnx(clf, tmp_path / "clf.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "clf.onnx")
    about = session.get_modelmeta().custom_metadata_map
    rows = altered(frame.rename(columns={"second": kind}), 1)
    given = {"X": encode(rows, json.loads(about["encoding"]))}
    (found,) = session.run(None, given)
    expected = clf.predict_proba(as_frame(rows, frame))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
