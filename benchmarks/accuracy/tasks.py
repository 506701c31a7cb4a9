"""What is learned: a data set, a kind of label noise, some trusted rows, a seed.

The data folder is named by the environment variable SKMETAWEIGHT_DATA. It holds `index.csv`, with
the columns name, n, d, n_classes, imbalance_ratio and real_noise, and `<name>/<name>.npz` with X,
y and optionally y_noisy (-1: none), y_noisy_aggre, categorical (a mask of columns) and split
(0 train, 1 valid, 2 test). Images come as X_train, y_train, X_test, y_test.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmetaweight.datasets import corrupt_labels, make_long_tailed

DEVELOPMENT = (
    "adult",
    "letter",
    "satimage",
    "phoneme",
    "dry_bean",
    "forest_cover",
    "music_genre",
    "weak_hausa",
    "wrench_trec",
    "crowdsourced_mapping",
    "cifar10n_features",
)
SIMULATED = ("none", "uniform", "pair", "feature-dependent")
REAL = {"real": "y_noisy", "real-mild": "y_noisy_aggre"}
NATURALLY_IMBALANCED = ("mammography", "ai4i2020", "page_blocks", "shuttle", "nursery", "sick")
LONG_TAILED = ("long-tailed", "long-tailed-balanced-meta")
IMBALANCED = (*LONG_TAILED, "natural-imbalance")
"""Right labels all of them; scored by balanced accuracy."""
UNUSED = ("crowd_answers", "weak_labels", "feature_names", "target_names", "categories_json")
MILD = {"uniform-10": 0.1, "uniform-20": 0.2, "uniform-30": 0.3}
NOISES = (*SIMULATED, *MILD, *IMBALANCED, *REAL)
NOISE_RATE = 0.4
IMBALANCE_RATIO = 50
MAX_TEST_ROWS = 8_000
MAX_TRAINING_ROWS = {"cifar10n_features": 10_000}
MIN_CLASS_SIZE = 20
"""Rarer classes are left out: they cannot be split into training, trusted and test rows."""


class InfeasibleError(Exception):
    """The data set has too few rows for the setting."""


@dataclass(frozen=True)
class Setting:
    """What the methods share; the seed decides the split, the trusted rows and the noise."""

    task: str
    noise: str
    n_meta: int
    seed: int
    max_rows: int


@dataclass(frozen=True)
class Problem:
    """Rows that are ready for any classifier; labels are 0, 1, ..., n_classes - 1."""

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    X_meta: NDArray[np.float32]
    y_meta: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    n_classes: int
    is_right: NDArray[np.bool_] | None
    """Whether each training label is right, where that is known."""

    def union(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Return training and trusted rows together, and which of them are trusted."""
        trusted = np.repeat([False, True], [len(self.y), len(self.y_meta)])
        return np.r_[self.X, self.X_meta], np.r_[self.y, self.y_meta], trusted


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


def task_names(which: str) -> list[str]:
    """Return the tasks of the "development" or the "confirmation" set that are in the folder."""
    names = read_index(data_folder())
    return [name for name in names if (name in DEVELOPMENT) == (which == "development")]


def noises_of(task: str) -> list[str]:
    """Return the kinds of noise that make sense for a task."""
    row = read_index(data_folder())[task]
    is_real = row["real_noise"] == "True"
    noises = ["real"] if is_real else [*SIMULATED, *MILD]
    if task == "cifar10n_features":
        noises.append("real-mild")
    if int(row["n_classes"]) == 2 and not is_real:
        noises.remove("pair")  # the same as uniform
    if float(row["imbalance_ratio"]) < 1.5 and int(row["n"]) >= 3_000:
        noises += LONG_TAILED
    if task in NATURALLY_IMBALANCED:
        noises.append("natural-imbalance")
    return noises


def max_rows_of(task: str) -> int:
    return MAX_TRAINING_ROWS.get(task, 4_000)


def expected_size(setting: Setting) -> tuple[int, int, int]:
    """Return about how many training rows, features and classes there are, without loading."""
    row = read_index(data_folder())[setting.task]
    available = int(0.6 * int(row["n"]))
    if setting.noise in LONG_TAILED:
        available //= 3
    return min(available, setting.max_rows), int(row["d"]), int(row["n_classes"])


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


