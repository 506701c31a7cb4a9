"""Files of results: one fit, one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_lines(path: Path, key: Sequence[str]) -> list[dict[str, Any]]:
    """Read the lines of a file, the last one of each key; a torn line is left out."""
    records = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            print(f"{path}: a torn line is ignored: {line[:60]}")
            continue
        records[tuple(record[name] for name in key)] = record
    return list(records.values())
