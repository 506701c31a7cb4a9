"""The grid and its fits: one line of JSON each, resumable, in parallel."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.accuracy.groups import Noises, max_rows_of
from benchmarks.accuracy.methods import METHODS
from benchmarks.accuracy.methods.method import Fitted
from benchmarks.accuracy.scores import score_probabilities, weight_auc
from benchmarks.accuracy.tasks import InfeasibleError, Problem, Setting, expected_size, prepare
from benchmarks.lines import read_lines
from skmetaweight import __version__

KEY = ("task", "noise", "n_meta", "seed", "max_rows", "method")


@dataclass(frozen=True)
class Block:
    """A product of choices; None for all that exist."""

    noises: tuple[str, ...] | None
    n_metas: tuple[int, ...]
    seeds: tuple[int, ...]
    methods: tuple[str, ...] | None


MAIN = Block(
    ("none", "uniform", "pair", "feature-dependent", "long-tailed", "real", "real-mild"),
    n_metas=(100,),
    seeds=(0,),
    methods=None,
)
BY_META_SIZE = Block(
    ("uniform", "real"),
    n_metas=(20, 50, 200, 1000),
    seeds=(0,),
    methods=(
        "hgb-upweighted",
        "plain",
        "plain-share",
        "fine-tuned",
        "meta-only",
        "uniform",
        "mw-net",
        "l2rw",
    ),
)
GROUP = Block(None, n_metas=(100,), seeds=(0,), methods=None)
QUICK = Block(("uniform", "real"), n_metas=(100,), seeds=(0,), methods=None)
QUICK_TASKS = ("phoneme", "satimage", "music_genre")
QUICK_ROWS = 600


@dataclass(frozen=True)
class Fit:
    setting: Setting
    method: str

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple({**asdict(self.setting), "method": self.method}[name] for name in KEY)

    @property
    def expected_seconds(self) -> float:
        return METHODS[self.method].expected_seconds(*expected_size(self.setting))


def plan(blocks: Iterable[Block], noises: Noises, max_rows: int | None = None) -> list[Fit]:
    """List the fits of all blocks, each once; those of a setting follow one another."""
    fits: dict[Fit, None] = {}
    for task, block in product(noises, blocks):
        kept = [n for n in noises[task] if block.noises is None or n in block.noises]
        for noise, n_meta, seed in product(kept, block.n_metas, block.seeds):
            setting = Setting(task, noise, n_meta, seed, max_rows or max_rows_of(task))
            by_default = [name for name, method in METHODS.items() if method.is_default_for(noise)]
            fits |= dict.fromkeys(Fit(setting, name) for name in block.methods or by_default)
    return list(fits)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a results file, the last one of each fit; a torn line is left out."""
    return read_lines(path, KEY)


def run(fits: list[Fit], path: Path, *, jobs: int, retry: bool = False) -> None:
    """Run the fits that the file does not have yet, and append a line for each."""
    known = read_results(path)
    done = {tuple(r[name] for name in KEY) for r in known if not (retry and "error" in r)}
    todo = [fit for fit in fits if fit.key not in done]
    seconds = sum(fit.expected_seconds for fit in todo)
    print(
        f"{len(fits)} fits, {len(fits) - len(todo)} of them done before; about "
        f"{seconds / jobs / 60:.0f} minutes for the other {len(todo)} with {jobs} jobs"
    )
    tasks = (delayed(run_fit)(fit) for fit in todo)
    results = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(tasks)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file, tqdm(results, total=len(todo), unit="fit", smoothing=0) as bar:
        if file.tell() and not path.read_text().endswith("\n"):
            file.write("\n")
        n_failed = 0
        for record in bar:
            n_failed += "error" in record
            bar.set_postfix(failed=n_failed, task=record["task"], refresh=False)
            file.write(json.dumps(record) + "\n")
            file.flush()
    print(f"{n_failed} of {len(todo)} fits failed: see {path}")


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def run_fit(fit: Fit) -> dict[str, Any]:
    """Fit and score one method; what goes wrong is part of the record."""
    record = {**asdict(fit.setting), "method": fit.method, "version": __version__}
    with _one_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            problem = prepare(fit.setting)
            record |= describe(problem)
            start = time.perf_counter()
            fitted = METHODS[fit.method].fit(problem, fit.setting.seed)
            record["seconds"] = round(time.perf_counter() - start, 3)
            record |= score(fitted, problem)
        except InfeasibleError as error:
            record["skipped"] = str(error)
        except Exception as error:
            record["error"] = f"{type(error).__name__}: {error}"
    record["warnings"] = sorted({f"{w.category.__name__}: {w.message}"[:150] for w in caught})
    return record


def describe(problem: Problem) -> dict[str, Any]:
    sizes = np.bincount(problem.y_test)
    is_right = problem.is_right
    return {
        "n_train": len(problem.y),
        "n_test": len(problem.y_test),
        "n_features": problem.X.shape[1],
        "n_classes": problem.n_classes,
        "imbalance": round(sizes.max() / max(sizes[sizes > 0].min(), 1), 2),
        "noise_rate": None if is_right is None else round(1 - is_right.mean(), 4),
    }


def score(fitted: Fitted, problem: Problem) -> dict[str, float | None]:
    """Score on the test rows, whose labels nothing else has seen."""
    probabilities = np.zeros((len(problem.y_test), problem.n_classes))
    probabilities[:, fitted.classifier.classes_] = fitted.classifier.predict_proba(problem.X_test)
    scores = score_probabilities(probabilities, problem.y_test)
    return scores | {"weight_auc": weight_auc(fitted.weights, problem.is_right)}
