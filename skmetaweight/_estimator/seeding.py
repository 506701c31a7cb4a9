"""Which random numbers a fit draws: from generators of its own, or from torch's, seeded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn
from torch.overrides import TorchFunctionMode

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight.reweighting import METHODS, Reweighter

KNOWN = {"torch", "skorch"}
"""Packages whose losses and optimisers draw no random numbers."""

KNOWN_CALLBACKS = {
    *("Checkpoint", "EarlyStopping", "EpochTimer", "FitCheckpoint", "GradientNormClipping"),
    *("LRScheduler", "PrintLog", "ProgressBar", "TrainEndCheckpoint"),
}
"""Callbacks of skorch's and ours that draw none: others run functions of the user's."""

INITIALISERS = (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_)
"""With which torch's linear layers and embeddings draw their first parameters."""

_TORCH_S_OWN = threading.RLock()
"""Held while torch's generators, which all threads share, are seeded."""


def fresh_or_given(random_state: Any, ranks: Ranks) -> np.random.RandomState:
    """Return a RandomState that does not touch NumPy's global one, the same in all ranks.

    Raises
    ------
    ValueError
        If random_state is None in some ranks only.
    """
    fresh = ranks.everyones(np.random.PCG64() if random_state is None else None)
    if fresh[0] is not None and None not in fresh:
        return np.random.RandomState(fresh[0])
    if any(each is not None for each in fresh):
        raise ValueError("Processes of a fit were given different random_state: None, and others.")
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


class InitialisedFrom(TorchFunctionMode):
    """Lets torch's layers, in this thread, draw their first parameters from a generator."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch's, with the generator if it initialises."""
        kwargs = dict(kwargs or {})
        if func in INITIALISERS:
            kwargs["generator"] = self.generator
        return func(*args, **kwargs)


def drawing(
    estimator: Any, reweighter: Reweighter, device: torch.device, seed: int
) -> AbstractContextManager[Any]:
    """Return a block that seeds what a fit draws: torch's own generators only if it must."""
    if draws_alone(estimator, reweighter):
        return InitialisedFrom(torch.Generator().manual_seed(seed))
    return seeded(device, seed)


def draws_alone(estimator: Any, reweighter: Reweighter) -> bool:
    """Whether nothing of the user's can draw from torch's own generators.

    A module, a weighting network, a loader or a callback of the user's can.
    """
    callbacks = () if estimator.callbacks is None else estimator.callbacks
    callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    callbacks = [each[1] if isinstance(each, tuple) else each for each in callbacks]
    loading = {name for name in estimator._net_params() if name.startswith("iterator_train")}
    return (
        estimator.module is None
        and type(reweighter) in METHODS.values()
        and not isinstance(getattr(reweighter, "weighting", None), nn.Module)
        and all(_root(part) in KNOWN for part in (estimator.criterion, estimator.optimizer))
        and all(_class(each).__name__ in KNOWN_CALLBACKS for each in callbacks)
        and all(_root(each) in ("skorch", "skmetaweight") for each in callbacks)
        and loading <= {"iterator_train__shuffle"}
    )


def _class(part: Any) -> type:
    return part if isinstance(part, type) else type(part)


def _root(part: Any) -> str:
    return _class(part).__module__.partition(".")[0]
