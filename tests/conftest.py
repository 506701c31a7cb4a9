"""Small noisy data, small modules, and a classifier that is quick to fit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import settings
from sklearn.datasets import make_blobs
from torch import nn

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels
from skmetaweight.reweighting import METHODS

QUICK = {"max_epochs": 2, "batch_size": 32, "module__hidden_dims": (8,), "random_state": 0}


settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile("ci")

Fitted = Callable[..., MetaWeightClassifier]


class Data(NamedTuple):
    """Rows of three classes, a quarter of the labels wrong except where the mask is true."""

    X: np.ndarray
    y: np.ndarray
    mask: np.ndarray

    @property
    def X_meta(self) -> np.ndarray:
        return self.X[self.mask]

    @property
    def y_meta(self) -> np.ndarray:
        return self.y[self.mask]


def make_data(n_rows: int = 96, n_trusted: int = 18, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    X, y = make_blobs(n_rows, n_features=4, centers=3, cluster_std=2.0, random_state=seed)
    mask = np.zeros(n_rows, dtype=bool)
    for label in range(3):
        mask[rng.choice(np.flatnonzero(y == label), n_trusted // 3, replace=False)] = True
    wrong = ~mask & (rng.random(n_rows) < 0.25)
    y[wrong] = (y[wrong] + 1) % 3
    return Data(X.astype(np.float32), y, mask)


def noisy_blobs(noise_rate: float, seed: int = 0) -> Data:
    """Make 600 rows of three classes that hardly overlap, the first sixty labels right."""
    rng = np.random.default_rng(seed)
    y, checked = np.arange(600) % 3, np.arange(600) < 60
    X = 3 * np.eye(3)[y] + rng.normal(size=(600, 3))
    noisy, _ = corrupt_labels(y, noise="uniform", noise_rate=noise_rate, random_state=0)
    return Data(X, np.where(checked, y, noisy), checked)


UNCALIBRATED: dict[str, Any] = {"temperature": 1.0, "class_smoothing": 0.0}
"""With these probabilities are the softmax of the outputs."""


def quick(**params: Any) -> MetaWeightClassifier:
    """Make a classifier that fits in a few hundredths of a second."""
    own_module = {"module__hidden_dims"} if params.get("module") is not None else set()
    return MetaWeightClassifier(
        **{name: value for name, value in QUICK.items() if name not in own_module | set(params)},
        **params,
    )


def of_method(method: str, **settings: Any) -> dict[str, Any]:
    """Prefix those of the settings that a method has."""
    known = METHODS[method]().get_params()
    return {f"method__{name}": value for name, value in settings.items() if name in known}


class Linear(nn.Module):
    """A module of a user's own, without batch statistics or random numbers."""

    def __init__(
        self, n_features: int = 4, n_classes: int = 3, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_classes, dtype=dtype)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.linear(X)


class Softmax(Linear):
    """Returns probabilities, as skorch's users do for NLLLoss."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.linear(X), dim=-1)


@pytest.fixture
def data() -> Data:
    return make_data()


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def fitted(data: Data) -> Callable[..., MetaWeightClassifier]:
    """Fit a quick classifier to the data and its mask."""

    def fit(**params: Any) -> MetaWeightClassifier:
        return quick(**params).fit(data.X, data.y, meta_mask=data.mask)

    return fit
