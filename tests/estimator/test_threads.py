"""Fits and predictions in several threads: as if each were alone."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, Initializer
from torch import Tensor, nn

from skmetaweight import MetaWeightClassifier, MetaWeightNet
from tests.conftest import Data, make_data, quick


class Dropping(nn.Module):
    """Draws from torch's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))

    def forward(self, X: Tensor) -> Tensor:
        return self.layers(X)


class Functional(nn.Module):
    """Draws from torch's own generator where no layer tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, X: Tensor) -> Tensor:
        return self.layer(X + 0.1 * torch.randn_like(X)) if self.training else self.layer(X)


class WithDropout(nn.Sequential):
    """A weighting network that draws."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).squeeze(-1)


class Noisy(Callback):
    """A callback that draws."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        with torch.no_grad():
            for parameter in net.module_.parameters():
                parameter += 0.01 * torch.randn_like(parameter)


WEIGHTING = WithDropout()
CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "mw-net": dict,
    "fmw-net": lambda: {"method": "fmw-net"},
    "l2rw": lambda: {"method": "l2rw"},
    "lilaw": lambda: {"method": "lilaw", "method__warm_up": 1},
    "cmw": lambda: {"method__weighting": "cmw"},
    "uniform": lambda: {"method": "uniform"},
    "published": lambda: {"method": MetaWeightNet.paper().set_params(lookahead_lr=0.1)},
    "all layers": lambda: {"method__alignment_layers": "all"},
    "module": lambda: {"module": Dropping},
    "forward mode": lambda: {
        "module": Functional,
        "method__alignment_layers": "all",
        "method__meta_interval": 1,
    },
    "weighting": lambda: {"method": MetaWeightNet(weighting=WEIGHTING)},
    "loader": lambda: {"iterator_train__drop_last": False},
    "callback": lambda: {"callbacks": [Noisy()]},
}


def classifier(case: str, seed: int) -> MetaWeightClassifier:
    given = CASES[case]()
    prefixed = {} if "module" in given else {"module__hidden_dims": (8,)}
    return MetaWeightClassifier(
        **{**prefixed, **given}, max_epochs=2, batch_size=32, random_state=seed, device="cpu"
    )


@pytest.fixture
def generators_untouched() -> Iterator[None]:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


@pytest.mark.usefixtures("generators_untouched")
@pytest.mark.parametrize("case", CASES)
def test_fits_in_threads_are_those_in_series(case: str, data: Data) -> None:
    def fitted(seed: int) -> tuple[Any, ...]:
        clf = classifier(case, seed).fit(data.X, data.y, meta_mask=data.mask)
        clf.partial_fit(data.X, data.y, meta_mask=data.mask)
        return clf.predict_proba(data.X), clf.sample_weights_, clf.history_[:, "train_loss"]

    expected = [fitted(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fitted, range(4)))
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(expected[0][0], expected[1][0])


@pytest.mark.usefixtures("generators_untouched")
def test_fits_of_all_kinds_at_once(data: Data) -> None:
    def fitted(case: str) -> Any:
        return classifier(case, 0).fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X)

    expected = {case: fitted(case) for case in CASES}
    with ThreadPoolExecutor(len(CASES)) as pool:
        for case, found in zip(CASES, pool.map(fitted, CASES), strict=True):
            np.testing.assert_array_equal(found, expected[case], err_msg=case)


def waiting() -> tuple[Callback, threading.Event, threading.Event]:
    """Return a callback that stops a fit in its first epoch, told by one event, until another."""
    inside, go_on = threading.Event(), threading.Event()

    class Wait(Callback):
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            inside.set()
            assert go_on.wait(30)

    Wait.__module__ = "skorch.callbacks"  # as one that draws nothing
    return Wait(), inside, go_on


def test_the_default_network_waits_for_no_other_fit(data: Data) -> None:
    wait, inside, go_on = waiting()
    clf = quick(callbacks=[wait], max_epochs=1)
    with ThreadPoolExecutor(1) as pool:
        fit = pool.submit(clf.fit, data.X, data.y, meta_mask=data.mask)
        assert inside.wait(30)
        quick(max_epochs=1).fit(data.X, data.y, meta_mask=data.mask)
        go_on.set()
        fit.result(30)


# ------------------------------------------------------------------ predicting while learning


class Meanwhile(Callback):
    """Reads an estimator while it is fitted."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read
        self.seen: list[Any] = []

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.seen.append(self.read())

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        self.seen.append(self.read())
        assert net.module_.training or not kwargs["training"]


