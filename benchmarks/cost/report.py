"""The records: what is measured, and on which machine."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cost.measure import spread


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

    def seconds(self, kind: str, by_contestant: dict[str, list[float]], **context: Any) -> None:
        """Add and print the seconds of each contestant."""
        for name, values in by_contestant.items():
            self.add(kind, contestant=name, **context, **spread(values))
            print(f"{name:<24}{np.median(values):9.3f} s")

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
