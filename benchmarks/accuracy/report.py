"""From lines of JSON to a report: Markdown, and pictures of critical differences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.accuracy.comparison import (
    CELL,
    RUN,
    TIE,
    Complete,
    average_ranks,
    compare,
    complete_runs,
    critical_difference,
    friedman_p_value,
)
from benchmarks.accuracy.critical_difference import draw_critical_difference
from benchmarks.accuracy.runner import read_results
from benchmarks.accuracy.tasks import IMBALANCED

SCORES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
MUCH_IMBALANCE = 3.0
"""Ratio of the largest to the smallest class of the test rows."""
NUMBERS = re.compile(r"\d+([.,\s]+\d+)*")
"""Numbers and lists of numbers, in which warnings of one kind differ."""


def write_report(results: Iterable[Path], folder: Path, against: Sequence[str]) -> Path:
    """Write `report.md` and its pictures to a folder, and return the path of the former."""
    records = [record for path in results for record in read_results(path)]
    if not records:
        raise SystemExit("The files have no results.")
    folder.mkdir(parents=True, exist_ok=True)
    fits = pd.DataFrame(records)
    if fits.duplicated([*RUN, "method"]).any():
        raise SystemExit("Some fits are there twice, e.g. with other numbers of rows: split them.")
    for column in ("accuracy", "error", "skipped"):
        if column not in fits:
            fits[column] = None
    scored = fits[fits["accuracy"].notna()]
    writer = _Writer(folder, against)
    parts = ["# Accuracy", summary(fits), *writer.sections(scored), problems(fits)]
    path = folder / "report.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    return path


def markdown(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{100 * value:.1f}"


def number(value: float, digits: int = 2) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def summary(fits: pd.DataFrame) -> str:
    n_skipped, n_failed = fits["skipped"].notna().sum(), fits["error"].notna().sum()
    rows = ", ".join(map(str, sorted(fits["max_rows"].unique())))
    return (
        f"{len(fits)} fits on {fits['task'].nunique()} data sets of at most {rows} training rows: "
        f"{fits['accuracy'].notna().sum()} scored, **{n_failed} failed**, {n_skipped} not possible "
        f"(listed at the end). skmetaweight {', '.join(sorted(fits['version'].unique()))}. "
        "A cell is a data set with a kind of noise and a number of trusted rows, averaged over its "
        "seeds. Only runs that every compared method has are compared."
    )


@dataclass(frozen=True)
class _Writer:
    folder: Path
    against: Sequence[str]

    def sections(self, scored: pd.DataFrame) -> list[str]:
        imbalanced = scored["noise"].isin(IMBALANCED)
        parts = []
        for title, fits, score in (
            ("Label noise", scored[~imbalanced], "accuracy"),
            ("Imbalanced classes", scored[imbalanced], "balanced_accuracy"),
        ):
            if len(fits):
                n_meta = _main_meta_size(fits)
                complete = complete_runs(fits[fits["n_meta"] == n_meta])
                parts.append(f"## {title}, {n_meta} trusted rows")
                parts += self.comparison(complete, score, title.split()[0].lower())
        parts.append(by_meta_size(scored[~imbalanced]))
        return parts

    def comparison(self, complete: Complete, score: str, name: str) -> list[str]:
        cells = complete.cells(score)
        parts = [_what_is_compared(complete, cells)]
        if not len(cells):
            return parts
        ranks = average_ranks(cells)
        parts.append(means_table(complete, ranks, score))
        parts.append(self._picture(cells, ranks, name))
        parts += [
            differences(cells, other, SCORES[score])
            for other in self.against
            if other in cells and cells.shape[1] > 1
        ]
        parts.append(by_noise(complete, score))
        parts.append(f"### {SCORES[score].capitalize()} of each cell\n\n{cell_table(cells)}")
        parts.append(imbalanced_cells(complete) if score == "accuracy" else "")
        return parts

    def _picture(self, cells: pd.DataFrame, ranks: pd.Series, name: str) -> str:
        if len(ranks) < 2 or len(cells) < 2:
            return ""
        difference = critical_difference(len(ranks), len(cells))
        path = self.folder / f"critical_difference_{name}.png"
        title = f"average rank over {len(cells)} cells"
        draw_critical_difference(ranks, difference, path, title=title)
        p_value = friedman_p_value(cells)
        return (
            f"![Average ranks]({path.name})\n\nFriedman test: p = {p_value:.2g}. Nemenyi critical "
            f"difference at 5%: {difference:.2f} ranks. It takes the {len(cells)} cells as "
            "independent, but cells of one data set are alike: the intervals below, over data "
            "sets, are the more careful answer."
        )


def _main_meta_size(fits: pd.DataFrame) -> int:
    """Return the number of trusted rows that most methods have, and then most fits."""
    by_size = fits.groupby("n_meta")
    counts = pd.DataFrame({"methods": by_size["method"].nunique(), "fits": by_size.size()})
    return int(counts.sort_values(["methods", "fits"]).index[-1])


def _what_is_compared(complete: Complete, cells: pd.DataFrame) -> str:
    tasks = cells.index.unique("task")
    text = f"{len(cells)} cells of {len(tasks)} data sets ({', '.join(tasks)})."
    if complete.n_dropped:
        text += f" {complete.n_dropped} runs are left out because a method lacks them."
    if complete.left_out:
        text += f" Left out, with too many runs missing: {', '.join(complete.left_out)}."
    return text


def means_table(complete: Complete, ranks: pd.Series, score: str) -> str:
    """One row for each method, the best first; every mean is over the same cells."""
    means = pd.DataFrame(
        {
            name: complete.cells(name).mean()
            for name in (*SCORES, "log_loss", "weight_auc", "seconds")
        }
    )
    header = ["method", *SCORES.values(), "log loss", "AUC of weights", "average rank", "seconds"]
    rows = [
        (
            method,
            *(percent(row[name]) for name in SCORES),
            number(row["log_loss"], 3),
            number(row["weight_auc"], 3),
            number(ranks[method]),
            number(row["seconds"]),
        )
        for method, row in means.sort_values(score, ascending=False).iterrows()
    ]
    return markdown(header, rows)


def differences(cells: pd.DataFrame, other: str, score: str) -> str:
    """Compare every method with one of them, with clean labels apart."""
    clean = cells.index.get_level_values("noise") == "none"
    groups = {"wrong labels": cells[~clean], "clean labels": cells[clean]}
    groups = {name: part for name, part in groups.items() if len(part)}
    header = ["method"]
    rows: dict[str, list[str]] = {method: [] for method in cells if method != other}
    order: dict[str, float] = {}
    for name, part in groups.items():
        prefix = f"{name}: " if len(groups) > 1 else ""
        header += [f"{prefix}points", "95% interval", "wins/ties/losses"]
        for method, row in rows.items():
            d = compare(part[method], part[other])
            interval = "–" if pd.isna(d.low) else f"{d.low:+.2f} … {d.high:+.2f}"
            row += [f"{d.mean:+.2f}", interval, f"{d.wins}/{d.ties}/{d.losses}"]
            order.setdefault(method, d.mean)
    best_first = sorted(rows, key=lambda method: -order[method])
    return (
        f"### Against {other}\n\nDifference in {score}: mean over data sets, interval by paired "
        f"bootstrap over data sets; wins and losses over cells, by more than {TIE} points.\n\n"
        + markdown(header, [(method, *rows[method]) for method in best_first])
    )


def _by_column(means: pd.DataFrame) -> str:
    means = means.loc[means.mean(axis=1).sort_values(ascending=False).index]
    rows = ((method, *map(percent, values)) for method, *values in means.itertuples())
    return markdown(["method", *means.columns], rows)


def by_noise(complete: Complete, score: str) -> str:
    means = complete.cells(score).groupby(level="noise", sort=False).mean().T
    if means.shape[1] < 2:
        return ""
    return f"### Mean {SCORES[score]} by noise\n\n{_by_column(means)}"


def by_meta_size(scored: pd.DataFrame) -> str:
    """Mean accuracy by number of trusted rows, of methods and runs that have all of them."""
    sizes = sorted(scored["n_meta"].unique())
    if len(sizes) < 2:
        return ""
    found = scored.groupby("method")["n_meta"].nunique()
    methods = found.index[found == len(sizes)]
    cells = scored[scored["method"].isin(methods)].pivot_table(
        index=["task", "noise", "seed"], columns=["method", "n_meta"], values="accuracy"
    )
    cells = cells.dropna()
    if not len(cells):
        return "## By number of trusted rows\n\nNo run has all of them for all methods."
    tasks = ", ".join(cells.index.unique("task"))
    text = f"{len(cells)} runs that have all sizes, of {tasks}. Mean accuracy."
    by_size = cells.groupby(level=["task", "noise"]).mean().mean().unstack("n_meta")
    return f"## By number of trusted rows\n\n{text}\n\n{_by_column(by_size)}"


def cell_table(cells: pd.DataFrame) -> str:
    """One row for each cell; the best score is bold."""
    rows = []
    for index, scores in cells.iterrows():
        best = scores.max()
        texts = [f"**{percent(s)}**" if s == best else percent(s) for s in scores]
        rows.append((" ".join(map(str, index[:2])), *texts))
    return markdown(["cell", *cells.columns], rows)


def imbalanced_cells(complete: Complete) -> str:
    imbalance = complete.fits.groupby(CELL)["imbalance"].mean()
    cells = complete.cells("balanced_accuracy")
    cells = cells[imbalance.reindex(cells.index).to_numpy() > MUCH_IMBALANCE]
    if not len(cells):
        return ""
    text = "### Balanced accuracy of imbalanced data sets"
    means = ("mean", *(f"**{percent(value)}**" for value in cells.mean()))
    return f"{text}\n\n{cell_table(cells)}\n| " + " | ".join(means) + " |"


def problems(fits: pd.DataFrame) -> str:
    """Every fit without a score, and how often which warning came."""
    parts = []
    for column, title in (("error", "Failed fits"), ("skipped", "Not possible")):
        missing = fits[fits[column].notna()]
        if len(missing):
            groups = missing.groupby([*CELL, column], sort=False)
            rows = [
                (*cell, ", ".join(sorted(set(group["method"]))), len(group), _line(why))
                for (*cell, why), group in groups
            ]
            header = ["data set", "noise", "trusted rows", "methods", "fits", "reason"]
            parts.append(f"## {title}\n\n{markdown(header, rows)}")
    seen = Counter(
        (record.method, _kind(text)) for record in fits.itertuples() for text in record.warnings
    )
    if seen:
        rows = [(*kind, n) for kind, n in seen.most_common()]
        parts.append(f"## Warnings\n\n{markdown(['method', 'warning', 'fits'], rows)}")
    return "\n\n".join(parts)


def _kind(warning: str) -> str:
    return NUMBERS.sub("…", _line(warning)).partition(". ")[0].rstrip(".")


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:200]
