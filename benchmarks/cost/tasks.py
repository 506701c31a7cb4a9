"""What is trained: networks, and data of the right shape with a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from skmetaweight import TabularMLP

N_FEATURES = 54
N_CLASSES = 7
LEARNING_RATE = 1e-3
LOOKAHEAD_LR = 0.1


@dataclass(frozen=True)
class Task:
    """A network, training rows and trusted rows, and how they are batched."""

    make_module: Callable[[], nn.Module]
    X: np.ndarray
    y: np.ndarray
    X_meta: np.ndarray
    y_meta: np.ndarray
    batch_size: int
    device: str = "cpu"

    @property
    def n_steps(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def new_module(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make_module()

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        arrays = (self.X, self.y, self.X_meta, self.y_meta)
        return tuple(torch.from_numpy(array).to(self.device) for array in arrays)


def mlp(
    n_features: int = N_FEATURES, n_classes: int = N_CLASSES, width: int = 256
) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_features, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, n_classes),
    )


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, N_CLASSES),
    )


class Transformer(nn.Module):
    """Two encoder layers over sequences of 16 vectors of 8 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, N_CLASSES)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(X)).mean(dim=1))


Model = tuple[Callable[[], nn.Module], tuple[int, ...], int]
"""How to make the module, the shape of a row, the batch size."""

USUAL: dict[str, Model] = {
    "mlp-256": (mlp, (N_FEATURES,), 256),
    "mlp-1024": (mlp, (N_FEATURES,), 1024),
    "tabular-mlp": (partial(TabularMLP, N_FEATURES, N_CLASSES), (N_FEATURES,), 256),
    "cnn": (cnn, (1, 28, 28), 256),
    "transformer": (Transformer, (16, 8), 256),
}
LARGE: dict[str, Model] = {
    f"mlp-{size}": (partial(mlp, width=width), (N_FEATURES,), 256)
    for size, width in {"1e6": 968, "1e7": 3_130, "1e8": 9_968}.items()
}
"""Perceptrons of so many parameters."""

MODELS = USUAL | LARGE


def make_data(
    n_rows: int, shape: tuple[int, ...], n_classes: int = N_CLASSES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian rows with a linear signal; a fifth of the labels is drawn at random."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, *shape), dtype=np.float32)
    directions = np.random.default_rng(1).standard_normal((int(np.prod(shape)), n_classes))
    y = (X.reshape(n_rows, -1) @ directions.astype(np.float32)).argmax(axis=1)
    noisy = rng.random(n_rows) < 0.2
    y[noisy] = rng.integers(n_classes, size=noisy.sum())
    y[:n_classes] = np.arange(min(n_classes, n_rows))  # every class occurs
    return X, y


def make_task(model: str, n_steps: int, device: str = "cpu", batch_size: int = 0) -> Task:
    """Make a task of the table above whose epoch has a given number of steps."""
    make_module, shape, usual_batch_size = MODELS[model]
    batch_size = batch_size or usual_batch_size
    X, y = make_data(n_steps * batch_size, shape)
    X_meta, y_meta = make_data(2 * batch_size, shape, seed=2)
    return Task(make_module, X, y, X_meta, y_meta, batch_size, device)
