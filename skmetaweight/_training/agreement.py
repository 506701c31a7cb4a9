"""What several processes of a fit must have in common, and what cannot be done on several."""

from __future__ import annotations

import math
from typing import Any

import torch
from skorch.callbacks import Checkpoint
from torch import Tensor, nn

from skmetaweight._bilevel.forward import copy_of_buffers
from skmetaweight._bilevel.gradients import gradient, trainable
from skmetaweight._bilevel.objective import Objective
from skmetaweight._bilevel.randomness import Dropout, default_generators, states_of
from skmetaweight._bilevel.ranks import ALONE, Ranks
from skmetaweight._bilevel.stage import Stage
from skmetaweight._data.batches import Rows
from skmetaweight._messages import shortened

TRIED_ROWS = 64
"""Most rows on which a module is tried out."""

ROUNDING = (1e-2, 0.1, 1e-2)
"""Largest relative differences of what a module makes of rows together and parted.

Of outputs, of gradients and of buffers. Of thirty convolutions in float32 with batch normalisation
rounding alone makes 7e-4 and 4e-2: a ReLU at its kink may go either way.
"""

DRIFT = 1e-4
"""Largest relative difference of the same numbers in processes that train the same network."""


def refuse_differences(ranks: Ranks, described: dict[str, str]) -> None:
    """Raise a ValueError, in all processes, if they were not given the same.

    Parameters
    ----------
    ranks : Ranks
    described : dict of str to str
        What a process was given, by name.
    """
    first, *others = ranks.everyones(described)
    for rank, other in enumerate(others, start=1):
        names = [k for k in {**first, **other} if first.get(k) != other.get(k)]
        if names:
            one, another = (shortened(given.get(names[0])) for given in (first, other))
            raise ValueError(
                f"Processes 0 and {rank} of a fit on {ranks.size} were given different "
                f"{', '.join(names)} ({names[0]}: {one} and {another}). Give each of them all rows "
                "and the same parameters: each takes its own share of every batch by itself."
            )


def refuse_drift(ranks: Ranks, numbers: dict[str, float]) -> None:
    """Raise a ValueError, in all processes, if they have come to other numbers of an epoch."""
    first, *others = ranks.everyones(numbers)
    for rank, other in enumerate(others, start=1):
        for name, one in first.items():
            another = other[name]
            if str(one) != str(another) and not math.isclose(one, another, rel_tol=DRIFT):
                raise ValueError(
                    f"Processes 0 and {rank} of a fit have drifted apart: {name} is {one:.6g} and "
                    f"{another:.6g}. Leave out what does something else in each of them, e.g. a "
                    "callback or a weighting network that draws random numbers, or reentrant "
                    "checkpointing."
                )


def refuse_what_needs_one(net: Any, rows: Rows) -> None:
    """Raise a ValueError if a net cannot be trained by several processes as by one."""
    for _, callback in net.callbacks_:
        if isinstance(callback, Checkpoint) and callback.load_best:
            raise ValueError(
                "Checkpoint(load_best=True) changes the network of one process alone: leave it "
                "out, early_stopping=True keeps the best epoch."
            )
    name = type(net.module_).__name__
    if any(isinstance(layer, nn.SyncBatchNorm) for layer in net.module_.modules()):
        raise ValueError(
            f"The module {name} has SyncBatchNorm, which cannot be differentiated twice: use "
            "BatchNorm, whose statistics a fit on several processes takes over all of them."
        )
    if any(
        isinstance(layer, nn.Embedding | nn.EmbeddingBag)
        and (layer.sparse or layer.max_norm is not None)
        for layer in net.module_.modules()
    ):
        raise ValueError(
            f"The module {name} has an embedding with sparse=True or a max_norm, which several "
            "processes cannot train together: leave that out, or fit in one process."
        )
    if _mixes_rows(net, rows):
        raise ValueError(
            f"The module {name} makes something else of rows that are split over processes, e.g. "
            "by batch statistics of its own: fit it in one process."
        )


def _mixes_rows(net: Any, rows: Rows) -> bool:
    """Whether a few rows have other outputs, gradients or buffers if several processes run them.

    Dropout is left out; modules that draw other random numbers, or differ from call to call, cannot
    be compared.
    """
    index = torch.arange(min(TRIED_ROWS, len(rows)), device=rows.device)
    if len(index) == 1:
        return False
    module, params = net.module_.train(), trainable(net.module_)
    for layer in module.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd | Dropout):
            layer.eval()
    buffers = copy_of_buffers(module)

    def found(ranks: Ranks) -> list[Tensor]:
        batch = rows.take(index, ranks)
        objective = Objective(net.losses_, stage=Stage(0.0, ranks=ranks))
        forward = objective.training_pass(module, batch, batch, repeatable=False)
        grads = gradient(forward.losses.sum(), params)
        moved = copy_of_buffers(module)
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
        kinds = [forward.outputs.detach()], [*grads.values()], [*moved.values()]
        return [torch.cat([part.flatten().double() for part in kind]) for kind in kinds if kind]

    generators = default_generators(rows.device)
    before = states_of(generators)
    alone, again = found(ALONE), found(ALONE)
    draws = not all(map(torch.equal, before, states_of(generators)))
    split = found(net.ranks_)
    is_other = not draws and _are_close(alone, again) and not _are_close(alone, split)
    return bool(net.ranks_.total(torch.tensor(float(is_other), device=rows.device)))


def _are_close(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether vectors are the same but for rounding, by the largest number of each."""
    return all(
        bool((one - other).abs().max() <= rounding * one.abs().max())
        for one, other, rounding in zip(some, others, ROUNDING, strict=False)  # buffers or none
    )
