"""One moment of an estimator, for those who read it or work on it while others do too.

A fit works on a copy and puts all it found in place at once: whoever predicts meanwhile sees the
fitted state before or after, and a fit that fails leaves the estimator as it was.
"""

from __future__ import annotations

import copy
import copyreg
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, SupportsIndex

from sklearn.base import BaseEstimator
from torch import Tensor

_FITTING: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_GUARD = threading.Lock()
"""Held while an estimator's lock is looked up: locks are no state to copy or to pickle."""


def snapshot(estimator: Any) -> Any:
    """Return an estimator of the same attributes, which later fits of the other leave alone."""
    held = object.__new__(type(estimator))
    held.__dict__ = vars(estimator).copy()
    return held


class PortableMixin(BaseEstimator):
    """Pickles without what only a training needs, unless one is expected to go on."""

    warm_start: bool

    def __getstate__(self) -> dict[str, Any]:
        """Leave the optimiser's state behind, unless ``warm_start`` or ``partial_fit`` need it."""
        state: dict[str, Any] = super().__getstate__()  # pyright: ignore[reportAssignmentType]
        net = state.get("net_")
        if net is None or self.warm_start or net.is_stream_:
            return state
        return {**state, "net_": net.without_training_state()}

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # pyright: ignore

    def __reduce__(self) -> Any:
        """Refuse what asks for this rather than for ``__reduce_ex__``: it is skops, not pickle."""
        if not hasattr(self, "net_"):
            return super().__reduce__()
        raise TypeError(
            f"skops cannot hold the tensors of a fitted {type(self).__name__}: write it with "
            "clf.save(path), or pickle it, in MLflow with serialization_format='cloudpickle'."
        )

    def __copy__(self) -> Any:
        return snapshot(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        work = memo[id(self)] = object.__new__(type(self))
        vars(work).update(copy.deepcopy(vars(self), memo))
        return work


@contextmanager
def working_copy(estimator: Any) -> Iterator[Any]:
    """Work on a copy in a block; if that ends, give the estimator what was found, in one step.

    What others have set meanwhile, parameters say, stays as they set it. Another thread that wants
    to work on the same estimator waits.
    """
    with _GUARD:
        lock = _FITTING.setdefault(estimator, threading.RLock())
    with lock:
        work = snapshot(estimator)
        before, absent = vars(work).copy(), object()
        yield work
        found = {k: v for k, v in vars(work).items() if v is not before.get(k, absent)}
        lost = before.keys() - vars(work).keys()
        kept = {k: v for k, v in vars(estimator).items() if k not in lost}
        estimator.__dict__ = {**kept, **found}


def twin(net: Any) -> Any:
    """Copy a net, to train it or to watch its layers while others predict with it.

    Shared are callbacks, and what never changes: settings, trusted rows, the record of epochs.
    """
    memo: dict[int, Any] = {id(kept): kept for kept in (net.meta_rows_, net.settings_)}
    for records in (net.snapshots_, net.history):
        memo[id(records)] = type(records)(records)
    for _, callback in net.callbacks_:
        memo[id(callback)] = callback
    for part in net.module_.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # weight_norm's, made anew by hooks
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(net, memo)
