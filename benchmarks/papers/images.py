"""The file of images, and rows of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.data_sets import data_folder

Arrays = dict[str, NDArray]


@lru_cache(maxsize=1)
def load_images(name: str, side: int) -> Arrays:
    """Read `<name>/<name>.npz`: X_train, y_train, X_test, y_test and, if there, y_noisy_worst.

    Images come as bytes, (n, height, width, channels), and leave as bytes with channels first,
    each pixel the mean of a square if they are made smaller.
    """
    with np.load(data_folder() / name / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files if key.startswith(("X_", "y_"))}
    for part in ("X_train", "X_test"):
        arrays[part] = _halved_to(side, np.moveaxis(arrays[part], -1, 1))
    return arrays


def _halved_to(side: int, images: NDArray) -> NDArray[np.uint8]:
    n, channels, height, _ = images.shape
    if height % side:
        raise SystemExit(f"--side {side} must divide the {height} pixels of the images.")
    step = height // side
    squares = images.reshape(n, channels, side, step, side, step)
    return squares.mean(axis=(3, 5)).round().astype(np.uint8)


def draw_balanced(y: NDArray, per_class: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw as many rows of each class."""
    chosen = [rng.permutation(np.flatnonzero(y == label))[:per_class] for label in np.unique(y)]
    if min(map(len, chosen)) < per_class:
        raise SystemExit(f"A class has fewer than the {per_class} images that are to be trusted.")
    return np.sort(np.concatenate(chosen))
