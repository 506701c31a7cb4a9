"""Which wing may import which, and that each says so."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import skmetaweight

PACKAGE = Path(skmetaweight.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
# What each wing may import of the others; the files beside them are rooms of their own.
ALLOWED = {
    "_bilevel": set(),
    "_tabular": {"_bilevel"},
    "_data": {"_bilevel", "_tabular"},
    "reweighting": {"_bilevel"},
    "_training": {"_bilevel", "_data", "reweighting"},
    "_estimator": {"_bilevel", "_tabular", "_data", "reweighting", "_training"},
    "inspection": {"_estimator"},
    "pipeline": {"_estimator"},
    "model_selection": {"_data"},
    "datasets": {"_data"},
    "__init__": {"_estimator", "_tabular", "_training", "reweighting"},
    "_arrays": set(),
    "_messages": set(),
}
COMMON = {"_arrays", "_messages"}  # every room reads arguments and writes messages
WINGS = sorted({file.split("/")[0] for file in FILES if "/" in file})


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import in line {node.lineno}"
            yield node.module


def room_of(file):
    return file.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES)
def test_imports_point_downward(file):
    room = room_of(file)
    for name in imported_names(PACKAGE / file):
        package, *inside = name.split(".")
        if package == "skmetaweight":
            assert inside, f"{file} must name the file that it imports from, not {name}"
            assert inside[0] in ALLOWED[room] | {room} | COMMON, f"{file} must not import {name}"
        if package == "skorch":
            assert room == "_training", f"{file} must not import skorch"
        if room == "_bilevel":
            assert package in {"torch", "skmetaweight", *sys.stdlib_module_names}, file


def test_table_has_no_room_that_does_not_exist():
    assert set(ALLOWED) == set(map(room_of, FILES))
    assert [wing for wing in WINGS if wing.startswith("_")] == [
        "_bilevel",
        "_data",
        "_estimator",
        "_tabular",
        "_training",
    ]


@pytest.mark.parametrize("wing", WINGS)
def test_each_wing_says_what_it_imports_and_names_all_its_files(wing):
    guide = importlib.import_module(f"skmetaweight.{wing}").__doc__
    for other in ALLOWED[wing]:
        assert f"``{other}``" in guide
    for file in FILES:
        if room_of(file) == wing and not file.endswith("__init__.py"):
            assert f"``{Path(file).stem}``" in guide


def test_tests_mirror_the_wings():
    rooms = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert rooms >= {wing.lstrip("_") for wing in WINGS}