@pytest.mark.parametrize("fit", ["fit", "warm fit", "partial_fit"])
@pytest.mark.parametrize("method", ["mw-net", "l2rw"])
def test_who_reads_during_a_fit_sees_the_one_before(method: str, fit: str, data: Data) -> None:
    def two_fits(watch: Meanwhile | None) -> MetaWeightClassifier:
        clf = quick(method=method, warm_start=fit == "warm fit")
        clf.fit(data.X, data.y, meta_mask=data.mask)
        if watch is not None:
            watch.read = lambda: (
                clf.predict_proba(data.X),
                clf.compute_sample_weight(data.X, data.y),
                clf.sample_weights_,
                clf.n_iter_,
            )
            watch.before = watch.read()
            clf.set_params(callbacks=[watch])
        return getattr(clf, fit.removeprefix("warm "))(data.X, data.y, meta_mask=data.mask)

    watch = Meanwhile(lambda: None)
    watched, alone = two_fits(watch), two_fits(None)
    assert len(watch.seen) >= 5
    for seen in watch.seen:
        for one, other in zip(seen, watch.before, strict=True):
            np.testing.assert_array_equal(one, other)
    if fit != "fit":  # which begins anew
        assert not np.array_equal(watched.predict_proba(data.X), watch.before[0])
    np.testing.assert_array_equal(watched.predict_proba(data.X), alone.predict_proba(data.X))
    np.testing.assert_array_equal(watched.sample_weights_, alone.sample_weights_)


def test_predictions_while_fits_follow_one_another_are_those_of_one_of_them() -> None:
    """The classes and the columns change with each fit, so that a mixture would be seen."""
    narrow, wide = make_data(), make_data(seed=1)
    both = (narrow.X, narrow.y), (np.c_[wide.X, wide.X], np.array(["a", "b", "c"])[wide.y])
    clf = quick(max_epochs=1).fit(*both[0], meta_mask=narrow.mask)
    stop = threading.Event()

    def predict() -> int:
        n_answers = 0
        while not stop.is_set():
            for X, _ in both:
                try:
                    answer = clf.predict(X)
                except ValueError as error:
                    assert "features" in str(error)  # noqa: PT017
                    continue
                assert answer.dtype.kind == ("i" if X.shape[1] == 4 else "U")
                n_answers += 1
        return n_answers

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(predict) for _ in range(2)]
        for _ in range(4):
            for (X, y), given in zip(both, (narrow, wide), strict=True):
                clf.fit(X, y, meta_mask=given.mask)
        stop.set()
        assert all(reader.result(60) > 0 for reader in readers)


def test_200_predictions_at_once(data: Data) -> None:
    clf = quick(method="l2rw").fit(data.X, data.y, meta_mask=data.mask)
    expected = clf.predict_proba(data.X), clf.compute_sample_weight(data.X, data.y)
    with ThreadPoolExecutor(20) as pool:
        probabilities = list(pool.map(lambda _: clf.predict_proba(data.X), range(200)))
        weights = pool.map(lambda _: clf.compute_sample_weight(data.X, data.y), range(20))
        for each in probabilities:
            np.testing.assert_array_equal(each, expected[0])
        for each in weights:
            np.testing.assert_array_equal(each, expected[1])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fits_and_weights_within_no_grad_are_those_without(mode: Any, data: Data) -> None:
    def results() -> tuple[Any, ...]:
        clf = quick(method="l2rw").fit(data.X, data.y, meta_mask=data.mask)
        clf.partial_fit(data.X, data.y, meta_mask=data.mask)
        return clf.predict_proba(data.X), clf.compute_sample_weight(data.X, data.y)

    expected = results()
    with mode():
        found = results()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------ torch's own generator


