"""What the methods with a weighting function share: the network, its optimiser, its inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from skmetaweight._functional import Batch, Objective
from skmetaweight._weighting import WeightingFunction, WeightingNetwork, weighting_inputs
from skmetaweight.reweighting._base import Evaluation, Reweighter, mean_one
from skmetaweight.reweighting._memory import AlignmentMemory

MAX_ALIGNMENTS = 256
"""Alignments over which a fitted function averages its partial dependence."""

CHUNK_ROWS = 4096
"""Rows that the weighting network sees at a time outside training."""


class FunctionBasedReweighter(Reweighter):
    r"""Base of the methods that learn :math:`V_\psi`; it owns :math:`\psi` and its optimiser.

    Parameters
    ----------
    weighting : Module, optional
        Network from inputs (n, n_inputs) to weights (n,); copied. None for the method's own.
    class_aware : bool
        Whether the given label enters the function, one-hot.
    memory : float
        Decay of the alignment memory that enters the function; 0 for a function of the loss.
    normalize : bool
        Whether the weights of a batch are scaled to mean one.
    meta_lr : float
        Step size of :math:`\psi`'s optimiser.
    optimizer : callable
        Makes the optimiser from parameters and ``lr``.
    meta_interval : int
        Batches between updates.
    """

    def __init__(
        self,
        *,
        weighting: nn.Module | None,
        class_aware: bool,
        memory: float,
        normalize: bool,
        meta_lr: float,
        optimizer: Callable[..., torch.optim.Optimizer],
        meta_interval: int,
    ) -> None:
        self.weighting = weighting
        self.class_aware = class_aware
        self.memory_decay = memory
        self.normalize = normalize
        self.meta_lr = meta_lr
        self.optimizer = optimizer
        self.meta_interval = meta_interval

    def build(self, n_classes: int, like: Tensor) -> None:
        """Create the weighting network and its optimiser."""
        super().build(n_classes, like)
        n_inputs = 1 + bool(self.memory_decay) + n_classes * self.class_aware
        network = copy.deepcopy(self.weighting) if self.weighting else self._network(n_inputs)
        self.network = network.to(like.device, like.dtype)
        self.network_optimizer = self.optimizer(self.network.parameters(), lr=self.meta_lr)

    def _network(self, n_inputs: int) -> nn.Module:
        return WeightingNetwork(n_inputs)

    def bind(self, objective: Objective, n_rows: int) -> None:
        """Start an empty memory, unless the fit goes on with as many rows as before."""
        known = getattr(self, "n_rows", None)
        super().bind(objective, n_rows)
        if self.memory_decay and known != n_rows:
            self.memory = AlignmentMemory(n_rows, self.memory_decay, self.like)

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        r"""The optimiser of :math:`\psi`."""
        return (self.network_optimizer,)

    @property
    def loss_scale(self) -> float:
        r"""With a memory the function sees :math:`\ell / \log K`: one is a guess among K."""
        return math.log(self.n_classes) if self.memory_decay else 1.0

    def inputs(self, losses: Tensor, labels: Tensor, memory: Tensor | None) -> Tensor:
        """Return what the network sees of rows, of shape (n, n_inputs)."""
        seen = labels if self.class_aware else None
        return weighting_inputs(losses / self.loss_scale, memory, seen, self.n_classes)

    def batch_inputs(self, losses: Tensor, batch: Batch) -> Tensor:
        memory = self.memory[batch.index] if self.memory_decay else None
        return self.inputs(losses.detach(), batch.y, memory)

    def scaled(self, weights: Tensor, batch: Batch) -> Tensor:
        return mean_one(weights, batch.sample_weight) if self.normalize else weights

    def step_weighting(self, grads: Iterable[Tensor]) -> None:
        r"""Step :math:`\psi` along its hypergradient."""
        for param, grad in zip(self.network.parameters(), grads, strict=True):
            param.grad = grad
        self.network_optimizer.step()

    def network_gradient(
        self, outputs: Tensor, cotangent: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        r"""Differentiate a scalar, or outputs times a cotangent, with respect to :math:`\psi`."""
        return torch.autograd.grad(
            outputs, list(self.network.parameters()), cotangent, materialize_grads=True
        )

    @torch.no_grad()
    def raw_weights(self, rows: Evaluation) -> Tensor:
        """Apply the function to the rows' losses.

        With a memory, training rows bring their own remembered alignments; other rows get the
        partial dependence on the loss.
        """
        if not self.memory_decay:
            return self._in_chunks(self.inputs(rows.losses, rows.labels, None))
        if rows.index is not None:
            remembered = self.memory[rows.index]
            return self._in_chunks(self.inputs(rows.losses, rows.labels, remembered))
        total = torch.zeros_like(rows.losses)
        grid = self._alignment_grid()
        for alignment in grid:
            everywhere = alignment.expand_as(rows.losses)
            total += self._in_chunks(self.inputs(rows.losses, rows.labels, everywhere))
        return total / len(grid)

    def _in_chunks(self, inputs: Tensor) -> Tensor:
        """Apply the network to few rows at a time: its hidden layer is wider than its input."""
        return torch.cat([self.network(part) for part in inputs.split(CHUNK_ROWS)])

    def _alignment_grid(self) -> Tensor:
        """Return quantiles of the memory: enough of them to stand for all rows."""
        values = self.memory.values.sort().values
        if len(values) <= MAX_ALIGNMENTS:
            return values
        places = torch.linspace(0, len(values) - 1, MAX_ALIGNMENTS, device=values.device)
        return values[places.long()]

    def weighting_function(self, rows: Evaluation, classes: Any) -> WeightingFunction:
        """Return the fitted function, on the CPU, scaled as the training rows' weights."""
        return WeightingFunction(
            copy.deepcopy(self.network).cpu(),
            losses=rows.losses,
            loss_scale=self.loss_scale,
            normalizer=self.normalizer,
            strength=self.strength,
            memory=self._alignment_grid().cpu() if self.memory_decay else None,
            classes=classes if self.class_aware else None,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the network, its optimiser and the memory."""
        state = {
            **super().state_dict(),
            "network": copy.deepcopy(self.network.state_dict()),
            "optimizer": copy.deepcopy(self.network_optimizer.state_dict()),
        }
        if self.memory_decay:
            state["memory"] = self.memory.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self.network.load_state_dict(state["network"])
        self.network_optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        if self.memory_decay:
            self.memory.load_state_dict(state["memory"])
