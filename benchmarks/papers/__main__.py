"""Run the papers' experiments on images: long tails, simulated and human noise.

SKMETAWEIGHT_DATA names the folder with <name>/<name>.npz; images.py and texts.py tell its arrays.

    python -m benchmarks.papers --jobs 2 --out papers.jsonl          # within two hours on two cores
    python -m benchmarks.papers --set human-small --seeds 0 1 2 --out human.jsonl
    python -m benchmarks.papers --set text --out text.jsonl      # weakly labelled questions
    python -m benchmarks.papers --set ablation --out ablation.jsonl  # networks that weigh
    python -m benchmarks.papers --full --device cuda --out full.jsonl    # the papers' size
    python -m benchmarks.papers report papers.jsonl

A run that was stopped goes on where it was when it is started again with the same --out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from benchmarks.papers.methods import METHODS
from benchmarks.papers.networks import NETWORKS
from benchmarks.papers.recipes import SETS, TRANSFORMER, Recipe
from benchmarks.papers.report import report
from benchmarks.papers.runner import Fit, run
from benchmarks.papers.tasks import TASKS


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.papers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--set", choices=SETS, default="small", dest="name", help="what is run")
    whole = {"action": "store_const", "const": "full", "dest": "name"}
    made.add_argument("--full", **whole, help="--set full: all tasks, as published")
    made.add_argument("--out", type=Path, default=Path("papers.jsonl"), help="file of the fits")
    made.add_argument("--pictures", type=Path, help="folder for a picture of each fit")
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--device", default="cpu")
    made.add_argument("--seeds", nargs="+", type=int, default=[0])
    of_set = "those of the set if not given"
    made.add_argument("--tasks", nargs="+", choices=TASKS, metavar="TASK", help=of_set)
    made.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help=of_set)
    of_recipe = "the set's if not given"
    made.add_argument("--images", help=f"data set; {of_recipe}")
    made.add_argument("--network", choices=(*NETWORKS, TRANSFORMER), help=of_recipe)
    for name in ("side", "n-train", "n-trusted", "width", "epochs", "batch-size"):
        made.add_argument(f"--{name}", type=int, help=of_recipe)
    return made


def chosen_fits(args: argparse.Namespace) -> list[Fit]:
    plan = SETS[args.name]
    given = {field.name: getattr(args, field.name, None) for field in fields(Recipe)}
    recipe = replace(plan.recipe, **{k: v for k, v in given.items() if v is not None})
    return [
        Fit(task, method, seed, recipe)
        for seed in args.seeds
        for task in args.tasks or plan.tasks
        for method in args.methods or plan.methods
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["report"]:
        reporter = argparse.ArgumentParser(prog="python -m benchmarks.papers report")
        reporter.add_argument("results", type=Path, nargs="+", help="files of fits")
        print(report(reporter.parse_args(arguments[1:]).results))
        return
    args = parser().parse_args(arguments)
    run(chosen_fits(args), args.out, jobs=args.jobs, device=args.device, pictures=args.pictures)


if __name__ == "__main__":
    main()
