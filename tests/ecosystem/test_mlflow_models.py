"""Fitted classifiers as models of MLflow."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from skmetaweight import export_onnx
from tests.conftest import Data, Fitted

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]


@pytest.fixture(autouse=True)
def mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Import MLflow where it may write, and reports nothing to its maker."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.chdir(tmp_path)
    import mlflow.onnx
    import mlflow.sklearn

    return mlflow


@pytest.mark.parametrize("serialization_format", ["cloudpickle", "pickle"])
def test_scikit_learn_flavour(
    serialization_format: str, mlflow: Any, fitted: Fitted, data: Data
) -> None:
    clf = fitted()
    given = {"serialization_format": serialization_format, "pip_requirements": []}
    mlflow.sklearn.save_model(clf, "model", **given)
    other = mlflow.sklearn.load_model("model")
    np.testing.assert_array_equal(other.predict_proba(data.X), clf.predict_proba(data.X))
    served = mlflow.pyfunc.load_model("model")
    np.testing.assert_array_equal(served.predict(data.X), clf.predict(data.X))


def test_onnx_flavour(mlflow: Any, fitted: Fitted, data: Data) -> None:
    clf = fitted()
    export_onnx(clf, "clf.onnx")
    mlflow.onnx.save_model(onnx.load("clf.onnx"), "model", pip_requirements=[])
    found = mlflow.pyfunc.load_model("model").predict(data.X)["probabilities"]
    np.testing.assert_allclose(found, clf.predict_proba(data.X), rtol=0, atol=1e-5)
