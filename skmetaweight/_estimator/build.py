"""From the classifier's parameters to a net and a device."""

from __future__ import annotations

import copy
import inspect
import os
from numbers import Integral
from typing import Any

import torch
from torch import nn

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._data.fit_data import FitData
from skmetaweight._data.unusual import warn_of_lost_digits
from skmetaweight._estimator.default_network import default_network_options, set_statistics
from skmetaweight._messages import listed, shortened, warn, written
from skmetaweight._tabular.modules import TabularMLP
from skmetaweight._training.building import as_callbacks
from skmetaweight._training.net import ReweightedNet
from skmetaweight._training.processes import are_several, own_gpu
from skmetaweight.reweighting import METHODS, Reweighter


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device to use; "auto" takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        If torch knows no such device, or there is none here.
    """
    if device != "auto":
        return _available(device)
    if torch.cuda.is_available():
        return own_gpu() if are_several() else torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _available(device: str | torch.device) -> torch.device:
    try:
        given = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is no device of torch's: pass 'auto', 'cpu', 'cuda', 'cuda:0' or "
            "'mps'."
        ) from error
    if given == torch.device("cuda") and are_several() and is_there(given):
        return own_gpu()
    if not is_there(given):
        raise ValueError(
            f"device={str(device)!r} is not available here with torch {torch.__version__}: pass "
            "device='auto', which takes what there is, or install a build of torch for it."
        )
    return given


def is_there(device: torch.device) -> bool:
    if device.type == "cpu":
        return True
    try:
        accelerator = torch.get_device_module(device)
        n_devices = accelerator.device_count() if accelerator.is_available() else 0
    except (RuntimeError, AttributeError):  # a kind that this build of torch cannot compute on
        return False
    return (device.index or 0) < n_devices


def build_net(
    estimator: Any,
    data: FitData,
    reweighter: Reweighter,
    device: torch.device,
    seed: int,
    ranks: Ranks,
    *,
    constant_lr: bool,
) -> ReweightedNet:
    """Build and initialise the net that an estimator's parameters describe."""
    _refuse_compilation(estimator)
    n_classes = len(data.classes)
    options = _net_options(estimator, data, seed)
    criterion = estimator.criterion
    if _takes_reduction(criterion):
        options.setdefault("criterion__reduction", "none")
    fuses = _can_fuse(estimator.optimizer, device, options)
    if fuses:
        options["optimizer__fused"] = True
    net = ReweightedNet(
        options.pop("module"),
        copy.deepcopy(criterion) if isinstance(criterion, nn.Module) else criterion,
        reweighter=reweighter,
        seed=seed,
        optimizer=estimator.optimizer,
        lr=estimator.lr,
        callbacks=as_callbacks(estimator.callbacks),
        verbose=estimator.verbose,
        device=device,
        classes=list(range(n_classes)),
        **of_each_fit(estimator, len(data.train.y), device, ranks),
        **options,
    )
    if constant_lr:
        net.lr_schedule = "constant"
    net.initialize()
    if fuses and any(getattr(layer, "sparse", False) for layer in net.module_.modules()):
        net.set_params(optimizer__fused=False)  # no fused step takes an embedding's sparse gradient
    net.build(n_classes)
    _warn_of_short_lookahead(net)
    if isinstance(net.module_, TabularMLP) and estimator.module is None:
        set_statistics(net.module_, data.train, estimator._table)
    elif net.parameter.dtype == torch.float32 and not net.embeds:
        warn_of_lost_digits(estimator, data.train.X)
    return net


def of_each_fit(estimator: Any, n_train: int, device: torch.device, ranks: Ranks) -> dict[str, Any]:
    """Return what a net is told anew in each fit, also in one that goes on."""
    batch_size = _batch_size(estimator.batch_size, n_train, ranks)
    return {
        "batch_size": batch_size,
        "meta_share": estimator.meta_share,
        "meta_batch_size": estimator.meta_batch_size or _meta_batch_size(estimator, batch_size),
        "lr_schedule": _lr_schedule(estimator.lr_schedule),
        "keep_best": estimator.early_stopping,
        "show_progress": estimator.show_progress,
        "checkpoint": None if estimator.checkpoint is None else os.fspath(estimator.checkpoint),
        "autocast_dtype": _autocast_dtype(estimator.mixed_precision, device),
    }


