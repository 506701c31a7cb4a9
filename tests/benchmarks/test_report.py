"""The report of the accuracy benchmark counts right."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy import comparison
from benchmarks.accuracy.report import write_report
from benchmarks.accuracy.runner import read_results

CELLS = list(product(["a", "b", "c"], ["uniform", "none"]))
PLAIN = [0.50, 0.60, 0.70, 0.80, 0.90, 0.40]
OURS = [0.52, 0.603, 0.69, 0.82, 0.902, 0.41]  # win, tie (0.3), loss, win, tie, win
OTHER = [0.40, 0.50, 0.71, 0.70, 0.80, 0.41]


def write_lines(path):
    with path.open("w") as file:
        for method, scores in {"plain": PLAIN, "mw-net": OURS, "hgb": OTHER}.items():
            for (task, noise), score in zip(CELLS, scores, strict=True):
                # Two seeds whose mean is the score above.
                for seed, offset in ((0, -0.05), (1, 0.05)):
                    record = {
                        **{"task": task, "noise": noise, "n_meta": 100, "seed": seed},
                        **{"max_rows": 50, "method": method, "version": "1"},
                        **{"accuracy": score + offset, "balanced_accuracy": score, "log_loss": 1.0},
                        **{"weight_auc": None, "seconds": 1.0, "imbalance": 1.0},
                        "warnings": [f"Classes [{seed}, 7] have {score}. So what."],
                    }
                    file.write(json.dumps(record) + "\n")
    return path


def test_report_agrees_with_counting_by_hand(tmp_path):
    lines = write_lines(tmp_path / "lines.jsonl")
    report = write_report([lines], tmp_path, ["plain"]).read_text()
    # By data set, wrong labels: 2.0, −1.0, 0.2, whose mean is 0.4; clean ones: 0.3, 2.0, 1.0.
    row = next(line for line in report.splitlines() if line.startswith("| mw-net | +"))
    _, _, *wrong, clean_mean, clean_interval, clean_counts, _ = map(str.strip, row.split("|"))
    for (mean, interval, counts), expected in (
        (wrong, ("+0.40", (-1.0, 2.0), "1/1/1")),
        ((clean_mean, clean_interval, clean_counts), ("+1.10", (0.3, 2.0), "2/1/0")),
    ):
        assert (mean, counts) == (expected[0], expected[2])
        extremes = pytest.approx(expected[1], abs=0.011)  # those of the data sets
        assert tuple(map(float, interval.split(" … "))) == extremes
    # Ranks by cell: plain 2 2 2 2 2 3, mw-net 1 1 3 1 1 1.5, hgb 3 3 1 3 3 1.5.
    for method, rank in {"plain": 13 / 6, "mw-net": 8.5 / 6, "hgb": 14.5 / 6}.items():
        means = next(r for r in report.splitlines() if r.startswith(f"| {method} |"))
        assert f"| {rank:.2f} | 1.00 |" in means
    assert "| mw-net | Classes […] have … | 12 |" in report


def test_fits_of_two_sizes_are_not_mixed(tmp_path):
    small = write_lines(tmp_path / "small.jsonl")
    large = tmp_path / "large.jsonl"
    large.write_text(small.read_text().replace('"max_rows": 50', '"max_rows": 60'))
    with pytest.raises(SystemExit, match="twice"):
        write_report([small, large], tmp_path, ["plain"])


def test_runs_that_a_method_lacks_are_left_out(tmp_path):
    fits = pd.DataFrame(read_results(write_lines(tmp_path / "lines.jsonl")))
    is_first = (fits["task"] == "a") & (fits["noise"] == "none") & (fits["seed"] == 0)
    complete = comparison.complete_runs(fits[~(is_first & (fits["method"] == "hgb"))])
    assert (complete.n_dropped, complete.left_out) == (1, [])
    assert complete.cells("accuracy").loc[("a", "none", 100), "plain"] == pytest.approx(0.65)
    complete = comparison.complete_runs(fits[(fits["method"] != "hgb") | (fits["task"] == "a")])
    assert (complete.n_dropped, complete.left_out) == (0, ["hgb"])


def test_critical_difference():
    # Demšar (2006), table 5a and section 3.2.2: q = 2.569 for four methods; N = 14.
    expected = 2.569 * np.sqrt(4 * 5 / (6 * 14))
    assert comparison.critical_difference(4, 14) == pytest.approx(expected, abs=2e-3)
    ranks = pd.Series([1.0, 1.8, 2.4, 3.9])
    assert comparison.cliques(ranks, 1.0) == [(1.0, 1.8), (1.8, 2.4)]
    assert comparison.bootstrap_interval([1.0, 1.0]) == (1.0, 1.0)
