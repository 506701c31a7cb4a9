r"""The alignments of training rows with the meta set.

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

import threading
import warnings
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from skmetaweight._bilevel.chain import chain_product, is_chain
from skmetaweight._bilevel.forward import InapplicableModeError, Params
from skmetaweight._bilevel.gradients import gradient, trainable
from skmetaweight._bilevel.objective import Batch, Objective, TrainingPass
from skmetaweight._bilevel.row_gradients import (
    MixedRowsError,
    RowGradients,
    found,
    uses_of,
    with_row_gradients,
)
from skmetaweight._messages import warn

Shapes = tuple[tuple[int, ...], ...]

_FORWARD_MODE = threading.Lock()
"""torch has one level of forward-mode differentiation, which all threads share."""


def _load_forward_mode() -> None:
    """Let torch script its decompositions now, without the warning of its own doing so.

    It would do so when a first fit needs forward mode, in any thread, where nobody could hide the
    warning without changing the filters of all threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".torch\.jit\.script. is ", DeprecationWarning)
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


_load_forward_mode()


class Alignments:
    r"""Computes :math:`a_i = \langle d, \nabla \ell_i(\theta) \rangle` for a direction :math:`d`.

    One forward-mode product gives all of them, exactly. Two modes repeat nothing of the training
    pass: for a chain of common layers it goes layer by layer, and where rows do not mix, as in
    Transformers, the gradient of each row is known from one backward pass. Where a mode cannot, the
    first call finds out, and from then on the next is used: with a warning, if it costs more than
    forward mode.

    Attributes
    ----------
    mode : str
        How the products are computed: "layer-by-layer", "row-by-row", "forward-mode",
        "double-backward" or "central-differences".

    Notes
    -----
    With a dummy cotangent :math:`v`, :math:`g(v) = \sum_i v_i \nabla \ell_i` is linear, and
    :math:`a = \nabla_v \langle g(v), d \rangle`: two backward passes through the graph of the
    training pass. They respect what forward mode and differences of losses do not: a
    ``torch.no_grad`` block in the module, or a custom backward that is no derivative. So do
    gradients of rows; whether rows mix is found out at first, after 2, 4, 8, ... passes, and for
    each shape of X, as there may be as many positions as rows, by :math:`g(v)` at weights that
    differ. Whether forward mode and the way by layers agree is checked once, by
    :math:`\sum_i a_i = \langle d, \nabla \sum_i \ell_i \rangle`.
    """

    def __init__(self) -> None:
        self.mode = "layer-by-layer"
        self._checked = False
        self._second: list[str] | None = None
        self._n_passes = 0
        self._shapes: set[Shapes] = set()

    @property
    def needs_calls(self) -> bool:
        """Whether the training pass should keep the calls of its layers."""
        return self.mode == "layer-by-layer"

    def may_repeat(self, rows: tuple[Batch, ...]) -> bool:
        """Tell whether a training pass of rows should be repeatable."""
        if self.mode == "row-by-row":
            return self._looks(rows)
        return self.mode != "layer-by-layer" or not self._checked

    def _looks(self, rows: tuple[Batch, ...]) -> bool:
        """See if rows mix: at first, and ever more rarely, as a network may begin to."""
        n = self._n_passes + 1
        return self._second is None or n & (n - 1) == 0 or _shapes_of(rows) not in self._shapes

    def prepared(
        self, objective: Objective, module: nn.Module, forward: TrainingPass
    ) -> TrainingPass:
        """Return a training pass with gradients of rows in place of its graph, if they serve.

        So they come before the meta pass, and the memory of two graphs at a time is not needed.
        """
        if self.mode == "layer-by-layer" and not (
            self._checked or is_chain(objective, module, forward)
        ):
            self.mode = "row-by-row"
        if self.mode != "row-by-row":
            return forward
        try:
            rows = self._row_gradients(objective, module, forward)
        except MixedRowsError:  # found by a backward pass, which has given the graph up
            with torch.enable_grad():
                losses = objective.repeated(module, trainable(module), forward)
            return objective.with_losses(forward, losses, None)
        except InapplicableModeError:
            return forward  # for the next mode
        losses = with_row_gradients(forward.all_losses, rows, trainable(module))
        return objective.with_losses(forward, losses, rows)

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
                product = self._product(objective, module, forward, direction)
                if self.mode in ("layer-by-layer", "forward-mode") and not self._checked:
                    self._check(objective, forward, direction, product, module)
                break
            except RuntimeError as error:
                if self.mode not in _FALLBACK or not _lacks_derivative(error):
                    raise
                self.mode = _FALLBACK[self.mode]
                if self.mode in _WARNINGS:
                    reason = reason or str(error).splitlines()[0][:150]
        if reason is not None:
            warn(_WARNINGS[self.mode].format(reason))
        return product[: len(forward.losses)]

    def _product(
        self, objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
    ) -> Tensor:
        if self.mode != "row-by-row":
            return _PRODUCTS[self.mode](objective, module, forward, direction)
        rows = forward.row_gradients
        if rows is None:
            rows = self._row_gradients(objective, module, forward, retain_graph=True)
        return rows.along(direction)

    def _row_gradients(
        self,
        objective: Objective,
        module: nn.Module,
        forward: TrainingPass,
        *,
        retain_graph: bool = False,
    ) -> RowGradients:
        if objective.ranks.size > 1:
            raise InapplicableModeError("it runs on several processes")
        losses, params = _with_graph(objective, module, forward), trainable(module)
        second = self._second
        if second is not None and not self._looks(forward.rows):
            uses = uses_of(losses, params, retain_graph=retain_graph)
            rows = RowGradients(losses, params, uses, second)
        else:
            tolerance = _tolerance(objective, losses)
            rows, second, is_sure = found(losses, params, tolerance, retain_graph=retain_graph)
            self._second = second if is_sure else None
            self._shapes.add(_shapes_of(forward.rows))
        self._n_passes += 1
        return rows

    def _check(
        self,
        objective: Objective,
        forward: TrainingPass,
        direction: Params,
        product: Tensor,
        module: nn.Module,
    ) -> None:
        if not forward.losses.requires_grad:
            return
        params = {name: param for name, param in trainable(module).items() if name in direction}
        grads = gradient(forward.losses.sum(), params, retain_graph=True)
        expected = torch.stack([(grads[name] * direction[name]).sum() for name in params]).sum()
        product = product[: len(forward.losses)]
        tolerance = _tolerance(objective, product)
        if (product.sum() - expected).abs() > tolerance * product.abs().sum():
            raise InapplicableModeError(
                "forward-mode and backward derivatives differ, e.g. by a torch.no_grad block"
            )
        self._checked = True


