"""Which epoch of a training is kept."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from skmetaweight._bilevel.forward import copy_of_state
from skmetaweight.reweighting import Reweighter


class BestEpoch:
    """Remembers the epoch with the lowest meta loss or, if none is to be kept, the last one.

    Parameters
    ----------
    keep : bool
        Whether what was learned by the best epoch is put back at the end.

    Attributes
    ----------
    epoch : int
        From 1.
    """

    def __init__(self, *, keep: bool) -> None:
        self.epoch = 0
        self._keep = keep
        self._lowest = math.inf
        self._state: dict[str, Any] | None = None

    def compare(
        self, epoch: int, meta_loss: float, module: nn.Module, reweighter: Reweighter
    ) -> bool:
        """Return whether an epoch is the best so far, and remember it if so."""
        is_best = meta_loss < self._lowest
        if is_best:
            self._lowest = meta_loss
        if is_best or not self._keep:
            self.epoch = epoch
        if is_best and self._keep:
            self._state = {
                "module": copy_of_state(module.state_dict()),
                "reweighter": reweighter.state_dict(),
            }
        return is_best

    def put_back(self, module: nn.Module, reweighter: Reweighter) -> None:
        """Restore what was learned by the epoch that is kept."""
        if self._state is not None:
            module.load_state_dict(self._state["module"])
            reweighter.load_state_dict(self._state["reweighter"])
