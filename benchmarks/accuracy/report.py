"""From lines of JSON to a report: Markdown, and pictures of critical differences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.accuracy.comparison import (
    CELL,
    RUN,
    Complete,
    average_ranks,
    complete_runs,
    critical_difference,
    friedman_p_value,
)
from benchmarks.accuracy.critical_difference import draw_critical_difference
from benchmarks.accuracy.groups import noises_by_task
from benchmarks.accuracy.runner import read_results
from benchmarks.accuracy.scores import SCORES
from benchmarks.accuracy.tables import (
    by_meta_size,
    by_noise,
    cell_table,
    differences,
    markdown,
    means_table,
    of_imbalanced_cells,
)
from benchmarks.accuracy.tasks import IMBALANCED, NOISY_TAILS

NUMBERS = re.compile(r"\d+([.,\s]+\d+)*")
"""Numbers and lists of numbers, in which warnings of one kind differ."""


def write_report(
    results: Iterable[Path],
    folder: Path,
    against: Sequence[str],
    sets: Sequence[str] | None = None,
) -> Path:
    """Write `report.md` and its pictures to a folder, and return the path of the former."""
    records = [record for path in results for record in read_results(path)]
    if sets:
        kept = [noises_by_task(name) for name in sets]
        records = [r for r in records if any(r["noise"] in n.get(r["task"], []) for n in kept)]
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
    missing = [name for name in SCORES if len(scored) and name not in scored]
    if missing:
        raise SystemExit(f"Fits of an older benchmark lack {', '.join(missing)}: run them again.")
    writer = _Writer(folder, against)
    parts = ["# Accuracy", summary(fits), *writer.sections(scored), problems(fits)]
    path = folder / "report.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    return path


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
        tails = scored["noise"].isin(NOISY_TAILS)
        parts = []
        for title, fits, score in (
            ("Label noise", scored[~imbalanced & ~tails], "accuracy"),
            ("Imbalanced classes", scored[imbalanced], "balanced_accuracy"),
            ("Tails with wrong labels", scored[tails], "accuracy"),
        ):
            if len(fits):
                n_meta = _main_meta_size(fits)
                complete = complete_runs(fits[fits["n_meta"] == n_meta])
                parts.append(f"## {title}, {n_meta} trusted rows")
                parts += self.comparison(complete, score, title.split()[0].lower())
        parts.append(by_meta_size(scored[~imbalanced & ~tails]))
        return parts

    def comparison(self, complete: Complete, main: str, name: str) -> list[str]:
        cells = {score: complete.cells(score) for score in SCORES}
        parts = [_what_is_compared(complete, cells[main])]
        if not len(cells[main]):
            return parts
        ranks = average_ranks(cells[main])
        parts.append(means_table(complete, ranks, main))
        parts.append(self._picture(cells[main], ranks, name))
        parts += [
            differences(cells, other, main)
            for other in self.against
            if other in cells[main] and cells[main].shape[1] > 1
        ]
        parts += [by_noise(cells[score], SCORES[score]) for score in SCORES]
        parts += [cell_table(cells[score], SCORES[score]) for score in SCORES]
        parts.append(of_imbalanced_cells(complete))
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
