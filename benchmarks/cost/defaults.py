"""The default network as users meet it: a fit, a search over few rows, rows of a frame."""

from __future__ import annotations

import argparse
import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from torch import nn

from benchmarks.cost.baselines import plain_loop, skorch_net
from benchmarks.cost.measure import alternate, paired_ratios, timed
from benchmarks.cost.report import Report
from benchmarks.cost.tasks import Task, make_task
from skmetaweight import MetaWeightClassifier
from skmetaweight._bilevel.randomness import Dropout

TARGETS = {"mw-net": 1.1, "l2rw": None, "fmw-net": None, "uniform": 0.9}
N_TRUSTED = 100
N_BY_SIZE = {"1,000 rows": 1_000, "16,000 rows": 16_000}

# Whole fits ------------------------------------------------------------------------------------


def fit_default(task: Task, epochs: int, method: str = "mw-net") -> MetaWeightClassifier:
    clf = MetaWeightClassifier(method=method, max_epochs=epochs, random_state=0)
    trusted = {"X_meta": task.X_meta[:N_TRUSTED], "y_meta": task.y_meta[:N_TRUSTED]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The trusted rows do not confirm", UserWarning)
        return clf.fit(task.X, task.y, **trusted)


def with_torch_dropout(module: nn.Module) -> nn.Module:
    """Put torch's dropout in the place of ours, in a network and in its parts."""
    for name, part in module.named_children():
        dropout = nn.Dropout(part.p) if isinstance(part, Dropout) else with_torch_dropout(part)
        setattr(module, name, dropout)
    return module


def by_hand(task: Task, module: nn.Module, batch_size: int) -> Task:
    """Return a task for the loop by hand: a network's copy, the trusted rows among the others."""
    X = np.concatenate([task.X, task.X_meta[:N_TRUSTED]])
    y = np.concatenate([task.y, task.y_meta[:N_TRUSTED]])
    return Task(partial(copy.deepcopy, module), X, y, task.X_meta, task.y_meta, batch_size)


def measure_loop(report: Report, args: argparse.Namespace) -> None:
    """Whole default fits beside a loop by hand of the same network with torch's dropout."""
    epochs = 2 if args.quick else 25
    for size, n_rows in N_BY_SIZE.items():
        task = make_task("tabular-mlp", 1, batch_size=n_rows // 20 if args.quick else n_rows)
        fitted = fit_default(task, 1, "uniform").net_
        module = with_torch_dropout(copy.deepcopy(fitted.module_))
        runs: dict[str, Callable[[], Any]] = {
            "loop": partial(plain_loop, by_hand(task, module, fitted.batch_size), epochs)
        }
        runs |= {method: partial(fit_default, task, epochs, method) for method in TARGETS}
        seconds = alternate({k: partial(timed, run) for k, run in runs.items()}, args.repeats)
        print(f"\ndefault fits: {size}, {epochs} epochs")
        report.seconds("loop", seconds, rows=len(task.y), epochs=epochs)
        for method, target in TARGETS.items():
            ratios = paired_ratios(seconds[method], seconds["loop"])
            report.ratio(f"{method} by default / loop by hand, {size}", ratios, target)


# A search --------------------------------------------------------------------------------------


def search(estimator: Any, grid: dict[str, list[Any]], task: Task) -> None:
    """Forty fits: eight candidates, five folds, in one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of missing trusted rows, and of too few epochs
        GridSearchCV(estimator, grid, cv=5).fit(task.X, task.y)


def measure_search(report: Report, args: argparse.Namespace) -> None:
    task = make_task("tabular-mlp", 1, batch_size=100 if args.quick else 1_000)
    epochs = 1 if args.quick else 25
    rates = {"lr": [1e-3, 3e-3]} if args.quick else {"lr": np.geomspace(1e-4, 1e-2, 8).tolist()}
    ours = {"max_epochs": epochs, "random_state": 0}
    skorch = skorch_net(task, epochs, train_split=None)
    mlp = MLPClassifier((256, 256), batch_size=64, max_iter=epochs, random_state=0)
    runs = {
        "mw-net": partial(search, MetaWeightClassifier(**ours), rates, task),
        "uniform": partial(search, MetaWeightClassifier(method="uniform", **ours), rates, task),
        "skorch": partial(search, skorch.set_params(batch_size=64), rates, task),
        "MLPClassifier": partial(search, mlp, {"learning_rate_init": rates["lr"]}, task),
    }
    seconds = alternate({k: partial(timed, run) for k, run in runs.items()}, args.repeats)
    print(f"\nsearch: {5 * len(rates['lr'])} fits of {len(task.y)} rows, {epochs} epochs")
    report.seconds("search", seconds, rows=len(task.y))
    for rival in ("skorch", "MLPClassifier"):
        ratios = paired_ratios(seconds["mw-net"], seconds[rival])
        report.ratio(f"search, 1,000 rows: mw-net / {rival}", ratios)


# Rows of a frame -------------------------------------------------------------------------------


def make_frame(n_rows: int, seed: int) -> pd.DataFrame:
    """Ten columns of numbers, five of categories."""
    rng = np.random.default_rng(seed)
    numbers = {f"n{i}": rng.standard_normal(n_rows) for i in range(10)}
    kinds = pd.Index([f"kind {i}" for i in range(8)])
    named = {
        f"c{i}": pd.Categorical.from_codes(rng.integers(8, size=n_rows), kinds) for i in range(5)
    }
    return pd.DataFrame(numbers | named)


def measure_frames(report: Report, args: argparse.Namespace) -> None:
    """Answers to one row and to many of a frame, beside HistGradientBoosting's."""
    X, trusted = make_frame(2_000, seed=0), np.arange(2_000) < N_TRUSTED
    y = (X["n0"] + (X["c0"] == "kind 0") > 0.3).to_numpy()
    ours = MetaWeightClassifier(max_epochs=1, random_state=0).fit(X, y, meta_mask=trusted)
    hgb = HistGradientBoostingClassifier(random_state=0).fit(X, y)
    many = 2_000 if args.quick else 1_000_000
    for n_rows, times in ((1, 100), (many, 1)):
        rows = make_frame(n_rows, seed=1)
        runs = {
            name: partial(timed, partial(answer, clf, rows, times))
            for name, clf in (("ours", ours), ("hgb", hgb))
        }
        seconds = alternate(runs, args.repeats)
        print(f"\nframe of {n_rows} rows, {times} times")
        report.seconds("frame", seconds, rows=n_rows, times=times)
        ratios = paired_ratios(seconds["ours"], seconds["hgb"])
        report.ratio(f"predict_proba of a frame of {n_rows} rows / HistGradientBoosting's", ratios)


def answer(clf: Any, rows: pd.DataFrame, times: int) -> None:
    for _ in range(times):
        clf.predict_proba(rows)
