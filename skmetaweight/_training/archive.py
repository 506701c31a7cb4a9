"""A zip of JSON and safetensors: how it is written at once, and read without trust."""

from __future__ import annotations

import errno
import io
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from skmetaweight._messages import first_line, import_for, listed, shortened

DOCUMENT = "format.json"

FORMAT = 1
"""Raised with whatever earlier versions could not read, or would read wrongly."""

LARGEST_DOCUMENT = 2**26
"""Most bytes of JSON; it alone is compressed, so that nothing else can exceed the file itself."""


class FileError(ValueError):
    """A file that cannot be loaded."""


class PathError(TypeError, ValueError):
    """What is no path to a file."""


def write_archive(
    path: str | os.PathLike[str], document: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    """Write a file that is whole or not there: the file before, if any, stays until then.

    Parameters
    ----------
    path : path-like
    document : dict
        Plain JSON.
    tensors : dict of str to Tensor
        Contiguous ones on the CPU; the part of a name before its first dot names their member.

    Raises
    ------
    ValueError
        If there is more JSON than a reader takes.
    """
    save = _safetensors("save")
    text = json.dumps({"format": FORMAT, **document}, allow_nan=False)
    if len(text) > LARGEST_DOCUMENT:
        raise ValueError(
            f"{len(text)} bytes of text are too many for a file, which takes {LARGEST_DOCUMENT}: "
            "leave out what has an entry for each row, with rows=False."
        )
    members: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        members.setdefault(part, {})[rest] = tensor
    path = path_to_write(path)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(DOCUMENT, text, zipfile.ZIP_DEFLATED)
                for part, content in members.items():
                    archive.writestr(f"{part}.safetensors", save(content))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_archive(path: str | os.PathLike[str], parts: set[str]) -> tuple[Any, dict[str, Tensor]]:
    """Return the document and the tensors of a file.

    Parameters
    ----------
    path : path-like
    parts : set of str
        Those that it may have.

    Raises
    ------
    Exception
        Of whatever kind, if it is no such file.
    """
    load = _safetensors("load")
    content = _as_path(path).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        tensor_files = {f"{part}.safetensors": part for part in parts}
        size = members[DOCUMENT].file_size
        if size > LARGEST_DOCUMENT:
            raise FileError(f"{path} declares {size} bytes of JSON, far too many.")
        document = json.loads(archive.read(members.pop(DOCUMENT)))
        if int(document["format"]) > FORMAT:
            raise FileError(
                f"{path} has format {document['format']}, of skmetaweight "
                f"{document['versions']['skmetaweight']}; this version reads format {FORMAT}. "
                "Update skmetaweight."
            )
        unknown = members.keys() - tensor_files.keys()
        if unknown or len(members) + 1 < len(archive.infolist()):
            raise FileError(f"{path} has members that no file of save has: {listed(unknown)}.")
        if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
            raise FileError(f"{path} has compressed tensors, which no file of save has.")
        tensors = {
            f"{tensor_files[name]}.{rest}": tensor
            for name, info in members.items()
            for rest, tensor in load(archive.read(info)).items()
        }
    return document, tensors


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise whatever goes wrong with the content of a file as a FileError of one sentence."""
    try:
        yield
    except (FileError, PathError, ImportError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # it cannot be opened
            raise
        raise FileError(
            f"{path} is damaged, or no file of save "
            f"({type(error).__name__}: {first_line(error)}). Take another copy of it."
        ) from error


def path_to_write(path: Any) -> Path:
    """Return the path of a file that is to be written, from the home folder if it begins with ~.

    Raises
    ------
    PathError
        If it is no path.
    OSError
        If there is no folder to write it in, or a folder in its place.
    """
    path = _as_path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder, not a file", str(path))
    return path


def _as_path(path: Any) -> Path:
    try:
        given = os.fsdecode(path)
    except TypeError as error:
        raise PathError(f"path must be text or a path, got {shortened(path)}.") from error
    if not given or "\0" in given:
        raise PathError(f"path must name a file, got {shortened(path)}.")
    return Path(os.path.expanduser(given))


def require_safetensors() -> None:
    """Raise an ImportError if safetensors is not installed."""
    _safetensors("save")


def _safetensors(name: str) -> Any:
    need = "save, load and checkpoints need"
    return getattr(import_for(need, "safetensors.torch", extra="io"), name)
