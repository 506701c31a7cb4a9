r"""The gradients of each row's loss, in factors, where rows do not mix.

An operation with a parameter has for row :math:`i` at position :math:`t` an input :math:`x_{it}`
and, from one backward pass of :math:`\sum_i \ell_i`, the gradient :math:`\delta_{it}` of its
output. If rows do not mix, that is the gradient of :math:`\ell_i` alone, and for a matrix

.. math::
    \nabla \ell_i = \sum_t x_{it} \delta_{it}^\top, \qquad
    \langle D, \nabla \ell_i \rangle = \sum_t \langle D^\top x_{it}, \delta_{it} \rangle, \qquad
    \sum_i v_i \nabla \ell_i = \sum_{it} x_{it} (v_i \delta_{it})^\top :

alignments, and the gradient of any function of the losses, are a product each, and the graph of the
training pass has served. Language models are trained with such products [1]_ [2]_.

References
----------
.. [1] Li et al. Large Language Models Can Be Strong Differentially Private Learners. ICLR, 2022.
.. [2] Wang et al. GREATS: Online Selection of High-Quality Data for LLM Training in Every
   Iteration. NeurIPS, 2024.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import GradientEdge

from skmetaweight._bilevel.forward import InapplicableModeError, Params


class MixedRowsError(InapplicableModeError):
    """Rows of a batch have to do with one another."""


OPERATIONS: dict[tuple[str, int], tuple[str, ...]] = {
    ("AddmmBackward0", 0): ("each",),
    ("AddmmBackward0", 2): ("matrix", "mat1"),
    ("MmBackward0", 1): ("matrix", "self"),
    ("EmbeddingBackward0", 0): ("table", "indices"),
    ("NativeLayerNormBackward0", 1): ("each", "input", "result1", "result2"),
    ("NativeLayerNormBackward0", 2): ("each",),
    ("MulBackward0", 0): ("each", "other"),
    ("MulBackward0", 1): ("each", "self"),
    ("AddBackward0", 0): ("each",),
    ("AddBackward0", 1): ("each",),
}
"""What a parameter is as an argument of an operation, and what is saved of the others."""

VIEWS = {
    "ToCopyBackward0",
    *("TBackward0", "ViewBackward0", "UnsqueezeBackward0", "SplitWithSizesBackward0"),
    *("SplitBackward0", "WeightNormInterfaceBackward0"),
}
"""What may stand between a parameter and its use."""


class Use(NamedTuple):
    """The use of a value, a parameter or a view of one, by an operation on x."""

    node: Any
    value: GradientEdge
    like: Tensor
    name: str
    kind: str
    x: Tensor | None
    deltas: Tensor | None = None


class Rows(NamedTuple):
    """Gradients of rows, of shape (n, size)."""

    gradients: Tensor

    def along(self, tangent: Tensor) -> Tensor:
        return self.gradients @ tangent.flatten().to(self.gradients.dtype)

    def weighted(self, weights: Tensor, shape: torch.Size) -> Tensor:
        return (weights @ self.gradients).view(shape)


class Factors(NamedTuple):
    """Inputs, or places in a table, and gradients of outputs; both have rows at an axis, 0 or 1."""

    x: Tensor
    deltas: Tensor
    axis: int

    def along(self, tangent: Tensor) -> Tensor:
        outputs = self.x @ tangent if self.x.is_floating_point() else tangent[self.x]
        return _wide(outputs * self.deltas).sum((1 - self.axis, 2))

    def weighted(self, weights: Tensor, shape: torch.Size) -> Tensor:
        weights = weights.to(self.deltas.dtype).view(-1, *[1] * (2 - self.axis))
        deltas = (self.deltas * weights).flatten(0, 1)
        if self.x.is_floating_point():
            return self.x.flatten(0, 1).T @ deltas
        return deltas.new_zeros(shape).index_add_(0, self.x.flatten(), deltas)


class RowGradients:
    """The gradients of losses of shape (n,), from the uses of parameters after a backward pass.

    Parameters named in ``second`` meet rows at the second axis, after positions, not at the first.
    """

    def __init__(
        self, losses: Tensor, params: Params, uses: list[Use], second: Collection[str]
    ) -> None:
        self._params, self._zeros = params, torch.zeros_like(losses)
        self._values = [use.value for use in uses]
        self._likes = [use.like for use in uses]
        self._kept = [_kept(use, len(losses), int(use.name in second)) for use in uses]

    def along(self, direction: Params) -> Tensor:
        r"""Return :math:`\langle d, \nabla \ell_i \rangle` of shape (n,)."""
        pairs = zip(self._kept, self._tangents(direction), strict=True)
        return sum((kept.along(tangent) for kept, tangent in pairs), start=self._zeros)

    def weighted(self, weights: Tensor) -> tuple[Tensor | None, ...]:
        r"""Return :math:`\sum_i v_i \nabla \ell_i`, None for what is not used."""
        pairs = zip(self._kept, self._likes, strict=True)
        grads = [kept.weighted(weights, like.shape) for kept, like in pairs]
        return self._of_params(grads, retain_graph=True)

    def _tangents(self, direction: Params) -> tuple[Tensor, ...]:
        """Differentiate the values along a direction: by the transpose of their gradient."""
        device = self._zeros.device
        zeros = [torch.zeros_like(like, device=device).requires_grad_() for like in self._likes]
        with torch.enable_grad():
            grads = self._of_params(zeros, create_graph=True)
        pairs = zip(self._params, grads, strict=True)
        reached = {name: grad for name, grad in pairs if grad is not None}
        tangents = [direction[name] for name in reached]
        return torch.autograd.grad(list(reached.values()), zeros, tangents)

    def _of_params(self, grads: list[Tensor], **options: bool) -> tuple[Tensor | None, ...]:
        params = list(self._params.values())
        return torch.autograd.grad(self._values, params, grads, allow_unused=True, **options)


def uses_of(losses: Tensor, params: Params, *, retain_graph: bool = False) -> list[Use]:
    """Return the uses of parameters with their gradients, from the graph of losses.

    Raises
    ------
    InapplicableModeError
        Before the backward pass: for a use that no rule is known for.
    """
    uses = list(_uses(losses, params))
    if not uses:
        raise InapplicableModeError("it uses no parameter")
    nodes = list(dict.fromkeys(use.node for use in uses))
    edges = [GradientEdge(node, 0) for node in nodes]
    ones = torch.ones_like(losses)
    grads = torch.autograd.grad(losses, edges, ones, retain_graph=retain_graph, allow_unused=True)
    deltas = {n: grad for n, grad in zip(nodes, grads, strict=True) if grad is not None}
    # A custom backward may give none.
    return [use._replace(deltas=deltas[use.node]) for use in uses if use.node in deltas]


def _uses(losses: Tensor, params: Params) -> Iterator[Use]:
    """Find the uses of parameters in the graph of losses."""
    n, names = len(losses), {param: name for name, param in params.items()}
    waiting: list[Any] = [losses.grad_fn]
    seen = {None, *waiting}
    for node in waiting:
        if getattr(node, "_saved_training", False) or getattr(node, "_saved_sparse", False):
            raise InapplicableModeError("it normalises rows together, or has sparse gradients")
        for place, (after, number) in enumerate(node.next_functions):
            name = names.get(_param_of(after, n))
            if name is not None:
                about = after._input_metadata[number]
                like = torch.empty(about.shape, dtype=about.dtype, device="meta")
                kind, x = _operation(node, place, like.shape, n)
                yield Use(node, GradientEdge(after, number), like, name, kind, x)
            elif after not in seen:
                seen.add(after)
                waiting.append(after)


def _param_of(node: Any, n: int) -> Any:
    """Return the parameter that a node is or views, or looks up alike for all rows."""
    while node is not None and not hasattr(node, "variable"):
        kind = type(node).__name__
        shape = node._saved_indices.shape if kind == "EmbeddingBackward0" else (n,)
        is_for_all = n not in shape or shape[0] == 1 < n
        node = node.next_functions[0][0] if kind in VIEWS or is_for_all else None
    return node and node.variable


def _operation(node: Any, place: int, shape: torch.Size, n: int) -> tuple[str, Tensor | None]:
    kind, *names = OPERATIONS.get((type(node).__name__, place), ("",))
    size = torch.Size(node._input_metadata[0].shape).numel()
    kind = kind if shape.numel() and getattr(node, "_saved_alpha", 1) == 1 else ""
    if not kind or size % (n * (shape.numel() if kind == "each" else shape[-1])):
        raise InapplicableModeError(f"{type(node).__name__} has a parameter")
    saved, again = ([getattr(node, f"_saved_{name}").detach() for name in names] for _ in range(2))
    if any(one.data_ptr() != other.data_ptr() for one, other in zip(saved, again, strict=True)):
        raise InapplicableModeError("it makes anew what it needs backward, as checkpoints do")
    if len(saved) == 3:
        x, mean, scale = saved
        return kind, (x - mean) * scale
    return kind, saved[0] if saved else None


def _kept(use: Use, n: int, axis: int) -> Rows | Factors:
    """Keep the gradients of rows, or their factors if these are smaller."""
    lead, deltas = (-1, n) if axis else (n, -1), use.deltas
    assert deltas is not None
    if use.x is None or use.kind == "each":
        deltas = deltas if use.x is None else deltas * use.x
        return Rows(_wide(deltas.reshape(*lead, use.like.shape.numel())).sum(1 - axis))
    deltas = deltas.reshape(*lead, use.like.shape[-1])
    if use.kind == "table":
        places, padding = use.x.reshape(lead), use.node._saved_padding_idx
        if padding < use.like.shape[0]:
            deltas = deltas * (places != padding)[..., None]
        return Factors(places, deltas, axis)
    x = use.x.reshape(*lead, use.like.shape[0])
    if use.like.shape.numel() > x.shape[1 - axis] * sum(use.like.shape):
        return Factors(x, deltas, axis)
    order = "tni,tno->nio" if axis else "nti,nto->nio"
    return Rows(_wide(torch.einsum(order, x, deltas).flatten(1)))


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def found(
    losses: Tensor, params: Params, tolerance: float, *, retain_graph: bool = False
) -> tuple[RowGradients, list[str], bool]:
    """Return gradients of rows, the parameters that meet these at the second axis, and if sure.

    A gradient of zeros tells nothing: of what lies behind an adapter or a gate that begins at zero.

    Raises
    ------
    MixedRowsError
        After the backward pass, if rows mix or a rule does not hold: with weights, the gradient is
        another than autograd's.
    """
    weights = torch.arange(len(losses), dtype=losses.dtype, device=losses.device).cos()
    given = list(params.values())
    expected = torch.autograd.grad(
        losses, given, weights, retain_graph=True, materialize_grads=True
    )
    uses = uses_of(losses, params, retain_graph=retain_graph)
    errors: list[Tensor] = []
    grads: tuple[Tensor | None, ...] = ()
    for second in ((), params):
        grads = RowGradients(losses, params, uses, second).weighted(weights)
        pairs = zip(expected, grads, strict=True)
        errors.append(torch.stack([(e if g is None else e - g).norm() for e, g in pairs]))
    first, other = errors
    sizes = torch.stack([grad.norm() for grad in expected])
    bounds = tolerance * (sizes + 0.01 * sizes.norm())  # one that cancels out is all rounding
    if not (torch.minimum(first, other) <= bounds).all():
        raise MixedRowsError("it mixes rows")
    is_unused = sizes.new_tensor([grad is None for grad in grads], dtype=torch.bool)
    is_sure = len(losses) > 1 and bool((is_unused | (sizes > 0)).all())
    names = [name for name, is_less in zip(params, other < first, strict=True) if is_less]
    return RowGradients(losses, params, uses, names), names, is_sure


def with_row_gradients(losses: Tensor, rows: RowGradients, params: Params) -> Tensor:
    """Return losses that have the gradients of rows in place of their graph."""
    return _Losses.apply(losses.detach(), rows, *params.values())  # pyright: ignore


class _Losses(Function):
    @staticmethod
    def forward(ctx: Any, losses: Tensor, rows: RowGradients, *params: Tensor) -> Tensor:
        ctx.rows = rows
        return losses.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.rows.weighted(*grad_outputs)
