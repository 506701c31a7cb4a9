"""Refits, copies and workers give the same bits, and nothing global is touched."""

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from torch import nn

from skmetaweight import MetaWeightClassifier
from tests.conftest import METHODS, Data, Linear, make_data, quick

COPIES = {
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "cloudpickle": lambda clf: pickle.loads(cloudpickle.dumps(clf)),
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=COPIES.values(), ids=COPIES)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return request.param


def results(clf: MetaWeightClassifier, data: Data) -> list[np.ndarray]:
    """Everything that a user reads of a fit."""
    found = [
        clf.predict_proba(data.X),
        clf.sample_weights_,
        clf.meta_indices_,
        clf.compute_sample_weight(data.X, data.y),
        np.array(clf.history_[:, ("train_loss", "meta_loss", "mean_weight")]),
    ]
    if hasattr(clf, "weighting_function_"):
        found.append(clf.weighting_function_(np.linspace(0, 3, 9)))
    return found


def assert_same(clf: MetaWeightClassifier, other: MetaWeightClassifier, data: Data) -> None:
    for one, two in zip(results(clf, data), results(other, data), strict=True):
        np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------ refits


@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
@pytest.mark.parametrize("with_mask", [True, False], ids=["mask", "split"])
@pytest.mark.parametrize("seed", [0, np.random.RandomState], ids=["int", "RandomState"])
def test_refits_are_bit_identical(seed: Any, with_mask: bool, method: str, data: Data) -> None:
    def fit(seed: Any) -> MetaWeightClassifier:
        clf = quick(method=method, random_state=seed if isinstance(seed, int) else seed(3))
        return clf.fit(data.X, data.y, meta_mask=data.mask if with_mask else None)

    first = fit(seed)
    torch.rand(7), np.random.rand(7)  # noqa: NPY002  global random numbers must not matter
    assert_same(first, fit(seed), data)
    other = fit(5)
    assert not np.array_equal(first.predict_proba(data.X), other.predict_proba(data.X))


def test_refit_of_the_same_object(method: str, data: Data) -> None:
    clf = quick(method=method).fit(data.X, data.y, meta_mask=data.mask)
    first = copy.deepcopy(clf)
    assert_same(clf.fit(data.X, data.y, meta_mask=data.mask), first, data)


class Layers(nn.Module):
    """Made of layers of the user's, in any container."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(layers.values() if isinstance(layers, dict) else layers))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


@pytest.mark.parametrize(
    "container",
    [list, nn.ModuleList, lambda layers: {"first": layers[0], "last": layers[1]}],
    ids=["list", "ModuleList", "dict"],
)
def test_layers_given_to_a_module_are_not_trained_in_place(
    container: Callable[[Any], Any], method: str, data: Data
) -> None:
    layers = [nn.Linear(4, 5), nn.Linear(5, 3)]
    before = copy.deepcopy(layers)
    clf = quick(module=Layers, module__layers=container(layers), method=method)
    first = copy.deepcopy(clf.fit(data.X, data.y, meta_mask=data.mask))
    for layer, as_given in zip(layers, before, strict=True):
        torch.testing.assert_close(layer.state_dict(), as_given.state_dict(), rtol=0, atol=0)
    assert_same(clf.fit(data.X, data.y, meta_mask=data.mask), first, data)


def test_without_a_seed_fits_differ(data: Data) -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    first, second = (
        quick(random_state=None).fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X)
        for _ in range(2)
    )
    assert not np.array_equal(first, second)


def fit_in_worker(method: str) -> list[np.ndarray]:
    data = make_data()
    clf = quick(method=method).fit(data.X, data.y, meta_mask=data.mask)
    return results(clf, data)


def test_workers_give_the_same_bits(data: Data) -> None:
    workers = joblib.Parallel(n_jobs=2, backend="loky")(
        joblib.delayed(fit_in_worker)(method) for method in METHODS
    )
    for method, found in zip(METHODS, workers, strict=True):
        for one, two in zip(found, fit_in_worker(method), strict=True):
            np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------ global state


@pytest.mark.parametrize("random_state", [None, 0])
def test_nothing_global_is_touched(random_state: int | None, method: str, data: Data) -> None:
    def state() -> list[Any]:
        numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
        return [
            numpy_state["state"]["key"].tolist(),
            numpy_state["state"]["pos"],
            random.getstate(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ]

    before = state()
    clf = quick(method=method, random_state=random_state)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert state() == before
    clf.partial_fit(data.X, data.y, meta_mask=data.mask)
    clf.predict(data.X)
    clf.compute_sample_weight(data.X, data.y)
    assert state() == before
    with pytest.raises(ValueError, match="loss became"):
        quick(module=Linear, method=method, lr=1e38, optimizer=torch.optim.SGD).fit(
            data.X, data.y, meta_mask=data.mask
        )
    assert state() == before


def test_float64_as_default_type(data: Data) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        clf = quick().fit(data.X, data.y, meta_mask=data.mask)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert clf.net_.parameter.dtype == torch.float64
    assert clf.predict_proba(data.X).shape == (96, 3)


def test_data_are_not_changed(method: str, data: Data) -> None:
    weight = np.linspace(0.5, 2, 96)
    given = [data.X, data.y, data.mask, weight]
    before = copy.deepcopy(given)
    clf = quick(method=method)
    clf.fit(data.X, data.y, meta_mask=data.mask, sample_weight=weight)
    clf.predict(data.X)
    for array, unchanged in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, unchanged)


# ------------------------------------------------------------------ copies


def test_copies_predict_the_same(copied: Callable[[Any], Any], method: str, data: Data) -> None:
    clf = quick(method=method).fit(data.X, data.y, meta_mask=data.mask)
    other = copied(clf)
    assert_same(clf, other, data)
    assert other.get_params() == clf.get_params()


def test_copies_of_an_unfitted_classifier(copied: Callable[[Any], Any], data: Data) -> None:
    clf = quick(optimizer__weight_decay=0.1)
    other = copied(clf)
    assert other.get_params() == clf.get_params()
    for each in (clf, other):
        each.fit(data.X, data.y, meta_mask=data.mask)
    assert_same(clf, other, data)


def test_copies_go_on_alike(copied: Callable[[Any], Any], method: str, data: Data) -> None:
    clf = quick(method=method, random_state=np.random.RandomState(0))
    for _ in range(2):
        clf.partial_fit(data.X, data.y, meta_mask=data.mask)
    other = copied(clf)
    for each in (clf, other):
        each.partial_fit(data.X, data.y, meta_mask=data.mask)
        each.partial_fit(data.X, data.y, meta_mask=data.mask)
    assert_same(clf, other, data)
    assert clf.n_iter_ == 4


def test_cloudpickle_takes_a_module_that_was_defined_in_a_function(data: Data) -> None:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return self.linear(X)

    clf = quick(module=Local).fit(data.X, data.y, meta_mask=data.mask)
    assert_same(clf, COPIES["cloudpickle"](clf), data)
