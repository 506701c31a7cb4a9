"""The picture of average ranks and of which of them differ."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.comparison import cliques

LEFT, RIGHT = 0.22, 0.78
"""The ends of the scale, as shares of the width."""
ABOVE, ROW, BAR = 0.95, 0.24, 0.12
"""Heights above the scale, of a label and of a bar, in inches."""


def draw_critical_difference(
    ranks: pd.Series, difference: float, path: Path, *, title: str
) -> None:
    """Draw methods at their average ranks; a bar joins those that do not differ."""
    ranks = ranks.sort_values()
    groups = cliques(ranks, difference)
    top = BAR * len(groups) + 0.2
    below = top + ROW * ((len(ranks) + 1) // 2)
    figure = Figure(figsize=(9, ABOVE + below))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(-below, ABOVE))
    axes.axis("off")

    def place(rank: float) -> float:
        return LEFT + (RIGHT - LEFT) * (rank - 1) / (len(ranks) - 1)

    _draw_scale(axes, len(ranks), place, title)
    axes.plot([place(1), place(1 + difference)], [0.5, 0.5], "k", marker="|", linewidth=1.5)
    axes.text(place(1), 0.58, f"critical difference {difference:.2f}", fontsize=9)
    for i, (first, last) in enumerate(groups):
        ends = [place(first) - 0.003, place(last) + 0.003]
        axes.plot(ends, [-BAR * (i + 0.8)] * 2, "k", linewidth=3)
    _draw_labels(axes, ranks, place, top)
    figure.savefig(path, dpi=150)


def _draw_scale(axes: Axes, n_methods: int, place, title: str) -> None:
    axes.plot([LEFT, RIGHT], [0, 0], "k", linewidth=1)
    for rank in range(1, n_methods + 1, max(1, n_methods // 10)):
        axes.plot([place(rank)] * 2, [0, 0.07], "k", linewidth=1)
        axes.text(place(rank), 0.12, str(rank), ha="center", fontsize=9)
    axes.text(RIGHT, 0.58, title, ha="right", fontsize=9)


def _draw_labels(axes: Axes, ranks: pd.Series, place, top: float) -> None:
    """The better half on the left, best on top; the other half on the right, worst on top."""
    n_left = (len(ranks) + 1) // 2
    for i, (method, rank) in enumerate(ranks.items()):
        is_left = i < n_left
        row = i if is_left else len(ranks) - 1 - i
        y = -top - ROW * (row + 0.4)
        edge, aligned = (LEFT - 0.02, "right") if is_left else (RIGHT + 0.02, "left")
        axes.plot([edge, place(rank), place(rank)], [y, y, 0], color="0.4", linewidth=0.8)
        text = f"{method}  {rank:.1f}" if is_left else f"{rank:.1f}  {method}"
        axes.text(edge + (-0.008 if is_left else 0.008), y, text, ha=aligned, va="center", size=9)
