"""Files are written and read by any path, and a bad one is told before any work."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skmetaweight import MetaWeightClassifier, export_onnx
from tests.conftest import Fitted, make_data

load = MetaWeightClassifier.load


def writers(clf: MetaWeightClassifier) -> list[Callable[[Any], Any]]:
    return [clf.save, lambda path: export_onnx(clf, path)]


@pytest.mark.parametrize("path", [None, 3, [], {}, 2.5, True, Path])
def test_what_is_no_path(path: Any, fitted: Fitted) -> None:
    for call in (*writers(fitted()), load):
        with pytest.raises(TypeError, match=r"^path must be text or a path, got "):
            call(path)


@pytest.mark.parametrize("path", ["", b"", "a\0b", b"\0", "folder/\0"])
def test_what_names_no_file(path: Any, fitted: Fitted) -> None:
    for call in (*writers(fitted()), load):
        with pytest.raises(ValueError, match=r"^path must name a file, got b?'"):
            call(path)


@pytest.mark.parametrize("form", [str, Path, os.fsencode])
def test_folders_that_are_not_there(form: Any, fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "none", tmp_path / "none" / "either", tmp_path / "file"):
        for write in writers(fitted()):
            with pytest.raises(FileNotFoundError, match="There is no such folder") as error:
                write(form(folder / "clf"))
            assert error.value.filename == str(folder)


@pytest.mark.parametrize("path", [".", "..", "~", "folder", "folder/", "folder/.."])
def test_folders_in_place_of_a_file(
    path: str, fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for write in writers(fitted()):
        with pytest.raises(IsADirectoryError, match="This is a folder, not a file"):
            write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_paths_in_the_home_folder(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    clf, data = fitted(), make_data()
    for path in ("~/clf", Path("~/clf"), b"~/clf"):
        clf.save(path)
        assert load(path).score(data.X, data.y) == clf.score(data.X, data.y)
    export_onnx(clf, "~/clf.onnx")
    assert {each.name for each in tmp_path.iterdir()} == {"clf", "clf.onnx"}
