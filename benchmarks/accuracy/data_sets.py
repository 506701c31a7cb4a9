"""The data folder: its index, and its tables.

The folder is named by the environment variable SKMETAWEIGHT_DATA. It holds `index.csv`, with the
columns name, n, d, n_classes, imbalance_ratio and real_noise, and `<name>/<name>.npz` with X, y and
optionally y_noisy (-1: none), y_noisy_aggre, categorical (a mask of columns) and split (0 train,
1 valid, 2 test). Images come as X_train, y_train, X_test, y_test.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REAL = {"real": "y_noisy", "real-mild": "y_noisy_aggre"}
UNUSED = ("crowd_answers", "weak_labels", "feature_names", "target_names", "categories_json")
MIN_CLASS_SIZE = 20
"""Rarer classes are left out: they cannot be split into training, trusted and test rows."""


@dataclass(frozen=True)
class Table:
    X: NDArray
    y: NDArray[np.int64]
    noisy: dict[str, NDArray[np.int64]]
    categorical: NDArray[np.bool_]
    split: NDArray[np.int8] | None


def data_folder() -> Path:
    folder = os.environ.get("SKMETAWEIGHT_DATA")
    if not folder:
        raise SystemExit("Set the environment variable SKMETAWEIGHT_DATA to the data folder.")
    return Path(folder)


@cache
def read_index(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@lru_cache(maxsize=1)
def load_table(folder: Path, task: str) -> Table:
    with np.load(folder / task / f"{task}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files if key not in UNUSED}
    if "X_train" in arrays:
        arrays["X"] = _halve_images(np.concatenate([arrays["X_train"], arrays["X_test"]]))
        arrays["y"] = np.concatenate([arrays["y_train"], arrays["y_test"]])
    X, y = arrays["X"], arrays["y"].astype(np.int64)
    noisy = {noise: arrays[key].astype(np.int64) for noise, key in REAL.items() if key in arrays}
    categorical = arrays.get("categorical", np.zeros(X.shape[1], dtype=bool))
    split = arrays.get("split") if noisy else None  # official ones where the noise is official too
    labels, sizes = np.unique(y[y >= 0], return_counts=True)
    common = labels[sizes >= MIN_CLASS_SIZE]
    kept = np.isin(y, [-1, *common])
    y, *relabelled = (_relabel(column[kept], common) for column in (y, *noisy.values()))
    noisy = dict(zip(noisy, relabelled, strict=True))
    return Table(X[kept], y, noisy, categorical, None if split is None else split[kept])


def _halve_images(images: NDArray) -> NDArray[np.float32]:
    n, height, width = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2)
    return blocks.mean(axis=(2, 4), dtype=np.float32).reshape(n, -1)


def _relabel(y: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(np.isin(y, classes), np.searchsorted(classes, y), -1)
