"""The processes of a fit: those of the group there is, or of one for its length."""

from __future__ import annotations

import importlib
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import torch
from joblib.parallel import get_active_backend

from skmetaweight._bilevel.ranks import ALONE, LostRankError, Ranks
from skmetaweight._messages import first_line

dist: Any = torch.distributed  # whose stubs hide stores

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher such as torchrun sets."""

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}

FAILURE = "failure"
"""Where the store of a group has the first error of a fit."""

_BUSY = threading.Lock()
"""Held while a fit sends messages: those of two would mix."""

_NUMBERS = itertools.count()
"""Of the fits of this process, and so of all processes."""


def are_several() -> bool:
    """Whether there is a process group, or a launcher has prepared one."""
    if not dist.is_available():
        return False
    if dist.is_initialized():
        return dist.get_world_size() > 1
    return all(name in os.environ for name in VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def own_gpu() -> torch.device:
    """Return the GPU of this process, by its place among the processes of its host."""
    place = os.environ.get("LOCAL_RANK")
    index = torch.cuda.current_device() if place is None else int(place)
    return torch.device("cuda", index % torch.cuda.device_count())


@contextmanager
def ranks_of_fit(device: torch.device) -> Iterator[Ranks]:
    """Give a block the processes of a fit, which on most machines is one.

    Raises
    ------
    ValueError
        If joblib runs it, or another fit is under way, or the device cannot take part.
    LostRankError
        If another process fails; what it told of that is in the message.
    """
    if not are_several():
        yield ALONE
        return
    if device.type not in BACKENDS:
        raise ValueError(
            f"A fit on several processes needs device='cpu' or 'cuda', got {str(device)!r}."
        )
    backend: Any = get_active_backend()[0]
    if backend.nesting_level or not _BUSY.acquire(blocking=False):
        raise ValueError(
            "Of several fits at a time in a process group, the messages would mix: run one after "
            "the other, searches with n_jobs=1."
        )
    try:
        with _group(device) as store, _failure_told(store):
            yield Ranks(dist.get_rank(), dist.get_world_size(), device, lambda: _told(store))
    finally:
        _BUSY.release()


@contextmanager
def _group(device: torch.device) -> Iterator[Any]:
    """Join the processes that a launcher started, unless the user has; give what they all read."""
    prefix = f"skmetaweight {next(_NUMBERS)}"
    if dist.is_initialized():
        yield dist.PrefixStore(prefix, dist.distributed_c10d._get_default_store())
        return
    shared, rank, size = _rendezvous()
    # Optimisers import it, and its defaults keep the group of that moment, and its sockets, open.
    importlib.import_module("torch.distributed.nn.functional")
    store = dist.PrefixStore(prefix, shared)
    dist.init_process_group(BACKENDS[device.type], store=store, rank=rank, world_size=size)
    try:
        yield store
    finally:
        dist.destroy_process_group()


@cache  # rank 0 may serve it, to later fits too
def _rendezvous() -> tuple[Any, int, int]:
    return next(dist.rendezvous("env://"))


@contextmanager
def _failure_told(store: Any) -> Iterator[None]:
    try:
        yield
    except LostRankError:
        raise
    except BaseException as error:
        text = f"Process {dist.get_rank()} failed: {type(error).__name__}: {first_line(error)}"
        with suppress(RuntimeError):
            store.set(FAILURE, text)
        raise


def _told(store: Any) -> str:
    """Return what another process told; nothing if it could not, or took the store with it."""
    try:
        return store.get(FAILURE).decode() if store.check([FAILURE]) else ""
    except RuntimeError:
        return ""
