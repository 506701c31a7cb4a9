r"""What the methods differentiate, and how: losses, the lookahead step, the alignments.

With :math:`\ell_i(\theta)` the training losses of a batch of :math:`n` rows, :math:`L_{meta}` the
mean loss on a meta batch and :math:`w_i = V_\psi(\ell_i)`, one SGD lookahead

.. math:: \hat\theta(\psi) = \theta - \alpha \nabla_\theta \tfrac1n \sum_i V_\psi(\ell_i)\,\ell_i

has the exact hypergradient

.. math::
    \frac{d L_{meta}(\hat\theta)}{d\psi} = -\frac{\alpha}{n} \sum_i a_i \,
    \frac{\partial V_\psi(\ell_i)}{\partial\psi},
    \qquad a_i = \langle \nabla L_{meta}(\hat\theta), \nabla \ell_i(\theta) \rangle .

All alignments :math:`a_i` of a batch are one directional derivative of the vector
:math:`(\ell_1, \dots, \ell_n)`, which forward-mode differentiation gives in one pass: no
second-order graph is ever built. The same product appears in Learning to Reweight [1]_, in
FaMUS (equation 7) [2]_ and, by finite differences, in SAMA [3]_.

References
----------
.. [1] Ren et al. Learning to Reweight Examples for Robust Deep Learning. ICML, 2018.
.. [2] Xu et al. Faster Meta Update Strategy for Noise-Robust Deep Learning. CVPR, 2021.
.. [3] Choe et al. Making Scalable Meta Learning Practical. NeurIPS, 2023.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call

Params = dict[str, Tensor]
"""Parameters by name, as ``dict(module.named_parameters())``."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the training set or of the meta set, on the module's device."""

    X: Tensor | dict[str, Tensor]
    y: Tensor
    index: Tensor
    sample_weight: Tensor | None = None

    @property
    def n_rows(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class TrainingPass:
    r"""The one forward pass of a batch at :math:`\theta`, with its graph.

    Attributes
    ----------
    y_pred : Tensor of shape (n, n_classes)
    losses : Tensor of shape (n,)
        Per-sample training losses, in nats.
    meta_loss : Tensor of shape () or None
        Loss of the trusted rows that took part in the same pass; None if none did.
    rows : tuple of Batch
        What went through the module: the batch and, with a meta share, the meta batch.
    rng_state : tuple of Tensor
        States of the generators before the pass, which :class:`Alignments` replays so that dropout
        draws the same mask.
    buffers : dict of str to Tensor
        Buffers before the pass, for modules whose output depends on them in train mode.
    """

    y_pred: Tensor
    losses: Tensor
    meta_loss: Tensor | None
    rows: tuple[Batch, ...]
    rng_state: tuple[Tensor, ...]
    buffers: Params


@dataclass(frozen=True)
class Objective:
    r"""The losses of both levels.

    The training loss of a batch is

    .. math:: (1-\lambda)\,\tfrac1n \sum_i s_i w_i \ell_i + \lambda\, L_{meta}

    with :math:`s_i` the user's sample weights and :math:`\lambda` the meta share.

    Parameters
    ----------
    criterion : Module
        Maps predictions and labels to one loss per row.
    meta_share : float, default=0.0
        Share :math:`\lambda` of the training loss that trusted rows carry, in [0, 1).
    meta_class_weight : Tensor of shape (n_classes,), optional
        Weight of each class in the meta loss; its mean over the meta set should be one.
    """

    criterion: nn.Module
    meta_share: float = 0.0
    meta_class_weight: Tensor | None = None

    def meta_loss(self, losses: Tensor, y: Tensor) -> Tensor:
        if self.meta_class_weight is not None:
            losses = losses * self.meta_class_weight[y]
        return losses.mean()

    def training_loss(self, forward: TrainingPass, weights: Tensor) -> Tensor:
        loss = sample_mean(weights * forward.losses, forward.rows[0].sample_weight)
        if forward.meta_loss is not None:
            loss = (1 - self.meta_share) * loss + self.meta_share * forward.meta_loss
        return loss

    def training_pass(self, module: nn.Module, batch: Batch, meta_batch: Batch) -> TrainingPass:
        """Run the training forward: the only one that moves BatchNorm statistics."""
        rows = (batch, meta_batch) if self.meta_share else (batch,)
        rng_state = _get_rng_state(batch.y.device)
        buffers = _copy_of_buffers(module)
        y_pred, losses = self._losses(module, rows)
        if not self.meta_share:
            return TrainingPass(y_pred, losses, None, rows, rng_state, buffers)
        n = batch.n_rows
        meta_loss = self.meta_loss(losses[n:], meta_batch.y)
        return TrainingPass(y_pred[:n], losses[:n], meta_loss, rows, rng_state, buffers)

    def losses_at(self, module: nn.Module, params: Params, rows: tuple[Batch, ...]) -> Tensor:
        """Per-sample losses at other parameters; the module's buffers stay as they are."""
        return self._losses(module, rows, {**params, **_copy_of_buffers(module)})[1]

    def repeated(self, module: nn.Module, params: Params, forward: TrainingPass) -> Tensor:
        """Repeat a training pass at other parameters: same rows, random numbers and buffers."""
        buffers = {name: buffer.clone() for name, buffer in forward.buffers.items()}
        with _replayed(forward):
            return self._losses(module, forward.rows, {**params, **buffers})[1]

    def _losses(
        self, module: nn.Module, rows: tuple[Batch, ...], state: Params | None = None
    ) -> tuple[Tensor, Tensor]:
        X = rows[0].X if len(rows) == 1 else _concatenate([batch.X for batch in rows])
        y = rows[0].y if len(rows) == 1 else torch.cat([batch.y for batch in rows])
        args, kwargs = ((), X) if isinstance(X, dict) else ((X,), {})
        if state is None:
            y_pred = module(*args, **kwargs)
        else:
            y_pred = functional_call(module, state, args, kwargs)
        return y_pred, self.criterion(y_pred, y)


def sample_mean(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    r"""Compute :math:`\tfrac1n \sum_i s_i v_i`; the :math:`s_i` have mean one over the data set."""
    return values.mean() if sample_weight is None else (sample_weight * values).mean()


def trainable(module: nn.Module) -> Params:
    """Return the parameters that require a gradient, by name."""
    return {name: param for name, param in module.named_parameters() if param.requires_grad}


def gradient(loss: Tensor, params: Params, *, retain_graph: bool = False) -> Params:
    """Differentiate a loss with respect to params; parameters out of its reach get zeros."""
    grads = torch.autograd.grad(
        loss, list(params.values()), retain_graph=retain_graph, materialize_grads=True
    )
    return dict(zip(params, grads, strict=True))


def accumulate(params: Params, grads: Params, scale: float | Tensor = 1.0) -> None:
    """Add ``scale * grads`` to the ``.grad`` of params."""
    for name, param in params.items():
        step = grads[name] * scale
        param.grad = step if param.grad is None else param.grad + step


def lookahead(params: Params, grads: Params, lookahead_lr: float) -> Params:
    r"""Take the virtual SGD step :math:`\hat\theta = \theta - \alpha \nabla_\theta L`.

    The result is detached from the graph and ready to be differentiated.
    """
    return {
        name: torch.sub(param.detach(), grads[name], alpha=lookahead_lr).requires_grad_()
        for name, param in params.items()
    }


def meta_gradient(
    objective: Objective, module: nn.Module, params: Params, meta_batch: Batch
) -> tuple[Params, Tensor]:
    r"""Return :math:`\nabla L_{meta}` at params, and the detached meta loss there.

    The pass uses the module's mode (batch statistics in train mode) and leaves its buffers alone.
    """
    losses = objective.losses_at(module, params, (meta_batch,))
    loss = objective.meta_loss(losses, meta_batch.y)
    return gradient(loss, params), loss.detach()


class Alignments:
    r"""Computes :math:`a_i = \langle d, \nabla \ell_i(\theta) \rangle` for a direction :math:`d`.

    One forward-mode product gives all of them, exactly. Where it cannot, the first call finds out,
    warns once, and from then on another mode is used.

    Attributes
    ----------
    mode : {"forward-mode", "double-backward", "central-differences"}
        How the products are computed.

    Notes
    -----
    With a dummy cotangent :math:`v`, :math:`g(v) = \sum_i v_i \nabla \ell_i` is linear, and
    :math:`a = \nabla_v \langle g(v), d \rangle`: two backward passes through the graph of the
    training pass. They respect what forward mode and differences of losses do not: a
    ``torch.no_grad`` block in the module, or a custom backward that is no derivative. Whether
    forward mode agrees is checked once, by :math:`\sum_i a_i = \langle d, \nabla \sum_i \ell_i
    \rangle`.
    """

    def __init__(self) -> None:
        self.mode = "forward-mode"
        self._checked = False

    def __call__(
        self, objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
    ) -> Tensor:
        """Return the detached alignments, of shape (n,), of the rows of a training pass.

        Parameters
        ----------
        objective : Objective
        module : Module
            In the mode in which the training pass ran.
        forward : TrainingPass
        direction : dict of str to Tensor
            One tangent per parameter, usually the meta gradient.
        """
        reason = None
        while True:
            try:
                product = _PRODUCTS[self.mode](objective, module, forward, direction)
                if self.mode == "forward-mode" and not self._checked:
                    self._check(forward, direction, product, module)
                break
            except RuntimeError as error:
                if self.mode not in _FALLBACK or not _lacks_derivative(error):
                    raise
                reason = reason or str(error).splitlines()[0][:150]
                self.mode = _FALLBACK[self.mode]
        if reason is not None:
            warnings.warn(_WARNINGS[self.mode].format(reason), UserWarning, stacklevel=2)
        return product[: len(forward.losses)]

    def _check(
        self, forward: TrainingPass, direction: Params, product: Tensor, module: nn.Module
    ) -> None:
        if not forward.losses.requires_grad:
            return
        params = {name: param for name, param in trainable(module).items() if name in direction}
        grads = gradient(forward.losses.sum(), params, retain_graph=True)
        expected = torch.stack([(grads[name] * direction[name]).sum() for name in params]).sum()
        product = product[: len(forward.losses)]
        tolerance = 5e-2 if product.element_size() < 4 else 1e-3
        if (product.sum() - expected).abs() > tolerance * product.abs().sum():
            raise _ForwardModeDisagreesError(
                "forward-mode and backward derivatives differ, e.g. by a torch.no_grad block"
            )
        self._checked = True


class _ForwardModeDisagreesError(RuntimeError):
    pass


def _forward_mode(
    objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
) -> Tensor:
    with torch.no_grad(), forward_ad.dual_level():
        duals = {
            name: forward_ad.make_dual(param.detach(), direction[name])
            for name, param in trainable(module).items()
        }
        losses = objective.repeated(module, duals, forward)
        tangent = forward_ad.unpack_dual(losses).tangent
        return torch.zeros_like(losses) if tangent is None else tangent


def _double_backward(
    objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
) -> Tensor:
    params = trainable(module)
    losses = forward.losses
    with torch.enable_grad():
        if not losses.requires_grad:
            losses = objective.repeated(module, params, forward)
        cotangent = torch.ones_like(losses, requires_grad=True)
        grads = torch.autograd.grad(
            losses, list(params.values()), cotangent, create_graph=True, materialize_grads=True
        )
        reached = [(grad, name) for grad, name in zip(grads, params, strict=True) if grad.grad_fn]
        if not reached:
            return torch.zeros_like(losses)
        along = sum((grad * direction[name]).sum() for grad, name in reached)
        (product,) = torch.autograd.grad(
            along, cotangent, retain_graph=True, materialize_grads=True
        )
    return product.detach()


def _central_differences(
    objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
) -> Tensor:
    norm = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(tangent) for tangent in direction.values()])
    )
    # Long enough for rounding to be small, short enough for few units to change sides.
    length = max(torch.finfo(norm.dtype).eps ** (1 / 3), 1e-3)
    step = length / norm.clamp(min=torch.finfo(norm.dtype).tiny)

    def losses(sign: int) -> Tensor:
        moved = {
            name: param.detach() + sign * step * direction[name]
            for name, param in trainable(module).items()
        }
        return objective.repeated(module, moved, forward)

    with torch.no_grad():
        return (losses(+1) - losses(-1)) / (2 * step)


