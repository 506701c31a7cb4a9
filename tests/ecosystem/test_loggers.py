"""Loggers of skorch, each with the library that it writes to."""

from typing import Any

import pytest
from skorch.callbacks import MlflowLogger, TensorBoard, WandbLogger

COLUMNS = {
    "meta_loss",
    "mean_weight",
    "effective_sample_size",
    "share_distrusted",
    "learning_rate",
}


def test_tensorboard(method: str, fitted: Any, tmp_path: Any) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    clf = fitted(method=method, callbacks=[TensorBoard(tensorboard.SummaryWriter(tmp_path))])
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    columns = COLUMNS | ({"fmw_lambda"} if method == "fmw-net" else set())
    assert columns | {"Loss/train_loss"} <= set(events.Tags()["scalars"])
    for name in COLUMNS:
        written = [event.value for event in events.Scalars(name)]
        assert written == pytest.approx(clf.history_[:, name])


@pytest.mark.filterwarnings("ignore:::sqlalchemy", "ignore:::mlflow")
def test_mlflow(method: str, fitted: Any, tmp_path: Any) -> None:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs.db")
    experiment = client.create_experiment("test", (tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment)
    clf = fitted(method=method, callbacks=[MlflowLogger(run=run, client=client)])
    for name in COLUMNS | {"train_loss"}:
        written = [metric.value for metric in client.get_metric_history(run.info.run_id, name)]
        assert written == pytest.approx(clf.history_[:, name])
    assert client.list_artifacts(run.info.run_id)


def test_wandb_offline(method: str, fitted: Any, tmp_path: Any) -> None:
    wandb = pytest.importorskip("wandb")
    with wandb.init(mode="offline", project="test", dir=tmp_path) as run:
        clf = fitted(method=method, callbacks=[WandbLogger(run)])
        written = dict(run.summary)
    for name in COLUMNS | {"train_loss"}:
        assert written[name] == pytest.approx(clf.history_[-1, name])
