"""The papers' experiments run on random pictures, resume and are drawn; who wins is not asked."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.papers.__main__ import main
from benchmarks.papers.images import load_images
from benchmarks.papers.methods import METHODS, WITHOUT_WEIGHTS, Weighting
from benchmarks.papers.networks import NETWORKS, ResNet, build_network, cropped_and_flipped
from benchmarks.papers.recipes import SETS, Recipe
from benchmarks.papers.report import report
from benchmarks.papers.runner import judge
from benchmarks.papers.tasks import TASKS, prepare
from benchmarks.papers.texts import LONGEST, PADDING, TextTransformer, weakly_labelled
from skmetaweight import PAPER_TRAINING

N_CLASSES, PER_CLASS = 4, 120
TINY = ["--images", "tiny", "--side", "8", "--width", "2", "--n-trusted", "16", "--epochs", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Random pictures of 16 by 16 pixels, brighter from class to class."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(N_CLASSES), PER_CLASS))
    y_test = np.arange(40) % N_CLASSES
    arrays = {"y_noisy_worst": np.where(rng.random(len(y)) < 0.3, (y + 1) % N_CLASSES, y)}
    for part, labels in (("train", y), ("test", y_test)):
        brightness = 60 * labels[:, None, None, None]
        noise = rng.integers(0, 70, (len(labels), 16, 16, 3))
        arrays |= {f"X_{part}": (brightness + noise).astype(np.uint8), f"y_{part}": labels}
    (tmp_path / "tiny").mkdir()
    np.savez(tmp_path / "tiny" / "tiny.npz", **arrays)
    monkeypatch.setenv("SKMETAWEIGHT_DATA", str(tmp_path))
    load_images.cache_clear()
    return tmp_path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ------------------------------------------------------------------ tasks


@pytest.mark.parametrize("side", [16, 8, 4])
def test_images_come_as_bytes_with_channels_first(folder, side):
    with np.load(folder / "tiny" / "tiny.npz") as file:
        given = file["X_train"]
    X = load_images("tiny", side)["X_train"]
    assert (X.dtype, X.shape) == (np.uint8, (len(given), 3, side, side))
    step = 16 // side
    square = given[5, :step, step : 2 * step, 2] if side < 16 else given[5, :1, 1:2, 2]
    assert abs(square.mean() - float(X[5, 2, 0, 1])) <= 0.5


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", [name for name in TASKS if name != "weak"])
def test_tasks_are_what_their_names_say(folder, name, seed):
    task, images = TASKS[name], load_images("tiny", 16)
    problem = prepare(task, images, None, 40, seed)
    is_tail = task.kind == "tail"
    assert np.array_equal(np.bincount(problem.y_meta), [10] * N_CLASSES)
    rows = np.r_[problem.X, problem.X_meta].reshape(len(problem.y) + 40, -1)
    assert len(np.unique(rows, axis=0)) == len(rows)  # trusted rows are no training rows
    where = {x.tobytes(): y for x, y in zip(images["X_train"], images["y_train"], strict=True)}
    truth = np.array([where[x.tobytes()] for x in problem.X])
    assert [where[x.tobytes()] for x in problem.X_meta] == problem.y_meta.tolist()
    np.testing.assert_array_equal(problem.is_right, problem.y == truth)
    sizes = np.bincount(problem.y)
    if is_tail:
        assert problem.is_right.all()
        assert sizes.max() / sizes.min() == pytest.approx(task.level, rel=0.5)
    else:
        assert len(problem.y) == N_CLASSES * (PER_CLASS - 10)
        assert 1 - problem.is_right.mean() == pytest.approx(task.level, abs=0.12)
    becomes = {(a, b) for a, b in zip(truth, problem.y, strict=True) if a != b}
    wrong = {"flip-one": 1, "flip-two": 2, "pair": 1, "uniform": 3, "human": 1, "tail": 0}
    assert len(becomes) == wrong[task.kind] * N_CLASSES


def test_too_many_trusted_rows_are_refused(folder):
    with pytest.raises(SystemExit, match="fewer than the 200 images"):
        prepare(TASKS["human"], load_images("tiny", 16), None, 800, 0)


def test_human_noise_needs_labels_of_humans(folder):
    images = {k: v for k, v in load_images("tiny", 16).items() if k != "y_noisy_worst"}
    with pytest.raises(SystemExit, match="no labels of humans"):
        prepare(TASKS["human"], images, None, 40, 0)


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """Texts whose first word is their class; no rule fires on each fifth."""
    y = np.arange(120) % N_CLASSES
    text = np.array([f"class{label} is row number {i}" for i, label in enumerate(y)])
    given = np.where(np.arange(120) % 5 == 0, -1, np.where(np.arange(120) % 3 == 0, 0, y))
    (tmp_path / "texts").mkdir()
    split = np.arange(120) // 60 + np.arange(120) // 90
    np.savez(tmp_path / "texts" / "texts.npz", text=text, y=y, y_noisy=given, split=split)
    monkeypatch.setenv("SKMETAWEIGHT_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("seed", [0, 1])
def test_weak_labels_are_those_of_rules_that_fire(texts, seed):
    problem = weakly_labelled("texts", None, 16, seed)
    assert [len(rows) for rows in (problem.X, problem.X_meta, problem.X_test)] == [48, 16, 30]
    assert (problem.y >= 0).all()
    word_of = {y: x[0] for x, y in zip(problem.X_test, problem.y_test, strict=True)}
    truth = np.array([word_of[y] for y in problem.y])
    np.testing.assert_array_equal(problem.is_right, problem.X[:, 0] == truth)


# ------------------------------------------------------------------ networks


@pytest.mark.parametrize(("depth", "n_parameters"), [(20, 269_722), (32, 464_154)])
def test_residual_networks_are_those_of_the_paper(depth, n_parameters):
    network = ResNet(depth, 10)
    parameters = list(network.parameters())
    assert sum(parameter.numel() for parameter in parameters) == n_parameters
    assert sum(parameter.ndim > 1 for parameter in parameters) == depth
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("side", [8, 32])
def test_networks_are_augmented_in_training_only(name, side):
    images = torch.randint(256, (4, 3, side, side)).float()
    network = build_network(name, 5, 2, augment=True)
    assert network(images).shape == (4, 5)
    network.eval()
    torch.testing.assert_close(network(images), network(images), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20)])
def test_each_image_is_shifted_and_maybe_flipped(shape):
    images = torch.randint(1, 256, (64, *shape)).float()
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    seen = set()
    for image, source in zip(cropped_and_flipped(images), padded, strict=True):
        found = [
            (top, left, flipped)
            for flipped in (False, True)
            for top in range(9)
            for left in range(9)
            if torch.equal(
                image.flip(-1) if flipped else image,
                source[:, top : top + shape[1], left : left + shape[2]],
            )
        ]
        assert len(found) == 1
        seen |= set(found)
    tops, lefts, flips = map(set, zip(*seen, strict=True))
    assert len(tops) > 5
    assert len(lefts) > 5
    assert flips == {False, True}


@pytest.mark.parametrize("hidden", [(50, 50), (20, 20, 20)])
def test_weighting_networks_of_the_ablation(hidden):
    network = Weighting(*hidden)
    sizes = [layer.out_features for layer in network.layers if hasattr(layer, "out_features")]
    assert sizes == [*hidden, 1]
    weights = network(torch.linspace(0, 5, 7)[:, None])
    assert weights.shape == (7,)
    assert ((weights > 0) & (weights < 1)).all()


# ------------------------------------------------------------------ recipes and runs


def test_the_full_recipe_is_the_published_training():
    training = SETS["full"].recipe.training(10, "noise")
    for name in ("lr", "lr_schedule", "max_epochs", "batch_size", "optimizer"):
        assert training[name] == PAPER_TRAINING[name]
    assert {k: v for k, v in training.items() if k.startswith("optimizer__")} == {
        k: v for k, v in PAPER_TRAINING.items() if k.startswith("optimizer__")
    }
    of_tails = Recipe().training(10, "imbalance")
    assert (of_tails["max_epochs"], of_tails["lr_schedule"]) == (100, (80, 90))
    assert of_tails["optimizer__nesterov"]


@pytest.mark.parametrize("name", SETS)
def test_sets_name_what_there_is(name):
    assert set(SETS[name].tasks) <= set(TASKS)
    assert set(SETS[name].methods) <= set(METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("task", ["tail-10", "flip2-40"])
def test_every_method_runs_and_is_drawn(folder, task, optimizer, monkeypatch):
    recipe = replace(SETS["small"].recipe, optimizer=optimizer, network="cnn", n_train=120)
    monkeypatch.setitem(SETS, "small", replace(SETS["small"], recipe=recipe))
    out, pictures = folder / "out.jsonl", folder / "pictures"
    run = [*TINY, "--tasks", task, "--out", str(out), "--pictures", str(pictures)]
    main([*run, "--methods", *METHODS])
    records = lines(out)
    assert [record["method"] for record in records] == list(METHODS)
    assert all(np.isfinite(record["log_loss"]) for record in records)
    drawn = {path.name for path in pictures.iterdir()}
    assert drawn == {f"{task}-{name}-0.png" for name in METHODS if name not in WITHOUT_WEIGHTS}
    has_auc = {record["method"] for record in records if record["weight_auc"] is not None}
    assert has_auc <= set(METHODS) - set(WITHOUT_WEIGHTS)
    assert bool(has_auc) == (task == "flip2-40")


def test_texts_run(texts):
    out = texts / "out.jsonl"
    main(
        [
            "--set",
            "text",
            "--images",
            "texts",
            "--n-trusted",
            "16",
            "--epochs",
            "1",
            "--width",
            "8",
            "--methods",
            "uniform",
            "mw-net",
            "--out",
            str(out),
        ]
    )
    assert [record["n_rows"] for record in lines(out)] == [48, 48]
    assert all(np.isfinite(record["log_loss"]) for record in lines(out))
    assert "### weak" in report([out])


@pytest.mark.parametrize("method", METHODS)
def test_trusted_rows_may_lack_a_class(texts, method):
    problem = weakly_labelled("texts", None, 16, 0)
    problem = replace(problem, y_meta=np.where(problem.y_meta == 0, 1, problem.y_meta))
    recipe = replace(SETS["text"].recipe, width=8, epochs=1)
    training = recipe.training(len(np.unique(problem.y_test)), problem.setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clf = METHODS[method](problem, training)
    assert np.isfinite(judge(clf, problem, has_weights=False)["log_loss"])


def test_the_transformer_takes_no_notice_of_padding():
    network = TextTransformer(3, 8).eval()
    X = torch.randint(1, 50, (6, LONGEST))
    X[:, 7:] = PADDING
    expected = network(X)
    with torch.no_grad():
        network.places[7:] += 1
    torch.testing.assert_close(network(X), expected)


def test_a_run_goes_on_where_it_was_and_knows_other_recipes(folder, capsys):
    out = folder / "out.jsonl"
    run = [*TINY, "--network", "cnn", "--tasks", "human", "--methods", "base", "--out", str(out)]
    main(run)
    first = out.read_text()
    main(run)
    assert out.read_text() == first
    out.write_text(first + '{"torn')
    main([*run, "--seeds", "0", "1"])
    main([*run, "--epochs", "1"])
    seen = [json.loads(line) for line in out.read_text().splitlines() if line.endswith("}")]
    assert [(record["seed"], record["epochs"]) for record in seen] == [(0, 2), (1, 2), (0, 1)]
    assert "a torn line is ignored" in capsys.readouterr().out


def test_report_has_the_published_order_beside_ours(tmp_path):
    accuracies = {"base": [0.5, 0.6], "fine-tuned": [0.8, 0.8], "mw-net-paper": [0.7, 0.72]}
    shared = {
        "task": "flip2-40",
        **Recipe().__dict__,
        **{"balanced_accuracy": 0.5, "log_loss": 1.5, "weight_auc": None, "seconds": 7.0},
    }
    path = tmp_path / "lines.jsonl"
    path.write_text(
        "".join(
            json.dumps({**shared, "method": method, "seed": seed, "accuracy": accuracy}) + "\n"
            for method, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        )
    )
    text = report([path])
    assert "| base | 55.0 ± 7.1 | 50.0 ± 0.0 | 1.500 ± 0.000 | – | 7 | 2 | 70.8 |" in text
    assert "Published order: base < fine-tuned < mw-net-paper." in text
    assert "Here: base < mw-net-paper < fine-tuned." in text
    with pytest.raises(SystemExit, match="no results"):
        report([tmp_path / "none.jsonl"])
