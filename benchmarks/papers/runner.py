"""Fits, and their lines of JSON: a run that was stopped goes on."""

from __future__ import annotations

import json
import os
import time
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed

from benchmarks.accuracy.scores import score_probabilities, weight_auc
from benchmarks.lines import read_lines
from benchmarks.papers.images import load_images
from benchmarks.papers.methods import METHODS, WITHOUT_WEIGHTS
from benchmarks.papers.pictures import draw
from benchmarks.papers.recipes import Recipe
from benchmarks.papers.tasks import TASKS, Problem, prepare
from benchmarks.papers.texts import weakly_labelled
from skmetaweight import MetaWeightClassifier, __version__

KEY = ("task", "method", "seed", *(field.name for field in fields(Recipe)))


@dataclass(frozen=True)
class Fit:
    task: str
    method: str
    seed: int
    recipe: Recipe

    @property
    def setting(self) -> dict[str, Any]:
        own = {"task": self.task, "method": self.method, "seed": self.seed}
        return {**own, **asdict(self.recipe)}

    @property
    def name(self) -> str:
        return f"{self.task}-{self.method}-{self.seed}"


def run(fits: list[Fit], path: Path, *, jobs: int, device: str, pictures: Path | None) -> None:
    """Run the fits that the file does not have yet, and append a line for each."""
    done = [{name: record[name] for name in KEY} for record in read_lines(path, KEY)]
    todo = [fit for fit in fits if fit.setting not in done]
    print(f"{len(todo)} fits to run, {len(fits) - len(todo)} done before", flush=True)
    calls = (delayed(run_fit)(fit, device, pictures, jobs) for fit in todo)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if file.tell() and not path.read_text().endswith("\n"):
            file.write("\n")
        for record in Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(calls):
            file.write(json.dumps(record) + "\n")
            file.flush()
            accuracy, seconds = 100 * record["accuracy"], record["seconds"]
            name = f"{record['task']} {record['method']} seed {record['seed']}"
            print(f"{name}: {accuracy:.1f}% in {seconds:.0f} s", flush=True)


def run_fit(fit: Fit, device: str, pictures: Path | None, jobs: int) -> dict[str, Any]:
    """Fit a method, and judge it on the test rows, which nothing else has seen."""
    if jobs > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    recipe = fit.recipe
    problem = _problem(fit)
    training = recipe.training(len(np.unique(problem.y_test)), problem.setting)
    training |= {"device": device, "random_state": fit.seed}
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf = METHODS[fit.method](problem, training)
    seconds = time.perf_counter() - start
    has_weights = fit.method not in WITHOUT_WEIGHTS
    if pictures is not None and has_weights:
        pictures.mkdir(parents=True, exist_ok=True)
        draw(clf, problem, fit.name).savefig(pictures / f"{fit.name}.png")
    return {
        **fit.setting,
        **judge(clf, problem, has_weights=has_weights),
        "seconds": round(seconds, 1),
        "n_rows": len(problem.y),
        "noise_rate": round(1 - float(problem.is_right.mean()), 4),
        "version": __version__,
        "warnings": sorted({str(warning.message)[:150] for warning in caught}),
    }


def _problem(fit: Fit) -> Problem:
    recipe, task = fit.recipe, TASKS[fit.task]
    if task.kind == "weak":
        return weakly_labelled(recipe.images, recipe.n_train, recipe.n_trusted, fit.seed)
    images = load_images(recipe.images, recipe.side)
    return prepare(task, images, recipe.n_train, recipe.n_trusted, fit.seed)


def judge(
    clf: MetaWeightClassifier, problem: Problem, *, has_weights: bool
) -> dict[str, float | None]:
    """Return scores of probabilities, and how well weights tell wrong labels."""
    probabilities = np.zeros((len(problem.y_test), problem.y_test.max() + 1))
    probabilities[:, clf.classes_] = clf.predict_proba(problem.X_test)
    scores = score_probabilities(probabilities, problem.y_test)
    weights = clf.sample_weights_ if has_weights else None
    return {**scores, "weight_auc": weight_auc(weights, problem.is_right)}
