"""Fits that are cut off, and go on as if they had not been."""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import pickle
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from torch.nn import Dropout
from torch.optim import SGD

from skmetaweight import FitCheckpoint, MetaWeightClassifier
from skmetaweight._training.fit_folder import CHECKPOINTS, KEPT, LOCK
from skmetaweight._training.locks import Lock, is_held
from skmetaweight._training.schedule import Schedule
from tests.conftest import Data, Linear, quick
from tests.estimator import _fits
from tests.estimator._fits import DATA, N_EPOCHS, SCENES, Noisy, fit, told
from tests.estimator.test_saving import assert_same_function, assert_same_rows
from tests.reweighting._cases import ConstantScale

pytestmark = [
    pytest.mark.filterwarnings("ignore:lookahead_lr="),
    pytest.mark.filterwarnings("ignore:.*(absurdly far|No category is known|have lost|far below)"),
    pytest.mark.filterwarnings(
        "ignore:The (trusted rows|rows labelled|learned weights|module does)"
    ),
    pytest.mark.filterwarnings("ignore:(Forward mode|The product)"),
]


class CutOff(BaseException):
    """Ends a fit as nothing that is caught does."""


@functools.cache
def whole(name: str) -> MetaWeightClassifier:
    """Return what a fit is that nobody has cut off."""
    return fit(name)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a fit whose n-th epoch, from 1, does not come to an end."""
    step = Schedule.step

    def run(n: int, fit: Callable[[], Any], error: BaseException | None = None) -> None:
        def cut_off(self: Schedule) -> None:
            if self.n_begun == n - 1:
                raise error or CutOff
            step(self)

        with monkeypatch.context() as patch:
            patch.setattr(Schedule, "step", cut_off)
            with pytest.raises(type(error) if error else CutOff):
                fit()

    return run


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/{CHECKPOINTS}"))


@contextmanager
def one_warning(match: str) -> Iterator[None]:
    with pytest.warns(UserWarning, match=match) as warned:
        yield
    assert sum(bool(re.search(match, str(each.message))) for each in warned) == 1


def assert_ended(folder: Path) -> None:
    """Nothing is left but the marks of fits."""
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {LOCK}


def assert_identical(clf: Any, other: Any) -> None:
    assert told(clf) == told(other)
    for name in ("n_iter_", "best_epoch_", "weight_strength_", "noise_evidence_"):
        assert str(getattr(clf, name)) == str(getattr(other, name))
    assert_same_rows(clf, other)
    assert_same_function(clf, other)
    if hasattr(clf, "weighting_function_"):
        functions, others = (each.weighting_function_ for each in (clf, other))
        assert functions._epochs.keys() == others._epochs.keys()
        for epoch in functions._epochs:
            assert repr(functions.at_epoch(epoch)) == repr(others.at_epoch(epoch))
    for states in zip(*(parts(each.net_) for each in (clf, other)), strict=True):
        torch.testing.assert_close(*states, rtol=0, atol=0)


def parts(net: Any) -> list[Any]:
    learned = {k: v for k, v in net.reweighter_.state_dict().items() if k != "optimizer"}
    return [net.optimizer_.state_dict()["state"], learned]


@pytest.mark.parametrize("name", SCENES)
def test_a_fit_that_is_cut_off_in_each_epoch_ends_the_same(
    name: str, cut: Callable[..., None], tmp_path: Path
) -> None:
    for epoch in range(1, whole(name).n_iter_ + 1):
        cut(epoch, lambda: fit(name, checkpoint=tmp_path))
        assert len(checkpoints(tmp_path)) == min(epoch - 1, KEPT)
    assert_identical(fit(name, checkpoint=tmp_path), whole(name))
    assert_ended(tmp_path)


@pytest.mark.parametrize("name", ["mw-net", "l2rw", "early stopping"])
def test_a_checkpoint_changes_nothing_and_is_there_in_the_end_no_more(
    name: str, tmp_path: Path
) -> None:
    for _ in range(2):  # again: it trains anew
        assert_identical(fit(name, checkpoint=str(tmp_path)), whole(name))
        assert_ended(tmp_path)


@pytest.mark.parametrize("callbacks", [[], [EarlyStopping("meta_loss", patience=N_EPOCHS)]])
def test_the_callback_and_the_parameter_are_the_same(
    callbacks: list[Any], cut: Callable[..., None], tmp_path: Path
) -> None:
    given = [FitCheckpoint(tmp_path), *callbacks]
    cut(4, lambda: fit("few epochs", callbacks=given))
    clf = fit("few epochs", callbacks=callbacks, checkpoint=tmp_path)
    assert_identical(clf, whole("few epochs"))
    assert_ended(tmp_path)


def test_not_every_epoch_need_be_kept(cut: Callable[..., None], tmp_path: Path) -> None:
    given = [FitCheckpoint(tmp_path, every=2)]
    cut(5, lambda: fit("few epochs", callbacks=given))
    names = [path.name for path in checkpoints(tmp_path)]
    assert names == ["epoch-000002.smw", "epoch-000004.smw"]
    assert_identical(fit("few epochs", callbacks=given), whole("few epochs"))


@pytest.mark.filterwarnings("default:Forward mode")
def test_what_a_module_cannot_do_is_found_out_once(
    cut: Callable[..., None], tmp_path: Path
) -> None:
    def run() -> Any:
        return fit("no share", module=Stepped, method="l2rw", checkpoint=tmp_path)

    with one_warning("double backward instead"):
        cut(3, run)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*double backward")
        run()


def test_one_object_cut_off_and_fitted_again(cut: Callable[..., None], tmp_path: Path) -> None:
    params, given = SCENES["own callback"]()
    clf = quick(**params, max_epochs=N_EPOCHS, checkpoint=tmp_path)
    cut(5, lambda: clf.fit(**given))
    assert not hasattr(clf, "net_")
    assert_identical(clf.fit(**given), whole("own callback"))


@pytest.mark.parametrize("method", ["mw-net", "l2rw"])
def test_a_warm_start_goes_on_too(
    method: str, cut: Callable[..., None], data: Data, tmp_path: Path
) -> None:
    given: Any = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    clf = quick(method=method, warm_start=True, max_epochs=4, lr_schedule=(2, 6)).fit(**given)
    whole, clf = (pickle.loads(pickle.dumps(clf)) for _ in range(2))
    whole.fit(**given)
    clf.set_params(checkpoint=tmp_path)
    cut(3, lambda: clf.fit(**given))
    assert_identical(clf.fit(**given), whole)
    cut(3, lambda: clf.fit(**given))
    clf = pickle.loads(pickle.dumps(clf))  # another process would have it from a file
    assert_identical(clf.fit(**given), whole.fit(**given))
    assert_ended(tmp_path)


def test_a_partial_fit_keeps_nothing(data: Data, tmp_path: Path) -> None:
    clf = quick(checkpoint=tmp_path).partial_fit(data.X, data.y, meta_mask=data.mask)
    clf.partial_fit(data.X, data.y, meta_mask=data.mask)
    assert not os.listdir(tmp_path)


def test_a_saved_classifier_has_the_parameter(data: Data, tmp_path: Path) -> None:
    given: Any = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    clf = quick(checkpoint=str(tmp_path / "folder"), warm_start=True).fit(**given)
    clf.save(tmp_path / "clf.smw", training_state=True)
    other = MetaWeightClassifier.load(tmp_path / "clf.smw")
    assert other.checkpoint == clf.checkpoint
    assert_identical(clf.fit(**given), other.fit(**given))


# ------------------------------------------------------------------ other fits


def changed(**changes: Any) -> dict[str, Any]:
    return {"X": DATA.X, "y": DATA.y, "meta_mask": DATA.mask, **changes}


def with_one(values: Any, value: Any) -> Any:
    values = values.copy()
    values[(0,) * values.ndim] = value
    return values


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lr is 0.5 instead of 0.003": ({"lr": 0.5}, changed()),
    "max_epochs is 6 instead of 5": ({"max_epochs": 6}, changed()),
    "random_state is seed": ({"random_state": 1}, changed()),
    "method__memory": ({"method__memory": 0.5}, changed()),
    "method__prior|method__normalize|method is": ({"method": "l2rw"}, changed()),
    "module__hidden_dims": ({"module__hidden_dims": (9,)}, changed()),
    "module is .*Noisy": ({"module": Noisy}, changed()),
    "criterion__label_smoothing": ({"criterion__label_smoothing": 0.1}, changed()),
    "callbacks is .*patience=3": (
        {"callbacks": [EarlyStopping("meta_loss", patience=3)]},
        changed(),
    ),
    r"callbacks is \[LRScheduler.*step_size=3": (
        {"callbacks": [LRScheduler("StepLR", step_size=3)]},
        changed(),
    ),
    "optimizer is .*lambda": ({"optimizer": lambda params, lr: SGD(params, lr)}, changed()),
    "class_weight": ({"class_weight": "balanced"}, changed()),
    "sample_weight is float.* instead of None": ({}, changed(sample_weight=np.arange(1.0, 97))),
    "trusted X is|X is": ({}, changed(X=with_one(DATA.X, 0.5))),
    "trusted y is|y is": ({}, changed(y=with_one(DATA.y, (DATA.y[0] + 1) % 3))),
    r"classes is \['0', ": ({}, changed(y=DATA.y.astype(str))),
    r"X is float32 \(73, 4\), .* instead of float32 \(78, 4\)": (
        {},
        changed(X=DATA.X[8:], y=DATA.y[8:], meta_mask=DATA.mask[8:]),
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_fit_is_refused_by_what_differs(
    what: str, cut: Callable[..., None], tmp_path: Path
) -> None:
    params, given = OTHERS[what]
    cut(4, lambda: fit("few epochs", checkpoint=tmp_path))
    before = checkpoints(tmp_path)
    own = {"max_epochs": N_EPOCHS}
    other = quick(**{**own, **params}, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=f"another fit.*({what}).*Run that fit again") as error:
        other.fit(**given)
    assert not hasattr(error.value, "__notes__")
    assert checkpoints(tmp_path) == before
    assert_identical(fit("few epochs", checkpoint=tmp_path), whole("few epochs"))
    other.fit(**given)  # nothing is left to be lost
    assert_ended(tmp_path)


class Stepped(ConstantScale):
    """Has a part that forward mode does not take for a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(4)
        self.linear = torch.nn.Linear(4, 8)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(X)
        return super().forward(hidden).clone()  # no output of a layer: all of them are compared


