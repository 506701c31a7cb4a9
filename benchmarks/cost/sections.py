"""Whole fits, growth with size, predict and import: what is not about a single step."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import torch

from benchmarks.cost.baselines import plain_loop, skorch_fit, skorch_net
from benchmarks.cost.contestants import classifier, fit_with_meta
from benchmarks.cost.measure import alternate, fit_line, paired_ratios, spread, timed
from benchmarks.cost.report import Report
from benchmarks.cost.tasks import Task, make_data, make_task, mlp

# Whole fits ------------------------------------------------------------------------------------


def fit_default_split(task: Task, epochs: int) -> None:
    """The defaults, which take a tenth of the rows on trust."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No trusted rows were given", UserWarning)
        classifier(task, epochs).fit(task.X, task.y)


def fit_skorch_split(task: Task, epochs: int) -> None:
    """skorch as it comes: a fifth of the rows is held out and scored after every epoch."""
    skorch_net(task, epochs).fit(task.X, task.y)


def measure_fit(report: Report, args: argparse.Namespace, device: str) -> None:
    task = make_task("mlp-256", 8 if args.quick else 80, device)
    epochs = 2 if args.quick else 10
    fits = {
        "default": fit_with_meta,
        "skorch": skorch_fit,
        "default, split": fit_default_split,
        "skorch, split": fit_skorch_split,
    }
    runs = {name: partial(timed, partial(fit, task, epochs), device) for name, fit in fits.items()}
    seconds = alternate(runs, args.repeats)
    print(f"\nwhole fit, {device}: {len(task.y)} rows, {epochs} epochs")
    report.seconds("fit", seconds, device=device, rows=len(task.y))
    ratios = paired_ratios(seconds["default"], seconds["skorch"])
    report.ratio(f"{device}: default fit / skorch's, the same rows", ratios, 0.9)
    ratios = paired_ratios(seconds["default, split"], seconds["skorch, split"])
    report.ratio(f"{device}: default fit / skorch's, each with its own split", ratios, 0.9)


# Growth ----------------------------------------------------------------------------------------


def growth_tasks(quick: bool) -> dict[str, dict[int, Task]]:
    """By rows, by classes and by parameters; 54 features, batches of 256."""
    n_rows = 1_024 if quick else 10_240
    rows = (512, 1_024) if quick else (10_000, 100_000, 1_000_000)
    widths = (64, 128) if quick else (75, 290, 970, 3_130)
    tasks: dict[str, dict[int, Task]] = {
        "rows": {n: growth_task(n) for n in rows},
        "classes": {k: growth_task(n_rows, n_classes=k) for k in (2, 10, 100)},
        "parameters": {},
    }
    for width in widths:
        task = growth_task(n_rows, width=width)
        n_parameters = sum(param.numel() for param in task.new_module().parameters())
        tasks["parameters"][n_parameters] = task
    return tasks


def growth_task(n_rows: int, n_classes: int = 7, width: int = 256) -> Task:
    X, y = make_data(n_rows, (54,), n_classes)
    X_meta, y_meta = make_data(512, (54,), n_classes, seed=2)
    return Task(
        partial(mlp, n_classes=n_classes, width=width), X, y, X_meta, y_meta, batch_size=256
    )


def measure_growth(report: Report, args: argparse.Namespace) -> None:
    fits = {"default": fit_with_meta, "plain-loop": plain_loop}
    for axis, tasks in growth_tasks(args.quick).items():
        print(f"\none epoch, by {axis}{'':<12}{'default s':>12}{'plain s':>10}{'ratio':>8}")
        runs = {
            (name, size): partial(timed, partial(fit, task, 1))
            for size, task in tasks.items()
            for name, fit in fits.items()
        }
        seconds = alternate(runs, args.repeats, warm_up=False)
        for size in tasks:
            pair = [seconds[name, size] for name in fits]
            ratios = paired_ratios(*pair)
            default, plain = (spread(values) for values in pair)
            report.add("growth", axis=axis, size=size, default=default, plain=plain)
            report.ratio(f"growth, {size} {axis}: default / plain-loop", ratios)
            numbers = f"{default['median']:12.3f}{plain['median']:10.3f}{np.median(ratios):8.2f}"
            print(f"{size:>24}{numbers}", flush=True)
        for name in fits:
            medians = [float(np.median(seconds[name, size])) for size in tasks]
            line = report.add("line", axis=axis, contestant=name, **fit_line(list(tasks), medians))
            print(
                f"{name}: {line['fixed']:.3g} s + {line['slope']:.3g} s x {axis}; "
                f"power law with exponent {line['exponent']:.2f}"
            )


# Predict and import ----------------------------------------------------------------------------


def measure_predict(report: Report, args: argparse.Namespace) -> None:
    task = make_task("mlp-256", 2)
    clf = fit_with_meta(task, 1)
    X, _ = make_data(20_000 if args.quick else 1_000_000, (54,))
    module, sizes = clf.net_.module_, []
    hook = module.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    clf.predict_proba(X)
    hook.remove()

    def bare_module() -> torch.Tensor:
        module.eval()
        parts = torch.from_numpy(X).to(task.device).split(sizes)
        with torch.no_grad():
            return torch.cat([module(part) for part in parts])

    runs = {
        "predict_proba": partial(timed, partial(clf.predict_proba, X)),
        "bare module": partial(timed, bare_module),
    }
    seconds = alternate(runs, args.repeats)
    print(f"\npredict: {len(X)} rows in batches of {sizes[0]}")
    report.seconds("predict", seconds, rows=len(X), batch=sizes[0])
    ratios = paired_ratios(seconds["predict_proba"], seconds["bare module"])
    report.ratio("predict_proba / bare module, the same batches", ratios, 1.2)


def measure_import(report: Report, args: argparse.Namespace) -> None:
    statements = {
        "skmetaweight": "import skmetaweight",
        "dependencies": "import torch, sklearn, skorch",
    }
    runs = {
        name: partial(timed, partial(subprocess.run, [sys.executable, "-c", code], check=True))
        for name, code in statements.items()
    }
    seconds = alternate(runs, args.repeats)
    print("\nimport")
    report.seconds("import", seconds)
    ratios = paired_ratios(seconds["skmetaweight"], seconds["dependencies"])
    report.ratio("import skmetaweight / import torch, sklearn, skorch", ratios, 1.1)
