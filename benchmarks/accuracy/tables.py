"""The tables of the report, in Markdown: every score beside the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from benchmarks.accuracy.comparison import CELL, Complete, average_ranks, compare
from benchmarks.accuracy.scores import SCORES, Score

MUCH_IMBALANCE = 3.0
"""Ratio of the largest to the smallest class of the test rows."""


def markdown(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value: float, digits: int = 2) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def means_table(complete: Complete, ranks: pd.Series, main: str) -> str:
    """One row for each method, the best first; every mean is over the same cells."""
    means = pd.DataFrame(
        {name: complete.cells(name).mean() for name in (*SCORES, "weight_auc", "seconds")}
    )
    titles = [score.title for score in SCORES.values()]
    header = ["method", *titles, "AUC of weights", "average rank", "seconds"]
    rows = [
        (
            method,
            *(score.shown(row[name]) for name, score in SCORES.items()),
            number(row["weight_auc"], 3),
            number(ranks[method]),
            number(row["seconds"]),
        )
        for method, row in means.sort_values(main, ascending=False).iterrows()
    ]
    return markdown(header, rows)


def differences(cells: dict[str, pd.DataFrame], other: str, main: str) -> str:
    """Compare every method with one of them in each score, with clean labels apart."""
    clean = cells[main].index.get_level_values("noise") == "none"
    ties = ", ".join(f"{score.tie} in {score.title}" for score in SCORES.values())
    parts = [
        f"### Against {other}\n\nWhat each method gains, in points and nats, where more is always "
        "better: mean over data sets, interval by paired bootstrap over data sets, and "
        f"wins/ties/losses over cells. Within a tie: {ties}."
    ]
    for title, rows in (("Wrong labels", ~clean), ("Clean labels", clean)):
        if rows.any():
            some = {name: frame[rows] for name, frame in cells.items()}
            parts.append(f"{title}:\n\n{_gains_table(some, other, main)}")
    return "\n\n".join(parts)


def _gains_table(cells: dict[str, pd.DataFrame], other: str, main: str) -> str:
    means = cells[main].mean().drop(other).sort_values(ascending=False)
    rows = [
        (method, *(_gain(cells[name], method, other, score) for name, score in SCORES.items()))
        for method in means.index
    ]
    return markdown(["method", *(score.title for score in SCORES.values())], rows)


def _gain(cells: pd.DataFrame, method: str, other: str, score: Score) -> str:
    d = compare(score.gains(cells[method], cells[other]), score.tie)
    mean, low, high = (f"{value:+.{max(2, score.digits)}f}" for value in (d.mean, d.low, d.high))
    interval = "" if pd.isna(d.low) else f" ({low} … {high})"
    return f"{mean}{interval} {d.wins}/{d.ties}/{d.losses}"


def _by_column(means: pd.DataFrame, score: Score) -> str:
    means = means.loc[means.mean(axis=1).sort_values(ascending=score.sign < 0).index]
    rows = ((method, *map(score.shown, values)) for method, *values in means.itertuples())
    return markdown(["method", *means.columns], rows)


def by_noise(cells: pd.DataFrame, score: Score) -> str:
    means = cells.groupby(level="noise", sort=False).mean().T
    if means.shape[1] < 2:
        return ""
    return f"### Mean {score.title} by noise\n\n{_by_column(means, score)}"


def by_meta_size(scored: pd.DataFrame) -> str:
    """Mean scores by number of trusted rows, of methods and runs that have all of them."""
    sizes = sorted(scored["n_meta"].unique())
    if len(sizes) < 2:
        return ""
    found = scored.groupby("method")["n_meta"].nunique()
    methods = found.index[found == len(sizes)]
    runs = scored[scored["method"].isin(methods)].pivot_table(
        index=["task", "noise", "seed"], columns=["method", "n_meta"], values=list(SCORES)
    )
    runs = runs.dropna()
    title = "## By number of trusted rows"
    if not len(runs):
        return f"{title}\n\nNo run has all of them for all methods."
    means = runs.groupby(level=["task", "noise"]).mean().mean()
    tables = [
        f"### Mean {score.title}\n\n{_by_column(means[name].unstack('n_meta'), score)}"
        for name, score in SCORES.items()
    ]
    tasks = ", ".join(runs.index.unique("task"))
    return "\n\n".join([title, f"{len(runs)} runs that have all sizes, of {tasks}.", *tables])


def cell_table(cells: pd.DataFrame, score: Score) -> str:
    """One row for each cell; the best value is bold."""
    rows = []
    for index, values in cells.iterrows():
        best = (score.sign * values).max()
        texts = [
            f"**{score.shown(v)}**" if score.sign * v == best else score.shown(v) for v in values
        ]
        rows.append((" ".join(map(str, index[:2])), *texts))
    table = markdown(["cell", *cells.columns], rows)
    return f"### {score.title[0].upper()}{score.title[1:]} of each cell\n\n{table}"


def of_imbalanced_cells(complete: Complete) -> str:
    """Mean scores where test rows are imbalanced."""
    by_cell = complete.fits.groupby(CELL)["imbalance"]
    imbalanced = by_cell.transform("mean") > MUCH_IMBALANCE
    some = complete._replace(fits=complete.fits[imbalanced])
    if not imbalanced.any() or imbalanced.all():
        return ""
    ranks = average_ranks(some.cells("balanced_accuracy"))
    return (
        f"### Imbalanced data sets\n\nMeans of cells whose largest test class is more than "
        f"{MUCH_IMBALANCE:.0f} times as large as the smallest; ranks in balanced accuracy.\n\n"
        + means_table(some, ranks, "balanced_accuracy")
    )
