"""ONNX files: they give what ``predict_proba`` gives, or there is none."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from skmetaweight import MetaWeightClassifier, TabularMLP, export_onnx
from tests.conftest import Data, Linear, Softmax, make_data, quick
from tests.ecosystem._frames import make_frame


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(16, 3),
        )

    def forward(self, X: Tensor) -> Tensor:
        return self.layers(X)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(X)).mean(dim=1))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.cat([left, right], dim=1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.gru(X[:, :, None])[0][:, -1])


def squared(outputs: Tensor) -> Tensor:
    return outputs.square() / outputs.square().sum(dim=1, keepdim=True)


DATA = make_data()
IMAGES = np.repeat(DATA.X, 4, axis=1).reshape(-1, 1, 4, 4)
PARTS = {"left": DATA.X[:, :2], "right": DATA.X[:, 2:]}
TEXT = np.abs(DATA.X).astype(np.int64) % 50
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "default network": ({}, DATA.X),
    "float64": ({}, DATA.X.astype(np.float64)),
    "integers": ({}, (10 * DATA.X).astype(np.int32)),
    "no encoding": ({"module__bin_edges": (), "module__batch_norm": False}, DATA.X),
    "as a module": ({"module": TabularMLP(4, 3)}, DATA.X),
    "temperature": ({"temperature": 3.0}, DATA.X),
    "module in float64": ({"module": Linear, "module__dtype": torch.float64}, DATA.X),
    "instance": ({"module": Linear()}, DATA.X),
    "probabilities": ({"module": Softmax, "criterion": nn.NLLLoss}, DATA.X),
    "softened": ({"module": Softmax, "criterion": nn.NLLLoss, "temperature": 2.0}, DATA.X),
    "nonlinearity": ({"predict_nonlinearity": squared, "temperature": 1.5}, DATA.X),
    "images": ({"module": Convolutions}, IMAGES),
    "bytes": ({"module": Convolutions}, np.abs(IMAGES * 10).astype(np.uint8)),
    "tokens": ({"module": Tokens}, TEXT),
    "dict": ({"module": TwoInputs}, PARTS),
    "recurrent": ({"module": Recurrent, "method": "l2rw"}, DATA.X),
}


def session_of(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def given(clf: MetaWeightClassifier, X: Any) -> dict[str, np.ndarray]:
    """Return what the module takes of X."""
    _, rows = clf._net_and_rows(X)
    inputs = rows.take(torch.arange(len(rows))).X
    named = inputs if isinstance(inputs, dict) else {"X": inputs}
    return {name: x.numpy() for name, x in named.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_file_gives_what_predict_proba_gives(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    params, X = CASES[case]
    clf = quick(**params).fit(X, DATA.y, meta_mask=DATA.mask)
    path, generator = tmp_path / "clf.onnx", torch.get_rng_state()
    export_onnx(clf, path)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), generator)
    assert list(tmp_path.iterdir()) == [path]
    session, inputs, expected = session_of(path), given(clf, X), clf.predict_proba(X)
    assert {i.name for i in session.get_inputs()} == set(X if isinstance(X, dict) else ["X"])
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    for n in (1, 2, 5, len(DATA.y)):
        (found,) = session.run(None, {name: x[:n] for name, x in inputs.items()})
        np.testing.assert_allclose(found, expected[:n], rtol=0, atol=1e-5)


def test_mixed_precision_is_left_out(tmp_path: Path) -> None:
    clf = quick(mixed_precision="bfloat16").fit(DATA.X, DATA.y, meta_mask=DATA.mask)
    export_onnx(clf, tmp_path / "clf.onnx")
    (found,) = session_of(tmp_path / "clf.onnx").run(None, {"X": DATA.X})
    clf.net_.autocast_dtype = None
    np.testing.assert_allclose(found, clf.predict_proba(DATA.X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("quantile", [False, True])
def test_a_table(quantile: bool, tmp_path: Path) -> None:
    frame, y, mask = make_frame()
    frame = frame.drop(columns="seen")
    scaling = "quantile" if quantile else "standardize"
    clf = quick(numeric_scaling=scaling).fit(frame, y, meta_mask=mask)
    export_onnx(clf, tmp_path / "clf.onnx")
    session = session_of(tmp_path / "clf.onnx")
    (found,) = session.run(None, given(clf, frame))
    np.testing.assert_allclose(found, clf.predict_proba(frame), rtol=0, atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["feature_names"]) == list(frame.columns)
    assert json.loads(about["classes"]) == clf.classes_.tolist()


LABELS = {
    "numbers": [3, 7, 9],
    "text": ["a", "b", "ß"],
    "booleans": [False, True, True],
    "floats": [0.0, 1.0, 2.0],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_and_names(kind: str, tmp_path: Path, data: Data) -> None:
    y = np.array(LABELS[kind])[data.y]
    clf = quick(max_epochs=1).fit(data.X, y, meta_mask=data.mask)
    export_onnx(clf, tmp_path / "clf.onnx")
    about = session_of(tmp_path / "clf.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == clf.classes_.tolist()
    assert json.loads(about["feature_names"]) is None


RUN = """
import json, sys
import numpy, onnxruntime
path, rows = sys.argv[1:]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
(p,) = session.run(None, {"X": numpy.load(rows)})
assert not {"torch", "sklearn", "skmetaweight"} & sys.modules.keys()
print(json.dumps([classes[i] for i in p.argmax(axis=1)]))
"""


def test_a_process_without_torch_predicts_the_same(tmp_path: Path, data: Data) -> None:
    clf = quick().fit(data.X, np.array(["a", "b", "c"])[data.y], meta_mask=data.mask)
    export_onnx(clf, tmp_path / "clf.onnx")
    np.save(tmp_path / "rows.npy", data.X)
    paths = (str(tmp_path / "clf.onnx"), str(tmp_path / "rows.npy"))
    said = subprocess.run([sys.executable, "-c", RUN, *paths], capture_output=True, check=True)
    assert json.loads(said.stdout) == clf.predict(data.X).tolist()


def test_a_loaded_classifier_is_compared_on_given_rows(tmp_path: Path, data: Data) -> None:
    clf = quick().fit(data.X, data.y, meta_mask=data.mask)
    clf.save(tmp_path / "clf.smw")
    loaded = MetaWeightClassifier.load(tmp_path / "clf.smw")
    with pytest.raises(ValueError, match="pass some as X="):
        export_onnx(loaded, tmp_path / "clf.onnx")
    export_onnx(loaded, tmp_path / "clf.onnx", data.X[:1])
    (found,) = session_of(tmp_path / "clf.onnx").run(None, {"X": data.X})
    np.testing.assert_allclose(found, clf.predict_proba(data.X), rtol=0, atol=1e-5)


class Chooses(Linear):
    def forward(self, X: Tensor) -> Tensor:
        return self.linear(X if X.sum() > 0 else -X)


class Fixed(Linear):
    def forward(self, X: Tensor) -> Tensor:
        return self.linear(torch.tensor(X.tolist(), dtype=X.dtype))


class Random(Linear):
    def forward(self, X: Tensor) -> Tensor:
        return self.linear(X + torch.rand_like(X))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Chooses, "^module=Chooses cannot be exported to ONNX: .*Let its forward"),
        (Fixed, "^module=Fixed does not run in onnxruntime with batches of 1: .*Let its forward"),
        (Random, "^The ONNX file of Random was not kept.*gives the same for the same row"),
    ],
)
def test_what_cannot_be_exported_leaves_the_file_as_it_was(
    module: type, said: str, tmp_path: Path, data: Data, capfd: pytest.CaptureFixture[str]
) -> None:
    clf = quick(module=module).fit(data.X, data.y, meta_mask=data.mask)
    path = tmp_path / "clf.onnx"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=said) as error:
        export_onnx(clf, path)
    assert "\n" not in str(error.value)
    assert (error.value.__cause__ is None) == (module is Random)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"
    assert capfd.readouterr() == ("", "")


OTHERS: dict[str, Callable[[Data], Any]] = {
    "pipeline": lambda data: make_pipeline(StandardScaler(), quick()),
    "class": lambda data: MetaWeightClassifier,
    "nothing": lambda data: None,
}


@pytest.mark.parametrize("other", OTHERS)
def test_anything_else_is_refused(other: str, tmp_path: Path, data: Data) -> None:
    with pytest.raises(TypeError, match=r"takes a MetaWeightClassifier, got .*pass the fitted one"):
        export_onnx(OTHERS[other](data), tmp_path / "clf.onnx")


def test_unfitted(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        export_onnx(quick(), tmp_path / "clf.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    missing: str, tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    clf = quick(max_epochs=1).fit(data.X, data.y, meta_mask=data.mask)
    importlib.import_module("onnxruntime")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"`pip install 'skmetaweight\[onnx\]'`") as error:
        export_onnx(clf, tmp_path / "clf.onnx")
    assert missing in str(error.value.__cause__)


def test_labels_that_json_cannot_hold(tmp_path: Path, data: Data) -> None:
    clf = quick(max_epochs=1).fit(data.X, data.y, meta_mask=data.mask)
    clf.classes_ = np.array([b"a", b"b", b"c"])
    with pytest.raises(ValueError, match=r"cannot write classes as JSON: .*Use numbers, text"):
        export_onnx(clf, tmp_path / "clf.onnx")
    assert not list(tmp_path.iterdir())
