"""The table of docs/faults.rst: what a fit that does not end leaves behind."""

from __future__ import annotations

import errno
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from skmetaweight import MetaWeightClassifier
from tests._faults import DieIn
from tests.conftest import Data, make_data, quick

# ------------------------------------------------------------------ faults in a training


def interrupt(net: Any) -> None:
    raise KeyboardInterrupt


def spoil(net: Any) -> None:
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.fill_(np.nan)


def exhaust(net: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def exhaust_host(net: Any) -> None:
    raise MemoryError


def fail(net: Any) -> None:
    raise RuntimeError("of a callback")


def fill_disk(net: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


FAULTS: dict[str, tuple[Callable[[Any], None], type[BaseException], str | None]] = {
    "Ctrl-C": (interrupt, KeyboardInterrupt, None),
    "NaN": (spoil, ValueError, "became nan in epoch"),
    "out of memory": (exhaust, torch.OutOfMemoryError, "20.00 GiB"),
    "out of memory on the host": (exhaust_host, MemoryError, None),
    "callback": (fail, RuntimeError, "of a callback"),
    "disk full": (fill_disk, OSError, "No space left"),
}


class At(Callback):
    """Calls a function of the net at a hook of an epoch."""

    def __init__(self, call: Callable[[Any], None], hook: str, epoch: int) -> None:
        self.call = call
        self.hook = hook
        self.epoch = epoch

    def notify(self, hook: str, net: Any) -> None:
        if hook == self.hook and (not net.history or net.history[-1, "epoch"] >= self.epoch):
            self.call(net)

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.notify("train begin", net)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.notify("epoch begin", net)

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        self.notify("batch end", net)

    def on_grad_computed(self, net: Any, **kwargs: Any) -> None:
        self.notify("step", net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.notify("epoch end", net)


PLACES = [("train begin", 0), ("epoch begin", 1), ("step", 2), ("batch end", 3), ("epoch end", 3)]
STATES = ["unfitted", "fit", "warm fit", "partial_fit"]


def prepared(state: str, data: Data) -> MetaWeightClassifier:
    clf = quick(warm_start=state == "warm fit", max_epochs=4)
    if state != "unfitted":
        getattr(clf, state.removeprefix("warm "))(data.X, data.y, meta_mask=data.mask)
    return clf


def fitted_attributes(clf: MetaWeightClassifier) -> dict[str, Any]:
    return {name: value for name, value in vars(clf).items() if name[-1] == "_" or name[0] == "_"}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("place", PLACES, ids=[hook for hook, _ in PLACES])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fit_that_does_not_end_leaves_the_estimator_as_it_was(
    fault: str, place: tuple[str, int], state: str, data: Data
) -> None:
    call, kind, message = FAULTS[fault]
    hook, epoch = place
    if state == "partial_fit":
        epoch = min(epoch, 1)
    if fault == "NaN" and hook == "epoch end" and state == "partial_fit":
        pytest.skip("after its last epoch a training no longer looks at the loss")
    clf, undisturbed = prepared(state, data), prepared(state, data)
    before, parameters = fitted_attributes(clf), None
    if state != "unfitted":
        parameters = [p.clone() for p in clf.net_.module_.parameters()]
    how = "partial_fit" if state == "partial_fit" else "fit"
    generators = torch.get_rng_state()
    clf.set_params(callbacks=[At(call, hook, epoch)])
    with pytest.raises(kind, match=message):
        getattr(clf, how)(data.X, data.y, meta_mask=data.mask)
    assert torch.equal(torch.get_rng_state(), generators)
    assert torch.is_grad_enabled()
    after = fitted_attributes(clf)
    assert after.keys() == before.keys()
    assert all(after[name] is value for name, value in before.items())
    assert clf.__sklearn_is_fitted__() == (state != "unfitted")
    if parameters is not None:
        for one, other in zip(clf.net_.module_.parameters(), parameters, strict=True):
            assert torch.equal(one, other)
    clf.set_params(callbacks=None)
    for each in (clf, undisturbed):
        getattr(each, how)(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(clf.predict_proba(data.X), undisturbed.predict_proba(data.X))


class FullDisk:
    """A stream to a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_table_that_cannot_be_printed(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    clf = quick(verbose=1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", FullDisk())
        with pytest.raises(OSError, match="No space"):
            clf.fit(data.X, data.y, meta_mask=data.mask)
    assert not clf.__sklearn_is_fitted__()


# ------------------------------------------------------------------ processes


def predicted(pickled: bytes) -> tuple[Any, ...]:
    clf, data = pickle.loads(pickled), make_data()
    before = clf.predict_proba(data.X)
    clf.partial_fit(data.X, data.y, meta_mask=data.mask)
    return before, clf.predict_proba(data.X)


@pytest.mark.slow
def test_a_fitted_estimator_is_the_same_in_another_process(data: Data) -> None:
    clf = quick(warm_start=True).fit(data.X, data.y, meta_mask=data.mask)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(predicted, pickle.dumps(clf)).result(120)
    for one, other in zip(there, predicted(pickle.dumps(clf)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs")
@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_search_and_nothing_else(data: Data) -> None:
    clf = quick(callbacks=[DieIn("LokyProcess")])
    search = GridSearchCV(clf, {"lr": [1e-3, 1e-2]}, cv=2, n_jobs=2)
    with pytest.raises(TerminatedWorkerError):
        search.fit(data.X, data.y, meta_mask=data.mask)
    assert not clf.__sklearn_is_fitted__()
    again = GridSearchCV(clf.set_params(callbacks=None), {"lr": [1e-3, 1e-2]}, cv=2, n_jobs=2)
    assert again.fit(data.X, data.y, meta_mask=data.mask).best_score_ > 1 / 3
