"""The accuracy benchmark runs, resumes and prepares its tasks right; who wins is not asked."""

import csv
import json
from itertools import product

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from benchmarks.accuracy import groups, runner, tasks
from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.methods import METHODS
from benchmarks.accuracy.methods.imbalance import PriorAdjusted
from benchmarks.accuracy.methods.method import Method
from benchmarks.accuracy.report import write_report
from benchmarks.accuracy.scores import SCORES


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


def test_runs_resumes_and_reports(data_folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "results.jsonl"
    grid = ["--noise", "uniform", "real", "--n-meta", "20", "--seeds", "0"]
    methods = ["--methods", "logistic", "mw-net"]
    names = ["--set", "confirmation", "--tasks", "gaps", "crowd"]
    command = [*names, *grid, *methods, "--out", str(out)]
    main(command)
    records = read(out)
    assert "4 fits, 0 of them done before" in capsys.readouterr().out
    found = {(record["task"], record["noise"], record["method"]) for record in records}
    assert found == set(product(["gaps"], ["uniform"], ["logistic", "mw-net"])) | set(
        product(["crowd"], ["real"], ["logistic", "mw-net"])
    )
    for record in records:
        assert 0 <= record["accuracy"] <= 1
        assert record["log_loss"] > 0
        assert all(np.isfinite(record[name]) for name in SCORES)
        assert (record["weight_auc"] is not None) == (record["method"] == "mw-net")

    # A torn line is a fit that was not done; the others are not repeated.
    whole = out.read_text()
    out.write_text(whole[:-20])
    main(command)
    again = read_whole_lines(out)
    assert "3 of them done before" in capsys.readouterr().out
    assert {**again[-1], "seconds": 0} == {**records[-1], "seconds": 0}
    monkeypatch.setattr(runner, "run_fit", None)
    main(command)

    main(["report", str(out), "--out", str(tmp_path / "report")])
    report = (tmp_path / "report" / "report.md").read_text()
    for record in records:
        assert f"{100 * record['accuracy']:.1f}" in report
    assert (tmp_path / "report" / "critical_difference_label.png").stat().st_size > 1_000


def read_whole_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def test_failures_are_reported(data_folder, tmp_path, monkeypatch):
    def fail(problem, seed):
        raise RuntimeError("no luck | today")

    monkeypatch.setitem(METHODS, "hgb", Method(fail, 0.0))
    out = tmp_path / "results.jsonl"
    grid = ["--noise", "none", "--n-meta", "20", "1000", "--seeds", "0"]
    command = ["--set", "confirmation", "--tasks", "gaps", *grid, "--out", str(out)]
    main([*command, "--methods", "logistic", "hgb"])
    by_method = {record["method"]: record for record in read(out) if record["n_meta"] == 20}
    assert by_method["hgb"]["error"] == "RuntimeError: no luck | today"
    assert "accuracy" in by_method["logistic"]
    assert all("skipped" in record for record in read(out) if record["n_meta"] == 1000)

    report = write_report([out], tmp_path / "report", ["plain"]).read_text()
    assert "**1 failed**" in report
    assert "| gaps | none | 20 | hgb | 1 | RuntimeError: no luck \\| today |" in report
    assert "1000 trusted rows of only" in report

    monkeypatch.undo()
    monkeypatch.setenv("SKMETAWEIGHT_DATA", str(data_folder))
    main([*command, "--methods", "logistic", "hgb", "--retry"])
    assert "accuracy" in read(out)[-1]


def test_confirmation_tasks_need_a_word(data_folder, capsys):
    main(["--plan"])
    assert "0 fits" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="development tasks"):
        main(["--tasks", "gaps"])


def test_problems_share_their_test_rows_and_keep_them_apart(data_folder):
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


def test_trusted_rows_are_stratified():
    y = np.repeat([0, 1, 2], [900, 90, 10])
    rows = np.arange(1_000) + 5
    draw = tasks.draw_stratified(rows, y, 20, np.random.default_rng(0))
    assert np.bincount(y[draw - 5], minlength=3).tolist() in ([17, 2, 1], [18, 1, 1])
    with pytest.raises(tasks.InfeasibleError):
        tasks.draw_stratified(rows, y, 501, np.random.default_rng(0))


