"""A saved file in a process of its own, where nothing of its training is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skorch.callbacks import EarlyStopping

from tests.conftest import Fitted, make_data

SCRIPT = Path(__file__).parents[2] / "examples" / "serve_saved_file.py"

# scikit-learn imports pandas and rich by itself where they are installed.
FRESH = """
import sys
absent = {"matplotlib", "pandas", "polars", "rich", "tensorboard", "mlflow", "onnx", "onnxruntime"}
class NotInstalled:
    def find_spec(name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled)
import numpy
from skmetaweight import MetaWeightClassifier
clf = MetaWeightClassifier.load("clf.smw")
X = numpy.load("X.npy")
numpy.save("found.npy", numpy.concatenate([clf.predict_proba(row[None]) for row in X]))
assert not (absent | {"skmetaweight.inspection", "torch._dynamo"}) & sys.modules.keys()
"""


@pytest.mark.filterwarnings("ignore:The file lacks")
def test_nothing_of_the_training_is_needed(fitted: Fitted, tmp_path: Path) -> None:
    data = make_data()
    clf = fitted(callbacks=[EarlyStopping(monitor="meta_loss")])
    clf.save(tmp_path / "clf.smw", rows=False)
    np.save(tmp_path / "X.npy", data.X)
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH], cwd=tmp_path, capture_output=True, text=True
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, clf.predict_proba(data.X), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_example() -> None:
    said = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    rows = [line.strip("|").split("|") for line in said.stdout.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["saved file", "ONNX", "pickled random forest"]
    assert all(re.fullmatch(r"\s*[\d,.]+\s*", cell) for row in rows for cell in row[1:])
    assert not said.stderr
