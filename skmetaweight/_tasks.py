"""What scikit-learn's callbacks (:mod:`sklearn.callback`, from 1.9) are told of a fit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9
    CallbackSupportMixin: Any = type("CallbackSupportMixin", (), {})

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        return method


__all__ = ["CallbackSupportMixin", "FitTasks", "StopFit", "with_callbacks"]


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

    @classmethod
    def begin(cls, estimator: Any, classes: Any, epochs: int, **task: Any) -> FitTasks:
        """Begin the task of a fit; scikit-learn before 1.9 has none.

        Parameters
        ----------
        estimator : MetaWeightClassifier
        classes : ndarray of shape (n_classes,)
        epochs : int
            The most subtasks there may be.
        **task
            The X, y and metadata of the fit.
        """
        if not hasattr(estimator, "_init_callback_context"):
            return cls()
        context = estimator._init_callback_context(max_subtasks=epochs)
        context.call_on_fit_task_begin(estimator=estimator, **task)
        return cls(context, estimator, classes, **task)

    def begin_epoch(self) -> None:
        """Begin the subtask of an epoch."""
        if self._context is not None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._task)

    def end_epoch(self, net: Any) -> None:
        """End the subtask of an epoch.

        Raises
        ------
        StopFit
            If a callback asks to stop.
        """
        if self._context is not None and self._epoch.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=lambda: {"net_": _frozen(net), "classes_": self._classes},
            **self._task,
        ):
            raise StopFit

    def end(self) -> None:
        """End the task of the fit, with the fitted estimator."""
        if self._context is not None:
            self._context.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=dict, **self._task
            )

    def __reduce__(self) -> tuple[type[FitTasks], tuple[()]]:
        return type(self), ()


def _frozen(net: Any) -> Any:
    """Copy what predictions need, so that training goes on without it."""
    frozen = object.__new__(type(net))  # copy.copy would pass CUDA tensors through a pickle
    vars(frozen).update(vars(net), module_=copy.deepcopy(net.module_))
    return frozen
