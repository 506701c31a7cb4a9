"""Fits on several processes of this machine, as a launcher starts them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skmetaweight import MetaWeightClassifier, TabularMLP
from skmetaweight._training.net import ReweightedNet
from skmetaweight.reweighting import MetaWeightNet
from tests.conftest import Data, noisy_blobs

DATA = Data(*(part[42:163] for part in noisy_blobs(0.4)))  # 103 rows, and 18 trusted ones
WEIGHTS = np.linspace(0.5, 1.5, len(DATA.y))
torch.optim.SGD([nn.Parameter(torch.zeros(1))])  # imports now what each process would for seconds


class Chain(nn.Module):
    """In float64, with batch normalisation; its first parameters need no random state."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.last = nn.Linear(8, 3)
        self.double()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.last(self.second(self.first(X)))


class Residual(Chain):
    """No chain of layers; it has parameters that are not used."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2).double()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        hidden = self.first(X)
        return self.last(hidden + self.second(hidden))


class NoGrad(Residual):
    """Has no derivative in forward mode."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        hidden = self.first(X)
        with torch.no_grad():
            scale = hidden.mean(dim=1, keepdim=True)
        return self.last(hidden * scale + self.second(hidden))


class Straight(nn.Module):
    """Without batch normalisation, so that a batch of one row will do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3).double()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.linear(X)


class Images(nn.Module):
    """Sees three columns as an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 1, 3)),
            nn.Conv2d(1, 4, 2, padding=1),
            nn.BatchNorm2d(4, momentum=None),  # type: ignore[arg-type]
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32, 3),
        ).double()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


class Table(TabularMLP):
    """The default network, in float64."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(3, 3, (8,), dropout, bin_edges=[np.arange(-9.0, 10.0, 3.0)])
        self.double()


class InPieces(Chain):
    """Normalises pieces of a batch apart from each other."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(InPieces, self).forward(piece) for piece in X.chunk(2)])


class Renormed(Straight):
    """Looks signs up in a table whose rows are kept short."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = nn.Embedding(2, 3, max_norm=1.0).double()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.linear(X) + self.signs((X[:, 0] > 0).long())


class LayerDrop(Straight):
    """Leaves a layer out of each pass, or not, as torch's own generator has it."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.linear(X) if torch.rand(()) < 0.5 else X + 0 * self.linear(X)


