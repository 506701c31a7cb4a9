"""Statistics over many tasks: wins, ranks, critical differences, bootstrap intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, friedmanchisquare, rankdata, studentized_range

RUN = ["task", "noise", "n_meta", "seed"]
CELL = ["task", "noise", "n_meta"]
MAX_MISSING = 0.1
"""Share of the runs that a method may miss before it is left out of joint comparisons."""


class Complete(NamedTuple):
    """Scored fits of the runs that all compared methods have."""

    fits: pd.DataFrame
    left_out: list[str]
    """Methods that miss too many runs."""
    n_dropped: int
    """Runs that one of the other methods misses."""

    def cells(self, score: str) -> pd.DataFrame:
        """Means over seeds: a row for each task, noise and number of trusted rows."""
        means = self.fits.groupby([*CELL, "method"], sort=False)[score].mean()
        return means.unstack("method")


def complete_runs(fits: pd.DataFrame) -> Complete:
    """Keep what can be compared fairly: the same runs for each method."""
    present = fits.pivot_table(index=RUN, columns="method", values="accuracy").notna()
    share = present.mean()
    left_out = sorted(share.index[share < 1 - MAX_MISSING])
    kept = present.drop(columns=left_out).all(axis=1)
    keys = pd.MultiIndex.from_frame(fits[RUN])
    rows = ~fits["method"].isin(left_out) & kept.reindex(keys).to_numpy()
    return Complete(fits[rows], left_out, int((~kept).sum()))


class Difference(NamedTuple):
    """What a method gains over another, over the same cells."""

    mean: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int


def compare(gains: pd.Series, tie: float, seed: int = 0) -> Difference:
    """Count wins over cells; bootstrap the mean over data sets, whose cells belong together."""
    by_task = gains.groupby(level="task").mean().to_numpy()
    low, high = bootstrap_interval(by_task, seed)
    # Differences are rounded before they are counted: 0.3 points are a tie.
    wins, losses = int((gains.round(6) > tie).sum()), int((gains.round(6) < -tie).sum())
    return Difference(float(by_task.mean()), low, high, wins, len(gains) - wins - losses, losses)


def bootstrap_interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the 95% percentile interval of the mean; NaN for a single value."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    random = np.random.default_rng(seed)
    interval = bootstrap((values,), np.mean, method="percentile", random_state=random)
    return tuple(map(float, interval.confidence_interval))


def average_ranks(cells: pd.DataFrame) -> pd.Series:
    """Return mean ranks over cells, 1 for the best; equal scores share theirs."""
    ranks = rankdata(-cells.to_numpy(), axis=1)
    return pd.Series(ranks.mean(axis=0), index=cells.columns)


def friedman_p_value(cells: pd.DataFrame) -> float:
    """Return the p-value of the hypothesis that all methods are alike; NaN below three."""
    if cells.shape[1] < 3 or len(cells) < 2:
        return np.nan
    return float(friedmanchisquare(*cells.to_numpy().T).pvalue)


def critical_difference(n_methods: int, n_cells: int, alpha: float = 0.05) -> float:
    """Return the Nemenyi test's critical difference of two average ranks (Demšar, JMLR 2006)."""
    quantile = studentized_range.isf(alpha, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_cells)))


def cliques(ranks: pd.Series, difference: float) -> list[tuple[float, float]]:
    """Return the first and the last rank of each widest group within the critical difference."""
    sorted_ranks = np.sort(ranks.to_numpy())
    groups: list[tuple[float, float]] = []
    for first in sorted_ranks:
        last = sorted_ranks[sorted_ranks <= first + difference].max()
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((float(first), float(last)))
    return groups
