"""Single values that JSON lacks, such as times and intervals, as a few that it has, and back."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import Any


def parts_of(value: Any) -> list[Any] | None:
    """Return the kind of a value and what makes it, or None if it is of no kind known here."""
    kind = type(value).__name__
    if type(value) in (bytes, Decimal):
        return [kind, value.hex() if isinstance(value, bytes) else str(value)]
    if type(value).__module__.partition(".")[0] != "pandas":
        return None
    taken = {
        "Timestamp": lambda: [value.isoformat(), value.unit, value.tz and str(value.tz)],
        "Timedelta": lambda: [value.isoformat(), value.unit],
        "Period": lambda: [value.ordinal, value.freqstr],
        "Interval": lambda: [value.left, value.right, value.closed],
        "NaTType": list,
        "NAType": list,
    }.get(kind)
    return None if taken is None else [kind, *taken()]


def scalar_of(kind: str, *parts: Any) -> Any:
    """Return the value of :func:`parts_of`.

    Raises
    ------
    Exception
        Of whatever kind, if they are none of its parts.
    """
    if kind in ("bytes", "Decimal"):
        return {"bytes": bytes.fromhex, "Decimal": Decimal}[kind](*parts)
    pd = importlib.import_module("pandas")
    return {
        "Timestamp": lambda text, unit, tz: (
            pd.Timestamp(text) if tz is None else pd.Timestamp(text).tz_convert(tz)
        ).as_unit(unit),
        "Timedelta": lambda text, unit: pd.Timedelta(text).as_unit(unit),
        "Period": lambda ordinal, freq: pd.Period(ordinal=ordinal, freq=freq),
        "Interval": pd.Interval,
        "NaTType": lambda: pd.NaT,
        "NAType": lambda: pd.NA,
    }[kind](*parts)
