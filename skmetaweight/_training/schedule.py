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
        Cosine decay to zero; or the epochs after which the rate is divided by ten.
    epochs : int
        Epochs of the training.
    optimizer : Optimizer
    """

    def __init__(
        self, kind: str | Sequence[int], epochs: int, optimizer: torch.optim.Optimizer
    ) -> None:
        self.epochs = epochs
        self._kind = kind
        self._groups = optimizer.param_groups
        for group in self._groups:
            group.setdefault("initial_lr", group["lr"])
        self._epoch = 0

    @property
    def progress(self) -> float:
        """Share of the epochs that are done."""
        return self._epoch / self.epochs

    def step(self) -> None:
        """Set the rate of the epoch that begins; a constant one is nobody's to set."""
        if self._kind != "constant":
            for group in self._groups:
                group["lr"] = group["initial_lr"] * self._factor()
        self._epoch += 1

    def _factor(self) -> float:
        if isinstance(self._kind, str):
            return (1 + math.cos(math.pi * self.progress)) / 2
        return 1 / DIVISOR ** sum(self._epoch >= milestone for milestone in self._kind)
