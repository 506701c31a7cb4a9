r"""Gradients by name of parameter, and the lookahead step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.forward import Params

if TYPE_CHECKING:
    from skmetaweight._bilevel.objective import Batch, Objective


def trainable(module: nn.Module) -> Params:
    """Return the parameters that require a gradient, by name."""
    return {name: param for name, param in module.named_parameters() if param.requires_grad}


def gradient(loss: Tensor, params: Params, *, retain_graph: bool = False) -> Params:
    """Differentiate a loss with respect to params; parameters out of its reach get zeros."""
    grads = torch.autograd.grad(
        loss, list(params.values()), retain_graph=retain_graph, materialize_grads=True
    )
    return dict(zip(params, grads, strict=True))


def accumulate(params: Params, grads: Params) -> None:
    """Add grads to the ``.grad`` of params."""
    for name, param in params.items():
        grad = grads[name] if param.grad is None else param.grad + grads[name]
        param.grad = laid_out(grad, param)


def laid_out(grad: Tensor, param: Tensor) -> Tensor:
    """Return a gradient with the strides of its parameter, as ``backward`` leaves it.

    Fused optimisers on a CPU misread any other, e.g. an expanded one, without a word.
    """
    if grad.layout != torch.strided or grad.stride() == param.stride():
        return grad
    return torch.empty_like(param).copy_(grad)


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
