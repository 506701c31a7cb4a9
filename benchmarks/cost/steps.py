"""A training step: its time and memory for every contestant, and the ratios with a target."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.cost.contestants import CONTESTANTS
from benchmarks.cost.measure import alternate, paired_ratios, spread
from benchmarks.cost.memory import measure_peaks, peak_in_child
from benchmarks.cost.report import Report
from benchmarks.cost.tasks import make_task

RATIOS = [
    # numerator, denominator, target of the time, target of the memory
    ("mw-net-exact", "double-backward", 0.55, 0.75),
    ("mw-net-exact", "double-backward-lean", None, None),
    ("fmw-net-exact", "double-backward", 0.33, 0.75),
    ("fmw-net-exact", "double-backward-lean", None, None),
    ("fmw-net-released", "double-backward", None, None),
    ("uniform", "plain-loop", 1.15, None),
    ("mw-net-default", "skorch", None, None),
    ("mw-net-default", "plain-loop", None, None),
]
MEMORY_RATIOS = [(ours, other) for ours, other, *_ in RATIOS if "double-backward" in other]
IN_MEMORY_RATIOS = {name for pair in MEMORY_RATIOS for name in pair}


def seconds_per_step(train: Callable, task, epochs: int) -> float:
    """Median over the epochs but the first, which warms up."""
    return statistics.median(train(task, epochs)[1:]) / task.n_steps


def measure_steps(report: Report, args: argparse.Namespace, device: str) -> None:
    for model in args.models:
        task = make_task(model, args.steps, device)
        runs = {
            name: partial(seconds_per_step, CONTESTANTS[name], task, args.epochs)
            for name in args.contestants
        }
        seconds = alternate(runs, args.repeats, warm_up=False)
        print(f"\n{model}, {device}: {args.steps} steps of {task.batch_size} rows an epoch")
        print(f"{'':<24}{'ms/step':>9}{'min':>9}{'max':>9}{'tensors MB':>13}{'RSS MB':>13}")
        memory = {}
        for name, values in seconds.items():
            if not args.quick or name in IN_MEMORY_RATIOS:
                # On a CPU peaks are those of a process.
                memory[name] = (
                    peak_in_child([name, model, str(args.steps), str(args.threads)])
                    if device == "cpu"
                    else peaks_of(name, model, args.steps, device)
                )
            context = {"model": model, "device": device, "batch_size": task.batch_size}
            record = report.add(
                "step", contestant=name, **context, **spread(values), memory=memory.get(name, {})
            )
            print_step(record)
        add_step_ratios(report, f"{model}, {device}", seconds, memory)


def print_step(record: dict) -> None:
    times = "".join(f"{1e3 * record[key]:9.2f}" for key in ("median", "min", "max"))
    peaks = [record["memory"].get(kind) for kind in ("tensors", "rss")]
    megabytes = "".join(f"{'-' if p is None else f'{p / 1e6:.2f}':>13}" for p in peaks)
    print(f"{record['contestant']:<24}{times}{megabytes}", flush=True)


def add_step_ratios(report: Report, where: str, seconds: dict, memory: dict) -> None:
    for ours, other, time_target, memory_target in RATIOS:
        if ours not in seconds or other not in seconds:
            continue
        name = f"{where}: {ours} / {other}"
        report.ratio(f"{name}, time", paired_ratios(seconds[ours], seconds[other]), time_target)
        if (ours, other) not in MEMORY_RATIOS:
            continue
        for kind in memory[ours]:
            ratio = memory[ours][kind] / max(memory[other][kind], 1)
            report.ratio(f"{name}, memory ({kind})", [ratio], memory_target)


def peaks_of(name: str, model: str, steps: int, device: str) -> dict[str, int]:
    few, task = make_task(model, 2, device, batch_size=8), make_task(model, steps, device)
    train = CONTESTANTS[name]
    return measure_peaks(device, lambda: train(few, 1), lambda: train(task, 1))


def print_peaks(name: str, model: str, steps: str, threads: str) -> None:
    """Print the peaks of one contestant on a CPU, as JSON."""
    torch.set_num_threads(int(threads))
    print(json.dumps(peaks_of(name, model, int(steps), "cpu")))
