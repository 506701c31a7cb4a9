"""The checkpoints of one fit: a folder of its own within the one that fits may share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skmetaweight._messages import LONGEST_VALUE, MOST_LISTED
from skmetaweight._training.archive import FileError, read_archive, reading, write_archive
from skmetaweight._training.locks import Lock, is_held
from skmetaweight._training.midway import PARTS
from skmetaweight._training.values import ValueReader, ValueWriter

CHECKPOINTS = "epoch-*.smw"

START = "initial state"
"""Differs whenever anything else does, and is told of only where nothing else is."""

LOCK = "running"
"""A file that a fit holds while it runs; it stays, so that the fit is known here."""

KEPT = 2
"""Newest checkpoints of a fit that are kept."""


class OtherFitError(ValueError):
    """A folder with checkpoints of another fit."""


class FitFolder:
    """Writes and reads the checkpoints of a fit.

    Its folder is named by what makes the fit the one it is, so that different fits do not mix. The
    same fit twice at a time writes the same.

    Parameters
    ----------
    shared : Path
    fit : dict of str to str
        What makes the fit the one it is, by name.

    Attributes
    ----------
    damaged : list of Path
        Checkpoints that could not be read.
    """

    def __init__(self, shared: Path, fit: dict[str, str]) -> None:
        name = hashlib.sha256(json.dumps(fit, sort_keys=True).encode()).hexdigest()[:16]
        self.path = shared / name
        self.damaged: list[Path] = []
        self._shared = shared
        self._fit = fit
        self._lock: Lock | None = None

    def refuse_others(self) -> None:
        """Raise if another fit was cut off in the shared folder, and this one was never there.

        Raises
        ------
        OtherFitError
            It names what differs.
        OSError
            If the folder cannot be looked at.
        """
        if self.path.exists():
            return
        newest = {path.parent: path for path in sorted(self._shared.glob(f"*/{CHECKPOINTS}"))}
        found = [_read_fit(path) for folder, path in newest.items() if not is_held(folder / LOCK)]
        others = [_differences(other, self._fit) for other in found if other is not None]
        if others:
            nearest = min(others, key=len)
            more = f" and {len(nearest) - MOST_LISTED} more" if len(nearest) > MOST_LISTED else ""
            raise OtherFitError(
                f"{self._shared} has checkpoints of another fit, which was cut off. In this one, "
                f"{'; '.join(nearest[:MOST_LISTED])}{more}. Run that fit again to go on with it, "
                "or delete the folder or pass another one to begin anew."
            )

    def begin(self) -> None:
        """Create the folder, hold its lock, and remove what a fit that was killed left unfinished.

        Raises
        ------
        OSError
            If nothing can be written there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.path / LOCK)
        if self._lock.is_held:
            for unfinished in self.path.glob(f".{CHECKPOINTS}.*"):
                unfinished.unlink(missing_ok=True)

    def write(self, epoch: int, state: dict[str, Any]) -> None:
        """Write a checkpoint; keep the newest two.

        Raises
        ------
        OSError
            If it cannot be written.
        UnwritableError
            If a file cannot hold part of it.
        """
        writer = ValueWriter({})
        document = {
            "versions": {"skmetaweight": self._fit["skmetaweight"]},
            "fit": self._fit,
            "values": {part: writer.write(content, part) for part, content in state.items()},
        }
        self.path.mkdir(parents=True, exist_ok=True)
        write_archive(self.path / CHECKPOINTS.replace("*", f"{epoch:06}"), document, writer.tensors)
        self.remove(self.files()[:-KEPT])

    def newest(self) -> dict[str, Any] | None:
        """Return the state of the newest checkpoint that is whole."""
        for path in reversed(self.files()):
            try:
                return _read_state(path)
            except FileNotFoundError:  # the same fit, elsewhere, has removed it
                continue
            except FileError:
                self.damaged.append(path)
        return None

    def remove(self, files: Sequence[Path]) -> None:
        """Remove checkpoints.

        Raises
        ------
        OSError
            If that cannot be done.
        """
        for path in files:
            path.unlink(missing_ok=True)

    def end(self) -> None:
        """Let the lock go."""
        if self._lock is not None:
            self._lock.release()

    def files(self) -> list[Path]:
        """Return the checkpoints, the oldest first."""
        return sorted(self.path.glob(CHECKPOINTS))


def _read_state(path: Path) -> dict[str, Any]:
    with reading(path):
        document, tensors = read_archive(path, set(PARTS))
        reader = ValueReader({}, tensors, ())
        return {part: reader.read(document["values"][part]) for part in PARTS}


def _read_fit(path: Path) -> dict[str, str] | None:
    try:
        with reading(path):
            return dict(read_archive(path, set(PARTS))[0]["fit"])
    except (FileError, OSError):
        return None


def _differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    changed = {n for n in before.keys() | now.keys() if before.get(n) != now.get(n)}
    if len(changed) > 1:
        changed.discard(START)
    texts = {name: (now.get(name, "absent"), before.get(name, "absent")) for name in changed}
    return [
        f"{n} is {_short(*texts[n])} instead of {_short(*texts[n][::-1])}" for n in sorted(texts)
    ]


def _short(text: str, other: str) -> str:
    """Cut a long text so that it shows where it differs from another."""
    pairs = enumerate(zip(text, other, strict=False))
    n_same = next((i for i, (one, another) in pairs if one != another), min(len(text), len(other)))
    start = max(0, min(n_same - LONGEST_VALUE // 2, len(text) - LONGEST_VALUE))
    shown = text[start : start + LONGEST_VALUE]
    return f"{'...' if start else ''}{shown}{'...' if start + len(shown) < len(text) else ''}"