class StartsElsewhere(torch.nn.Linear):
    """Its first parameters are what only the training's start tells."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        with torch.no_grad():
            self.bias += START


START = 0.0


def test_other_first_parameters_are_another_fit(
    cut: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> Any:
        clf = quick(module=StartsElsewhere, max_epochs=4, checkpoint=tmp_path)
        return clf.fit(DATA.X, DATA.y, meta_mask=DATA.mask)

    cut(3, run)
    monkeypatch.setattr(sys.modules[__name__], "START", 1.0)
    with pytest.raises(ValueError, match=r"In this one, initial state is .* instead of"):
        run()


def momentum(value: float) -> Callable[..., Any]:
    return lambda params, lr: SGD(params, lr, momentum=value)


SIBLINGS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "callbacks": lambda v: {"callbacks": [LRScheduler("StepLR", step_size=2, gamma=v)]},
    "module": lambda v: {"module": torch.nn.Sequential(Dropout(v), _fits.seeded(Linear))},
    "optimizer": lambda v: {"optimizer": momentum(v)},
}


@pytest.mark.parametrize("name", SIBLINGS)
def test_settings_of_the_same_name_are_other_fits(
    name: str, cut: Callable[..., None], tmp_path: Path
) -> None:
    def run(value: float) -> Any:
        return fit("few epochs", **SIBLINGS[name](value), checkpoint=tmp_path)

    cut(4, lambda: run(0.5))
    with pytest.raises(ValueError, match=f"In this one, {name} is .* instead of"):
        run(0.25)
    run(0.5)
    assert_ended(tmp_path)


@pytest.mark.parametrize("name", ["few epochs", "no share"])
def test_fits_in_one_folder_at_the_same_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch of one fit the same, or another, is run from beginning to end."""
    step = Schedule.step
    inner = []

    def run_another(self: Schedule) -> None:
        if self.n_begun == 3 and not inner:
            inner.append(None)
            inner.append(fit(name, checkpoint=tmp_path))
        step(self)

    monkeypatch.setattr(Schedule, "step", run_another)
    assert_identical(fit("few epochs", checkpoint=tmp_path), whole("few epochs"))
    assert_identical(inner[1], whole(name))
    assert_ended(tmp_path)


