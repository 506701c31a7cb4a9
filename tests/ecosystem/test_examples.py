"""The examples that start processes of their own run as they say; the gallery runs the others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "example"),
    [(TORCHRUN, "train_on_two_processes"), ([], "search_on_a_cluster")],
    ids=["torchrun", "dask"],
)
def test_an_example_that_starts_processes_runs(launcher: list[str], example: str) -> None:
    command = [sys.executable, *launcher, f"examples/{example}.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (accuracy,) = re.findall(r"^test accuracy (.*)$", done.stdout, flags=re.MULTILINE)
    assert float(accuracy) > 0.9
