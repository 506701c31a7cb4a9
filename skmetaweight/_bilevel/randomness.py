"""What the passes of a module draw from: generators, and how the same is drawn once more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Generators = tuple[torch.Generator, ...]
"""What a module draws from."""

States = tuple[Tensor, ...]
"""The states of generators."""

LEVELS = 256
"""Values of a random byte; so fine is the probability."""


class Dropout(nn.Dropout):
    r"""Drop inputs at random in training [1]_, by masks from a generator that can be one's own.

    An input is kept if its random byte is at least :math:`256 p`, rounded, and is then divided by
    the probability of that. Bytes come eight at a time: one number each costs a CPU several times
    what the layer does with them.

    Parameters
    ----------
    p : float
        Probability with which an input is dropped; it is rounded to a multiple of 1/256, at most
        255/256.

    Attributes
    ----------
    generator : torch.Generator or None
        On the device of the inputs; None for torch's own, which all threads share.

    References
    ----------
    .. [1] Srivastava et al. Dropout: A Simple Way to Prevent Neural Networks from Overfitting.
       Journal of Machine Learning Research, 2014.
    """

    generator: torch.Generator | None = None

    def __init__(self, p: float) -> None:
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        """Drop some of the inputs in train mode; return them as they are in evaluation mode."""
        n_dropped = min(round(self.p * LEVELS), LEVELS - 1)
        if not self.training or not n_dropped:
            return input
        words = torch.empty(-(-input.numel() // 8), dtype=torch.int64, device=input.device)
        # From the smallest number on: by default the sign bit would never be set.
        words.random_(torch.iinfo(torch.int64).min, None, generator=self.generator)
        random_bytes = words.view(torch.uint8)[: input.numel()].view(input.shape)
        factors = torch.empty_like(input)
        torch.ge(random_bytes, n_dropped, out=factors)  # no booleans, which cost as much to cast
        return input * factors.mul_(LEVELS / (LEVELS - n_dropped))


def draw_from(generator: torch.Generator | None, module: nn.Module) -> None:
    """Let all :class:`Dropout` layers of a module draw from a generator; None for torch's own."""
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


def default_generators(device: torch.device) -> Generators:
    """Return torch's own generators: of the CPU and, if it is another, of the device."""
    if device.type == "cpu":
        return (torch.default_generator,)
    if device.type == "mps":
        return torch.default_generator, torch.mps._get_default_mps_generator()
    generators = torch.get_device_module(device).default_generators
    return torch.default_generator, generators[device.index or 0]


def states_of(generators: Generators) -> States:
    return tuple(generator.get_state() for generator in generators)


@contextmanager
def replayed(generators: Generators, states: States) -> Iterator[None]:
    """Run a block with generators in other states, and put the present ones back."""
    present = states_of(generators)
    _set_states(generators, states)
    try:
        yield
    finally:
        _set_states(generators, present)


def _set_states(generators: Generators, states: States) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
