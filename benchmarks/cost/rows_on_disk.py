"""Rows of Parquet files beside the same rows in memory: rows per second, and the peak of a process.

python -m benchmarks.cost.rows_on_disk FOLDER KIND THREADS     one fit, as the section starts it
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.cost.report import Report
from benchmarks.cost.tasks import make_data
from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import ParquetRows

N_COLUMNS, N_CLASSES, N_FILES, GROUP = 50, 5, 10, 2**14
BATCH = 1024


class Network(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(N_COLUMNS, 64), nn.ReLU(), nn.Linear(64, N_CLASSES))


def write_rows(folder: Path, n_rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for i in range(N_FILES):
        X, y = make_data(n_rows // N_FILES, (N_COLUMNS,), N_CLASSES, seed=i)
        columns = {f"x{j}": X[:, j] for j in range(N_COLUMNS)}
        table = pa.table({**columns, "y": y.astype(np.int8)})
        pq.write_table(table, folder / f"{i}.parquet", GROUP)


def print_fit(folder: str, kind: str, threads: str) -> None:
    """Fit one epoch to rows on the disk or in memory; print what it took, as JSON."""
    torch.set_num_threads(int(threads))
    rows = ParquetRows(f"{folder}/*.parquet", "y")
    X, y = rows, None
    if kind == "memory":
        X, y = np.concatenate([rows._block(i) for i in range(len(rows._blocks))]), rows.targets
    X_meta, y_meta = make_data(1000, (N_COLUMNS,), N_CLASSES, seed=N_FILES)
    clf = MetaWeightClassifier(Network, max_epochs=1, batch_size=BATCH, random_state=0)
    wall, cpu = time.perf_counter(), time.process_time()
    clf.fit(X, y, X_meta=X_meta, y_meta=y_meta)
    unit = 1 if sys.platform == "darwin" else 1024
    spent = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({**spent, "rss": peak, "epoch": clf.history_[-1, "dur"], "rows": len(rows)}))


def measure_rows_on_disk(report: Report, args: argparse.Namespace) -> None:
    """One epoch over rows on the disk and in memory, each in a process of its own."""
    n_rows = args.rows or (20_000 if args.quick else 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), n_rows)
        print(f"\n{n_rows} rows of {N_COLUMNS} columns, one epoch in batches of {BATCH}")
        found = {}
        for kind in ("memory", "parquet"):
            command = [sys.executable, "-m", __name__, folder, kind, str(args.threads)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[kind] = report.add("rows", name=kind, **json.loads(done.stdout.splitlines()[-1]))
            numbers = {key: f"{found[kind][key]:.1f}" for key in ("seconds", "cpu", "epoch")}
            print(f"{kind:<10}{numbers}, {found[kind]['rss'] / 2**30:.2f} GiB at most")
        for what in ("seconds", "cpu"):
            ratio = found["parquet"][what] / found["memory"][what]
            report.ratio(f"a fit of rows on the disk / in memory, {what}", [ratio], 2.0)


if __name__ == "__main__":
    print_fit(*sys.argv[1:])
