"""The benchmark runs; how long anything took is nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_cost_writes_its_numbers(tmp_path):
    out = tmp_path / "cost.jsonl"
    arguments = ["--quick", "--only", "steps", "--steps", "2", "--repeats", "1", "--threads", "1"]
    contestants = ["--contestants", "double-backward", "mw-net-exact"]
    command = [sys.executable, "-m", "benchmarks.cost", *arguments, *contestants, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    records = [json.loads(line) for line in out.read_text().splitlines()]
    machine, check, *rest = records
    assert machine["kind"] == "machine"
    assert machine["versions"]["torch"]
    assert check["relative_hypergradient_difference"] < 1e-8
    steps = [record for record in rest if record["kind"] == "step"]
    assert {record["contestant"] for record in steps} == {"double-backward", "mw-net-exact"}
    assert all(len(record["values"]) == 1 for record in steps)
    assert all(record["memory"]["tensors"] > 0 for record in steps)
    ratios = [record for record in rest if record["kind"] == "ratio"]
    assert {record["target"] for record in ratios} == {0.55, 0.75}
    assert all(record["name"] in done.stdout for record in ratios)
