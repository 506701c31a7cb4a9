"""Pickles and copies: what they leave behind, and which of them go on."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
import torch

from skmetaweight import MetaWeightClassifier
from skmetaweight.reweighting import METHODS
from tests.conftest import Data, make_data, quick


def by_joblib(clf: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(clf, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


PICKLES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "cloudpickle": lambda clf: pickle.loads(cloudpickle.dumps(clf)),
    "joblib": by_joblib,
}
COPIES: dict[str, Callable[[Any], Any]] = {"copy": copy.copy, "deepcopy": copy.deepcopy}


def fit(clf: MetaWeightClassifier, data: Data, how: str = "fit") -> MetaWeightClassifier:
    return getattr(clf, how)(data.X, data.y, meta_mask=data.mask)


def n_numbers(optimizer: torch.optim.Optimizer) -> int:
    states = optimizer.state_dict()["state"].values()
    return sum(value.numel() for state in states for value in state.values())


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("method", METHODS)
def test_a_pickle_leaves_the_optimiser_behind(name: str, method: str, data: Data) -> None:
    clf = fit(quick(method=method), data)
    n_before, other = n_numbers(clf.net_.optimizer_), PICKLES[name](clf)
    assert n_numbers(other.net_.optimizer_) == 0
    assert n_numbers(clf.net_.optimizer_) == n_before > 0
    np.testing.assert_array_equal(other.predict_proba(data.X), clf.predict_proba(data.X))
    np.testing.assert_array_equal(
        other.compute_sample_weight(data.X, data.y), clf.compute_sample_weight(data.X, data.y)
    )
    for how in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="pickle it with warm_start=True, or fit anew"):
            fit(copy.copy(other).set_params(warm_start=True), data, how)
    np.testing.assert_array_equal(
        fit(other, data).predict_proba(data.X), clf.predict_proba(data.X)
    )  # anew


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_a_pickle_that_is_to_go_on_does(name: str, how: str, data: Data) -> None:
    clf = fit(quick(warm_start=how == "fit"), data, how)
    others = [PICKLES[name](clf), PICKLES[name](PICKLES[name](clf))]
    fit(clf, data, how)
    for other in others:
        fit(other, data, how)
        np.testing.assert_array_equal(other.predict_proba(data.X), clf.predict_proba(data.X))


@pytest.mark.parametrize("name", COPIES)
def test_copies_in_memory_leave_nothing_behind(name: str, data: Data) -> None:
    clf = fit(quick(), data)
    before = clf.predict_proba(data.X)
    other = COPIES[name](clf)
    assert type(other) is type(clf)
    fit(other, data, "partial_fit")
    np.testing.assert_array_equal(clf.predict_proba(data.X), before)
    np.testing.assert_array_equal(
        fit(clf, data, "partial_fit").predict_proba(data.X), other.predict_proba(data.X)
    )


def test_size() -> None:
    data = make_data()
    clf = MetaWeightClassifier(max_epochs=2).fit(data.X, data.y, meta_mask=data.mask)
    n_bytes = sum(4 * parameter.numel() for parameter in clf.net_.module_.parameters())
    assert len(pickle.dumps(clf)) < 1.2 * n_bytes
    assert len(pickle.dumps(clf.set_params(warm_start=True))) > 3 * n_bytes


def test_what_takes_an_estimator_apart_is_told_what_to_use(data: Data) -> None:
    """skops, which is not installed here, calls ``__reduce__`` of an estimator first."""
    clf = quick()
    assert clf.__reduce__()
    with pytest.raises(TypeError, match=r"^skops cannot hold .*clf\.save\(path\), or pickle"):
        fit(clf, data).__reduce__()


def test_a_pickle_opens_in_another_process(tmp_path: Path, data: Data) -> None:
    clf = fit(quick(), data)
    for name, dump in {"pickle": pickle.dump, "cloudpickle": cloudpickle.dump}.items():
        with (tmp_path / name).open("wb") as file:
            dump(clf, file)
    joblib.dump(clf, tmp_path / "joblib")
    np.save(tmp_path / "X.npy", data.X)
    code = (
        "import joblib, numpy, pickle; X = numpy.load('X.npy'); numpy.save('found.npy', ["
        "joblib.load('joblib').predict_proba(X), "
        "*(pickle.load(open(n, 'rb')).predict_proba(X) for n in ('pickle', 'cloudpickle'))])"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for found in np.load(tmp_path / "found.npy"):
        np.testing.assert_array_equal(found, clf.predict_proba(data.X))


def test_an_unfitted_classifier(data: Data) -> None:
    for copied in (*PICKLES.values(), *COPIES.values()):
        assert repr(copied(quick(lr=0.5))) == repr(quick(lr=0.5))
