"""What messages of all wings share: lists of values, errors explained, packages asked for."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from traceback import walk_stack
from typing import Any

import torch

MOST_LISTED = 10
"""Values that a message lists before it counts."""

LONGEST_VALUE = 60
"""Characters of a value in a message."""


ON_THE_WAY = {"skmetaweight", "skorch", "sklearn", "joblib", "contextlib"}
"""Packages between a user's line and a warning."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the line of the user's that the call came from, whatever passed it on."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_stack(sys._getframe())]
    level = next((i for i, name in enumerate(modules) if name.split(".")[0] not in ON_THE_WAY), 1)
    warnings.warn(message, category, stacklevel=level + 1)


def listed(values: Iterable[Any]) -> str:
    """Write values as Python writes a list; of a long list, the first ten and a count.

    >>> listed(["a", "b"])
    "['a', 'b']"
    >>> listed(range(2000))
    '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...] (2000 in all)'
    """
    everything = list(values.tolist() if hasattr(values, "tolist") else values)  # pyright: ignore
    shown = [shortened(value) for value in everything[:MOST_LISTED]]
    if len(everything) <= MOST_LISTED:
        return f"[{', '.join(shown)}]"
    return f"[{', '.join([*shown, '...'])}] ({len(everything)} in all)"


def shortened(value: Any) -> str:
    """Write a value as Python does, on one line, and not at length."""
    written = " ".join(repr(value).split())
    return written if len(written) <= LONGEST_VALUE else f"{written[: LONGEST_VALUE - 3]}..."


def first_line(error: BaseException) -> str:
    """Return the first sentence of what an error says, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".:")[:300]


@contextmanager
def explained(
    name: str, given: Any, what: str = "cannot be built", cure: str = ""
) -> Iterator[None]:
    """Raise what goes wrong with a parameter as one sentence that names it.

    Raises
    ------
    TypeError
        If that is what went wrong.
    ValueError
        If anything else did, but for a lack of memory.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        cure = cure or f"Check {name} and its {name}__* parameters."
        raise kind(f"{name}={written(given)} {what}: {first_line(error)}. {cure}") from error


def written(given: Any) -> str:
    """Write a class or a function by its name, all else as Python does."""
    return getattr(given, "__name__", None) or shortened(given)


def import_for(need: str, *modules: str, extra: str | None = None) -> Any:
    """Return the last of some modules, all of which something needs.

    Parameters
    ----------
    need : str
        The beginning of a sentence that goes on with their names, such as "Parquet files need".
    *modules : str
    extra : str, optional
        That of this package which has them; None if they have to be asked for by name.

    Raises
    ------
    ImportError
        If one is not installed.
    """
    try:
        return [importlib.import_module(module) for module in modules][-1]
    except ImportError as error:
        names = [module.partition(".")[0] for module in modules]
        wanted = f"'skmetaweight[{extra}]'" if extra else " ".join(names)  # zsh wants the quotes
        raise ImportError(
            f"{need} {', '.join(names)}: install what is missing, e.g. with `pip install {wanted}`."
        ) from error


def import_pandas(method: str) -> Any:
    """Return pandas, which a method needs for the frame that it returns."""
    return import_for(f"{method} returns a DataFrame, which needs", "pandas")