_PRODUCTS = {
    "forward-mode": _forward_mode,
    "double-backward": _double_backward,
    "central-differences": _central_differences,
}
_FALLBACK = {"forward-mode": "double-backward", "double-backward": "central-differences"}
_WARNINGS = {
    "double-backward": (
        "The module cannot be differentiated in forward mode ({}). The alignments are computed by "
        "a double backward instead: still exact, but each update of what is learned needs a "
        "second-order graph, which costs memory and about one more backward pass."
    ),
    "central-differences": (
        "The module has an operation without a forward-mode derivative and without a second "
        "derivative ({}). The alignments are computed by central differences instead: one more "
        "forward pass for each update of what is learned, and a relative error of up to about "
        "1e-3 rather than rounding."
    ),
}


def _lacks_derivative(error: Exception) -> bool:
    if isinstance(error, NotImplementedError | _ForwardModeDisagreesError):
        return True
    message = str(error)
    return any(
        hint in message
        for hint in (
            "forward AD",
            "forward mode",
            "forward-mode",
            "jvp",
            "vmap",
            "functorch",
            "derivative for",
            "once_differentiable",
            "ouble backward",
        )
    )


class _replayed:
    """Run a block with the random numbers that the training pass drew."""

    def __init__(self, forward: TrainingPass) -> None:
        self._device = forward.losses.device
        self._before = forward.rng_state

    def __enter__(self) -> None:
        self._after = _get_rng_state(self._device)
        _set_rng_state(self._device, self._before)

    def __exit__(self, *exc_info: object) -> None:
        _set_rng_state(self._device, self._after)


def _copy_of_buffers(module: nn.Module) -> Params:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def _get_rng_state(device: torch.device) -> tuple[Tensor, ...]:
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    return tuple(states)


def _set_rng_state(device: torch.device, states: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1])


def _concatenate(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return torch.cat(parts)
