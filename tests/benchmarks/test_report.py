"""The report of the accuracy benchmark counts right."""

import json
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.accuracy import comparison
from benchmarks.accuracy.report import write_report
from benchmarks.accuracy.runner import read_results
from benchmarks.accuracy.scores import score_probabilities

CELLS = list(product(["a", "b", "c"], ["uniform", "none"]))
PLAIN = [0.50, 0.60, 0.70, 0.80, 0.90, 0.40]
OURS = [0.52, 0.603, 0.69, 0.82, 0.902, 0.41]  # win, tie (0.3), loss, win, tie, win
OTHER = [0.40, 0.50, 0.71, 0.70, 0.80, 0.41]
TITLES = ["accuracy", "balanced accuracy", "log loss", "calibration error", "ROC AUC"]


def write_lines(path):
    with path.open("w") as file:
        for method, scores in {"plain": PLAIN, "mw-net": OURS, "hgb": OTHER}.items():
            for (task, noise), score in zip(CELLS, scores, strict=True):
                # Two seeds whose mean is the score above.
                for seed, offset in ((0, -0.05), (1, 0.05)):
                    record = {
                        **{"task": task, "noise": noise, "n_meta": 100, "seed": seed},
                        **{"max_rows": 50, "method": method, "version": "1"},
                        **{"accuracy": score + offset, "balanced_accuracy": 1 - score},
                        **{"log_loss": 2 - score, "calibration_error": score, "roc_auc": 0.9},
                        **{"weight_auc": None, "seconds": 1.0, "imbalance": 1.0},
                        "warnings": [f"Classes [{seed}, 7] have {score}. So what."],
                    }
                    file.write(json.dumps(record) + "\n")
    return path


def test_report_agrees_with_counting_by_hand(tmp_path):
    lines = write_lines(tmp_path / "lines.jsonl")
    report = write_report([lines], tmp_path, ["plain"]).read_text()
    wrong, clean = (row for row in report.splitlines() if row.startswith("| mw-net | +"))
    # By data set, wrong labels: 2.0, −1.0, 0.2, whose mean is 0.4; clean ones: 0.3, 2.0, 1.0.
    # Where less is better, more is lost; 0.01 of the log loss is a tie.
    for row, expected in (
        (wrong, ["+0.40 1/1/1", "-0.40 1/1/1", "+0.004 1/2/0", "-0.40 1/1/1", "+0.00 0/3/0"]),
        (clean, ["+1.10 2/1/0", "-1.10 0/1/2", "+0.011 1/2/0", "-1.10 0/1/2", "+0.00 0/3/0"]),
    ):
        _, _, *found, _ = map(str.strip, row.split("|"))
        assert [re.sub(r" \(.*\)", "", text) for text in found] == expected
    # Intervals reach to the extremes, which are those of the data sets.
    for row, extremes in ((wrong, (-1.0, 2.0)), (clean, (0.3, 2.0))):
        low, high = re.search(r"\((\S+) … (\S+)\)", row).groups()
        assert (float(low), float(high)) == pytest.approx(extremes, abs=0.011)
    for title in TITLES:
        assert re.search(f"### {title} of each cell", report, re.IGNORECASE)
        assert f"### Mean {title} by noise" in report
    assert re.search(f"\\| method \\| {' . '.join(TITLES)} \\| AUC of weights", report)
    best = next(
        row for row in report.split("### Log loss of each cell")[1].splitlines() if "b none" in row
    )
    assert best == "| b none | 1.200 | **1.180** | 1.300 |"
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


def test_numbers_of_trusted_rows_are_compared_in_each_score(tmp_path):
    few = write_lines(tmp_path / "few.jsonl")
    many = tmp_path / "many.jsonl"
    many.write_text(few.read_text().replace('"n_meta": 100', '"n_meta": 200'))
    report = write_report([few, many], tmp_path, ["plain"]).read_text()
    by_size = report.split("## By number of trusted rows")[1]
    assert "12 runs that have all sizes, of a, b, c." in by_size
    for title, mean in (("accuracy", "65.0"), ("log loss", "1.350"), ("ROC AUC", "90.0")):
        table = by_size.split(f"### Mean {title}\n")[1]
        assert f"| plain | {mean} | {mean} |" in table.split("###")[0]
    # The best comes first, also where less is better.
    methods = re.findall(r"^\| (\S+) \| \d", by_size.split("### Mean log loss")[1], re.MULTILINE)
    assert methods[:4] == ["method", "mw-net", "plain", "hgb"]


def test_scores_of_an_older_benchmark_are_refused(tmp_path):
    old = write_lines(tmp_path / "old.jsonl")
    old.write_text(old.read_text().replace("calibration_error", "something"))
    with pytest.raises(SystemExit, match="lack calibration_error"):
        write_report([old], tmp_path, ["plain"])


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_scores_agree_with_scikit_learn_and_with_loops(n_classes):
    rng = np.random.default_rng(n_classes)
    p = rng.dirichlet(np.ones(n_classes), size=400)
    y = np.array([rng.choice(n_classes, p=row) for row in p])
    p[:5] = np.eye(n_classes)[y[:5] - 1]  # certain, and wrong
    scores = score_probabilities(p, y)
    auc = roc_auc_score(y, p[:, 1] if n_classes == 2 else p, multi_class="ovr")
    assert scores["roc_auc"] == pytest.approx(auc)
    clipped = p[np.arange(400), y].clip(1e-4, 1)
    assert scores["log_loss"] == pytest.approx(np.mean([-np.log(value) for value in clipped]))
    error = 0.0
    for low in np.arange(15) / 15:
        confidence = p.max(axis=1)
        rows = (confidence >= low) & ((confidence < low + 1 / 15) | (low == 14 / 15))
        if rows.any():
            right = p[rows].argmax(axis=1) == y[rows]
            error += rows.mean() * abs(confidence[rows].mean() - right.mean())
    assert scores["calibration_error"] == pytest.approx(error)


def test_classes_that_no_test_row_has_leave_the_auc_alone():
    p = np.array([[0.6, 0.4, 0.0], [0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    assert score_probabilities(p, np.array([0, 1, 0, 1]))["roc_auc"] == 1.0
