"""How time is measured: alternating repeats, ratios within a repeat, lines through sizes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Run = Callable[[], float]


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.get_device_module(device).synchronize()


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def alternate(runs: dict[str, Run], repeats: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Call the runs in turn, A B C A B C; what they return, by name."""
    if warm_up:
        for run in runs.values():
            run()
    results: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            results[name].append(run())
    return results


def paired_ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """Ratios within each repeat, so that what slows the machine slows both."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def spread(values: list[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "values": values,
    }


def fit_line(sizes: list[int], seconds: list[float]) -> dict[str, float]:
    """Least squares seconds = fixed + slope * size, and the exponent of a power law."""
    slope, fixed = np.polyfit(sizes, seconds, 1, w=1 / np.asarray(seconds))
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return {"slope": float(slope), "fixed": float(fixed), "exponent": float(exponent)}
