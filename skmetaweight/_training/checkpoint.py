"""Checkpoints of a fit that may be cut off: :class:`FitCheckpoint`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

from skorch.callbacks import Callback, Checkpoint

from skmetaweight._messages import first_line, listed, shortened, warn
from skmetaweight._training.archive import require_safetensors
from skmetaweight._training.callback_state import callbacks_with_more
from skmetaweight._training.fit_folder import START, FitFolder, OtherFitError
from skmetaweight._training.midway import (
    checksum,
    generators_of,
    go_on,
    in_columns,
    start_of,
    state_of,
)
from skmetaweight._training.recorded_net import NonFiniteLossError
from skmetaweight._training.values import UnwritableError


class FitCheckpoint(Callback):
    """Keeps, after an epoch, all that a fit needs to go on should it be cut off.

    The same ``fit`` in the same folder goes on after the last epoch that was kept, and on the CPU
    its result is the same to the bit. Several fits can share a folder, also at the same time. The
    checkpoints of a fit that ends are removed. Of several processes of a fit the first writes and
    reads; it goes on with any number of them, if the batches are of as many rows in all.

    Parameters
    ----------
    folder : str or path-like
        It is created if it is not there; a ``~`` is the home of the user.
    every : int, default=1
        Epochs from one checkpoint to the next.

    Raises
    ------
    ValueError
        In ``fit``, if checkpoints of another fit that was cut off are in the folder; the message
        names the data and parameters that differ.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 1) -> None:
        self.folder = folder
        self.every = every

    def initialize(self) -> FitCheckpoint:
        """Begin without a fit to keep."""
        self.run_: _Run | None = None
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Go on from the newest checkpoint, if there is one."""
        if self.run_ is not None:
            self.run_.begin(net)

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Write a checkpoint if it is time to."""
        if self.run_ is not None and net.schedule_.n_begun % self.every == 0:
            self.run_.keep(net)


class _Run:
    """One fit that is kept, of several processes by the first."""

    def __init__(self, folder: Path, fit: dict[str, str]) -> None:
        self.shared = folder
        self.fit = fit
        self.kept_epoch = 0
        self._store: FitFolder | None = None
        self._history: list[dict[str, Any]] = []
        self._has_failed = False
        self._n_groups = 0

    @property
    def store(self) -> FitFolder:
        assert self._store is not None
        return self._store

    def begin(self, net: Any) -> None:
        state = net.ranks_.first_ones(partial(self._newest, net))
        if state is not None:
            go_on(net, state)

    def _newest(self, net: Any) -> dict[str, Any] | None:
        start = f"{checksum(start_of(net)):08x} after {net.n_epochs_} epochs"
        self._store = FitFolder(self.shared, {**self.fit, START: start})
        self._n_groups = len(net.optimizer_.param_groups)
        with self._warned():
            self.store.refuse_others()
            self.store.begin()
        state = None
        with self._warned():
            state = self.store.newest()
        if self.store.damaged:
            with self._warned():  # they would count among the newest
                self.store.remove(self.store.damaged)
            where = "the newest whole one" if state else "the beginning"
            names = listed([path.name for path in self.store.damaged])
            warn(
                f"Checkpoints in {self.store.path} are damaged, {names}: the fit goes on from "
                f"{where}."
            )
        if state is not None:
            self.kept_epoch = state["progress"]["net"]["n_epochs_"]
        return state

    def keep(self, net: Any) -> None:
        """Write, in the first process of the fit, what all of them need."""
        drawn = net.ranks_.everyones([each.get_state() for each in generators_of(net)])
        if net.ranks_.rank:
            return
        if not self.kept_epoch:
            _warn_of_lost_state(net)
        with self._warned():
            if len(net.optimizer_.param_groups) != self._n_groups:
                raise UnwritableError(
                    "a callback has given the optimiser another group of parameters, which a fit "
                    "that goes on would not have"
                )
            new = list(net.history)[len(self._history) :]
            self._history += map(in_columns, new)
            self.store.write(net.n_epochs_, state_of(net, self._history, drawn))
            self.kept_epoch = net.n_epochs_

    def end(self, *, is_over: bool) -> None:
        if self._store is None:
            return
        with self._warned():
            if is_over:
                self.store.remove(self.store.files())
        self.store.end()

    @contextmanager
    def _warned(self) -> Iterator[None]:
        """Warn once of what goes wrong with files; no training is lost for them."""
        try:
            yield
        except OtherFitError:
            raise
        except (OSError, ValueError, UnwritableError) as error:
            cure = " Check that the folder can be written to and has room, or pass another one."
            if not self._has_failed:
                warn(
                    f"No checkpoint can be written to {self.store.path} ({first_line(error)}): "
                    f"training goes on without.{cure if isinstance(error, OSError) else ''}"
                )
            self._has_failed = True


@contextmanager
def resumable(net: Any, described: Callable[[], dict[str, str]]) -> Iterator[None]:
    """Let the FitCheckpoint of a net keep the training in a block, and go on with it.

    Parameters
    ----------
    net : ReweightedNet
    described : callable
        Returns the data and parameters of the fit as short texts by name.
    """
    found = [callback for _, callback in net.callbacks_ if isinstance(callback, FitCheckpoint)]
    if not found:
        _warn_of_other_checkpoints(net)
        yield
        return
    checkpoint = _only(found)
    require_safetensors()
    run = checkpoint.run_ = _Run(_folder_of(checkpoint), described())
    is_over = False
    try:
        yield
        is_over = True
    except NonFiniteLossError:  # it would be so again
        is_over = True
        raise
    except KeyboardInterrupt as error:
        if run.kept_epoch:
            error.add_note(
                f"Run the same fit again to go on after epoch {run.kept_epoch}: its checkpoint is "
                f"in {run.store.path}."
            )
        raise
    finally:
        checkpoint.run_ = None
        run.end(is_over=is_over)


def _only(found: list[FitCheckpoint]) -> FitCheckpoint:
    if len(found) > 1:
        folders = listed([os.fspath(each.folder) for each in found])
        raise ValueError(
            f"A fit has one checkpoint, got {len(found)}, in {folders}: pass checkpoint=, or one "
            "FitCheckpoint among the callbacks."
        )
    (checkpoint,) = found
    every = checkpoint.every
    if not isinstance(every, Integral) or isinstance(every, bool) or every < 1:
        raise ValueError(
            f"every={every!r} of FitCheckpoint must be an integer of at least 1: the "
            "epochs from one checkpoint to the next."
        )
    return checkpoint


def _folder_of(checkpoint: FitCheckpoint) -> Path:
    folder = checkpoint.folder
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ValueError(
            f"A checkpoint needs a folder, text or a path, got {shortened(folder)}: pass e.g. "
            "checkpoint='folder'."
        )
    return Path(os.path.expanduser(os.fsdecode(folder)))


def _warn_of_lost_state(net: Any) -> None:
    lost = callbacks_with_more(net)
    if net.get_params_for("iterator_train").get("persistent_workers"):
        lost.append("iterator_train__persistent_workers")
    if lost:
        warn(
            f"Checkpoints cannot hold the state of {listed(lost)}: a fit that is cut off and goes "
            "on may end otherwise. Give callbacks attributes of plain values, or state_dict and "
            "load_state_dict."
        )


def _warn_of_other_checkpoints(net: Any) -> None:
    if any(isinstance(callback, Checkpoint) for _, callback in net.callbacks_):
        warn(
            "skorch's Checkpoint saves neither the weighting function nor the memory of the rows, "
            "so that no fit can go on from it: pass checkpoint='folder' for one that does."
        )
