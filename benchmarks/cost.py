"""What reweighting costs: time and memory of a training step, of a fit, of predict and import.

    python benchmarks/cost.py                       everything, about half an hour on two cores
    python benchmarks/cost.py --quick               everything, small, under a minute
    python benchmarks/cost.py --only ratios --out cost.jsonl

Seconds per step are those of an epoch divided by its batches: drawing and slicing the batches, the
steps, and what the loop records at the end of an epoch, for ours the loss of the meta set too.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _cost_baselines import has_betty
from _cost_contestants import CONTESTANTS, hypergradient_difference
from _cost_measure import (
    Report,
    alternate,
    machine,
    measure_peaks,
    paired_ratios,
    peak_in_child,
    spread,
)
from _cost_sections import measure_fit, measure_growth, measure_import, measure_predict
from _cost_tasks import MODELS, make_task

SECTIONS = ("steps", "ratios", "growth", "predict", "import")
RATIOS = [
    # numerator, denominator, target of the time, target of the memory
    ("mw-net-exact", "double-backward", 0.55, 0.75),
    ("mw-net-exact", "double-backward-lean", None, None),
    ("fmw-net-exact", "double-backward", 0.33, 0.75),
    ("fmw-net-exact", "double-backward-lean", None, None),
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
                arguments = [name, model, str(args.steps), device, str(args.threads)]
                memory[name] = peak_in_child(__file__, arguments)
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


def run_child(name: str, model: str, steps: str, device: str, threads: str) -> None:
    """Print the peaks of one contestant, as JSON."""
    torch.set_num_threads(int(threads))
    few, task = make_task(model, 2, device, batch_size=8), make_task(model, int(steps), device)
    train = CONTESTANTS[name]
    print(json.dumps(measure_peaks(device, lambda: train(few, 1), lambda: train(task, 1))))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for name in CONTESTANTS if name != "betty" or has_betty()]
    parser.add_argument("--only", choices=SECTIONS, help="one part instead of all")
    parser.add_argument("--quick", action="store_true", help="small sizes; the numbers mean little")
    parser.add_argument("--out", type=Path, help="file for all the numbers, as lines of JSON")
    parser.add_argument("--repeats", type=int, help="alternating repeats: 5, with --quick 2")
    parser.add_argument("--steps", type=int, help="batches of an epoch: 50, with --quick 4")
    parser.add_argument(
        "--epochs", type=int, help="epochs of a repeat, the first of which warms up"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, help="networks of the steps")
    parser.add_argument("--contestants", nargs="+", choices=names, default=names)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    args.repeats = args.repeats or (2 if args.quick else 5)
    args.steps = args.steps or (4 if args.quick else 50)
    args.epochs = max(args.epochs or (2 if args.quick else 3), 2)
    few = ["mlp-256"] if args.quick or args.only == "ratios" else list(MODELS)
    args.models = args.models or few
    return args


def print_heading(report: Report, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    settings = {key: value for key, value in vars(args).items() if key != "out"}
    record = report.add("machine", **machine(torch.get_num_threads()), settings=settings)
    for key, value in record.items():
        print(f"{key}: {value}")
    difference = hypergradient_difference()
    assert difference < 1e-8, f"The hypergradients differ by {difference:.1e}."
    report.add("check", relative_hypergradient_difference=difference)
    print(f"hypergradient, ours against double backward in float64: {difference:.1e} apart")


def main() -> None:
    args = parse_arguments()
    report = Report(args.out)
    print_heading(report, args)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if "cuda" not in devices:
        print("no CUDA device")
    wanted = [args.only] if args.only else list(SECTIONS)
    if "steps" in wanted or "ratios" in wanted:
        for device in devices:
            measure_steps(report, args, device)
    if "ratios" in wanted:
        for device in devices:
            measure_fit(report, args, device)
    sections = {"growth": measure_growth, "predict": measure_predict, "import": measure_import}
    for name, measure in sections.items():
        if name in wanted:
            measure(report, args)
    report.print_ratios()


if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["--child"]:
        run_child(*sys.argv[2:])
    else:
        main()
