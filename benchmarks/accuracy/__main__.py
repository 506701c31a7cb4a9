"""Compare the accuracy of MetaWeightClassifier and of other methods with the same trusted rows.

SKMETAWEIGHT_DATA names the folder with the data sets; see tasks.py for its format.

    python -m benchmarks.accuracy --quick --out quick.jsonl      # minutes, and it means little
    python -m benchmarks.accuracy --jobs 2 --out results.jsonl   # the development tasks
    python -m benchmarks.accuracy report results.jsonl --out report

A run that was stopped goes on where it was when it is started again with the same --out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.methods import METHODS
from benchmarks.accuracy.report import write_report
from benchmarks.accuracy.runner import (
    BY_META_SIZE,
    MAIN,
    QUICK,
    QUICK_ROWS,
    QUICK_TASKS,
    Block,
    Fit,
    plan,
    run,
)
from benchmarks.accuracy.tasks import NOISES, task_names


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"), help="file of the fits")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--set", choices=["development", "confirmation"], default="development")
    parser.add_argument("--tasks", nargs="+", help="data sets; all of the set if not given")
    grid = "the default grid's if not given"
    parser.add_argument("--noise", nargs="+", choices=NOISES, help=grid)
    parser.add_argument("--n-meta", nargs="+", type=int, help=f"trusted rows; {grid}")
    parser.add_argument("--seeds", nargs="+", type=int, help=grid)
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help=grid)
    parser.add_argument("--quick", action="store_true", help="three tasks, few rows, one seed")
    parser.add_argument("--plan", action="store_true", help="count the fits, and run none")
    parser.add_argument("--retry", action="store_true", help="run fits that failed once more")


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="+", help="files of fits")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder of the report")
    parser.add_argument(
        "--against",
        nargs="+",
        choices=METHODS,
        metavar="METHOD",
        default=["plain", "uniform", "mw-net"],
        help="methods that every other one is compared with",
    )


def chosen_fits(args: argparse.Namespace) -> list[Fit]:
    """Take the default grid, with each part that was given replaced."""
    known = task_names(args.set)
    unknown = set(args.tasks or []) - set(known)
    if unknown:
        raise SystemExit(f"Not among the {args.set} tasks {known}: {sorted(unknown)}")
    tasks = args.tasks or [name for name in known if not args.quick or name in QUICK_TASKS]
    given = {
        "noises": args.noise,
        "n_metas": args.n_meta,
        "seeds": args.seeds,
        "methods": args.methods,
    }
    given = {name: tuple(values) for name, values in given.items() if values is not None}
    blocks: list[Block] = [QUICK] if args.quick else [MAIN, BY_META_SIZE]
    blocks = [replace(block, **given) for block in blocks]
    return plan(blocks, tasks, QUICK_ROWS if args.quick else None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_arguments(parser)
    reporter = argparse.ArgumentParser(prog=f"{parser.prog} report")
    add_report_arguments(reporter)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["report"]:
        args = reporter.parse_args(arguments[1:])
        print(write_report(args.results, args.out, args.against))
        return
    args = parser.parse_args(arguments)
    fits = chosen_fits(args)
    if args.plan:
        seconds = sum(fit.expected_seconds for fit in fits)
        print(f"{len(fits)} fits, about {seconds / args.jobs / 60:.0f} minutes")
        return
    run(fits, args.out, jobs=args.jobs, retry=args.retry)


if __name__ == "__main__":
    main()
