"""How memory is measured: the peaks of a contestant in a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

Train = Callable[[], object]


def peak_in_child(arguments: list[str]) -> dict[str, int]:
    """Train a contestant in a process of its own, which prints its peaks as JSON."""
    command = [sys.executable, "-m", "benchmarks.cost", "--child", *arguments]
    quiet = {**os.environ, "KINETO_LOG_LEVEL": "99"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])


def measure_peaks(device: str, warm_up: Train, train: Train) -> dict[str, int]:
    """Peak bytes of a training run: tensors, and resident memory above what there was before.

    The warm-up, on few rows, loads the code that the run needs, which is not what is measured.
    """
    warm_up()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train()
        return {"tensors": torch.cuda.max_memory_allocated() - before}
    return {"rss": peak_of(train), "tensors": _peak_of_tensors(train)}


def peak_of(train: Train) -> int:
    """Peak bytes of resident memory above what there was before."""
    _reset_peak_rss()
    before = _peak_rss()
    train()
    return _peak_rss() - before


def _reset_peak_rss() -> None:
    """Forget earlier peaks; only Linux can. Elsewhere the baseline is the peak so far.

    What a heap holds on to, free, is given back: it would hide as much of what comes.
    """
    path = Path("/proc/self/clear_refs")
    if path.exists():
        if hasattr(heap := ctypes.CDLL(None), "malloc_trim"):  # glibc's
            heap.malloc_trim(0)
        path.write_text("5")


def _peak_rss() -> int:
    # On Linux ru_maxrss of a new process starts at its parent's; VmHWM is its own.
    path = Path("/proc/self/status")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _peak_of_tensors(train: Train) -> int:
    """Largest sum of the tensor allocations that torch's profiler saw alive at once."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        train()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda event: event.start_ns())]
    return int(np.cumsum(sizes).max())
