"""What makes a fit the one it is: its parameters and its data, as short texts."""

from __future__ import annotations

import inspect
import zlib
from typing import Any

import numpy as np
import scipy.sparse as sp

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._data.dataset_rows import DatasetRows
from skmetaweight._data.fit_data import FitData
from skmetaweight._estimator.file_content import versions
from skmetaweight._estimator.resumption import settings_of
from skmetaweight._estimator.settings_text import name_of, text_of
from skmetaweight._messages import listed
from skmetaweight._training.building import as_callbacks
from skmetaweight._training.checkpoint import FitCheckpoint
from skmetaweight._training.midway import checksum

WITHOUT_EFFECT = {"checkpoint", "warm_start", "verbose", "show_progress", "callbacks"}
"""Parameters with which a fit is still the same; callbacks are described apart."""


def repeatable_fit(estimator: Any, data: FitData, seed: int, ranks: Ranks) -> dict[str, str]:
    """Describe a fit that can be run again, on any number of processes.

    Raises
    ------
    ValueError
        If no random state was given: the same fit would be another one.
    """
    if estimator.random_state is None:
        raise ValueError(
            "A checkpoint needs a random_state, without which the same fit would draw other "
            "numbers when it is to go on: pass e.g. random_state=0."
        )
    described = described_fit(estimator, data, seed)
    if ranks.size > 1 and estimator.batch_size not in ("auto", -1):
        described["batch_size"] = text_of(estimator.batch_size * ranks.size)
    return described


def described_fit(estimator: Any, data: FitData, seed: int) -> dict[str, str]:
    """Return the parameters and the data of a fit as short texts by name."""
    settings = {name: v for name, v in settings_of(estimator).items() if name not in WITHOUT_EFFECT}
    train, meta = data.train, data.meta
    return {
        **{name: text_of(value) for name, value in settings.items()},
        "random_state": f"seed {seed}",
        "callbacks": _of_callbacks(as_callbacks(estimator.callbacks)),
        "classes": listed(data.classes),
        "X": _of_data(train.X),
        "y": _of_data(train.y),
        "sample_weight": _of_data(train.sample_weight),
        "trusted X": _of_data(meta.X),
        "trusted y": _of_data(meta.y),
        "skmetaweight": versions()["skmetaweight"],
    }


def common_to_ranks(estimator: Any, data: FitData, seed: int, net: Any) -> dict[str, str]:
    """Return what is the same in all processes of a fit."""
    described = described_fit(estimator, data, seed)
    del described["device"]
    first = f"checksum {checksum(net.module_.state_dict()):08x}"
    return {**described, "first parameters of the module": first}


def _of_callbacks(callbacks: Any) -> str:
    """Write callbacks by their classes and what these were given.

    Their code may be mended before a fit goes on, and the run that a logger was given is another.
    """
    if not isinstance(callbacks, list):
        return repr(callbacks)
    each = [named[1] if isinstance(named, tuple) else named for named in callbacks]
    written = [
        _of_callback(callback) for callback in each if not isinstance(callback, FitCheckpoint)
    ]
    return f"[{', '.join(written)}]"


def _of_callback(callback: Any) -> str:
    if inspect.isclass(callback):
        return name_of(callback)
    known = inspect.signature(type(callback)).parameters
    takes_more = any(each.kind is each.VAR_KEYWORD for each in known.values())  # as LRScheduler
    given = [
        f"{name}={text_of(value, only_called=True)}"
        for name, value in vars(callback).items()
        if (value is not known[name].default if name in known else takes_more and name[-1] != "_")
    ]
    return f"{type(callback).__name__}({', '.join(given)})"


def _of_data(values: Any) -> str:
    """Write how many and which values there are; of what is not in memory, only how many."""
    if values is None:
        return "None"
    if isinstance(values, dict):
        return ", ".join(f"{name}: {_of_data(part)}" for name, part in values.items())
    if isinstance(values, DatasetRows):
        return f"{len(values)} items"
    if sp.issparse(values):
        parts = [values.data, values.indices, values.indptr]
        return f"{values.dtype} {values.shape}, checksum {_checksum(*parts):08x}"
    described = f"{values.dtype} {tuple(values.shape)}"
    is_on_disk = isinstance(values, np.memmap)
    return described if is_on_disk else f"{described}, checksum {_checksum(np.asarray(values)):08x}"


def _checksum(*arrays: Any) -> int:
    so_far = 0
    for array in arrays:
        so_far = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, so_far)
    return so_far
