"""What is learned: a data set, a kind of label noise, some trusted rows, a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from benchmarks.accuracy.data_sets import REAL, Table, data_folder, load_table, read_index
from skmetaweight.datasets import corrupt_labels, make_long_tailed

SIMULATED = ("none", "uniform", "pair", "feature-dependent")
LONG_TAILED = ("long-tailed", "long-tailed-balanced-meta")
IMBALANCED = (*LONG_TAILED, "natural-imbalance")
"""Right labels all of them; scored by balanced accuracy."""
MILD = {"uniform-10": 0.1, "uniform-20": 0.2, "uniform-30": 0.3}
NOISY_TAILS = {"uniform-tail": "uniform", "pair-tail": "pair"}
"""Wrong labels on unequal classes."""
NOISES = (*SIMULATED, *MILD, *IMBALANCED, *NOISY_TAILS, *REAL)
NOISE_RATE = 0.4
IMBALANCE_RATIO = 50
NOISY_IMBALANCE_RATIO = 30
MAX_TEST_ROWS = 8_000


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


def expected_size(setting: Setting) -> tuple[int, int, int]:
    """Return about how many training rows, features and classes there are, without loading."""
    row = read_index(data_folder())[setting.task]
    available = int(0.6 * int(row["n"]))
    if setting.noise in (*LONG_TAILED, *NOISY_TAILS):
        available //= 3
    return min(available, setting.max_rows), int(row["d"]), int(row["n_classes"])


@lru_cache(maxsize=1)
def prepare(setting: Setting) -> Problem:
    """Draw rows, add noise and preprocess."""
    table = load_table(data_folder(), setting.task)
    draw = _draw_from_tail if setting.noise in NOISY_TAILS else _draw
    train, meta, test = draw(table, setting)
    preprocess = _preprocessor(table, train)
    X, X_meta, X_test = (preprocess(rows) for rows in (train, meta, test))
    y, is_right = _labels(table, setting, train, X)
    y_meta, y_test = table.y[meta], table.y[test]
    return Problem(X, y, X_meta, y_meta, X_test, y_test, int(table.y.max()) + 1, is_right)


def _draw(table: Table, setting: Setting) -> tuple[NDArray, ...]:
    """Return training, trusted and test rows.

    The test rows depend on the data set and the seed only, so that methods, kinds of noise and
    numbers of trusted rows are compared on the same ones.
    """
    rng_split, rng_meta, rng_train = (np.random.default_rng([setting.seed, i]) for i in range(3))
    pool, meta_pool, test = _split(table, setting, rng_split)
    if setting.noise == "long-tailed":
        pool = meta_pool = _tail(pool, table.y, IMBALANCE_RATIO, setting.seed)
    meta = draw_stratified(meta_pool, table.y[meta_pool], setting.n_meta, rng_meta)
    pool, test = np.setdiff1d(pool, meta), np.setdiff1d(test, meta)
    if setting.noise == "long-tailed-balanced-meta":
        pool = _tail(pool, table.y, IMBALANCE_RATIO, setting.seed)
    train = rng_train.permutation(pool)[: setting.max_rows]
    return train, meta, rng_split.permutation(test)[:MAX_TEST_ROWS]


def _draw_from_tail(table: Table, setting: Setting) -> tuple[NDArray, ...]:
    """Test on as many rows of each class; thin the rest, and trust some of it at random.

    A rare class may have no trusted row.
    """
    rng = np.random.default_rng([setting.seed, 3])
    rows = rng.permutation(np.flatnonzero(table.y >= 0))
    sizes = np.bincount(table.y[rows])
    n_test = min(sizes.min() // 3, MAX_TEST_ROWS // len(sizes))
    by_class = (rows[table.y[rows] == label] for label in range(len(sizes)))
    test = np.concatenate([members[:n_test] for members in by_class])
    tail = _tail(np.setdiff1d(rows, test), table.y, NOISY_IMBALANCE_RATIO, setting.seed)
    _check_n_meta(setting.n_meta, len(tail))
    tail, n_meta = rng.permutation(tail), setting.n_meta
    return tail[n_meta:][: setting.max_rows], tail[:n_meta], test


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


def _tail(rows: NDArray, y: NDArray[np.int64], ratio: float, seed: int) -> NDArray:
    return make_long_tailed(rows, y[rows], imbalance_ratio=ratio, random_state=seed)[0]


def draw_stratified(
    rows: NDArray, y: NDArray[np.int64], n_drawn: int, rng: np.random.Generator
) -> NDArray:
    """Draw rows in proportion to their classes, with one of each class if they suffice."""
    _check_n_meta(n_drawn, len(rows))
    key = np.empty(len(rows))
    n_classes = len(np.unique(y))
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        key[members] = (np.arange(len(members)) + rng.uniform()) / len(members)
        if n_classes <= n_drawn:
            key[members[0]] = -1
    return rows[np.argsort(key, kind="stable")[:n_drawn]]


def _check_n_meta(n_meta: int, n_rows: int) -> None:
    if n_meta > n_rows // 2:
        raise InfeasibleError(f"{n_meta} trusted rows of only {n_rows} with a known label")


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
    noise = "uniform" if setting.noise in MILD else NOISY_TAILS.get(setting.noise, setting.noise)
    rate = MILD.get(setting.noise, NOISE_RATE)
    noisy, changed = corrupt_labels(
        y, noise=noise, noise_rate=rate, random_state=setting.seed, **features
    )
    return noisy, ~changed
