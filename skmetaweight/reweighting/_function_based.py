"""What the methods with a weighting function share: the network, its optimiser, its inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from skmetaweight._bilevel.certainties import certainties
from skmetaweight._bilevel.forward import copy_of_state
from skmetaweight._bilevel.gradients import laid_out
from skmetaweight._bilevel.objective import Batch, Objective, TrainingPass
from skmetaweight._messages import explained, listed
from skmetaweight.reweighting._base import Reweighter, mean_one
from skmetaweight.reweighting._cluster_network import ClusterNetwork
from skmetaweight.reweighting._exchange import Evaluation
from skmetaweight.reweighting._lilaw import WHY_NO_FUNCTION, ThreeNumbers
from skmetaweight.reweighting._weighting import (
    WeightingFunction,
    WeightingNetwork,
    weighting_inputs,
)

CHUNK_ROWS = 4096
"""Rows that the weighting network sees at a time outside training."""

PROBED = ((-2.0, 0.0, 2.0), (0.0, 1.0, 10.0))
"""Alignments and losses on which a weighting network of the user's is tried out."""

SETTINGS = ("noise", "imbalance")
"""Published settings."""


class FunctionBasedReweighter(Reweighter):
    r"""Base of the methods that learn :math:`V_\psi`; it owns :math:`\psi` and its optimiser.

    Parameters
    ----------
    meta_lr : float
        Step size of :math:`\psi`'s optimiser; or None, if the method makes something of that.
    meta_interval : int
        Batches between updates; or None, likewise.
    lookahead_lr : float or "lr"
        Step size of the virtual step; "lr" for the learning rate that the optimiser has now.
    normalize : bool
        Whether the weights of a batch are scaled to mean one.
    weighting : Module, "class-aware", "cmw", "lilaw" or None
        Network from inputs (n, n_inputs) to weights (n,), copied: the loss, then the memory if
        there is one. None for the method's own; "class-aware" adds the given label, one-hot, to
        what that sees. A network of yours sees it if it has a true attribute ``class_aware``.
        "cmw" is :class:`ClusterNetwork`, "lilaw" :class:`ThreeNumbers`.
    optimizer : callable or None
        Makes :math:`\psi`'s optimiser from parameters and ``lr``; None for the method's own.
    """

    network_: nn.Module
    network_optimizer_: torch.optim.Optimizer
    why_no_function = WHY_NO_FUNCTION

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "meta_lr": [Interval(Real, 0, None, closed="neither")],
        "meta_interval": [Interval(Integral, 1, None, closed="left")],
        "lookahead_lr": [Interval(Real, 0, None, closed="neither"), StrOptions({"lr"})],
        "normalize": ["boolean"],
        "weighting": [nn.Module, StrOptions({"class-aware", "cmw"}), None],
        "optimizer": [callable, None],
    }

    def __init__(
        self,
        *,
        meta_lr: Any,
        meta_interval: Any,
        lookahead_lr: float | str,
        normalize: bool,
        weighting: nn.Module | str | None,
        optimizer: Callable[..., torch.optim.Optimizer] | None,
    ) -> None:
        self.meta_lr = meta_lr
        self.meta_interval = meta_interval
        self.lookahead_lr = lookahead_lr
        self.normalize = normalize
        self.weighting = weighting
        self.optimizer = optimizer

    def build(self, n_classes: int, like: Tensor) -> None:
        """Create the weighting network; its optimiser is the method's to make."""
        super().build(n_classes, like)
        if isinstance(self.weighting, nn.Module):
            self.network_ = copy.deepcopy(self.weighting).to(like.device, like.dtype)
            self._check_network()
        else:
            network = self._network(1 + bool(self.memory) + n_classes * self.class_aware)
            self.network_ = network.to(like.device, like.dtype)

    def _network(self, n_inputs: int) -> nn.Module:
        if self.weighting == "lilaw":
            return ThreeNumbers()
        if self.weighting == "cmw":
            return ClusterNetwork(n_inputs, self.n_classes_, **self._shape)
        return WeightingNetwork(n_inputs, **self._shape)

    @property
    def _shape(self) -> dict[str, Any]:
        """Options of the method's own networks."""
        return {}

    def bind(
        self,
        objective: Objective,
        n_rows: int,
        n_trusted: Tensor | None = None,
        class_sizes: Tensor | None = None,
    ) -> None:
        """Set the losses, and what the fit that begins has of rows."""
        super().bind(objective, n_rows, n_trusted)
        if class_sizes is not None and isinstance(self.network_, ClusterNetwork):
            self.network_.group(class_sizes)

    def _check_network(self) -> None:
        """Raise an error if a network of the user's cannot learn, or gives no weight to a row."""
        parameters = list(self.network_.parameters())
        if not parameters or not all(parameter.requires_grad for parameter in parameters):
            raise ValueError(
                f"method__weighting={type(self.weighting).__name__} must have parameters, all with "
                "requires_grad=True: there is nothing to be learned, or some of it is frozen."
            )
        alignments, losses = torch.cartesian_prod(*self.like_.new_tensor(PROBED)).T
        labels = torch.arange(len(losses), device=losses.device) % self.n_classes_
        inputs = self.inputs(losses, labels, alignments if self.memory else None)
        columns = ["the loss"] + ["its alignment"] * bool(self.memory)
        columns += ["its label, one-hot"] * self.class_aware
        seen = f"inputs of shape {tuple(inputs.shape)}, {' and '.join(columns)} of each row"
        cure = "Give it as many inputs."
        with (
            torch.enable_grad(),
            explained("method__weighting", self.weighting, f"cannot take {seen}", cure),
        ):
            weights: Any = copy.deepcopy(self.network_).eval()(inputs)
        self._check_weights(weights, len(inputs), seen)
        if not weights.requires_grad:
            raise ValueError(
                f"method__weighting={type(self.weighting).__name__} gives weights without a "
                "gradient: let its forward compute them of its parameters, outside torch.no_grad."
            )

    def _check_weights(self, weights: Any, n_rows: int, seen: str) -> None:
        name = f"method__weighting={type(self.weighting).__name__}"
        got = tuple(weights.shape) if isinstance(weights, Tensor) else type(weights).__name__
        if got != (n_rows,) or not weights.is_floating_point():
            got = weights.dtype if got == (n_rows,) else got
            raise ValueError(
                f"{name} must turn {seen}, into floating-point weights of shape ({n_rows},), got "
                f"{got}: let it end e.g. in .squeeze(-1)."
            )
        if not (weights.isfinite() & (weights >= 0)).all():
            raise ValueError(
                f"{name} must turn {seen}, into weights of zero or more, got {listed(weights)}: "
                "let it end in a sigmoid, or in another function that is finite and not negative."
            )

    def _make_optimizer(self, default: Callable[..., torch.optim.Optimizer], lr: float) -> Any:
        make, cure = self.optimizer or default, "It is called with parameters and lr."
        with explained("method__optimizer", make, cure=cure):
            return make(self.network_.parameters(), lr=lr)

    @property
    def class_aware(self) -> bool:
        """Whether the given label enters the function."""
        if isinstance(self.weighting, str):
            return self.weighting in ("class-aware", "cmw")
        return bool(getattr(self.weighting, "class_aware", False))

    @property
    def learns_function(self) -> bool:
        """Whether the weight is a function of the loss, and perhaps of the class."""
        return self.weighting != "lilaw"

    def lookahead_size(self, lr: float) -> float:
        """Return the step size of the virtual step, at a learning rate of the optimiser."""
        return lr if isinstance(self.lookahead_lr, str) else float(self.lookahead_lr)

    @property
    def loss_scale(self) -> float:
        r"""With a memory the function sees :math:`\ell / \log K`: one is a guess among K."""
        return math.log(self.n_classes_) if self.memory else 1.0

    def inputs(self, losses: Tensor, labels: Tensor, memory: Tensor | None) -> Tensor:
        """Return what the network sees of rows, of shape (n, n_inputs)."""
        seen = labels if self.class_aware else None
        return weighting_inputs(losses / self.loss_scale, memory, seen, self.n_classes_)

    def inputs_of(self, forward: TrainingPass) -> Tensor:
        """Return what the network sees of the training rows of a pass."""
        batch = forward.rows[0]
        if self.learns_function:
            return self.batch_inputs(forward.losses, batch)
        return certainties(self.objective_.to_probabilities(forward.y_pred), batch.y)

    def batch_inputs(self, losses: Tensor, batch: Batch) -> Tensor:
        memory = self.memory_[batch.index] if self.memory else None
        return self.inputs(losses.detach(), batch.y, memory)

    def scaled(self, weights: Tensor, batch: Batch) -> Tensor:
        return mean_one(weights, batch.sample_weight) if self.normalize else weights

    def step_weighting(self, grads: Iterable[Tensor]) -> None:
        r"""Step :math:`\psi` along its hypergradient."""
        for param, grad in zip(self.network_.parameters(), grads, strict=True):
            param.grad = laid_out(grad, param)
        self.network_optimizer_.step()

    def network_gradient(
        self, outputs: Tensor, cotangent: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        r"""Differentiate a scalar, or outputs times a cotangent, with respect to :math:`\psi`."""
        return torch.autograd.grad(
            outputs, list(self.network_.parameters()), cotangent, materialize_grads=True
        )

    @torch.no_grad()
    def raw_weights(self, rows: Evaluation) -> Tensor:
        """Apply the function to the rows' losses.

        With a memory, training rows bring their own remembered alignments; other rows get the
        partial dependence on the loss.
        """
        if not self.learns_function:
            return self._in_chunks(rows.certainties())
        if not self.memory:
            return self._in_chunks(self.inputs(rows.losses, rows.labels, None))
        if rows.index is not None:
            remembered = self.memory_[rows.index]
            return self._in_chunks(self.inputs(rows.losses, rows.labels, remembered))
        total = torch.zeros_like(rows.losses)
        grid = self.memory_.quantiles()
        for alignment in grid:
            everywhere = alignment.expand_as(rows.losses)
            total += self._in_chunks(self.inputs(rows.losses, rows.labels, everywhere))
        return total / len(grid)

    def _in_chunks(self, inputs: Tensor) -> Tensor:
        """Apply the network to few rows at a time: its hidden layer is wider than its input."""
        return torch.cat([self.network_(part) for part in inputs.split(CHUNK_ROWS)])

    def weighting_function(self, rows: Evaluation, classes: Any) -> WeightingFunction:
        """Return the fitted function, on the CPU, scaled as the training rows' weights."""
        if not self.learns_function:
            return super().weighting_function(rows, classes)
        return WeightingFunction(
            copy.deepcopy(self.network_).cpu(),
            losses=rows.losses,
            loss_scale=self.loss_scale,
            normalizer=self.normalizer_,
            strength=float(self.strength_at(self.normalizer_)),
            memory=self.memory_.quantiles().cpu() if self.memory else None,
            classes=classes if self.class_aware else None,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the network, its optimiser and the memory."""
        return {
            **super().state_dict(),
            "network": copy_of_state(self.network_.state_dict()),
            "optimizer": copy_of_state(self.network_optimizer_.state_dict()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self.network_.load_state_dict(state["network"])
        self.network_optimizer_.load_state_dict(copy_of_state(state["optimizer"]))


def check_setting(setting: str) -> str:
    """Return the name of a published setting.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if setting not in SETTINGS:
        raise ValueError(f"setting must be one of {', '.join(SETTINGS)}; got {setting!r}.")
    return setting
