"""How cost.py measures: alternating repeats, peaks in processes of their own, ratios, records."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

Run = Callable[[], float]


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


def machine(threads: int) -> dict[str, Any]:
    packages = ("skmetaweight", "torch", "skorch", "scikit-learn", "numpy", "betty-ml")
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "threads": threads,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fit_line(sizes: list[int], seconds: list[float]) -> dict[str, float]:
    """Least squares seconds = fixed + slope * size, and the exponent of a power law."""
    slope, fixed = np.polyfit(sizes, seconds, 1, w=1 / np.asarray(seconds))
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return {"slope": float(slope), "fixed": float(fixed), "exponent": float(exponent)}


# Memory ----------------------------------------------------------------------------------------


def peak_in_child(script: str, arguments: list[str]) -> dict[str, int]:
    """Run a contestant in a process of its own, which prints its peaks as JSON."""
    command = [sys.executable, script, "--child", *arguments]
    quiet = {**os.environ, "KINETO_LOG_LEVEL": "99"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])


def measure_peaks(device: str, warm_up: Run, train: Run) -> dict[str, int]:
    """Peak bytes of a training run: tensors, and resident memory above what there was before.

    The warm-up, on few rows, loads the code that the run needs, which is not what is measured.
    """
    warm_up()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train()
        return {"tensors": torch.cuda.max_memory_allocated() - before}
    _reset_peak_rss()
    before = _peak_rss()
    train()
    return {"rss": _peak_rss() - before, "tensors": _peak_of_tensors(train)}


def _reset_peak_rss() -> None:
    """Forget earlier peaks; only Linux can. Elsewhere the baseline is the peak so far."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
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


def _peak_of_tensors(train: Run) -> int:
    """Largest sum of the tensor allocations that torch's profiler saw alive at once."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        train()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [e.nbytes() for e in sorted(events, key=lambda event: event.start_ns())]
    return int(np.cumsum(sizes).max())


# Records ---------------------------------------------------------------------------------------


@dataclass
class Report:
    """Collects records; writes each as a line of JSON as soon as it is known."""

    out: Path | None
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.out:
            self.out.write_text("")

    def add(self, kind: str, **record: Any) -> dict[str, Any]:
        record = {"kind": kind, **record}
        self.records.append(record)
        if self.out:
            with self.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
        return record

    def ratio(self, name: str, values: list[float], target: float | None = None) -> None:
        self.add("ratio", name=name, target=target, **spread(values))

    def print_ratios(self) -> None:
        print(f"\n{'ratio':<70} | {'measured':>8} | {'min':>6} .. {'max':<6} | target")
        for r in self.records:
            if r["kind"] != "ratio":
                continue
            target = "" if r["target"] is None else f"<= {r['target']:g}"
            verdict = "" if r["target"] is None or r["median"] <= r["target"] else "  MISSED"
            numbers = f"{r['median']:8.3f} | {r['min']:6.3f} .. {r['max']:<6.3f}"
            print(f"{r['name']:<70} | {numbers} | {target}{verdict}")
