"""What callbacks of skorch's, and of a user's, have come to in the middle of a training."""

from __future__ import annotations

import inspect
from typing import Any

from skorch.callbacks import Callback

from skmetaweight._training.values import UnwritableError, ValueWriter

OF_SKORCH = {"skorch", "skmetaweight"}
"""Packages of whose callbacks nothing is needed but what can be written."""


def callbacks_with_more(net: Any) -> list[str]:
    """Return the names of a user's callbacks that have more state than can be written."""
    return [
        name
        for name, callback in net.callbacks_
        if type(callback).__module__.partition(".")[0] not in OF_SKORCH
        and not all(map(_is_known, _attributes(callback).values()))
    ]


def state_of_callback(callback: Any) -> dict[str, Any]:
    """Return what a callback says it is or, of one that does not, what its attributes are."""
    if _has_state(callback):
        return {"itself": callback.state_dict()}
    attributes = _attributes(callback)
    parts = {name: value.state_dict() for name, value in attributes.items() if _has_state(value)}
    return {
        "attributes": {n: v for n, v in attributes.items() if n not in parts and _is_writable(v)},
        "parts": {
            name: {n: v for n, v in state.items() if _is_writable(v)}  # all else is constant
            for name, state in parts.items()
        },
    }


def restore_callback(callback: Any, state: dict[str, Any]) -> None:
    """Put a callback where :func:`state_of_callback` found it."""
    if "itself" in state:
        callback.load_state_dict(state["itself"])
        return
    vars(callback).update(state["attributes"])
    for name, kept in state["parts"].items():
        part = getattr(callback, name)
        part.load_state_dict({**part.state_dict(), **kept})


def _attributes(callback: Callback) -> dict[str, Any]:
    """Return the attributes of a callback, but for those that it was built with."""
    given = inspect.signature(type(callback)).parameters
    own = {} if _has_state(callback) else vars(callback)
    return {name: value for name, value in own.items() if name not in given}


def _has_state(value: Any) -> bool:
    has_both = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
    return has_both and not inspect.isclass(value)


def _is_known(value: Any) -> bool:
    return (
        _has_state(value)
        or inspect.isroutine(value)
        or inspect.isclass(value)
        or inspect.ismodule(value)
        or _is_writable(value)
    )


def _is_writable(value: Any) -> bool:
    try:
        ValueWriter({}).write(value, "")
    except UnwritableError:
        return False
    return True