class Random(nn.Module):
    """A weighting network that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        scores = self.linear(nn.functional.dropout(inputs, 0.5)).squeeze(-1)
        return torch.sigmoid(scores)


def exact(**params: Any) -> dict[str, Any]:
    sgd = {"optimizer": torch.optim.SGD, "lr": 0.1, "meta_share": 0.0, "max_epochs": 2}
    return {"method": MetaWeightNet.paper(), **sgd, **params}


CASES: dict[str, dict[str, Any]] = {
    "mw-net": {"max_epochs": 10},
    "mw-net, class-aware": {
        "method__weighting": "class-aware",
        "class_weight": "balanced",
        "max_epochs": 10,
    },
    "mw-net, all layers": {"method__alignment_layers": "all", "max_epochs": 2},
    "mw-net, no share": {"meta_share": 0.0, "max_epochs": 2},
    "mw-net, default network": {"module": Table, "max_epochs": 2},
    "mw-net, images": {"module": Images, "method__alignment_layers": "all", "max_epochs": 2},
    "mw-net, exact": exact(),
    "mw-net, exact, forward mode": exact(module=Residual),
    "mw-net, exact, double backward": exact(module=NoGrad),
    "fmw-net": {"method": "fmw-net", "method__meta_interval": 3, "max_epochs": 2},
    "fmw-net, no share": {"method": "fmw-net", "meta_share": 0.0, "max_epochs": 2},
    "l2rw": {"method": "l2rw", "max_epochs": 10},
    "l2rw, exact": {"method": "l2rw", "method__memory": 0.0, "max_epochs": 2},
    "lilaw": {"method": "lilaw", "max_epochs": 4},
    "lilaw, no share": {"method": "lilaw", "meta_share": 0.0, "max_epochs": 4},
    "mw-net, lilaw, exact": exact(method=MetaWeightNet(memory=0, weighting="lilaw")),
    "mw-net, cmw": {"method__weighting": "cmw", "max_epochs": 2},
    "uniform": {"method": "uniform", "max_epochs": 2},
    "a last row alone": {"batch_size": 34, "max_epochs": 2},
    "all rows": {"batch_size": -1, "max_epochs": 2},
    "one trusted row": {"module": Straight, "meta_batch_size": 1, "meta_share": 0.0},
    "one trusted row, exact": exact(module=Straight, meta_batch_size=1),
    "stopped early": {"callbacks": EarlyStopping("meta_loss", 1, lower_is_better=False)},
    "going on": {"warm_start": True, "max_epochs": 2},
}


def fitted(name: str, n_processes: int = 1, **params: Any) -> MetaWeightClassifier:
    """Fit a case, with the same batches on any number of processes."""
    shared = {"module": Chain, "max_epochs": 2, "batch_size": 40, "random_state": 0}
    params = {**shared, **params, **CASES[name]}
    if params["batch_size"] > 0:
        params["batch_size"] //= n_processes
    clf = fit(MetaWeightClassifier(**params))
    if clf.warm_start:
        fit(clf).partial_fit(DATA.X, DATA.y, meta_mask=DATA.mask)
    return clf


def fit(clf: Any, **given: Any) -> Any:
    X, y, mask = given.get("X", DATA.X), given.get("y", DATA.y), DATA.mask
    return clf.fit(X, y, meta_mask=mask, sample_weight=WEIGHTS)


def found(clf: MetaWeightClassifier) -> dict[str, np.ndarray]:
    """Return all that a fit has found."""
    net, quality = clf.net_, clf.label_quality()
    reweighter = net.reweighter_
    numbers = [name for name in clf.history_[-1] if name not in ("batches", "dur")]
    parts = {
        **{f"history {name}": clf.history_[:, name] for name in numbers},
        **{f"quality {name}": quality[name] for name in quality},
        **{f"module {name}": value for name, value in net.module_.state_dict().items()},
        "batches": clf.history_[:, "batches", :, ("train_loss", "train_batch_size")],
        "sample_weights_": clf.sample_weights_,
        "predictions": clf.predict_proba(DATA.X),
        "evidence": [
            clf.noise_evidence_,
            clf.weight_strength_,
            clf.temperature_,
            *clf.class_factors_,
        ],
        "epochs": [clf.best_epoch_, clf.n_iter_],
        "mode": reweighter.alignments_.mode == "layer-by-layer",
    }
    if reweighter.memory:
        parts["memory"] = reweighter.memory_.values
    if hasattr(reweighter, "numbers_"):
        parts["numbers"] = reweighter.numbers_
    network = getattr(reweighter, "network_", nn.Identity())
    parts |= {f"weighting {name}": value for name, value in network.state_dict().items()}
    return {
        name: np.asarray(part.cpu() if isinstance(part, torch.Tensor) else part)
        for name, part in parts.items()
    }


# Starting processes ----------------------------------------------------------------------------


def on_processes(n: int, run: Callable[..., Any], *args: Any) -> list[Any]:
    """Call a function in processes as torchrun starts them; None of one that dies."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(n):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(theirs, rank, n, port, run, args))
        process.start()
        theirs.close()
        started.append((process, ours))
    answers = [_received(ours) for _, ours in started]
    for process, _ in started:
        process.join(30)
        process.kill()
    return answers


