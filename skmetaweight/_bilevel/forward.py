"""Running a module: with other parameters, or with its layers watched."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

AUTOCAST = ("cpu", "cuda", "mps")
"""Kinds of devices for which a caller may have turned autocast on."""

Params = dict[str, Tensor]
"""Parameters by name, as ``dict(module.named_parameters())``."""


class InapplicableModeError(RuntimeError):
    """A way of computing alignments does not apply to a module; another must be taken."""


class LayerCall(NamedTuple):
    """A layer, where the graph has its input and its output, and the input if it has parameters.

    Places are GradientEdge, or None outside the graph: they keep no tensor that the graph does not.
    """

    layer: nn.Module
    source: Any
    result: Any
    input: Any


def outputs_of(
    module: nn.Module,
    X: Tensor | dict[str, Tensor],
    autocast_dtype: torch.dtype | None = None,
    state: Params | None = None,
) -> Tensor:
    """Run a module on the X of a batch, and take the ``logits`` of outputs that have them.

    Parameters
    ----------
    module : Module
    X : Tensor or dict of str to Tensor
    autocast_dtype : torch.dtype, optional
        What torch's autocast computes layers in; outputs come in float32 all the same.
    state : dict of str to Tensor, optional
        Parameters and buffers to be used in place of the module's own.
    """
    args, kwargs = ((), X) if isinstance(X, dict) else ((X,), {})
    holding = nullcontext() if state is None else _holding(module, state)
    with _autocast(module, autocast_dtype), holding:
        outputs = module(*args, **kwargs)
    if not isinstance(outputs, Tensor) and hasattr(outputs, "logits"):  # Hugging Face's outputs
        outputs = outputs.logits
    is_reduced = isinstance(outputs, Tensor) and outputs.dtype == autocast_dtype
    return outputs.float() if is_reduced else outputs


@contextmanager
def _holding(module: nn.Module, state: Params) -> Iterator[None]:
    """Put other tensors wherever the module holds parameters and buffers, for a while.

    torch.func.functional_call would do it by name, and spoil a module that holds one layer twice.
    """
    named = chain(module.named_parameters(), module.named_buffers())
    given = {id(tensor): state[name] for name, tensor in named if name in state}
    places: list[tuple[Any, str, Tensor | None]] = [
        (held, name, tensor)
        for layer in module.modules()
        for held in (layer._parameters, layer._buffers)
        for name, tensor in held.items()
        if id(tensor) in given
    ]
    for held, name, tensor in places:
        held[name] = given[id(tensor)]
    try:
        yield
    finally:
        for held, name, tensor in places:
            held[name] = tensor


def _autocast(module: nn.Module, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    if dtype is None:
        return nullcontext()
    return torch.autocast(next(module.parameters()).device.type, dtype)


@contextmanager
def calls_of(
    layer: nn.Linear | None,
) -> Iterator[list[tuple[Tensor | None, Tensor | None]]]:
    """Collect a layer's detached inputs and its outputs, call by call; without one, None.

    They come in the dtype of the layer's weight, which autocast leaves as it is.
    """
    calls: list[tuple[Tensor | None, Tensor | None]] = []
    if layer is None:
        yield [(None, None)]
        return

    def keep(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        output = output.to(layer.weight.dtype)
        calls.append((args[0].detach().to(layer.weight.dtype), output))
        return output

    hook = layer.register_forward_hook(keep)
    try:
        yield calls
    finally:
        hook.remove()


@contextmanager
def calls_within(module: nn.Module | None) -> Iterator[list[LayerCall]]:
    """Collect the calls of the layers that have no layers of their own."""
    calls: list[LayerCall] = []

    def keep(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        x = args[0] if args else None
        calls.append(
            LayerCall(layer, edge_of(x), edge_of(output), x if layer._parameters else None)
        )

    layers = [] if module is None else [part for part in module.modules() if not part._modules]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def edge_of(value: Any) -> GradientEdge | None:
    """Return where the graph computes a tensor; None if it does not."""
    is_computed = isinstance(value, Tensor) and value.requires_grad
    return get_gradient_edge(value) if is_computed else None


@contextmanager
def differentiating() -> Iterator[None]:
    """Let a block compute exact gradients, also in a no_grad, inference_mode or autocast."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for kind in AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def copy_of_buffers(module: nn.Module) -> Params:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def copy_of_state(state: Any) -> Any:
    """Copy a state dict, of whatever depth, in a fifth of deepcopy's time."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        copied = copy.copy(state)  # what torch notes of versions comes along
        copied.update((key, copy_of_state(value)) for key, value in state.items())
        return copied
    if isinstance(state, list):
        return [copy_of_state(value) for value in state]
    return copy.deepcopy(state)
