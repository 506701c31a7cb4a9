"""The learning rate of each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

DIVISOR = 10
"""What a milestone divides the learning rate by."""


class Schedule:
    """Sets the learning rate of each epoch of a training.

    Parameters
    ----------
    kind : {"cosine", "constant"} or sequence of int
        Cosine decay to zero; or the epochs after which the rate is divided by ten, counted from
        the first training that this one goes on from.
    epochs : int
        Epochs of the training.
    optimizer : Optimizer
    n_before : int
        Epochs before this training.

    Attributes
    ----------
    n_begun : int
        Epochs of this training that have begun.
    """

    def __init__(
        self,
        kind: str | Sequence[int],
        epochs: int,
        optimizer: torch.optim.Optimizer,
        n_before: int,
    ) -> None:
        self.epochs = epochs
        self._kind = kind
        self._optimizer = optimizer  # which makes new groups when it takes a state
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self.n_begun = 0
        self._n_before = n_before

    @property
    def progress(self) -> float:
        """Share of the epochs that are done."""
        return self.n_begun / self.epochs

    def step(self) -> None:
        """Set the rate of the epoch that begins."""
        self._set(self._factor())
        self.n_begun += 1

    def end(self) -> None:
        """Put back the rate from which another training would start."""
        self._set(1.0)

    def _set(self, factor: float) -> None:
        if self._kind != "constant":  # which is nobody's to set
            groups = self._optimizer.param_groups
            self._rates += [group["lr"] for group in groups[len(self._rates) :]]  # a callback's
            for group, rate in zip(groups, self._rates, strict=True):
                group["lr"] = rate * factor

    def _factor(self) -> float:
        if isinstance(self._kind, str):
            return (1 + math.cos(math.pi * self.progress)) / 2
        epoch = self._n_before + self.n_begun
        return 1 / DIVISOR ** sum(epoch >= milestone for milestone in self._kind)