GRID = {"lr": [1e-3, 1e-2], "method": ["l2rw", "mw-net"]}


def search(folder: Path | None, n_jobs: int = 1) -> GridSearchCV:
    found = GridSearchCV(quick(checkpoint=folder), GRID, cv=2, n_jobs=n_jobs, error_score="raise")
    return found.fit(DATA.X, DATA.y, meta_mask=DATA.mask)


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_a_search_in_one_folder(backend: str, tmp_path: Path) -> None:
    expected = search(None).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend):
        for _ in range(2):
            found = search(tmp_path, n_jobs=2).cv_results_["mean_test_score"]
            np.testing.assert_array_equal(found, expected)
    assert_ended(tmp_path)
    assert len(os.listdir(tmp_path)) == 9


def test_a_search_that_is_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, step = search(None).cv_results_["mean_test_score"], Schedule.step
    n_epochs = 0

    def count(self: Schedule) -> None:
        nonlocal n_epochs
        n_epochs += 1
        if n_epochs == 8:
            raise CutOff
        step(self)

    monkeypatch.setattr(Schedule, "step", count)
    with pytest.raises(CutOff):
        search(tmp_path)
    assert len(checkpoints(tmp_path)) == 1
    np.testing.assert_array_equal(search(tmp_path).cv_results_["mean_test_score"], expected)
    assert_ended(tmp_path)


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Lock]:
    """A lock of a process that has forked another, which lives on."""
    lock = Lock(tmp_path / LOCK)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    yield lock
    child.kill()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="does not fork")
