"""What reweighting costs: time and memory of a training step, of a fit, of predict and import.

    python -m benchmarks.cost                       everything, about half an hour on two cores
    python -m benchmarks.cost --quick               everything, small, under a minute
    python -m benchmarks.cost --only ratios --out cost.jsonl

Seconds per step are those of an epoch divided by its batches: drawing and slicing the batches, the
steps, and what the loop records at the end of an epoch, for ours the loss of the meta set too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.cost.baselines import has_betty
from benchmarks.cost.contestants import CONTESTANTS, hypergradient_difference
from benchmarks.cost.defaults import measure_frames, measure_loop, measure_search
from benchmarks.cost.large_tables import measure_classes, measure_sparse
from benchmarks.cost.processes import measure_processes
from benchmarks.cost.report import Report, machine
from benchmarks.cost.rows_on_disk import measure_rows_on_disk
from benchmarks.cost.sections import measure_fit, measure_growth, measure_import, measure_predict
from benchmarks.cost.steps import measure_steps, print_peaks
from benchmarks.cost.tasks import MODELS, USUAL

SECTIONS = {
    "growth": measure_growth,
    "loop": measure_loop,
    "search": measure_search,
    "predict": measure_predict,
    "frames": measure_frames,
    "sparse": measure_sparse,
    "classes": measure_classes,
    "import": measure_import,
    "rows": measure_rows_on_disk,
    "processes": measure_processes,
}
PARTS = ("steps", "ratios", *SECTIONS)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [name for name in CONTESTANTS if name != "betty" or has_betty()]
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--quick", action="store_true", help="small sizes; the numbers mean little")
    parser.add_argument("--out", type=Path, help="file for all the numbers, as lines of JSON")
    parser.add_argument("--repeats", type=int, help="alternating repeats: 5, with --quick 2")
    parser.add_argument(
        "--steps", type=int, help="batches of an epoch: 50 (at most 20 of processes), quick: 4"
    )
    parser.add_argument(
        "--epochs", type=int, help="epochs of a repeat, the first of which warms up"
    )
    parser.add_argument(
        "--devices", nargs="+", default=found_devices(), help="of steps and ratios: cpu, cuda"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, help="networks of the steps")
    parser.add_argument("--contestants", nargs="+", choices=names, default=names)
    parser.add_argument("--rows", type=int, help="rows on the disk, sparse, or of many classes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    args.repeats = args.repeats or (2 if args.quick else 5)
    args.steps = args.steps or (4 if args.quick else 50)
    args.epochs = max(args.epochs or (2 if args.quick else 3), 2)
    few = ["mlp-256"] if args.quick or args.only == "ratios" else list(USUAL)
    args.models = args.models or few
    return args


def found_devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


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
    wanted = [args.only] if args.only else list(PARTS)
    if "steps" in wanted or "ratios" in wanted:
        for device in args.devices:
            measure_steps(report, args, device)
    if "ratios" in wanted:
        for device in args.devices:
            measure_fit(report, args, device)
    for name, measure in SECTIONS.items():
        if name in wanted:
            measure(report, args)
    report.print_ratios()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print_peaks(*sys.argv[2:])
    else:
        main()
