"""Sparse rows of many columns: rows a second, and memory above that of the rows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import SGDClassifier
from skorch import NeuralNetClassifier

from benchmarks.cost.measure import timed
from benchmarks.cost.memory import peak_of
from benchmarks.cost.report import Report
from skmetaweight import MetaWeightClassifier, TabularMLP

N_CLASSES, N_META, BATCH_SIZE, DENSITY = 10, 100, 256, 0.001

Rows = tuple[csr_matrix, np.ndarray]


def make_rows(n_rows: int, n_columns: int) -> Rows:
    """Rows of a linear signal, a fifth of the labels at random."""
    rng = np.random.default_rng(0)
    n = max(1, round(n_columns * DENSITY))
    numbers = rng.uniform(0.1, 1, n_rows * n).astype(np.float32)
    places = rng.integers(n_columns, size=n_rows * n)
    X = csr_matrix((numbers, places, np.arange(n_rows + 1) * n), shape=(n_rows, n_columns))
    X.sum_duplicates()
    y = (X @ rng.standard_normal((n_columns, N_CLASSES), dtype=np.float32)).argmax(axis=1)
    return X, np.where(rng.random(n_rows) < 0.2, rng.integers(N_CLASSES, size=n_rows), y)


def fit_ours(X: csr_matrix, y: np.ndarray) -> None:
    """One epoch of the defaults, the last rows trusted."""
    is_trusted = np.arange(len(y)) >= len(y) - N_META
    clf = MetaWeightClassifier(max_epochs=1, batch_size=BATCH_SIZE, random_state=0)
    clf.fit(X, y, meta_mask=is_trusted)


def fit_skorch(X: csr_matrix, y: np.ndarray) -> None:
    """One epoch of the same network on dense batches."""
    net = NeuralNetClassifier(
        TabularMLP(X.shape[1], N_CLASSES, input_dropout=0.2),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        batch_size=BATCH_SIZE,
        max_epochs=1,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y)


def fit_linear(X: csr_matrix, y: np.ndarray) -> None:
    SGDClassifier(max_iter=1, tol=None, random_state=0).fit(X, y)


def measure_sparse(report: Report, args: argparse.Namespace) -> None:
    n_rows, n_columns = (2_000, 2_000) if args.quick else (args.rows or 20_000, 100_000)
    X, y = make_rows(n_rows, n_columns)
    few = min(n_rows, 8 * BATCH_SIZE)  # of what takes long, as many as show how long
    fits: dict[str, tuple[Callable[..., None], int]] = {
        "SGDClassifier": (fit_linear, n_rows),
        "default": (fit_ours, n_rows),
        "skorch": (fit_skorch, few),
    }
    print(f"\none epoch of {n_rows} x {n_columns}, sparse{'':<8}{'rows/s':>8}{'MB':>8}")
    for name, (fit, n) in fits.items():
        fit(X[:BATCH_SIZE], y[:BATCH_SIZE])
        seconds = []
        peak = peak_of(lambda: seconds.append(timed(partial(fit, X[:n], y[:n]))))  # noqa: B023
        speed = n / seconds[0]
        report.add("sparse", contestant=name, rows=n, columns=n_columns, speed=speed, peak=peak)
        print(f"{name:<40}{speed:8.0f}{peak / 1e6:8.0f}", flush=True)