@pytest.mark.parametrize("case", ["mw-net", "l2rw", "fmw-net", "published", "all layers"])
def test_a_fit_of_ours_alone_neither_reads_nor_moves_torch_s_generator(
    case: str, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while it is built: another thread may draw at any moment."""
    clf = classifier(case, 0)
    expected = clf.fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X)

    def refuse(*args: Any) -> None:
        raise AssertionError("torch's own generator was set")

    torch_state = torch.get_rng_state()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "set_rng_state", refuse)
        patch.setattr(torch, "manual_seed", refuse)
        clf.fit(data.X, data.y, meta_mask=data.mask)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(clf.predict_proba(data.X), expected)


def test_a_thread_that_draws_all_the_time_changes_nothing(data: Data) -> None:
    expected = quick().fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X)
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            torch.rand(1)

    with torch.random.fork_rng(), ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(draw)
        for _ in range(4):
            found = quick().fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X)
            np.testing.assert_array_equal(found, expected)
        stop.set()
        drawing.result(30)


@pytest.mark.usefixtures("generators_untouched")
def test_a_callback_of_skorch_s_that_draws_is_seeded(data: Data) -> None:
    def fitted() -> Any:
        callbacks = [Initializer("*layers*weight", fn=nn.init.normal_)]
        return quick(callbacks=callbacks).fit(data.X, data.y, meta_mask=data.mask)

    np.testing.assert_array_equal(fitted().predict_proba(data.X), fitted().predict_proba(data.X))


def test_what_is_set_during_a_fit_stays_set(data: Data) -> None:
    clf = quick(lr=1e-3)

    class Set(Callback):
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            clf.set_params(lr=0.5)

    callbacks = [Set()]
    clf.set_params(callbacks=callbacks).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.lr == 0.5
    assert clf.callbacks is callbacks
    assert clf.history_[0, "learning_rate"] == 1e-3


@pytest.mark.parametrize("how", ["partial_fit", "fit"])
def test_fits_of_one_estimator_wait_for_one_another(how: str, data: Data) -> None:
    def fitted(n_threads: int) -> MetaWeightClassifier:
        clf = quick(warm_start=True)
        with ThreadPoolExecutor(n_threads) as pool:
            calls = [
                pool.submit(getattr(clf, how), data.X, data.y, meta_mask=data.mask)
                for _ in range(4)
            ]
        assert all(call.result() is clf for call in calls)
        return clf

    one_by_one, at_once = fitted(1), fitted(4)
    assert at_once.n_iter_ == one_by_one.n_iter_ == (4 if how == "partial_fit" else 8)
    expected = one_by_one.predict_proba(data.X)
    np.testing.assert_array_equal(at_once.predict_proba(data.X), expected)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, clone, lambda clf: pickle.loads(pickle.dumps(clf))]
)
def test_a_copy_made_during_a_fit_waits_for_nothing(copied: Callable[..., Any], data: Data) -> None:
    wait, inside, go_on = waiting()
    clf = quick(max_epochs=1)
    with ThreadPoolExecutor(2) as pool:
        fit = pool.submit(clf.set_params(callbacks=[wait]).fit, data.X, data.y, meta_mask=data.mask)
        assert inside.wait(30)
        clf.callbacks = None
        other = copied(clf)
        pool.submit(other.fit, data.X, data.y, meta_mask=data.mask).result(30)
        assert not clf.__sklearn_is_fitted__()
        go_on.set()
        fit.result(30)
    np.testing.assert_array_equal(clf.predict_proba(data.X), other.predict_proba(data.X))


def test_a_fit_within_a_fit_of_the_same_thread_does_not_wait(data: Data) -> None:
    class Again(Callback):
        def on_train_end(self, net: Any, **kwargs: Any) -> None:
            if clf.callbacks:
                clf.set_params(callbacks=None).fit(data.X, data.y, meta_mask=data.mask)

    clf = quick(max_epochs=1, callbacks=[Again()])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(clf.fit, data.X, data.y, meta_mask=data.mask).result(30)
    assert clf.n_iter_ == 1
