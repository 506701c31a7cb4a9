"""Sparse rows of many columns, rows of many classes: rows a second, and memory above theirs."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse
from sklearn.linear_model import SGDClassifier
from skorch import NeuralNetClassifier

from benchmarks.cost.measure import timed
from benchmarks.cost.memory import peak_of
from benchmarks.cost.report import Report
from benchmarks.cost.tasks import make_data
from skmetaweight import MetaWeightClassifier, TabularMLP

N_CLASSES, MANY_CLASSES, BATCH_SIZE, DENSITY = 10, 1_000, 256, 0.001

Rows = tuple[Any, np.ndarray]
Fit = Callable[[Any, np.ndarray], None]


def make_sparse_rows(n_rows: int, n_columns: int) -> Rows:
    """Rows of a linear signal, a fifth of the labels at random."""
    rng = np.random.default_rng(0)
    n = max(1, round(n_columns * DENSITY))
    numbers = rng.uniform(0.1, 1, n_rows * n).astype(np.float32)
    places = rng.integers(n_columns, size=n_rows * n)
    X = csr_matrix((numbers, places, np.arange(n_rows + 1) * n), shape=(n_rows, n_columns))
    X.sum_duplicates()
    y = (X @ rng.standard_normal((n_columns, N_CLASSES), dtype=np.float32)).argmax(axis=1)
    return X, np.where(rng.random(n_rows) < 0.2, rng.integers(N_CLASSES, size=n_rows), y)


def fit_ours(X: Any, y: np.ndarray, trusted: Rows) -> None:
    """One epoch of the defaults."""
    clf = MetaWeightClassifier(max_epochs=1, batch_size=BATCH_SIZE, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The meta set has no row of the classes", UserWarning)
        clf.fit(X, y, X_meta=trusted[0], y_meta=trusted[1])


def fit_skorch(X: Any, y: np.ndarray, n_classes: int) -> None:
    """One epoch of the same network, on dense batches."""
    net = NeuralNetClassifier(
        TabularMLP(X.shape[1], n_classes, input_dropout=0.2 if issparse(X) else 0.0),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        batch_size=BATCH_SIZE,
        max_epochs=1,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y)


def fit_linear(X: Any, y: np.ndarray) -> None:
    SGDClassifier(max_iter=1, tol=None, random_state=0).fit(X, y)


def measure_sparse(report: Report, args: argparse.Namespace) -> None:
    n_rows, n_columns = (2_000, 2_000) if args.quick else (args.rows or 20_000, 100_000)
    X, y = make_sparse_rows(n_rows + 100, n_columns)
    few = min(n_rows, 8 * BATCH_SIZE)  # of what takes long, as many as show how long
    fits: dict[str, tuple[Fit, int]] = {
        "SGDClassifier": (fit_linear, n_rows),
        "default": (partial(fit_ours, trusted=(X[n_rows:], y[n_rows:])), n_rows),
        "skorch": (partial(fit_skorch, n_classes=N_CLASSES), few),
    }
    print(f"\none epoch of {n_rows} x {n_columns}, sparse{'':<8}{'rows/s':>8}{'MB':>8}")
    print_speeds(report, "sparse", fits, (X[:n_rows], y[:n_rows]))


def measure_classes(report: Report, args: argparse.Namespace) -> None:
    """Measure rows of a thousand classes, some of which have a trusted row."""
    n_rows, n_columns = 5_000 if args.quick else (args.rows or 1_000_000), 100
    X, y = make_data(n_rows, (n_columns,), MANY_CLASSES)
    few = min(n_rows, 20_000)
    fits: dict[str, tuple[Fit, int]] = {
        "SGDClassifier": (fit_linear, min(n_rows, 5_000)),
        "default": (
            partial(fit_ours, trusted=make_data(2_000, (n_columns,), MANY_CLASSES, seed=2)),
            n_rows,
        ),
        "skorch": (partial(fit_skorch, n_classes=MANY_CLASSES), few),
    }
    print(f"\none epoch of {n_rows} x {n_columns}, {MANY_CLASSES} classes{'rows/s':>8}{'MB':>8}")
    print_speeds(report, "classes", fits, (X, y))


def print_speeds(report: Report, kind: str, fits: dict[str, tuple[Fit, int]], rows: Rows) -> None:
    (X, y), few = rows, 8 * BATCH_SIZE
    for name, (fit, n) in fits.items():
        fit(X[:few], y[:few])
        seconds = []
        peak = peak_of(lambda: seconds.append(timed(partial(fit, X[:n], y[:n]))))  # noqa: B023
        report.add(kind, contestant=name, rows=n, speed=n / seconds[0], peak=peak)
        print(f"{name:<40}{n / seconds[0]:8.0f}{peak / 1e6:8.0f}", flush=True)