def test_a_process_that_a_fit_has_forked_does_not_hold_its_folder(
    forked: Lock, tmp_path: Path
) -> None:
    assert is_held(tmp_path / LOCK)
    forked.release()
    assert not is_held(tmp_path / LOCK)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="does not fork")
def test_a_process_that_a_fit_has_forked_outlives_it_without_its_folder(
    forked: Lock, tmp_path: Path
) -> None:
    forked._file.close()  # as when the process of the fit is killed
    deadline = time.monotonic() + 30
    while is_held(tmp_path / LOCK) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_held(tmp_path / LOCK)


def test_clones_have_checkpoints_of_their_own(tmp_path: Path) -> None:
    clf = quick(callbacks=[FitCheckpoint(tmp_path, every=2)], max_epochs=4)
    threads = [
        threading.Thread(
            target=clone(clf).set_params(random_state=seed).fit,
            args=(DATA.X, DATA.y),
            kwargs={"meta_mask": DATA.mask},
        )
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir(tmp_path)) == 3
    assert_ended(tmp_path)


# ------------------------------------------------------------------ files that fail

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "no end": lambda content: content[:-1],
    "other bytes": lambda content: content[:500] + bytes(64) + content[564:],
    "no zip": lambda content: b"x" * 1000,
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("n_damaged", [1, 2])
def test_a_damaged_file_is_passed_over(
    name: str, n_damaged: int, cut: Callable[..., None], tmp_path: Path
) -> None:
    cut(4, lambda: fit("few epochs", checkpoint=tmp_path))
    for path in checkpoints(tmp_path)[-n_damaged:]:
        path.write_bytes(DAMAGE[name](path.read_bytes()))
    where = "the newest whole one" if n_damaged == 1 else "the beginning"
    with one_warning(f"damaged, .*epoch-000003.* from {where}"):
        cut(5, lambda: fit("few epochs", checkpoint=tmp_path))
    assert len(checkpoints(tmp_path)) == KEPT
    assert_identical(fit("few epochs", checkpoint=tmp_path), whole("few epochs"))


def test_what_a_killed_fit_left_unfinished_is_removed(
    cut: Callable[..., None], tmp_path: Path
) -> None:
    cut(3, lambda: fit("few epochs", checkpoint=tmp_path))
    (newest,) = checkpoints(tmp_path)[-1:]
    newest.with_name(f".{newest.name}.0a1b2c3d").write_bytes(b"half of it")
    assert_identical(fit("few epochs", checkpoint=tmp_path), whole("few epochs"))
    assert_ended(tmp_path)


