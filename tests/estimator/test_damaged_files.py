"""Files that are cut, changed or made to harm: one clear error, or what was saved."""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from skmetaweight import MetaWeightClassifier
from tests.conftest import Data, make_data, quick

load = MetaWeightClassifier.load


@pytest.fixture(scope="module")
def data() -> Data:
    return make_data()


@pytest.fixture(scope="module")
def clf(data: Data) -> MetaWeightClassifier:
    return quick(module__hidden_dims=(4,)).fit(data.X, data.y, meta_mask=data.mask)


@pytest.fixture(scope="module")
def content(clf: MetaWeightClassifier, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("files") / "clf.smw"
    clf.save(path)
    return path.read_bytes()


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, member in members.items():
            file.writestr(name, member)
    return buffer.getvalue()


def with_document(content: bytes, change: Callable[[Any], Any]) -> bytes:
    members = members_of(content)
    document = json.loads(members["format.json"])
    changed = change(document)
    members["format.json"] = json.dumps(document if changed is None else changed).encode()
    return zipped(members)


def refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


# ------------------------------------------------------------------ at random


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, overwrite, lengthen or repeat some bytes."""
    how, start = rng.randrange(5), rng.randrange(len(content))
    length = min(rng.choice([1, 1, 2, 4, 16, 256]), len(content) - start)
    if how == 0:
        return content[:start]
    if how == 1:
        return content[:start] + rng.randbytes(length) + content[start + length :]
    if how == 2:
        return content[:start] + content[start + length :]
    if how == 3:
        return content[:start] + rng.randbytes(length) + content[start:]
    bit = 1 << rng.randrange(8)
    return content[:start] + bytes([content[start] ^ bit]) + content[start + 1 :]


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where each value of some JSON is: what holds it, and its key there."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


ODD = (None, True, -1, 0, 10**12, 1e300, "", "~", "x" * 50, [], [[]], {}, {"~object": 0})
ODD += ({"~object": 10**9}, {"~tensor": "none"}, {"~class": "os.system"}, {"~none": 1})
ODD += ({"~class": "torch.nn.Linear"}, {"~tuple": [1, 2]}, {"~float": "inf"}, {"~dtype": "<U99999"})


def odd(content: bytes, rng: random.Random) -> bytes:
    """Put something else in place of one value of the JSON, or leave it out."""

    def change(document: Any) -> None:
        holder, key = rng.choice(list(places(document)))
        if rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = rng.choice(ODD)

    return with_document(content, change)


def mixed_up(content: bytes, rng: random.Random) -> bytes:
    """Exchange, leave out or reshape tensors of one member, which is whole in itself."""
    members = members_of(content)
    name = rng.choice([name for name in members if name.endswith("safetensors")])
    arrays = load_arrays(members[name])
    one, other = rng.choices(list(arrays), k=2)
    how = rng.randrange(4)
    if how == 0:
        arrays[one], arrays[other] = arrays[other], arrays[one]
    elif how == 1:
        del arrays[one]
    elif how == 2:
        arrays[one] = np.concatenate([arrays[one].ravel()] * 2)
    else:
        arrays[one] = arrays[one].astype(rng.choice([np.float64, np.int8, bool]))
    members[name] = save_arrays(arrays)
    return zipped(members)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.slow
def test_damaged_files(clf: Any, content: bytes, data: Data, tmp_path: Path) -> None:
    rng = random.Random(0)
    path, expected = tmp_path / "clf.smw", clf.predict_proba(data.X)
    n_loaded = 0
    for _ in range(4200):
        path.write_bytes(damaged(content, rng))
        try:
            loaded = load(path)
        except ValueError as error:
            assert str(error).startswith(f"{path} ")  # noqa: PT017
        else:  # what was changed means nothing, such as a date
            n_loaded += 1
            np.testing.assert_array_equal(loaded.predict_proba(data.X), expected)
    assert n_loaded < 400


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", [odd, mixed_up])
@pytest.mark.slow
def test_files_with_something_else_in_them(
    change: Callable[[bytes, random.Random], bytes], content: bytes, tmp_path: Path
) -> None:
    rng = random.Random(0)
    path, n_refused = tmp_path / "clf.smw", 0
    for _ in range(400):
        path.write_bytes(change(content, rng))
        try:
            loaded = load(path)
        except ValueError as error:
            n_refused += 1
            assert str(error).startswith(f"{path} ") or "module" in str(error)  # noqa: PT017
        else:
            assert isinstance(loaded, MetaWeightClassifier)
    assert n_refused > 100


# ------------------------------------------------------------------ on purpose


def test_files_of_other_kinds(content: bytes, clf: Any, tmp_path: Path) -> None:
    members = members_of(content)
    for other in (b"", b"PK", b"\0" * 1000, pickle.dumps(clf), zipped({}), members["format.json"]):
        refused(tmp_path / "clf.smw", other, "is damaged, or no file of save .* another copy")
    for name in members:
        without = {k: v for k, v in members.items() if k != name}
        refused(tmp_path / "clf.smw", zipped(without), "is damaged, or no file of save")


def test_a_newer_file_names_both_versions(content: bytes, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["format"] = 2
        document["versions"]["skmetaweight"] = "9.8.7"

    newer = with_document(content, change)
    members = {**members_of(newer), "attention.safetensors": b""}
    for file in (newer, zipped(members)):
        refused(tmp_path / "clf.smw", file, r"format 2, of skmetaweight 9.8.7; .* format 1. Update")


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/passwd", "C:\\evil", "module.pkl", "a/"])
def test_no_other_member_is_read_or_written(name: str, content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    file = zipped({**members_of(content), name: b"evil"})
    refused(
        folder / "clf.smw", file, "members that no file of save has: .*" + re.escape(repr(name))
    )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "clf.smw"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_the_same_name(content: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr("module.safetensors", b"other")
    refused(tmp_path / "clf.smw", buffer.getvalue(), "members that no file of save has")


def test_bombs(content: bytes, tmp_path: Path) -> None:
    members = members_of(content)
    bomb = {**members, "format.json": b" " * 2**27}
    assert len(zipped(bomb, zipfile.ZIP_DEFLATED)) < 2**20
    refused(
        tmp_path / "clf.smw", zipped(bomb, zipfile.ZIP_DEFLATED), "declares 134217728 bytes of JSON"
    )
    bomb = {**members, "module.safetensors": b"\0" * 2**27}
    refused(tmp_path / "clf.smw", zipped(bomb, zipfile.ZIP_DEFLATED), "compressed tensors")
    deep = {**members, "format.json": b"[" * 100_000}
    refused(tmp_path / "clf.smw", zipped(deep), "is damaged")


@pytest.mark.parametrize(
    "value",
    [
        {"~array": {"dtype": "<U400000000", "scalar": False, "shape": [2], "items": ["a", "b"]}},
        {"~array": {"dtype": "O", "scalar": False, "shape": [10**12], "items": ["a", "b"]}},
        {"~array": {"dtype": "<f8", "scalar": False, "~tensor": "../../etc/passwd"}},
    ],
)
def test_arrays_larger_than_the_file(value: Any, content: bytes, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["values"]["fitted"]["attributes"]["classes_"] = value

    refused(tmp_path / "clf.smw", with_document(content, change), "is damaged")


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "subprocess.Popen", "torch.load", "torch.nn.os"]
)
@pytest.mark.parametrize("tag", ["~class", "an object"])
def test_nothing_is_imported_by_a_name_in_a_file(
    tag: str, name: str, content: bytes, tmp_path: Path
) -> None:
    def change(document: Any) -> None:
        evil: Any = {"~class": name}
        if tag != "~class":
            document["objects"].append({"class": name, "state": ["touch evil"]})
            evil = {"~object": len(document["objects"]) - 1}
        document["values"]["fitted"]["parameters"]["optimizer"] = evil

    refused(tmp_path / "clf.smw", with_document(content, change), f"KeyError: '{name}'")
