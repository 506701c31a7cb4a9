"""Arrays of images: bytes or not, channels first or not, augmented while the module trains."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.conftest import quick
from tests.test_readme import rst_code

N = 96
MASK = np.arange(N) < 24


def small_network(n_channels: int, n_classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(n_channels, 4, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, n_classes),
    )


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, *shape), dtype=np.uint8)


def labels(n_classes: int = 3) -> np.ndarray:
    return np.arange(N) % n_classes


def augmented(network: nn.Module) -> dict[str, Any]:
    """Return the module that the documentation shows, as parameters of a classifier."""
    names: dict[str, Any] = {}
    (code,) = [block for block in rst_code("data.rst") if "class Augmented" in block]
    exec(compile(code, "data.rst", "exec"), names)
    return {"module": names["Augmented"], "module__network": network}


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (4, 8, 12)])
def test_bytes_are_the_numbers_that_they_are(shape: tuple[int, ...], method: str) -> None:
    X = images(*shape)
    clf = quick(module=small_network(shape[0]), method=method)
    expected = clf.fit(X.astype(np.float32), labels(), meta_mask=MASK).predict_proba(X)
    for same in (X, torch.from_numpy(X), TensorDataset(torch.from_numpy(X))):
        again = clf.fit(same, labels(), meta_mask=MASK).predict_proba(same)
        np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("shape", "cure"),
    [
        ((28, 28), "X[:, None]"),
        ((12, 28), "X[:, None]"),
        ((28, 28, 1), "X.transpose(0, 3, 1, 2)"),
        ((32, 32, 3), "X.transpose(0, 3, 1, 2)"),
        ((8, 12, 4), "X.transpose(0, 3, 1, 2)"),
    ],
)
def test_the_message_mends_images_without_channels_or_with_channels_last(
    shape: tuple[int, ...], cure: str, n_classes: int, dtype: Any
) -> None:
    X, y = images(*shape).astype(dtype), labels(n_classes)
    clf = quick(module=small_network(shape[2] if len(shape) == 3 else 1, n_classes))
    with pytest.raises(ValueError, match="cannot take rows of X") as error:
        clf.fit(X, y, meta_mask=MASK)
    assert f"pass {cure}." in str(error.value)
    clf.fit(eval(cure, {"X": X}), y, meta_mask=MASK)


@pytest.mark.parametrize("shape", [(3, 12, 28), (1, 8, 8)])
def test_images_of_another_layout_than_those_of_fit_are_refused(shape: tuple[int, ...]) -> None:
    X, y = images(*shape), labels()
    clf = quick(module=small_network(shape[0])).fit(X, y, meta_mask=MASK)
    last, other = X.transpose(0, 2, 3, 1), np.concatenate([X, X], axis=1)
    for call in (clf.predict, clf.predict_proba, lambda X: clf.compute_sample_weight(X, y)):
        with pytest.raises(ValueError, match=r"Input X has rows .* X\.transpose\(0, 3, 1, 2\)\.$"):
            call(last)
        with pytest.raises(ValueError, match=r"those of fit had \d in the first place\.$"):
            call(other)
    with pytest.raises(ValueError, match=r"X_meta must .* Input X_meta has rows of shape"):
        clf.fit(X, y, X_meta=last, y_meta=y)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (4, 5, 3)])
def test_modules_without_convolutions_get_no_advice_on_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Check module and its module__\* parameters\.$"):
        quick(module=nn.Linear(7, 3)).fit(images(*shape), labels(), meta_mask=MASK)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 12, 20)])
def test_augmentation_in_the_module(shape: tuple[int, ...], method: str) -> None:
    """Where the bright half tells the class, flips in training leave nothing to be learned."""
    y = np.arange(N) % 2
    X = np.zeros((N, *shape), dtype=np.uint8)
    X[y == 0, :, :, : shape[2] // 2] = X[y == 1, :, :, shape[2] // 2 :] = 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(small_network(shape[0], 8), nn.ReLU(), nn.Linear(8, 2))
    learning = {"method": method, "max_epochs": 8, "lr": 3e-2}
    plain = quick(module=network, **learning).fit(X / np.float32(255), y, meta_mask=MASK)
    flips = quick(**augmented(network), **learning).fit(X, y, meta_mask=MASK)
    assert plain.score(X / np.float32(255), y) == 1
    assert flips.predict_proba(X).max() < 0.9
    np.testing.assert_array_equal(flips.predict_proba(X), flips.predict_proba(X))
    again = quick(**augmented(network), **learning).fit(X, y, meta_mask=MASK)
    np.testing.assert_array_equal(again.predict_proba(X), flips.predict_proba(X))
