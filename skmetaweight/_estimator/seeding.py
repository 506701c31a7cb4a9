"""Which random numbers a fit draws: from generators of its own, or from torch's, seeded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skmetaweight._tabular.modules import TabularMLP
from skmetaweight._training.net import ReweightedNet
from skmetaweight.reweighting import METHODS
from skmetaweight.reweighting._weighting import WeightingNetwork

KNOWN = {"torch", "skorch", "skmetaweight"}
"""Packages whose losses, optimisers and callbacks draw no random numbers."""

_TORCH_S_OWN = threading.RLock()
"""Held while torch's generators, which all threads share, are seeded."""


def fresh_or_given(random_state: Any) -> np.random.RandomState:
    """Return a RandomState that does not touch NumPy's global one."""
    if random_state is None:
        return np.random.RandomState(np.random.PCG64())
    return check_random_state(random_state)


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch for a block, and leave its global generators as they were found.

    Other threads that want to seed them wait.
    """
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    with _TORCH_S_OWN:
        cpu_state = torch.get_rng_state()
        device_state = accelerator.get_rng_state(device) if accelerator else None
        torch.default_generator.manual_seed(seed)
        try:
            if accelerator:
                accelerator.manual_seed(seed)
            yield
        finally:
            torch.set_rng_state(cpu_state)
            if accelerator:
                accelerator.set_rng_state(device_state, device)


def draws_alone(net: ReweightedNet) -> bool:
    """Whether nothing of a net can draw from torch's own generators once it is built.

    A module, a weighting network, a loader or a callback of the user's can.
    """
    reweighter = net.reweighter_
    network = getattr(reweighter, "network_", None)
    others = [net.criterion_, net.optimizer_, *(callback for _, callback in net.callbacks_)]
    return (
        type(net.module_) is TabularMLP
        and type(reweighter) in METHODS.values()
        and (network is None or type(network) is WeightingNetwork)
        and all(type(part).__module__.split(".")[0] in KNOWN for part in others)
        and net.slices_tensors
    )
