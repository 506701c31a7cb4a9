"""What scikit-learn's callbacks (:mod:`sklearn.callback`, from 1.9) are told of a fit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skmetaweight._data.fit_data import GivenData

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9
    CallbackSupportMixin: Any = type("CallbackSupportMixin", (), {})

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        return method


__all__ = ["CallbackSupportMixin", "FitTasks", "StopFit", "run_as_task"]


class StopFit(Exception):
    """A callback of scikit-learn's asked to stop; what was learned is kept."""


class FitTasks:
    """The fit as a task of scikit-learn's, and its epochs as subtasks.

    Without arguments it tells nobody. It is not pickled with the net that holds it.
    """

    def __init__(
        self, context: Any = None, estimator: Any = None, classes: Any = None, **task: Any
    ) -> None:
        self._context = context
        self._estimator = estimator
        self._classes = classes
        self._task = task
        self._epoch: Any = None

    def begin_epoch(self) -> None:
        """Begin the subtask of an epoch."""
        if self._context is not None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._task)

    def end_epoch(self, net: Any) -> bool:
        """End the subtask of an epoch; return whether a callback asks to stop."""
        return self._context is not None and self._epoch.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=lambda: {"net_": _frozen(net), "classes_": self._classes},
            **self._task,
        )

    def __reduce__(self) -> tuple[type[FitTasks], tuple[()]]:
        return type(self), ()


def run_as_task(
    train: Callable[[FitTasks], None],
    estimator: Any,
    classes: Any,
    epochs: int,
    given: GivenData,
) -> None:
    """Run a fit as a task that the estimator's callbacks are told of.

    Parameters
    ----------
    train : callable
        Fits the estimator, and tells what it is given of each epoch.
    estimator : MetaWeightClassifier
    classes : ndarray of shape (n_classes,)
    epochs : int
        The most subtasks there may be.
    given : GivenData
    """
    if not hasattr(estimator, "_init_callback_context"):
        train(FitTasks())
        return
    weight = given.sample_weight
    metadata = None if weight is None else {"sample_weight": weight}
    task = {"X": given.X, "y": given.y, "metadata": metadata}

    @with_callbacks  # puts a frame on the stack: whoever warns of the user's line stays outside
    def run(estimator: Any) -> None:
        context = estimator._init_callback_context(max_subtasks=epochs)
        context.call_on_fit_task_begin(estimator=estimator, **task)
        train(FitTasks(context, estimator, classes, **task))
        context.call_on_fit_task_end(estimator=estimator, reconstruction_attributes=dict, **task)

    run(estimator)


def _frozen(net: Any) -> Any:
    """Copy what predictions need, so that training goes on without it."""
    frozen = object.__new__(type(net))  # copy.copy would pass CUDA tensors through a pickle
    vars(frozen).update(vars(net), module_=copy.deepcopy(net.module_))
    return frozen