@pytest.mark.parametrize("failures", [range(100), range(3), range(2, 4)])
def test_a_full_disk_costs_no_training(
    failures: range,
    cut: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, fsync = iter(range(1000)), os.fsync

    def fail(descriptor: int) -> None:
        if next(calls) in failures:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with one_warning(r"No checkpoint can be written.*No space left"):
        cut(5, lambda: fit("few epochs", checkpoint=tmp_path))
    monkeypatch.undo()
    assert_identical(fit("few epochs", checkpoint=tmp_path), whole("few epochs"))
    assert_ended(tmp_path)


def test_a_folder_that_cannot_be_written_to(
    cut: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with one_warning("No checkpoint can be written.*Not a directory"):
        fit("few epochs", checkpoint=tmp_path / "file")
    cut(4, lambda: fit("few epochs", checkpoint=tmp_path / "folder"))

    def deny(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("mkdir", "unlink", "replace"):
        monkeypatch.setattr(Path, name, deny)
    with one_warning("Permission denied"):
        clf = fit("few epochs", checkpoint=tmp_path / "folder")  # reads what is there
    assert_identical(clf, whole("few epochs"))
    assert len(checkpoints(tmp_path / "folder")) == KEPT


def test_without_safetensors_it_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"checkpoints need safetensors.*\[io\]"):
        fit("few epochs", checkpoint=tmp_path)


# ------------------------------------------------------------------ what is said


def test_ctrl_c_says_how_to_go_on(cut: Callable[..., None], tmp_path: Path) -> None:
    stop = KeyboardInterrupt()
    cut(4, lambda: fit("few epochs", checkpoint=tmp_path), stop)
    (note,) = stop.__notes__
    assert note.startswith("Run the same fit again to go on after epoch 3")
    assert str(checkpoints(tmp_path)[0].parent) in note
    early = KeyboardInterrupt()
    cut(1, lambda: fit("no share"), early)
    assert not hasattr(early, "__notes__")
    assert_identical(fit("few epochs", checkpoint=tmp_path), whole("few epochs"))


def test_a_loss_that_is_not_finite_leaves_nothing_to_go_on_with(
    tmp_path: Path, cut: Callable[..., None]
) -> None:
    def overflow() -> Any:
        params = {"optimizer": torch.optim.SGD, "lr": 1e20, "lr_schedule": "constant"}
        return fit("own module", **params, checkpoint=tmp_path)

    with pytest.raises(ValueError, match="became"):
        overflow()
    assert_ended(tmp_path)
    fit("few epochs", checkpoint=tmp_path)


def test_a_random_state_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"checkpoint needs a random_state.*random_state=0"):
        fit("few epochs", checkpoint=tmp_path, random_state=None)
    fit("few epochs", checkpoint=tmp_path, random_state=np.random.RandomState(0))


def test_a_fit_has_one_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one checkpoint, got 2"):
        fit("few epochs", checkpoint=tmp_path, callbacks=[FitCheckpoint("other")])
    for every in (0, 1.5, "all", True):
        with pytest.raises(ValueError, match=r"every=.* must be an integer"):
            fit("few epochs", callbacks=[FitCheckpoint(tmp_path, every)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'checkpoint' parameter"):
        fit("few epochs", checkpoint=3)


@pytest.mark.parametrize("folder", [None, 3, "", b"folder", ["folder"]])
def test_a_folder_is_text_or_a_path(folder: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^A checkpoint needs a folder, .*got .*: pass e\.g\."
    ) as e:
        fit("few epochs", callbacks=[FitCheckpoint(folder)])
    assert not hasattr(e.value, "__notes__")
    with pytest.raises(ValueError, match="needs a folder"):
        fit("few epochs", checkpoint="")


@pytest.mark.parametrize("given", ["~/ck", Path("~") / "ck"])
def test_a_folder_at_home(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    fit("few epochs", checkpoint=given)
    assert_ended(tmp_path / "ck")


def test_a_name_too_long_for_a_folder(tmp_path: Path) -> None:
    with one_warning("No checkpoint can be written.*File name too long.*pass another one"):
        clf = fit("few epochs", checkpoint=tmp_path / ("x" * 300))
    assert_identical(clf, whole("few epochs"))


@pytest.mark.parametrize("callbacks", [None, [FitCheckpoint("here")]])
def test_what_is_said_is_said_of_the_line_of_the_user(
    callbacks: Any, cut: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").touch()
    checkpoint = None if callbacks else "here"
    clf = quick(callbacks=callbacks, checkpoint=checkpoint)
    with pytest.warns(UserWarning, match="No checkpoint") as warned:
        clf.fit(DATA.X, DATA.y, meta_mask=DATA.mask)
    assert [Path(each.filename) for each in warned] == [Path(__file__)]


class Grows(Callback):
    """Gives the optimiser parameters of the module that it had not, in the third epoch."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) == 3:
            net.optimizer_.add_param_group({"params": [torch.nn.Parameter(torch.zeros(3))]})


@pytest.mark.parametrize("schedule", ["cosine", "constant", (2, 4)])
def test_a_group_of_parameters_that_a_callback_adds(
    schedule: Any, cut: Callable[..., None], tmp_path: Path
) -> None:
    params = {"callbacks": [Grows()], "lr_schedule": schedule}
    whole = fit("few epochs", **params)
    assert whole.history_[-1, "learning_rate_1"] <= 3e-3
    with one_warning("another group of parameters.*training goes on without\\.$"):
        cut(5, lambda: fit("few epochs", **params, checkpoint=tmp_path))
    with one_warning("another group of parameters"):
        clf = fit("few epochs", **params, checkpoint=tmp_path)
    assert_identical(clf, whole)


class Secretive(Callback):
    """Has a state that nobody can write."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.log_ = iter([])


def test_callbacks_whose_state_cannot_be_kept_are_named_once(
    cut: Callable[..., None], tmp_path: Path
) -> None:
    given = [Secretive(), ("other", Secretive()), _fits.Slower(), _fits.Deep()]
    with one_warning(r"state of \['Secretive', 'other'\]"):
        cut(5, lambda: fit("few epochs", callbacks=given, checkpoint=tmp_path))


def test_workers_that_stay_are_named(cut: Callable[..., None], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="iterator_train__persistent_workers"):
        fit("loader workers", checkpoint=tmp_path, iterator_train__persistent_workers=True)


def test_a_checkpoint_of_skorch_is_not_enough(tmp_path: Path) -> None:
    others = [Checkpoint(dirname=tmp_path / "skorch")]
    with one_warning("neither the weighting function nor the memory"):
        fit("few epochs", callbacks=others)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit("few epochs", callbacks=others, checkpoint=tmp_path / "ours")


# ------------------------------------------------------------------ processes that are killed

KILLS = 4


@pytest.mark.skipif(sys.platform == "win32", reason="has no forkserver")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mw-net", "mw-net paper", "fmw-net", "l2rw", "loader workers"])
def test_killed_at_random_moments_it_ends_the_same(name: str, tmp_path: Path) -> None:
    n_epochs = 6 if name == "loader workers" else 30
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_fits.__name__])
    begin = time.perf_counter()
    whole = fit(name, max_epochs=n_epochs)
    seconds = time.perf_counter() - begin
    rng, n_kills = random.Random(name), 0
    folder, result = tmp_path / "folder", tmp_path / "result"

    def start() -> Any:
        begun = context.Event()
        args = name, str(folder), begun, str(result), n_epochs
        process = context.Process(target=_fits.fit_and_tell, args=args)
        process.start()
        assert begun.wait(60)
        return process

    while n_kills < KILLS:
        process = start()
        process.join(rng.uniform(0, seconds / 3))
        if n_kills == KILLS - 1:  # the last one leaves something to go on with
            while process.is_alive() and not checkpoints(folder):
                time.sleep(0.001)
        process.kill()
        process.join()
        n_kills += process.exitcode == -signal.SIGKILL
    assert checkpoints(folder)
    start().join()
    assert pickle.loads(result.read_bytes()) == told(whole)
    assert_ended(folder)