def _answer(pipe: Any, rank: int, n: int, port: int, run: Callable[..., Any], args: Any) -> None:
    launched = {"RANK": rank, "WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in launched.items()})
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        pipe.send(run(*args))
    except Exception:
        pipe.send(traceback.format_exc())


def _received(pipe: Any) -> Any:
    try:
        return pipe.recv() if pipe.poll(100) else None
    except EOFError:
        return None


# What they run ---------------------------------------------------------------------------------


def fit_cases(names: list[str]) -> dict[str, dict[str, np.ndarray]]:
    size = int(os.environ["WORLD_SIZE"])
    return {name: found(fitted(name, size)) for name in names}


class Fails(Callback):
    """Fails in one of the processes, after two epochs."""

    def __init__(self, *, dies: bool) -> None:
        self.dies = dies

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if os.environ["RANK"] == "1" and net.n_epochs_ == 2:
            if self.dies:
                os._exit(1)
            raise RuntimeError("out of luck")


def said_by(clf: Any, **given: Any) -> str:
    try:
        with parallel_config(backend="threading"):
            fit(clf, **given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def shown_by(clf: MetaWeightClassifier) -> str:
    with redirect_stdout(StringIO()) as shown:
        fit(clf)
    return shown.getvalue()


def refusals() -> dict[str, str]:
    """Return what is said of fits that cannot be, one after the other."""
    rank = int(os.environ["RANK"])
    base = {"module": Chain, "max_epochs": 3, "random_state": 0}
    lazy = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(3))
    search = GridSearchCV(MetaWeightClassifier(**base), {}, n_jobs=2, cv=2, error_score="raise")
    other_y = np.where(DATA.mask, DATA.y, (DATA.y + rank) % 3)
    return {
        "data": said_by(MetaWeightClassifier(**base), y=other_y),
        "parameters": said_by(MetaWeightClassifier(**{**base, "lr": 0.1 + rank})),
        "wrong in one": said_by(MetaWeightClassifier(**{**base, "lr": 0.1 - rank})),
        "random states": said_by(MetaWeightClassifier(**{**base, "random_state": rank or None})),
        "layer drop": said_by(MetaWeightClassifier(**{**base, "module": LayerDrop})),
        "lazy": said_by(MetaWeightClassifier(**{**base, "module": lazy})),
        "checkpoint": said_by(
            MetaWeightClassifier(**{**base, "random_state": None}, checkpoint="folder")
        ),
        "loader": said_by(MetaWeightClassifier(**base, iterator_train__num_workers=0)),
        "embedding": said_by(MetaWeightClassifier(**{**base, "module": Renormed})),
        "rows that mix": said_by(MetaWeightClassifier(**{**base, "module": InPieces})),
        "drift": said_by(MetaWeightClassifier(**base, method__weighting=Random())),
        "search": said_by(search),
        "one that fails": said_by(MetaWeightClassifier(**base, callbacks=Fails(dies=False))),
        "nothing": shown_by(MetaWeightClassifier(**base, verbose=1)),
    }


def in_a_group_of_the_users() -> dict[str, Any]:
    """Fit twice in a process group that was there before; the second time, a process dies."""
    dist.init_process_group("gloo")
    base = {"module": Chain, "max_epochs": 3}
    weights = fit(MetaWeightClassifier(**base)).sample_weights_
    is_there = dist.is_initialized()
    told = said_by(MetaWeightClassifier(**base, callbacks=Fails(dies=True)))
    return {"weights": weights, "is_there": is_there, "told": told}


def fit_kept(folder: Path | None, n_rows: int, dropout: float) -> dict[str, np.ndarray]:
    """Fit with checkpoints, in batches of so many rows in all."""
    batch_size = n_rows // int(os.environ["WORLD_SIZE"])
    base = {"module": Table, "max_epochs": 5, "random_state": 0, "module__dropout": dropout}
    return found(fit(MetaWeightClassifier(**base, batch_size=batch_size, checkpoint=folder)))


def fit_kept_until_one_dies(folder: Path, *args: Any) -> str:
    def mortal(net: ReweightedNet, *args: Any, **kwargs: Any) -> Any:
        if os.environ["RANK"] == "1" and net.n_epochs_ == 4:
            os._exit(1)
        return run(net, *args, **kwargs)

    run, ReweightedNet.run_single_epoch = ReweightedNet.run_single_epoch, mortal
    try:
        fit_kept(folder, *args)
    except ConnectionError as error:
        return f"{error}"
    return ""


class Counted(Callback):
    """Keeps the sizes of the messages of each step."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []
        self.sent: list[int] = []

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        self.sent.clear()

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.steps.append(list(self.sent))


def sent_in_a_step() -> list[int]:
    """Return how many numbers are in the messages of the first step, of 40 rows and 8 trusted."""
    counted, send = Counted(), dist.all_reduce

    def counting(numbers: torch.Tensor) -> None:
        counted.sent.append(numbers.numel())
        send(numbers)

    dist.all_reduce = counting
    fit(MetaWeightClassifier(Chain, batch_size=20, meta_batch_size=8, callbacks=[counted]))
    return counted.steps[0]
