"""From the classifier's parameters to a net, a device and a seeded block."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor, nn

from skmetaweight._bilevel.objective import Batch
from skmetaweight._data.batches import Rows
from skmetaweight._data.fit_data import FitData
from skmetaweight._data.unusual import warn_of_lost_digits
from skmetaweight._estimator.default_network import default_network_options, set_statistics
from skmetaweight._tabular.modules import TabularMLP
from skmetaweight._training.net import ReweightedNet
from skmetaweight.reweighting import Reweighter


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device to use; "auto" takes CUDA, then MPS, then the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fresh_or_given(random_state: Any) -> np.random.RandomState:
    """Return a RandomState that does not touch NumPy's global one."""
    if random_state is None:
        return np.random.RandomState(np.random.PCG64())
    return check_random_state(random_state)


@contextmanager
def gradients() -> Iterator[None]:
    """Compute gradients in a block, whatever the caller has switched off."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch for a block, and leave its global generators as they were found."""
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    cpu_state = torch.get_rng_state()
    device_state = accelerator.get_rng_state(device) if accelerator else None
    torch.default_generator.manual_seed(seed)
    try:
        if accelerator:
            accelerator.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(cpu_state)
        if accelerator:
            accelerator.set_rng_state(device_state, device)


def build_net(
    estimator: Any,
    data: FitData,
    reweighter: Reweighter,
    device: torch.device,
    seed: int,
    *,
    constant_lr: bool,
) -> ReweightedNet:
    """Build and initialise the net that an estimator's parameters describe."""
    _refuse_compilation(estimator)
    batch_size = _batch_size(estimator.batch_size, len(data.train.y))
    n_classes = len(data.classes)
    options = _net_options(estimator, data, seed)
    criterion = estimator.criterion
    if _takes_reduction(criterion):
        options.setdefault("criterion__reduction", "none")
    if _can_fuse(estimator.optimizer, device, options):
        options["optimizer__fused"] = True
    net = ReweightedNet(
        options.pop("module"),
        copy.deepcopy(criterion) if isinstance(criterion, nn.Module) else criterion,
        reweighter=reweighter,
        meta_share=estimator.meta_share,
        meta_batch_size=estimator.meta_batch_size or _meta_batch_size(estimator, batch_size),
        lr_schedule="constant" if constant_lr else _lr_schedule(estimator.lr_schedule),
        keep_best=estimator.early_stopping,
        show_progress=estimator.show_progress,
        autocast_dtype=_autocast_dtype(estimator.mixed_precision, device),
        seed=seed,
        optimizer=estimator.optimizer,
        lr=estimator.lr,
        batch_size=batch_size,
        callbacks=estimator.callbacks,
        verbose=estimator.verbose,
        device=device,
        classes=list(range(n_classes)),
        **options,
    )
    net.initialize()
    net.build(n_classes, draws_alone=type(net.module_) is TabularMLP)
    _warn_of_short_lookahead(net)
    if isinstance(net.module_, TabularMLP) and estimator.module is None:
        set_statistics(net.module_, data.train, estimator._table)
    elif net.parameter.dtype == torch.float32 and not net.embeds:
        warn_of_lost_digits(estimator, data.train.X)
    return net


