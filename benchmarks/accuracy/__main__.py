"""Compare the accuracy of MetaWeightClassifier and of other methods with the same trusted rows.

SKMETAWEIGHT_DATA names the folder with the data sets; see data_sets.py for its format.

    python -m benchmarks.accuracy --quick --out quick.jsonl      # minutes, and it means little
    python -m benchmarks.accuracy --jobs 2 --out results.jsonl   # the development tasks
    python -m benchmarks.accuracy --set noisy tails --seeds 0 1 --methods mw-net l2rw uniform
    python -m benchmarks.accuracy report results.jsonl --set tails --out report

A run that was stopped goes on where it was when it is started again with the same --out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.groups import GROUPS, SETS, noises_by_task
from benchmarks.accuracy.methods import METHODS
from benchmarks.accuracy.report import write_report
from benchmarks.accuracy.runner import (
    BY_META_SIZE,
    GROUP,
    MAIN,
    QUICK,
    QUICK_ROWS,
    QUICK_TASKS,
    Block,
    Fit,
    plan,
    run,
)
from benchmarks.accuracy.tasks import NOISES


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"), help="file of the fits")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    add_set_argument(parser, "sets of tasks", ["development"])
    parser.add_argument("--tasks", nargs="+", help="data sets; all of the sets if not given")
    grid = "the default grid's if not given"
    parser.add_argument("--noise", nargs="+", choices=NOISES, help=grid)
    parser.add_argument("--n-meta", nargs="+", type=int, help=f"trusted rows; {grid}")
    parser.add_argument("--seeds", nargs="+", type=int, help=grid)
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help=grid)
    parser.add_argument("--quick", action="store_true", help="three tasks, few rows, one seed")
    parser.add_argument("--plan", action="store_true", help="count the fits, and run none")
    parser.add_argument("--retry", action="store_true", help="run fits that failed once more")


def add_set_argument(
    parser: argparse.ArgumentParser, text: str, default: list[str] | None = None
) -> None:
    parser.add_argument("--set", nargs="+", choices=SETS, default=default, dest="sets", help=text)


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, nargs="+", help="files of fits")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder of the report")
    add_set_argument(parser, "report on their settings only")
    parser.add_argument(
        "--against",
        nargs="+",
        choices=METHODS,
        metavar="METHOD",
        default=["plain", "uniform", "mw-net"],
        help="methods that every other one is compared with",
    )


def chosen_fits(args: argparse.Namespace) -> list[Fit]:
    """Take the default grid of each set, with each part that was given replaced."""
    noises = {name: noises_by_task(name) for name in args.sets}
    known = sorted(set().union(*noises.values()))
    unknown = set(args.tasks or []) - set(known)
    if unknown:
        sets = " and ".join(args.sets)
        raise SystemExit(f"Not among the {sets} tasks {known}: {sorted(unknown)}")
    tasks = args.tasks or [task for task in known if not args.quick or task in QUICK_TASKS]
    given = {
        "noises": args.noise,
        "n_metas": args.n_meta,
        "seeds": args.seeds,
        "methods": args.methods,
    }
    given = {name: tuple(values) for name, values in given.items() if values is not None}
    fits: dict[Fit, None] = {}
    for name in args.sets:
        whole: list[Block] = [QUICK] if args.quick else [MAIN, BY_META_SIZE]
        blocks = [replace(block, **given) for block in ([GROUP] if name in GROUPS else whole)]
        chosen = {task: kinds for task, kinds in noises[name].items() if task in tasks}
        fits |= dict.fromkeys(plan(blocks, chosen, QUICK_ROWS if args.quick else None))
    return list(fits)


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
        print(write_report(args.results, args.out, args.against, args.sets))
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
