"""What a user gave to build the net of, and one sentence where it cannot be used."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._messages import listed, shortened, written

TRAINABLE = (torch.float32, torch.float64)
"""What parameters can be learned in, and weights from their losses."""

TELLING = {
    *("Checkpoint", "TrainEndCheckpoint", "PrintLog", "EpochTable", "ProgressBar", "EpochBar"),
    *("TensorBoard", "MlflowLogger", "NeptuneLogger", "SacredLogger", "WandbLogger"),
}
"""Callbacks of skorch's and ours that only write or show something."""

LONE_ROW = "more than 1 value per channel"
"""What torch says of batch statistics of one row."""


def check_trainable(module: Any) -> None:
    """Raise if what was built is no module, or none that can be trained here.

    Raises
    ------
    TypeError
        If it is no module.
    ValueError
        If it is TorchScript, or has nothing to train.
    """
    name = f"The module {type(module).__name__}"
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name} is no torch.nn.Module: pass a class of one, or an instance.")
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ValueError(
            f"{name} is TorchScript, whose layers cannot be watched and which cannot be pickled. "
            "Pass the module that was scripted or traced."
        )
    parameters = list(module.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        state = "only frozen parameters" if parameters else "no parameters"
        raise ValueError(
            f"{name} has {state}: there is nothing to be trained. Give it some with "
            "requires_grad=True, those of its last layer at least."
        )
    dtypes = {parameter.dtype for parameter in parameters if parameter.requires_grad}
    unusable = [str(dtype) for dtype in dtypes - set(TRAINABLE)]
    if unusable:
        raise ValueError(
            f"{name} has parameters of {' and '.join(sorted(unusable))}: those that are trained "
            "must be of torch.float32 or torch.float64. For layers computed in bfloat16, pass "
            "mixed_precision='bfloat16'."
        )


def as_callbacks(callbacks: Any) -> Any:
    """Return callbacks as skorch takes them: a list, also of a single one.

    Raises
    ------
    ValueError
        If they are anything but callbacks of skorch, or pairs of a name and a callback.
    """
    if callbacks is None or (isinstance(callbacks, str) and callbacks == "disable"):
        return callbacks
    given = callbacks
    if _is_named_or_callback(callbacks):
        callbacks = [callbacks]
    if isinstance(callbacks, list | tuple):
        wrong = [callback for callback in callbacks if not _is_named_or_callback(callback)]
        if not wrong:
            return list(callbacks)
        given = wrong[0]
    raise ValueError(
        "callbacks must be a list of skorch's callbacks, or of pairs of a name and a callback, got "
        f"{shortened(given)}: pass e.g. [EarlyStopping(monitor='meta_loss')]."
    )


def _is_named_or_callback(callback: Any) -> bool:
    if isinstance(callback, tuple):
        return len(callback) == 2 and isinstance(callback[0], str) and _is_callback(callback[1])
    return _is_callback(callback)


def _is_callback(callback: Any) -> bool:
    is_class = isinstance(callback, type)
    return issubclass(callback, Callback) if is_class else isinstance(callback, Callback)


def refuse_unknown_callbacks(net: Any) -> None:
    """Raise a ValueError if ``callbacks__name`` names no callback of a net."""
    known = [name for name, *_ in net._yield_callbacks()]
    given = {name.split("__")[1] for name in vars(net) if name.startswith("callbacks__")}
    unknown = sorted(given - set(known))
    if unknown:
        raise ValueError(
            f"callbacks__{unknown[0]} names no callback: those of this net are {listed(known)}."
        )


def refuse_missing_monitor(net: Any, callback: Any, error: Exception) -> None:
    """Raise a ValueError if an error of a callback is that it watches no number of the history."""
    if not hasattr(callback, "monitor"):
        return
    monitor = callback.monitor
    epoch = net.history[-1] if len(net.history) else {}
    numbers = [name for name, value in epoch.items() if isinstance(value, Real)]
    is_reason = not isinstance(monitor, str) or monitor in epoch or monitor in str(error)
    if is_reason and not callable(monitor) and monitor not in numbers:
        names = [name for name in numbers if name not in ("epoch", "dur")]
        raise ValueError(
            f"{type(callback).__name__}(monitor={monitor!r}) watches what the history does not "
            f"have: pass e.g. monitor='meta_loss', or one of {', '.join(map(repr, names))}."
        ) from error


PARTS = ("module_", "criterion_", "optimizer_")
"""What a training is prepared for."""


def parts_of(net: Any) -> dict[str, Any]:
    """Return the module, the criterion and the optimiser of a net."""
    return {name: getattr(net, name) for name in PARTS}


def refuse_changed_parts(net: Any, before: dict[str, Any]) -> None:
    """Raise a ValueError if callbacks have replaced parts of a net, or frozen all of its module."""
    changed = [name for name, part in before.items() if getattr(net, name) is not part]
    if changed:
        name = changed[0].rstrip("_")
        raise ValueError(
            f"A callback has put another {name} into the net after the training was prepared for "
            f"the one before, e.g. with net.set_params({name}__...): leave the callback out, and "
            f"give the classifier {name} and {name}__*."
        )
    if not any(parameter.requires_grad for parameter in net.module_.parameters()):
        raise ValueError(
            "A callback has frozen all parameters of the module: there is nothing left to be "
            "trained. Let it leave some, those of the last layer at least."
        )


def only_tells(callback: Any) -> bool:
    """Whether one process is enough to run a callback."""
    return any(
        base.__name__ in TELLING and base.__module__.split(".")[0] in ("skorch", "skmetaweight")
        for base in type(callback).__mro__
    )


def refuse_loader(ranks: Ranks, iterator: Any, name: str) -> None:
    """Raise a ValueError if a loader of the user's would have to part its batches."""
    if ranks.size > 1:
        raise ValueError(
            f"{name}={written(iterator)} with options cannot be used in a fit on several "
            f"processes, which part the batches among them: leave out {name} and {name}__*."
        )


def refuse_lone_row(net: Any, error: Exception) -> None:
    """Raise a ValueError if an error is that batch statistics were asked of one row."""
    if LONE_ROW in str(error):
        raise ValueError(
            "BatchNorm cannot learn from a batch of one row: raise batch_size or meta_batch_size, "
            f"now {net.batch_size} and {net.meta_batch_size}, pass more rows at a time, or give a "
            "meta_share, by which trusted rows are in every batch."
        ) from error