def _warn_of_short_lookahead(net: ReweightedNet) -> None:
    """Warn of the virtual SGD step of the length of another optimiser's learning rate."""
    reweighter = net.reweighter_
    follows = getattr(reweighter, "lookahead_lr", None) == "lr" and not reweighter.memory
    if follows and not isinstance(net.optimizer_, torch.optim.SGD):
        warnings.warn(
            'lookahead_lr="lr" makes the virtual step, which is one of SGD, as long as the '
            f"learning rate of {type(net.optimizer_).__name__}, {net.lr:g}. Published is that of "
            "SGD, 0.1 at first; a much shorter step tells weights apart less well. Pass "
            "method__lookahead_lr=0.1, or train with SGD (**PAPER_TRAINING).",
            UserWarning,
            stacklevel=5,
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
    if module is None:
        return default_network_options(data, estimator._table, seed, given)
    return {"module": copy.deepcopy(module) if isinstance(module, nn.Module) else module, **given}


def _takes_reduction(criterion: Any) -> bool:
    return inspect.isclass(criterion) and "reduction" in inspect.signature(criterion).parameters


def _batch_size(batch_size: int | str, n_train: int) -> int:
    if batch_size == "auto":
        return 64 if n_train < 1200 else 128 if n_train < 3500 else 256
    return n_train if batch_size == -1 else int(batch_size)


def _lr_schedule(lr_schedule: Any) -> str | tuple[int, ...]:
    if isinstance(lr_schedule, str):
        return lr_schedule
    milestones = tuple(lr_schedule)
    if not all(isinstance(m, Integral) and m is not True and int(m) > 0 for m in milestones):
        raise ValueError(
            "lr_schedule must be 'cosine', 'constant' or the epochs, from 1, after which the rate "
            f"is divided by ten; got {lr_schedule!r}."
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
        and "fused" in inspect.signature(optimizer).parameters
        and not any(f"optimizer__{rival}" in options for rival in rivals)
    )


def check_components(net: ReweightedNet, rows: Rows, n_classes: int) -> None:
    """Raise if the module, the criterion or the optimiser cannot be used.

    Raises
    ------
    ValueError
        If the module's output is not (n, n_classes), the criterion does not give one loss per
        row, or the optimiser needs a closure.
    """
    closure = inspect.signature(type(net.optimizer_).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(net.optimizer_).__name__} needs a closure that evaluates the loss several "
            "times a step, which would repeat the weighting function's step. Use e.g. AdamW."
        )
    batch = rows.take(torch.arange(min(2, len(rows)), device=rows.device))
    net.module_.eval()
    with torch.no_grad():
        y_pred = _first_outputs(net, batch)
        expected = (batch.n_rows, n_classes)
        if not isinstance(y_pred, Tensor) or tuple(y_pred.shape) != expected:
            got = tuple(y_pred.shape) if isinstance(y_pred, Tensor) else type(y_pred).__name__
            raise ValueError(
                f"The module must return one column per class: expected shape {expected} for "
                f"{batch.n_rows} rows and {n_classes} classes, got {got}. A tensor of them, or an "
                "object with them as its logits."
            )
        losses = net.losses_(y_pred, batch.y)
    if isinstance(net.criterion_, nn.CrossEntropyLoss) and _are_probabilities(y_pred):
        warnings.warn(
            "The module's outputs look like probabilities, but CrossEntropyLoss takes logits "
            "and applies a softmax of its own. Remove the module's softmax, or pass "
            "criterion=torch.nn.NLLLoss, which takes probabilities as in skorch.",
            UserWarning,
            stacklevel=4,
        )
    if tuple(losses.shape) != (batch.n_rows,):
        raise ValueError(
            "The criterion must give one loss per row: expected shape "
            f"({batch.n_rows},), got {tuple(losses.shape)}. Pass the criterion's class, or an "
            f'instance with reduction="none", not {net.criterion!r}.'
        )


def _first_outputs(net: ReweightedNet, batch: Batch) -> Any:
    """Run the module for the first time.

    Raises
    ------
    ValueError
        If it raises anything but that memory is out: it cannot take what X holds.
    """
    try:
        return net.outputs(batch.X)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        X = batch.X if isinstance(batch.X, dict) else {"X": batch.X}
        given = ", ".join(f"{key} of {x.dtype} and shape {tuple(x.shape)}" for key, x in X.items())
        hint = (
            " The keys of X must be the arguments of its forward, and integers of a dict are not "
            "cast: pass numbers as floats."
            if X is batch.X
            else ""
        )
        raise ValueError(
            f"The module {type(net.module_).__name__} cannot take the first rows, {given}: "
            f"{type(error).__name__}: {error}.{hint}"
        ) from error


def _are_probabilities(y_pred: Tensor) -> bool:
    sums = y_pred.sum(dim=-1)
    return bool((y_pred >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
