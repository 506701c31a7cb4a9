"""The pages that teach keep their word: code runs, numbers are those of the benchmarks."""

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaweight import MetaWeightClassifier
from skmetaweight.model_selection import TrustedKFold
from tests.conftest import make_data, quick
from tests.test_readme import ROOT, rst_code


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_answers_run():
    """All blocks in a row, with few epochs."""
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    code = "\n".join(rst_code("answers.rst"))
    fast = code.replace("MetaWeightClassifier(", "MetaWeightClassifier(max_epochs=3, ")
    names = {}
    exec(compile(fast, "answers.rst", "exec"), names)
    plt.close("all")
    assert names["checked"].sum() == 150
    assert names["clf"].score(names["X_test"], names["y_test"]) > 0.7


def test_comparison_on_the_readers_data_runs():
    X, y = load_iris(return_X_y=True)
    names = {"X": X, "y": y, "meta_mask": np.arange(len(y)) % 5 == 0}
    code = "\n".join(rst_code("which_method.rst"))
    fast = code.replace("MetaWeightClassifier(", "MetaWeightClassifier(max_epochs=2, ")
    exec(compile(fast, "which_method.rst", "exec"), names)
    assert names["search"].best_score_ > 0.5


def test_plain_probabilities_without_a_refit():
    data = make_data()
    clf, plain = (quick(**params) for params in ({}, {"class_smoothing": 0}))
    for each in (clf, plain):
        each.fit(data.X, data.y, meta_mask=data.mask)
    (code,) = [block for block in rst_code("gotchas.rst") if "class_factors_" in block]
    names = {"clf": clf, "X": data.X}
    exec(compile(code, "gotchas.rst", "exec"), names)
    np.testing.assert_allclose(names["p"], plain.predict_proba(data.X), rtol=1e-6)
    assert np.abs(names["p"] - clf.predict_proba(data.X)).max() > 0.001


def test_search_of_a_pipeline_without_routing_runs():
    X, y = load_iris(return_X_y=True)
    (code,) = [block for block in rst_code("ecosystem.rst") if "__meta_mask=meta_mask, g" in block]
    fast = code.replace("MetaWeightClassifier(", "MetaWeightClassifier(max_epochs=2, ")
    names = {
        **{"X": X, "y": y, "meta_mask": np.arange(len(y)) % 5 == 0, "cv": TrustedKFold(5)},
        **{each.__name__: each for each in (GridSearchCV, make_pipeline, StandardScaler)},
        "MetaWeightClassifier": MetaWeightClassifier,
    }
    exec(compile(fast, "ecosystem.rst", "exec"), names)
    assert names["search"].best_estimator_[-1].meta_indices_.size == 30


def test_published_settings_are_built():
    code = "\n".join(rst_code("papers.rst"))
    exec(compile(code, "papers.rst", "exec"), {"MyNetwork": torch.nn.Linear})


RECORDS = "".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "benchmarks").rglob("*.md"))
)
DIFFERENCES = {  # of numbers on the page itself, and versions
    "which_method.rst": {"3.7", "5.6", "8.6"},
    "comparison.rst": {"2.9", "1.4"},
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_numbers_are_those_of_the_benchmarks(name):
    numbers = set(re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", page(name)))
    recorded = set(re.findall(r"\d+\.\d+", RECORDS))
    assert numbers - recorded <= DIFFERENCES[name]
    assert len(numbers) > 10


def test_each_parameter_is_in_one_group():
    table = page("api.rst").split("by what they decide")[1].split("Reweighting methods")[0]
    named = re.findall(r"``(\w+?)``", table)
    own = set(MetaWeightClassifier._parameter_constraints)
    assert sorted(name for name in named if not name.endswith("__")) == sorted(own)


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_each_example_has_a_thumbnail(example):
    """Its first figure, or else a picture that it names; only what begins with plot_ is run."""
    code = example.read_text(encoding="utf-8")
    named = re.search(r"^# sphinx_gallery_thumbnail_path = '(.*)'$", code, flags=re.MULTILINE)
    has_figure = example.stem.startswith("plot_") and "plt." in code
    assert has_figure != bool(named)
    assert named is None or (ROOT / "docs" / named[1]).is_file()


def test_examples_are_in_the_order_to_be_read():
    order = re.findall(r'"(plot_\w+)"', (ROOT / "docs/_ext/gallery.py").read_text(encoding="utf-8"))
    assert sorted(order) == [path.stem for path in EXAMPLES if path.stem.startswith("plot_")]


PAGES = sorted((ROOT / "docs").glob("*.rst"))


@pytest.mark.parametrize("source", PAGES, ids=lambda source: source.stem)
def test_pictures_on_pages_say_what_they_show(source):
    text = source.read_text(encoding="utf-8")
    pictures = re.findall(r"^( *)\.\. (?:figure|image):: .*\n((?:\1 +.*\n)*)", text, re.MULTILINE)
    assert all(re.search(r":alt: \S", options) for _, options in pictures)
    drawn = re.findall(r":file: (.*\.svg)$", text, re.MULTILINE)
    assert all("<title" in page(name) for name in drawn)
