"""Searches whose fits run on a cluster give what they give in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels

pytestmark = pytest.mark.slow

GRID = {"lr": [1e-3, 1e-2], "method": ["mw-net", "l2rw"]}


class KilledOnce(Callback):
    """Kills the process of a fit, unless one has been killed before."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if not self.path.exists():
            self.path.touch()
            os._exit(1)


def search(**params: Any) -> GridSearchCV:
    """Search over rows of which some are wrong, with a meta set."""
    X, y = load_digits(return_X_y=True)
    X_meta, y_meta = X[:100], y[:100]
    y = corrupt_labels(y, noise_rate=0.3, random_state=0)[0]
    clf = MetaWeightClassifier(max_epochs=2, random_state=0, **params)
    fits = GridSearchCV(clf, GRID, cv=2, refit=False, error_score="raise")
    return fits.fit(X[100:600], y[100:600], X_meta=X_meta, y_meta=y_meta)


def scores(fits: GridSearchCV) -> dict[str, np.ndarray]:
    """Return all that the search found but for times."""
    results = fits.cv_results_.items()
    return {key: column for key, column in results if "_score" in key and "time" not in key}


@contextmanager
def on_dask() -> Iterator[None]:
    distributed = pytest.importorskip("distributed")
    workers = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**workers) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        yield


@contextmanager
def on_ray() -> Iterator[None]:
    """Start Ray, which is no part of the test extra: pip install ray runs its test."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False)
    register_ray()
    try:
        with joblib.parallel_config("ray", n_jobs=2):
            yield
    finally:
        ray.shutdown()


def check_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for key, column in expected.items():
        np.testing.assert_array_equal(found[key], column)


def test_search_on_dask_is_that_of_one_process(tmp_path: Path) -> None:
    here = scores(search())
    with on_dask():
        check_same(scores(search()), here)
        check_same(scores(search(callbacks=[KilledOnce(tmp_path / "killed")])), here)
    assert (tmp_path / "killed").exists()


def test_search_on_ray_is_that_of_one_process() -> None:
    here = scores(search())
    with on_ray():
        check_same(scores(search()), here)
