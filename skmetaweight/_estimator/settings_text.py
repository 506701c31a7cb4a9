"""Settings as short texts that differ where the settings do, also in another process."""

from __future__ import annotations

import inspect
import sys
import zlib
from functools import partial
from operator import attrgetter
from pathlib import PurePath
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from skmetaweight._training.midway import checksum
from skmetaweight._training.values import OF_EVERY_MODULE, PARTS_OF_MODULES

PLAIN = (type(None), bool, int, float, complex, str, bytes)
"""What Python writes as it is."""

ALSO_PLAIN = (torch.dtype, torch.device, np.dtype, np.generic, np.ufunc, PurePath)


def text_of(value: Any, *, only_called: bool = False) -> str:
    """Write a setting by what it holds.

    Classes and functions that can be imported are written by their names; those of a script or a
    notebook, or made within functions, by code, closure and attributes. Other objects are written
    by class and attributes, or by class alone if they have none.

    Parameters
    ----------
    value : object
    only_called : bool, default=False
        Whether objects that cannot be called are written by their class alone.
    """
    return _Writer(only_called=only_called).text(value)


def name_of(value: Any) -> str:
    """Write a class or a function by its name, all else by that of its class."""
    made = value if _has_name(value) else type(value)
    return f"{made.__module__}.{made.__qualname__}"


class _Writer:
    """Writes each object once, also one that holds itself."""

    def __init__(self, *, only_called: bool) -> None:
        self._only_called = only_called
        self._known: dict[int, tuple[Any, str]] = {}  # holds the values, so that no id recurs

    def text(self, value: Any) -> str:
        if type(value) in PLAIN or isinstance(value, ALSO_PLAIN):
            return repr(value)
        if id(value) not in self._known:
            self._known[id(value)] = value, "..."
            self._known[id(value)] = value, self._written(value)
        return self._known[id(value)][1]

    def _written(self, value: Any) -> str:
        if isinstance(value, dict):
            return f"{{{', '.join(f'{self.text(k)}: {self.text(v)}' for k, v in value.items())}}}"
        if isinstance(value, list | tuple):
            items = ", ".join(map(self.text, value))
            return f"[{items}]" if isinstance(value, list) else f"({items})"
        if isinstance(value, set | frozenset):
            return f"{{{', '.join(sorted(map(self.text, value)))}}}"
        if isinstance(value, Tensor):
            kind = f"trained {value.dtype}" if value.requires_grad else str(value.dtype)
            if is_lazy(value):
                return f"{kind} not made yet"
            return f"{kind} {tuple(value.shape)}, checksum {checksum(value):08x}"
        if hasattr(value, "__array__"):
            values = np.asarray(value)
            held = values.tolist() if values.dtype.hasobject else values.tobytes()
            return f"{values.dtype} {values.shape}, checksum {self._checksum(held)}"
        content = None if _can_be_imported(value) else self._content(value)
        return name_of(value) + (f", checksum {self._checksum(content)}" if content else "")

    def _checksum(self, content: Any) -> str:
        return f"{zlib.crc32(self.text(content).encode()):08x}"

    def _content(self, value: Any) -> Any:
        """Return what an object consists of; nothing of what cannot be looked into."""
        if isinstance(value, CodeType):
            names = value.co_names, value.co_varnames, value.co_freevars
            return value.co_code, value.co_consts, *names
        if isinstance(value, FunctionType):
            cells = [c.cell_contents for c in value.__closure__ or () if c != CellType()]
            return value.__code__, value.__defaults__, value.__kwdefaults__, cells
        if isinstance(value, MethodType):
            return value.__func__, value.__self__
        if isinstance(value, partial):
            return value.func, value.args, value.keywords
        if isinstance(value, property):
            return value.fget, value.fset
        if isinstance(value, staticmethod | classmethod):
            return value.__func__
        if inspect.isclass(value):
            return value.__bases__, {k: v for k, v in vars(value).items() if _is_own(k, v)}
        if self._only_called and not callable(value):
            return None
        attributes = vars(value) if hasattr(value, "__dict__") else {}
        if isinstance(value, nn.Module):
            kept = (attributes.keys() - OF_EVERY_MODULE.keys()) | PARTS_OF_MODULES
            attributes = {name: v for name, v in attributes.items() if name in kept}
        return (type(value), attributes) if attributes else None


def _is_own(name: str, value: Any) -> bool:
    """Whether an attribute of a class is no bookkeeping of Python's."""
    return inspect.isroutine(value) or not name.startswith("__")


def _has_name(value: Any) -> bool:
    return isinstance(getattr(value, "__qualname__", None), str)


def _can_be_imported(made: Any) -> bool:
    module = sys.modules.get(getattr(made, "__module__", None) or "__main__")
    if not _has_name(made) or module is None or module.__name__ == "__main__":
        return False
    try:
        return attrgetter(made.__qualname__)(module) is made
    except AttributeError:
        return False