@lru_cache(maxsize=1)
def prepare(setting: Setting) -> Problem:
    """Split, add noise and preprocess.

    The test rows depend on the data set and the seed only, so that methods, kinds of noise and
    numbers of trusted rows are compared on the same ones.
    """
    table = load_table(data_folder(), setting.task)
    rng_split, rng_meta, rng_train = (np.random.default_rng([setting.seed, i]) for i in range(3))
    pool, meta_pool, test = _split(table, setting, rng_split)
    if setting.noise == "long-tailed":
        pool = meta_pool = _tail(pool, table.y, setting.seed)
    meta = draw_stratified(meta_pool, table.y[meta_pool], setting.n_meta, rng_meta)
    pool, test = np.setdiff1d(pool, meta), np.setdiff1d(test, meta)
    if setting.noise == "long-tailed-balanced-meta":
        pool = _tail(pool, table.y, setting.seed)
    train = rng_train.permutation(pool)[: setting.max_rows]
    test = rng_split.permutation(test)[:MAX_TEST_ROWS]

    preprocess = _preprocessor(table, train)
    X, X_meta, X_test = (preprocess(rows) for rows in (train, meta, test))
    y, is_right = _labels(table, setting, train, X)
    y_meta, y_test = table.y[meta], table.y[test]
    return Problem(X, y, X_meta, y_meta, X_test, y_test, int(table.y.max()) + 1, is_right)


def _split(table: Table, setting: Setting, rng: np.random.Generator) -> tuple[NDArray, ...]:
    """Return the rows to train on, those to draw trusted rows from, and those to test on."""
    known = np.flatnonzero(table.y >= 0)
    if table.split is None:
        share = min(0.4, MAX_TEST_ROWS / len(known))
        seed = int(rng.integers(2**31))
        pool, test = train_test_split(
            known, test_size=share, random_state=seed, stratify=table.y[known]
        )
        return pool, pool, test
    test = np.flatnonzero((table.split == 2) & (table.y >= 0))
    # Rows without a noisy label can still be given a trusted one, as in practice.
    meta_pool = np.flatnonzero((table.split != 2) & (table.y >= 0))
    if setting.noise not in REAL:
        return meta_pool, meta_pool, test
    pool = np.flatnonzero((table.split != 2) & (table.noisy[setting.noise] >= 0))
    return pool, meta_pool if len(meta_pool) else test, test


def _tail(rows: NDArray, y: NDArray[np.int64], seed: int) -> NDArray:
    ratio = IMBALANCE_RATIO
    return make_long_tailed(rows, y[rows], imbalance_ratio=ratio, random_state=seed)[0]


def draw_stratified(
    rows: NDArray, y: NDArray[np.int64], n_drawn: int, rng: np.random.Generator
) -> NDArray:
    """Draw rows in proportion to their classes, with one of each class if they suffice."""
    if n_drawn > len(rows) // 2:
        raise InfeasibleError(f"{n_drawn} trusted rows of only {len(rows)} with a known label")
    key = np.empty(len(rows))
    n_classes = len(np.unique(y))
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        key[members] = (np.arange(len(members)) + rng.uniform()) / len(members)
        if n_classes <= n_drawn:
            key[members[0]] = -1
    return rows[np.argsort(key, kind="stable")[:n_drawn]]


def _preprocessor(table: Table, train: NDArray):
    """Impute and one-hot encode by what the training rows show."""
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False
    )
    categories = make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot)
    numbers = SimpleImputer(strategy="median", keep_empty_features=True)
    transformer = make_column_transformer(
        (numbers, ~table.categorical), (categories, table.categorical)
    )
    transformer.fit(table.X[train].astype(np.float32))
    return lambda rows: transformer.transform(table.X[rows].astype(np.float32)).astype(np.float32)


def _labels(
    table: Table, setting: Setting, train: NDArray, X: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    y = table.y[train]
    if setting.noise in REAL:
        noisy = table.noisy[setting.noise][train]
        return noisy, noisy == y if (y >= 0).all() else None
    if setting.noise == "none" or setting.noise in IMBALANCED:
        return y, np.ones(len(y), dtype=bool)
    features = {"X": X} if setting.noise == "feature-dependent" else {}
    noise = "uniform" if setting.noise in MILD else setting.noise
    rate = MILD.get(setting.noise, NOISE_RATE)
    noisy, changed = corrupt_labels(
        y, noise=noise, noise_rate=rate, random_state=setting.seed, **features
    )
    return noisy, ~changed
