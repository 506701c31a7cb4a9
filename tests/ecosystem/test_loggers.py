"""Loggers of skorch, each with the library that it writes to."""

from pathlib import Path
from typing import Any

import pytest
import wandb
from skorch.callbacks import MlflowLogger, TensorBoard, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter


@pytest.fixture(autouse=True)
def local_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no library report to its maker, or write outside the test's folder."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))


@pytest.fixture
def columns(method: str) -> set[str]:
    always = {
        "meta_loss",
        "mean_weight",
        "effective_sample_size",
        "share_distrusted",
        "learning_rate",
    }
    own = {
        "fmw-net": {"fmw_lambda"},
        "lilaw": {"lilaw_alpha", "lilaw_beta", "lilaw_delta"},
    }
    return always | own.get(method, set())


def test_tensorboard(method: str, columns: set[str], fitted: Any, tmp_path: Path) -> None:
    clf = fitted(method=method, callbacks=[TensorBoard(SummaryWriter(tmp_path))])
    events = EventAccumulator(str(tmp_path)).Reload()
    assert columns | {"Loss/train_loss"} <= set(events.Tags()["scalars"])
    for name in columns:
        written = [event.value for event in events.Scalars(name)]
        assert written == pytest.approx(clf.history_[:, name], nan_ok=True)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_mlflow(method: str, columns: set[str], fitted: Any, tmp_path: Path) -> None:
    import mlflow  # its telemetry would start with the import

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs.db")
    experiment = client.create_experiment("test", (tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment)
    clf = fitted(method=method, callbacks=[MlflowLogger(run=run, client=client)])
    for name in columns | {"train_loss"}:
        written = [metric.value for metric in client.get_metric_history(run.info.run_id, name)]
        assert written == pytest.approx(clf.history_[:, name], nan_ok=True)
    assert client.list_artifacts(run.info.run_id)


def test_wandb_offline(method: str, columns: set[str], fitted: Any, tmp_path: Path) -> None:
    with wandb.init(mode="offline", project="test", dir=tmp_path) as run:
        clf = fitted(method=method, callbacks=[WandbLogger(run)])
        written = dict(run.summary)
        assert (Path(run.dir) / "best_model.pth").exists()
    for name in columns | {"train_loss"}:
        assert written[name] == pytest.approx(clf.history_[-1, name], nan_ok=True)
