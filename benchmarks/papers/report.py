"""Tables of a run, beside the published accuracies and in their order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from benchmarks.accuracy.tables import markdown, number
from benchmarks.lines import read_lines
from benchmarks.papers.runner import KEY
from benchmarks.papers.tasks import TASKS

SCORES = {"accuracy": 100, "balanced_accuracy": 100, "log_loss": 1, "weight_auc": 1}
TITLES = ("accuracy", "balanced accuracy", "log loss", "AUC of weights")


def report(paths: Iterable[Path]) -> str:
    """Return one section of Markdown for each recipe and task."""
    records = [record for path in paths for record in read_lines(path, KEY)]
    if not records:
        raise SystemExit("The files have no results.")
    fits = pd.DataFrame(records)
    recipe = [name for name in KEY if name not in ("task", "method", "seed")]
    parts = []
    for names, of_recipe in fits.groupby(recipe, dropna=False, sort=False):
        parts.append("## " + ", ".join(f"{k} {v}" for k, v in zip(recipe, names, strict=True)))
        for task in sorted(set(of_recipe["task"]), key=list(TASKS).index):
            parts += [f"### {task}", _section(of_recipe[of_recipe["task"] == task], task)]
    return "\n\n".join(parts) + "\n"


def _section(fits: pd.DataFrame, task: str) -> str:
    published = TASKS[task].published
    of_method = fits.groupby("method")
    means = of_method["accuracy"].mean().sort_values(ascending=False)
    rows = []
    for method in means.index:
        group = of_method.get_group(method)
        cells = [_cell(scale * group[name].astype(float)) for name, scale in SCORES.items()]
        seconds = f"{group['seconds'].mean():.0f}"
        rows.append((method, *cells, seconds, len(group), published.get(method, "–")))
    header = ("method", *TITLES, "seconds", "seeds", "published, at full size")
    both = [method for method in published if method in means.index]
    text = markdown(header, rows)
    if len(both) > 1:
        order = " < ".join(sorted(both, key=published.__getitem__))
        here = " < ".join(sorted(both, key=means.__getitem__))
        text += f"\n\nPublished order: {order}. Here: {here}."
    return text


def _cell(values: pd.Series) -> str:
    digits = 1 if values.mean() > 10 else 3
    spread = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return number(values.mean(), digits) + ("" if values.isna().any() else spread)
