r"""The alignments of a chain of common layers, from what its training pass left behind.

Along a direction :math:`d`, a layer :math:`y = f(x; \theta)` passes a tangent on as

.. math:: \dot y = \frac{\partial y}{\partial x} \dot x + \frac{\partial y}{\partial \theta} d .

A linear layer does with tangents as with rows. The Jacobian :math:`\partial y / \partial x` of an
activation, of dropout, of softmax and of batch normalisation is symmetric, so that it is applied by
an ordinary backward pass through this one layer, with the mask and the statistics of the training
pass. Forward-mode differentiation would repeat that pass; here nothing of it is repeated. At the
end, a row's loss changes by its gradient with respect to the row's output, times the tangent.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from skmetaweight._bilevel.forward import InapplicableModeError, LayerCall, Params, edge_of
from skmetaweight._bilevel.gradients import trainable
from skmetaweight._bilevel.objective import Objective, TrainingPass
from skmetaweight._bilevel.randomness import Dropout

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SYMMETRIC = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus),
    *(Dropout, nn.Dropout, nn.AlphaDropout, nn.Identity, nn.Softmax, *BATCH_NORMS),
)
LAYERS = (nn.Linear, *SYMMETRIC)
"""Layers with a rule; no subclass, whose forward may be another."""

Along = dict[Tensor, Tensor]
"""Tangents by parameter."""


def is_chain(objective: Objective, module: nn.Module, forward: TrainingPass) -> bool:
    """Whether the product applies to a pass that kept its calls."""
    try:
        _chain(forward, {param: param for param in trainable(module).values()})
    except InapplicableModeError:
        return False
    return objective.autocast_dtype is None


def chain_product(
    objective: Objective, module: nn.Module, forward: TrainingPass, direction: Params
) -> Tensor:
    """Return the detached alignments of all rows of a pass that kept its calls.

    Raises
    ------
    InapplicableModeError
        If the layers that have parameters, and those after them, are no chain of known layers, or
        computed in another dtype than their parameters have.
    """
    if objective.autocast_dtype is not None:
        raise InapplicableModeError("its layers are computed in mixed precision")
    ranks = objective.ranks
    along = {param: direction[name] for name, param in trainable(module).items()}
    tangent = None
    with torch.no_grad(), ranks.batch_statistics():
        for call in _chain(forward, along):
            tangent = _tangent_after(call, tangent, along)
        assert tangent is not None  # the first call has parameters
        # A row's loss depends on its own output only, so one gradient holds them all.
        losses, outputs = forward.all_losses, forward.own_outputs
        (deltas,) = torch.autograd.grad(
            losses, outputs, torch.ones_like(losses), retain_graph=True, materialize_grads=True
        )
        return ranks.whole((deltas * tangent).sum(dim=1), [rows.n_rows for rows in forward.rows])


def _chain(forward: TrainingPass, along: Along) -> list[LayerCall]:
    """Return the calls from the first layer with parameters on."""
    calls = list(forward.calls)
    while calls and not any(param in along for param in calls[0].layer.parameters()):
        del calls[0]
    layers = [call.layer for call in calls]
    params = [param for layer in layers for param in layer.parameters()]
    is_chain = (
        all(type(layer) in LAYERS and not getattr(layer, "inplace", False) for layer in layers)
        # Hooks, e.g. of spectral_norm, make a weight of a parameter of another name.
        and all(layer._parameters.keys() <= {"weight", "bias"} for layer in layers)
        and all(_is_same(call.result, after.source) for call, after in pairwise(calls))
        and len(params) == len(along)
        and all(param in along for param in params)
        and bool(calls)
        and _is_same(calls[-1].result, edge_of(forward.own_outputs))
    )
    if not is_chain:
        raise InapplicableModeError("the layers are no chain of known ones")
    return calls


def _is_same(one: GradientEdge | None, other: GradientEdge | None) -> bool:
    if one is None or other is None:
        return False
    return one.node is other.node and one.output_nr == other.output_nr


def _tangent_after(call: LayerCall, tangent: Tensor | None, along: Along) -> Tensor | None:
    """Return the tangent of a layer's output; None stands for a tangent of zeros."""
    layer, source, result, x = call
    if isinstance(layer, nn.Linear):
        bias = None if layer.bias is None else along[layer.bias]
        own = nn.functional.linear(x, along[layer.weight], bias)
        return own if tangent is None else own.addmm_(tangent, layer.weight.T)
    if tangent is not None:
        (tangent,) = torch.autograd.grad(result, source, tangent, retain_graph=True)
    if isinstance(layer, BATCH_NORMS) and layer.affine:
        own = _batch_norm(layer, x, along[layer.weight], along[layer.bias])
        tangent = own if tangent is None else own.add_(tangent)
    return tangent


def _batch_norm(layer: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise as the layer did, with another weight and bias, and move no statistics."""
    uses_batch = layer.training or layer.running_mean is None
    statistics = (None, None) if uses_batch else (layer.running_mean, layer.running_var)
    return nn.functional.batch_norm(x, *statistics, weight, bias, uses_batch, eps=layer.eps)