def _shapes_of(rows: tuple[Batch, ...]) -> Shapes:
    inputs = [batch.X.values() if isinstance(batch.X, dict) else [batch.X] for batch in rows]
    return tuple(tuple(X.shape) for parts in inputs for X in parts)


def _tolerance(objective: Objective, values: Tensor) -> float:
    """Return how far two ways of computing the same may be apart."""
    is_coarse = values.element_size() < 4 or objective.autocast_dtype is not None
    return 5e-2 if is_coarse else 1e-4


def _forward_mode(
    objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
) -> Tensor:
    if forward.start is None:
        raise InapplicableModeError(
            "its layers are called one after the other in some batches only"
        )
    with _FORWARD_MODE, torch.no_grad(), forward_ad.dual_level():
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
    losses = _with_graph(objective, module, forward)
    with torch.enable_grad():
        cotangent = torch.ones_like(losses, requires_grad=True)
        grads = torch.autograd.grad(
            losses, list(params.values()), cotangent, create_graph=True, materialize_grads=True
        )
        reached = [(grad, name) for grad, name in zip(grads, params, strict=True) if grad.grad_fn]
        if not reached:
            return torch.zeros_like(losses)
        along = torch.stack([(grad * direction[name]).sum() for grad, name in reached]).sum()
        (product,) = torch.autograd.grad(
            along, cotangent, retain_graph=True, materialize_grads=True
        )
    return product.detach()


def _with_graph(objective: Objective, module: nn.Module, forward: TrainingPass) -> Tensor:
    """Return the losses of a pass, of which one without a graph is repeated."""
    if forward.all_losses.requires_grad:
        return forward.all_losses
    with torch.enable_grad():
        return objective.repeated(module, trainable(module), forward)


def _central_differences(
    objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
) -> Tensor:
    norm = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(tangent) for tangent in direction.values()])
    )
    # Mixed precision would round the differences away.
    objective = replace(objective, autocast_dtype=None)
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
    "layer-by-layer": chain_product,
    "forward-mode": _forward_mode,
    "double-backward": _double_backward,
    "central-differences": _central_differences,
}
_FALLBACK = {
    "layer-by-layer": "row-by-row",
    "row-by-row": "forward-mode",
    "forward-mode": "double-backward",
    "double-backward": "central-differences",
}
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
    if isinstance(error, NotImplementedError | InapplicableModeError):
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
