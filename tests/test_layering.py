"""The layers of DESIGN exactly, where ruff's per-file exemptions leave gaps."""

import ast
from pathlib import Path

import pytest

import skmetaweight

PACKAGE = Path(skmetaweight.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
# Whoever may import a name; the layers above a file are what it must not import.
ALLOWED = {
    "skorch": {"_net.py", "_rows_net.py"},
    "sklearn": {
        "_build.py",
        "_classifier.py",
        "_default_network.py",
        "_diagnosis.py",
        "_columns.py",
        "_meta_set.py",
        "_net_params.py",
        "_html.py",
        "_tables.py",
        "_tasks.py",
        "_validation.py",
        "datasets.py",
        "inspection/_common.py",
        "model_selection.py",
        "pipeline.py",
    },
    "skmetaweight.reweighting": {
        "_net.py",
        "_epoch.py",
        "_step_graphs.py",
        "_build.py",
        "_classifier.py",
        "_diagnosis.py",
        "__init__.py",
    },
    "skmetaweight._rows_net": {"_net.py", "_label_quality.py"},
    "skmetaweight._net": {"_build.py", "_classifier.py", "_label_quality.py", "__init__.py"},
    "skmetaweight._classifier": {"inspection/_common.py", "__init__.py"},
    "skmetaweight.inspection": set(),
}


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES)
def test_imports_point_downward(file):
    for name in imported_names(PACKAGE / file):
        for banned, importers in ALLOWED.items():
            if f"{name}.".startswith(f"{banned}."):
                inside = f"skmetaweight/{file}".replace("/", ".").startswith(f"{banned}.")
                assert inside or file in importers, f"{file} must not import {name}"