def _warn_of_short_lookahead(net: ReweightedNet) -> None:
    """Warn of the virtual SGD step of the length of another optimiser's learning rate."""
    reweighter = net.reweighter_
    follows = getattr(reweighter, "lookahead_lr", None) == "lr" and not reweighter.memory
    if follows and not isinstance(net.optimizer_, torch.optim.SGD):
        warn(
            'lookahead_lr="lr" makes the virtual step, which is one of SGD, as long as the '
            f"learning rate of {type(net.optimizer_).__name__}, {net.lr:g}. Published is that of "
            "SGD, 0.1 at first; a much shorter step tells weights apart less well. Pass "
            "method__lookahead_lr=0.1, or train with SGD (**PAPER_TRAINING).",
        )


def _refuse_compilation(estimator: Any) -> None:
    if estimator._net_params().get("compile"):
        raise ValueError(
            "compile=True cannot be used: a compiled backward pass runs only once, and reweighting "
            "goes through the training pass several times. Leave compile out."
        )


def _net_options(estimator: Any, data: FitData, seed: int) -> dict[str, Any]:
    """Return the module and the options that the user gave by prefix, which come first."""
    module, given = estimator.module, estimator._net_params()
    _refuse_options_of_instances(estimator, given)
    if _is_method(module):
        raise TypeError(
            f"module={written(module)} is a reweighting method: pass it as method=, or let module "
            "be a Module class or instance."
        )
    if module is None:
        return default_network_options(data, estimator._table, seed, given)
    module = copy.deepcopy(module) if isinstance(module, nn.Module) else module
    # Modules among its arguments would else be trained in place, and the next fit go on from there.
    arguments = {name: value for name, value in given.items() if name.startswith("module__")}
    return {**given, **copy.deepcopy(arguments), "module": module}


def _is_method(module: Any) -> bool:
    if isinstance(module, str):
        return module in METHODS
    return issubclass(module if isinstance(module, type) else type(module), Reweighter)


def _refuse_options_of_instances(estimator: Any, given: dict[str, Any]) -> None:
    """Raise a ValueError if a part is an instance, and has options with which to build another."""
    for name in ("module", "criterion"):
        part = getattr(estimator, name)
        options = [option for option in given if option.startswith(f"{name}__")]
        if isinstance(part, nn.Module) and options:
            raise ValueError(
                f"{options[0]}={shortened(given[options[0]])} is for a class, but {name} is an "
                f"instance of {type(part).__name__}, which is taken as it is: pass "
                f"{name}={type(part).__name__}, or leave out {listed(options)}."
            )


def _takes_reduction(criterion: Any) -> bool:
    return inspect.isclass(criterion) and "reduction" in _parameters_of(criterion)


def _parameters_of(made: Any) -> set[str]:
    """Return the names of what a class or a function takes; none if it does not tell."""
    try:
        return set(inspect.signature(made).parameters)
    except (TypeError, ValueError):
        return set()


def _batch_size(batch_size: int | str, n_train: int, ranks: Ranks) -> int:
    """Return the rows of a batch, those of all ranks."""
    if batch_size == "auto":
        return 64 if n_train < 1200 else 128 if n_train < 3500 else 256
    return n_train if batch_size == -1 else int(batch_size) * ranks.size


def _lr_schedule(lr_schedule: Any) -> str | tuple[int, ...]:
    if isinstance(lr_schedule, str):
        return lr_schedule
    milestones: Any = tuple(lr_schedule) if getattr(lr_schedule, "ndim", 1) else (None,)
    if not all(isinstance(m, Integral) and m is not True and int(m) > 0 for m in milestones):
        raise ValueError(
            "lr_schedule must be 'cosine', 'constant' or the epochs, from 1, after which the rate "
            f"is divided by ten; got {shortened(lr_schedule)}."
        )
    return tuple(map(int, milestones))


def _meta_batch_size(estimator: Any, batch_size: int) -> int:
    # Rows that share the training pass cost as much as training rows, and few do as well.
    return min(32, batch_size) if estimator.meta_share else batch_size


def _autocast_dtype(mixed_precision: str | None, device: torch.device) -> torch.dtype | None:
    if mixed_precision is None:
        return None
    can_do_it = device.type == "cpu" or (
        device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    if not can_do_it:
        raise ValueError(
            f"mixed_precision={mixed_precision!r} needs a CPU or a CUDA GPU with bfloat16, got "
            f"device {str(device)!r}: pass mixed_precision=None, or another device."
        )
    return torch.bfloat16


def _can_fuse(optimizer: Any, device: torch.device, options: dict[str, Any]) -> bool:
    """Whether the optimiser has one kernel for its step, and the user chose no other way."""
    rivals = {"fused", "foreach", "capturable", "differentiable"}
    return (
        device.type in ("cpu", "cuda")
        and "fused" in _parameters_of(optimizer)
        and not any(f"optimizer__{rival}" in options for rival in rivals)
    )
