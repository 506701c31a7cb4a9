"""A file that a process holds as long as it lives, so that others see whether it does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows, where nothing ever looks held
    fcntl = None

_OPEN: set[IO[Any]] = set()


class Lock:
    """Holds a file, which is created, unless somebody else does.

    Attributes
    ----------
    is_held : bool
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self.is_held = _take(self._file)
        _OPEN.add(self._file)

    def release(self) -> None:
        _OPEN.discard(self._file)
        if fcntl is not None:  # a process that was forked just now may not have closed it yet
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


def is_held(path: Path) -> bool:
    """Whether somebody holds a file."""
    try:
        with path.open("rb") as file:
            return not _take(file)
    except OSError:
        return False


def _take(file: IO[Any]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _leave_to_parent() -> None:
    """Close the files in a forked process, which would hold them when its parent is dead."""
    for file in _OPEN:
        file.close()
    _OPEN.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_leave_to_parent)
