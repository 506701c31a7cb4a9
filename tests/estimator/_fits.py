"""Fits that can be cut off, importable in another process."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which the first optimiser of a process imports, in seconds
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler, ParamMapper
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR
from torch.utils.data import Dataset, WeightedRandomSampler

from skmetaweight import MetaWeightClassifier
from tests.conftest import Linear, make_data, quick
from tests.ecosystem._frames import make_frame
from tests.reweighting._cases import METHOD_CASES

N_EPOCHS = 5

ENOUGH = 10
"""Epochs from which on weights are to be confirmed."""

DATA = make_data()


class Noisy(nn.Module):
    """Draws from torch's own generator, has batch statistics, and a count that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        self.register_buffer("n_passes", torch.zeros(()), persistent=False)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.n_passes += 1
        return self.layers(X) + 0.01 * self.n_passes.sin()


class Augmented(Dataset):
    """Adds noise in the workers of a loader."""

    def __len__(self) -> int:
        return len(DATA.X)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(DATA.X[i]) + 0.01 * torch.randn(4), int(DATA.y[i])


class Slower(Callback):
    """Lowers the learning rate after some epochs, which it counts."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.losses: list[float] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.losses.append(net.history[-1, "train_loss"])
        for group in net.optimizer_.param_groups:
            group["lr"] = 0.01 / len(self.losses) * min(self.losses)


class Deep(Callback):
    """Has more than plain values, and says what it is."""

    def __init__(self) -> None:
        self.queue = iter([])
        self.n = 0

    def state_dict(self) -> dict[str, int]:
        return {"n": self.n}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.n = state["n"]

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.n += 1
        for group in net.optimizer_.param_groups:
            group["lr"] = 0.01 / self.n


def masked(**params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return params, {"X": DATA.X, "y": DATA.y, "meta_mask": DATA.mask}


def of_frame(**params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    frame, y, mask = make_frame()
    return params, {"X": frame.drop(columns="seen"), "y": y, "meta_mask": mask}


def of_dataset(**params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    params = {"module": Noisy, "iterator_train__num_workers": 2, "max_epochs": 4, **params}
    return params, {"X": Augmented(), "X_meta": DATA.X_meta, "y_meta": DATA.y_meta}


def weighted(**params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    params, given = masked(**params)
    return params, {**given, "sample_weight": np.linspace(0.5, 2, len(DATA.y))}


def seeded(module: type[nn.Module], **params: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return module(**params)


def sampler() -> WeightedRandomSampler:
    return WeightedRandomSampler([1.0] * 70, 64, generator=torch.Generator().manual_seed(3))


def by_callback(*callbacks: Any, **params: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return masked(callbacks=list(callbacks), lr_schedule="constant", **params)


Scene = Callable[[], tuple[dict[str, Any], dict[str, Any]]]

SCENES: dict[str, Scene] = {
    **{
        name: lambda case=case: masked(method=case.make(), max_epochs=ENOUGH)
        for name, case in METHOD_CASES.items()
    },
    "few epochs": masked,
    "evidence that falls": lambda: masked(max_epochs=ENOUGH, random_state=1),
    "best epoch long ago": lambda: masked(lr=0.1, lr_schedule="constant", random_state=2),
    "no share": lambda: masked(meta_share=0.0, meta_batch_size=5),
    "small meta batches": lambda: masked(meta_batch_size=5),
    "last epoch kept": lambda: masked(early_stopping=False, temperature=2.0),
    "table": of_frame,
    "table by quantiles": lambda: of_frame(numeric_scaling="quantile"),
    "weights": lambda: weighted(class_weight="balanced"),
    "own module": lambda: masked(module=Noisy),
    "an instance": lambda: masked(module=seeded(Linear), method="l2rw"),
    "loader": lambda: masked(module=Noisy, iterator_train__drop_last=True),
    "sampler": lambda: masked(iterator_train__sampler=sampler(), method="fmw-net"),
    "loader workers": of_dataset,
    "milestones": lambda: masked(
        optimizer=torch.optim.SGD, optimizer__momentum=0.9, lr=0.1, lr_schedule=(2, 4)
    ),
    "ASGD": lambda: masked(optimizer=torch.optim.ASGD),
    "bfloat16": lambda: masked(mixed_precision="bfloat16"),
    "float64": lambda: masked(module=seeded(Linear, dtype=torch.float64)),
    "early stopping": lambda: by_callback(
        EarlyStopping("meta_loss", patience=2, threshold=0.2, load_best=True), lr=0.1, max_epochs=8
    ),
    "plateau": lambda: by_callback(
        LRScheduler("ReduceLROnPlateau", monitor="meta_loss", patience=0), lr=0.1
    ),
    "steps": lambda: by_callback(LRScheduler(MultiStepLR, milestones=[2, 4], gamma=0.5)),
    "cycle": lambda: by_callback(
        LRScheduler(OneCycleLR, max_lr=0.1, total_steps=3 * N_EPOCHS, step_every="batch")
    ),
    "scores": lambda: by_callback(
        EpochScoring("accuracy", name="acc", lower_is_better=False),
        EarlyStopping("acc", lower_is_better=False, patience=4),
    ),
    "frozen for a while": lambda: by_callback(
        ParamMapper("linear.bias", lambda p: p.requires_grad_(False), at=2),
        ParamMapper("linear.bias", lambda p: p.requires_grad_(True), at=4),
        module=Linear,
    ),
    "own callback": lambda: by_callback(Slower()),
    "own callback with a state": lambda: by_callback(Deep()),
    "no callbacks": lambda: masked(callbacks="disable"),
}


def fit(name: str, **params: Any) -> MetaWeightClassifier:
    """Fit what a scene says, in objects that nobody else has."""
    own, given = SCENES[name]()
    return quick(**{"max_epochs": N_EPOCHS, **own, **params}).fit(**given)


def fit_and_tell(name: str, folder: str, begun: Any, result: str, n_epochs: int) -> None:
    """Fit in a process that may be killed; write what predictions and weights are."""
    multiprocessing.set_start_method("fork", force=True)  # of the workers of a loader
    torch.set_num_threads(1)
    begun.set()
    clf = fit(name, checkpoint=folder, max_epochs=n_epochs)
    Path(result).write_bytes(pickle.dumps(told(clf)))


def told(clf: Any) -> list[Any]:
    history = [{**epoch, "dur": 0} for epoch in clf.history_]
    parameters = {k: v.numpy().tobytes() for k, v in clf.net_.module_.state_dict().items()}
    factors = clf.class_factors_.tolist()
    return [clf.sample_weights_.tolist(), clf.temperature_, factors, repr(history), parameters]
