"""Training steps as CUDA graphs: one call starts all the kernels of a step.

A graph repeats what was recorded, in the same memory. So rows are copied into the batches that it
was recorded with, and all that a step changes is changed in place; what Python computed, such as a
learning rate, stays as it was, and makes a new recording necessary when it changes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from skmetaweight._functional import Batch
from skmetaweight.reweighting import StepResult

WARM_UP = 3
"""Steps of each kind before one is recorded: they create what later ones change in place."""

Rows = tuple[Batch, Batch]


def record_cuda_graph(work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Record work; return what runs it, and its result, which each run writes anew."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph.replay, result


class StepGraphs:
    """Runs training steps, from graphs as soon as it can.

    Parameters
    ----------
    step : callable
        From a batch, a meta batch and the keyword update to a StepResult.
    batch_size : int
        Other batches, such as a smaller last one, are not recorded.
    constants : callable
        Returns a list of the numbers that a recording holds fast.
    """

    def __init__(
        self,
        step: Callable[..., StepResult],
        batch_size: int,
        constants: Callable[[], list[Any]],
    ) -> None:
        self._step = step
        self._batch_size = batch_size
        self._constants = constants
        self._recorded_with: list[Any] = []
        self._recordings: dict[bool, _Recording] = {}
        self._n_steps: Counter[bool] = Counter()
        self._failed: set[bool] = set()

    def __call__(self, batch: Batch, meta_batch: Batch, *, update: bool) -> StepResult:
        """Run a step; the tensors of its result are the caller's own."""
        rows = (batch, meta_batch)
        self._n_steps[update] += 1
        is_due = self._n_steps[update] > WARM_UP and update not in self._failed
        if is_due and batch.n_rows == self._batch_size:
            recording = self._recording(rows, update)
            if recording is not None:
                return recording(rows)
        return self._step(*rows, update=update)

    def _recording(self, rows: Rows, update: bool) -> _Recording | None:
        constants = self._constants()
        if constants != self._recorded_with:
            self._recordings.clear()
            self._recorded_with = constants
        if update not in self._recordings:
            try:
                self._recordings[update] = _Recording(self._step, rows, update)
            except RuntimeError as error:
                self._give_up(error, update)
        return self._recordings.get(update)

    def _give_up(self, error: Exception, update: bool) -> None:
        if not self._failed:
            warnings.warn(
                "A training step could not be recorded as a CUDA graph "
                f"({str(error).splitlines()[0][:150]}): its kernels are started one by one, as "
                "without cuda_graphs.",
                UserWarning,
                stacklevel=2,
            )
        self._failed.add(update)


class _Recording:
    def __init__(self, step: Callable[..., StepResult], rows: Rows, update: bool) -> None:
        self._rows = tuple(_own(batch) for batch in rows)
        self._run, self._result = record_cuda_graph(lambda: step(*self._rows, update=update))

    def __call__(self, rows: Rows) -> StepResult:
        for kept, given in zip(self._rows, rows, strict=True):
            for tensor, new in zip(_tensors(kept), _tensors(given), strict=True):
                tensor.copy_(new)
        self._run()
        return _own(self._result)


def _own(values: Any) -> Any:
    """Copy the tensors of a batch or of a result."""
    if isinstance(values, Tensor):
        return values.clone()
    if isinstance(values, dict):
        return {name: _own(value) for name, value in values.items()}
    if isinstance(values, Batch | StepResult):
        return replace(values, **{f.name: _own(getattr(values, f.name)) for f in fields(values)})
    return values


def _tensors(batch: Batch) -> Iterator[Tensor]:
    yield from batch.X.values() if isinstance(batch.X, dict) else (batch.X,)
    yield from (batch.y, batch.index)
    if batch.sample_weight is not None:
        yield batch.sample_weight
