"""One fit on several processes of this machine: how its steps scale, and what they send.

python -m benchmarks.cost.processes NAME MODEL ROWS STEPS     one fit, started by torchrun
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.cost.contestants import classifier
from benchmarks.cost.measure import alternate, paired_ratios
from benchmarks.cost.report import Report
from benchmarks.cost.tasks import LEARNING_RATE, N_CLASSES, Model, Task, make_data
from benchmarks.papers.networks import ResNet
from skmetaweight import TabularMLP

dist: Any = torch.distributed

NETWORKS: dict[str, Model] = {
    "resnet-20": (partial(ResNet, 20, N_CLASSES), (3, 32, 32), 64),
    "tabular-mlp": (partial(TabularMLP, 54, N_CLASSES), (54,), 256),
}
PLAIN = "DDP"
METHODS = ("uniform", "mw-net")
SIZES = (2, 4)
N_TRUSTED = 100

LINKS = {8: ("NVLink, one host", 20e-6, 150e9), 64: ("InfiniBand, eight hosts", 50e-6, 20e9)}
"""Of GPUs, what is assumed: seconds a message, bytes a second between two of them."""

# In each process -------------------------------------------------------------------------------


class Counted(Callback):
    """Keeps the bytes of the messages of the last step."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.of_step: list[int] = []

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        self.sent.clear()

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.of_step = list(self.sent)


def make_rows(model: str, n_rows: int, n_processes: int, n_steps: int) -> Task:
    """Make the rows of an epoch of so many steps, each of n_rows on all processes together."""
    make_module, shape, _ = NETWORKS[model]
    rows, trusted = make_data(n_steps * n_rows, shape), make_data(N_TRUSTED, shape, seed=2)
    return Task(make_module, *rows, *trusted, n_rows // n_processes)


def count_messages(method: str, task: Task) -> list[int]:
    counted, send = Counted(), dist.all_reduce

    def counting(numbers: torch.Tensor) -> None:
        counted.sent.append(numbers.numel() * numbers.element_size())
        send(numbers)

    dist.all_reduce = counting
    fit(method, task, epochs=1, callbacks=[counted])
    dist.all_reduce = send
    return counted.of_step


def fit(method: str, task: Task, epochs: int, **options: Any) -> list[float]:
    clf = classifier(task, epochs, method=method, **options)
    clf.fit(task.X, task.y, X_meta=task.X_meta, y_meta=task.y_meta)
    return clf.history_[:, "dur"]


def fit_plainly(task: Task, epochs: int) -> list[float]:
    """Train with torch's DistributedDataParallel, each process on its part of every batch."""
    dist.init_process_group("gloo")
    module = DistributedDataParallel(task.new_module())
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE)
    X, y, *_ = task.tensors()
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for batch in torch.randperm(len(y)).split(dist.get_world_size() * task.batch_size):
            own = batch[dist.get_rank() :: dist.get_world_size()]
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X[own]), y[own]).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    dist.destroy_process_group()
    return seconds


def print_fit(name: str, model: str, n_rows: str, n_steps: str) -> None:
    """Print, in the first process, the seconds of a step and the bytes of its messages, as JSON."""
    torch.set_num_threads(1)
    n_processes, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    task = make_rows(model, int(n_rows), n_processes, int(n_steps))
    if name == PLAIN:
        sent = [4 * sum(p.numel() for p in task.new_module().parameters())]
        seconds = fit_plainly(task, epochs=3)
    else:
        sent = count_messages(name, task) if n_processes > 1 else []
        seconds = fit(name, task, epochs=3)
    if rank == 0:
        step = statistics.median(seconds[1:]) / int(n_steps)
        print(json.dumps({"seconds": step, "sent": sent}))


# The section -----------------------------------------------------------------------------------


def started(n_processes: int, *arguments: object) -> dict[str, Any]:
    """Run a fit on so many processes; return what the first prints."""
    launcher = ["torch.distributed.run", "--nproc-per-node", str(n_processes), "--standalone"]
    command = [sys.executable, "-m", *launcher, "-m", __name__, *map(str, arguments)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])


def measure_processes(report: Report, args: argparse.Namespace) -> None:
    """Strong scaling, of the same batches on more processes, and weak, of batches that grow."""
    n_steps = min(args.steps, 20)
    for model, (*_, n_rows) in NETWORKS.items():
        sent: dict[str, dict[tuple[int, int], list[int]]] = {PLAIN: {}, **{m: {} for m in METHODS}}

        def step(name: str, size: int, kind: str) -> float:
            rows = n_rows * size if kind == "weak" else n_rows  # noqa: B023
            found = started(size, name, model, rows, n_steps)  # noqa: B023
            sent[name][size, rows] = found["sent"]  # noqa: B023
            return found["seconds"]

        cases = [(1, "strong"), *((size, kind) for size in SIZES for kind in ("strong", "weak"))]
        runs = {(name, *case): partial(step, name, *case) for name in sent for case in cases}
        print_scaling(report, model, n_rows, alternate(runs, args.repeats, warm_up=False))
        (gradient,) = sent.pop(PLAIN)[2, n_rows]
        for name, by_size in sent.items():
            print_messages(report, f"{model}, {name}", n_rows, gradient, by_size)


def print_scaling(
    report: Report, model: str, n_rows: int, seconds: dict[tuple[str, int, str], list[float]]
) -> None:
    print(f"\n{model}, batches of {n_rows} rows: a step on more processes / on one")
    for (name, size, kind), values in seconds.items():
        report.add("scaling", model=model, contestant=name, processes=size, of=kind, values=values)
        if size > 1:
            ratios = paired_ratios(values, seconds[name, 1, "strong"])
            report.ratio(f"{model}, {name}: a step on {size} / on one, {kind} scaling", ratios)
            print(f"{name:<10}{size} processes, {kind:<8}{statistics.median(ratios):6.2f}")


def print_messages(
    report: Report, what: str, n_rows: int, gradient: int, sent: dict[tuple[int, int], list[int]]
) -> None:
    """Print what a step sends beside DDP, and what that comes to on GPUs, each with its batch.

    Bytes grow with the processes, by statistics of batches, and with rows, by outputs.
    """
    del sent[1, n_rows]
    n_bytes = [sum(messages) for messages in sent.values()]
    of_sizes, *_ = np.linalg.lstsq([(1, *case) for case in sent], n_bytes, rcond=None)
    n_messages = len(sent[2, n_rows])
    report.add("sent", name=what, gradient=gradient, messages=n_messages, line=of_sizes.tolist())
    report.ratio(f"{what}: bytes of a step / DDP's, two processes", [n_bytes[0] / gradient])
    print(f"{what}: {n_messages} messages, {n_bytes[0]:,} bytes; DDP {gradient:,}")
    for size, (link, latency, bandwidth) in LINKS.items():
        total = of_sizes @ (1, size, size * n_rows)
        more = 2 * (size - 1) / size * (total - gradient) / bandwidth
        milliseconds = 1e3 * (latency * (n_messages - 1) + more)
        print(
            f"  on {size} GPUs ({link}; on paper): {total / gradient:.2f} of DDP's bytes, "
            f"{milliseconds:.2f} ms a step more than DDP"
        )


if __name__ == "__main__":
    print_fit(*sys.argv[1:])