def test_probabilities_are_divided_by_the_power_that_serves_the_trusted_rows():
    y = np.repeat([0, 1], [900, 100])
    score = np.linspace(0, 1, 1_000)
    shares = np.array([0.9, 0.1])

    class Calibrated:
        def predict_proba(self, X):
            odds = X[:, 0] / (1 - X[:, 0]).clip(1e-9) * 0.1 / 0.9
            return np.c_[1 / (1 + odds), odds / (1 + odds)]

    X_meta = score[:, None]
    y_meta = (score > 0.5).astype(int)
    adjusted = PriorAdjusted(Calibrated(), y, X_meta, y_meta)
    p = adjusted.predict_proba(X_meta)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == y_meta).mean() > 0.99
    assert (Calibrated().predict_proba(X_meta).argmax(axis=1) == y_meta).mean() < 0.7
    plain = Calibrated().predict_proba(X_meta) / shares
    np.testing.assert_allclose(p, plain / plain.sum(axis=1, keepdims=True), rtol=1e-6)


def test_naturally_imbalanced_tasks_keep_their_labels(data_folder, monkeypatch):
    assert "natural-imbalance" not in groups.noises_of("gaps")
    monkeypatch.setattr(groups, "NATURALLY_IMBALANCED", ("gaps",))
    assert "natural-imbalance" in groups.noises_of("gaps")
    problem = tasks.prepare(tasks.Setting("gaps", "natural-imbalance", 20, 0, 100))
    assert problem.is_right.all()


def test_methods_for_imbalance_and_slow_ones_run_elsewhere_only_if_named(data_folder):
    def planned(methods):
        block = runner.Block(None, (20,), (0,), methods)
        noises = {"even": ["uniform", "long-tailed", "pair-tail"]}
        return {(fit.setting.noise, fit.method) for fit in runner.plan([block], noises)}

    assert {("long-tailed", "plain-balanced"), ("pair-tail", "plain-balanced")} <= planned(None)
    assert ("uniform", "plain-balanced") not in planned(None)
    assert ("uniform", "plain-balanced") in planned(("plain-balanced",))
    assert ("uniform", "realmlp") not in planned(None)
    assert ("uniform", "realmlp") in planned(("realmlp",))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("noise", tasks.NOISY_TAILS)
def test_tails_have_wrong_labels_and_an_even_test_set(data_folder, monkeypatch, noise, seed):
    setting = tasks.Setting("even", noise, 100, seed, 4_000)
    problem = tasks.prepare(setting)
    assert len(set(np.bincount(problem.y_test))) == 1
    assert problem.is_right.mean() == pytest.approx(0.6, abs=0.06)
    rows = {tuple(row) for row in problem.X_test}
    assert rows.isdisjoint(tuple(row) for row in np.r_[problem.X, problem.X_meta])
    # Rare classes look more frequent than they are; trusted rows are as rare as their class.
    given = np.bincount(problem.y)
    assert given.max() / given.min() < 10
    monkeypatch.setattr(tasks, "NOISE_RATE", 0.0)
    clean = tasks.prepare.__wrapped__(setting)
    sizes = np.bincount(np.r_[clean.y, clean.y_meta])
    assert sizes.max() / sizes.min() == pytest.approx(30, rel=0.1)
    trusted = np.bincount(clean.y_meta, minlength=3)
    np.testing.assert_allclose(trusted, 100 * sizes / sizes.sum(), atol=9)


def test_too_many_trusted_rows_of_a_tail_are_not_possible(data_folder):
    with pytest.raises(tasks.InfeasibleError, match="900 trusted rows of only"):
        tasks.prepare(tasks.Setting("even", "pair-tail", 900, 0, 4_000))


def test_groups_run_together_and_are_reported_apart(data_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(groups.GROUPS, "tails", {"even": ["pair-tail"], "absent": ["uniform-tail"]})
    monkeypatch.setitem(groups.GROUPS, "clean", {"gaps": ["none"]})
    out = tmp_path / "groups.jsonl"
    grid = ["--set", "tails", "clean", "--seeds", "0", "1", "--methods", "logistic"]
    main([*grid, "--out", str(out)])
    found = {(record["task"], record["noise"], record["seed"]) for record in read(out)}
    assert found == set(product(["even"], ["pair-tail"], [0, 1])) | set(
        product(["gaps"], ["none"], [0, 1])
    )
    both = write_report([out], tmp_path / "both", ["plain"]).read_text()
    assert "## Tails with wrong labels, 100" in both
    assert "pair-tail" in both

    main(["report", str(out), "--set", "clean", "--out", str(tmp_path / "clean")])
    assert "pair-tail" not in (tmp_path / "clean" / "report.md").read_text()


def test_groups_name_kinds_of_noise_that_exist():
    for name, noises in groups.GROUPS.items():
        assert name in groups.SETS
        for kinds in noises.values():
            assert set(kinds) <= set(tasks.NOISES)
