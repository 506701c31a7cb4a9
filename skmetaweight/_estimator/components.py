"""Whether the module, the criterion and the optimiser go together, before any training."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.forward import copy_of_buffers, outputs_of
from skmetaweight._bilevel.objective import Batch
from skmetaweight._data.batches import Rows
from skmetaweight._messages import explained, first_line, listed, shortened, warn, written
from skmetaweight._training.building import refuse_lone_row
from skmetaweight._training.net import ReweightedNet
from skmetaweight.reweighting._function_based import FunctionBasedReweighter

FOR_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
"""Criteria of torch's that take one label for each row."""

CHANNELS = (1, 3, 4)
"""How many an image has: grey, colours, colours and transparency."""

UNUSED = -100
"""What torch has for ``ignore_index`` where nothing is ignored."""


def check_components(net: ReweightedNet, rows: Rows, n_classes: int) -> None:
    """Raise if the module, the criterion or the optimiser cannot be used.

    Raises
    ------
    ValueError
        If the module's output is not (n, n_classes), the criterion does not give one loss per
        row, or the optimiser needs a closure.
    TypeError
        If one of them cannot be called as it must be.
    """
    _check_optimizer(net.optimizer_, "optimizer", net.optimizer)
    if isinstance(net.reweighter_, FunctionBasedReweighter):
        made, given = net.reweighter_.network_optimizer_, net.reweighter_.optimizer
        _check_optimizer(made, "method__optimizer", given)
    n_rows = 3 if n_classes == 2 else 2  # else a loss of each output would pass for one of each row
    batch = rows.take(torch.arange(min(n_rows, len(rows)), device=rows.device))
    net.module_.eval()
    with torch.no_grad():
        said = f"cannot take rows of X, {_described(batch.X)}"
        with explained("module", net.module, said, _cure(net.module_, batch.X)):
            y_pred = net.outputs(batch.X)
        _check_outputs(y_pred, batch, n_classes)
        _check_criterion(net, y_pred, batch)
        _check_nonlinearity(net, y_pred)


def _described(X: Any) -> str:
    """Return the dtypes and shapes of what a module is given, and what its keys must be."""
    parts = X if isinstance(X, dict) else {"X": X}
    given = ", ".join(f"{key} of {x.dtype} and shape {tuple(x.shape)}" for key, x in parts.items())
    if parts is not X:
        return given
    return f"{given} (keys must be the arguments of its forward, and integers are not cast)"


def _cure(module: nn.Module, X: Any) -> str:
    """Return what turns images into those that torch's convolutions take, if that is missing."""
    if isinstance(X, Tensor) and any(isinstance(part, nn.Conv2d) for part in module.modules()):
        if X.ndim == 3:
            return "Convolutions take images of channels, height and width: pass X[:, None]."
        if X.ndim == 4 and X.shape[-1] in CHANNELS:
            return "Convolutions take the channels of images first: pass X.transpose(0, 3, 1, 2)."
    return ""


def check_smallest_batch(net: ReweightedNet, rows: Rows) -> None:
    """Raise a ValueError if training would ask batch statistics of one row."""
    if net.meta_share or not (net.batch_size == 1 or len(rows) == 1):
        return
    batch = rows.take(torch.arange(1, device=rows.device))
    state = copy_of_buffers(net.module_)
    try:
        with torch.no_grad():
            outputs_of(net.module_.train(), batch.X, net.autocast_dtype, state)
    except ValueError as error:
        refuse_lone_row(net, error)
        raise


def _check_optimizer(made: object, name: str, given: Any) -> None:
    if not isinstance(made, torch.optim.Optimizer):
        raise ValueError(
            f"{name}={written(given)} makes no optimiser of torch's, but {type(made).__name__}: "
            "pass a class such as torch.optim.AdamW."
        )
    closure = inspect.signature(type(made).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{name}={type(made).__name__} needs a closure that evaluates the loss several times a "
            "step, which would repeat the weighting function's step. Use e.g. AdamW."
        )


def _check_outputs(y_pred: object, batch: Batch, n_classes: int) -> None:
    expected = (batch.n_rows, n_classes)
    if not isinstance(y_pred, Tensor) or tuple(y_pred.shape) != expected:
        is_tensor = isinstance(y_pred, Tensor)
        got = tuple(y_pred.shape) if is_tensor else type(y_pred).__name__
        cure = "" if is_tensor else ": let it return a tensor, or an object with logits"
        raise ValueError(
            f"The module must return one column per class: expected shape {expected} for "
            f"{batch.n_rows} rows and {n_classes} classes, got {got}{cure}."
        )
    if not y_pred.is_floating_point():
        raise ValueError(
            f"The module must return real floating-point numbers, got {y_pred.dtype}: let it end "
            "in those of its numbers that are real, or in their modulus."
        )
    if not y_pred.isfinite().all():
        raise ValueError(
            "The module returns NaN or infinite numbers before any training: check its first "
            "parameters, and X for NaN and for values that are very large."
        )


def _check_nonlinearity(net: ReweightedNet, y_pred: Tensor) -> None:
    given: Any = net.predict_nonlinearity
    is_auto = isinstance(given, str) and given == "auto"
    if not (given is None or is_auto or callable(given)):
        raise ValueError(
            f"predict_nonlinearity must be a callable, 'auto' or None, got {shortened(given)}."
        )
    said = "cannot take the outputs of the module"
    with explained("predict_nonlinearity", given, said, "Pass e.g. torch.nn.Softmax(dim=-1)."):
        returned: Any = net._get_predict_nonlinearity()(y_pred.double())
    shape = tuple(returned.shape) if isinstance(returned, Tensor) else type(returned).__name__
    if shape != tuple(y_pred.shape) or returned.isnan().any():
        got = "NaN" if shape == tuple(y_pred.shape) else shape
        raise ValueError(
            f"predict_nonlinearity={written(given)} must turn outputs of shape "
            f"{tuple(y_pred.shape)} into a tensor of probabilities of that shape, got {got}: pass "
            "e.g. torch.nn.Softmax(dim=-1), or 'auto'."
        )


def _check_criterion(net: ReweightedNet, y_pred: Tensor, batch: Batch) -> None:
    name = written(net.criterion)
    is_distribution = _are_probabilities(y_pred)
    if isinstance(net.criterion_, nn.CrossEntropyLoss) and is_distribution:
        warn(
            "The module's outputs look like probabilities, but CrossEntropyLoss takes logits "
            "and applies a softmax of its own. Remove the module's softmax, or pass "
            "criterion=torch.nn.NLLLoss, which takes probabilities as in skorch.",
        )
    if isinstance(net.criterion_, nn.NLLLoss) and not is_distribution:
        wrong = "are negative" if (y_pred < 0).any() else "do not sum to one"
        raise ValueError(
            "criterion=NLLLoss takes probabilities, as in skorch, but the module's outputs "
            f"{wrong}: pass criterion=torch.nn.CrossEntropyLoss for logits, or let the module end "
            "in a softmax."
        )
    said = (
        f"criterion={name} gives no loss for outputs of shape {tuple(y_pred.shape)} and a label "
        "for each row"
    )
    of_torch = type(net.criterion_).__module__ == nn.MSELoss.__module__
    if of_torch and not isinstance(net.criterion_, FOR_CLASSES):  # some broadcast, with a warning
        raise ValueError(
            f"{said}: pass a criterion for classes, such as torch.nn.CrossEntropyLoss."
        )
    try:
        losses = net.losses_(y_pred, batch.y)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(
            f"{said}: {first_line(error)}. Check its criterion__* parameters, and that it is for "
            "classes."
        ) from error
    _check_losses(losses, name, batch)
    _check_counts_of_classes(net.criterion_, name)


def _check_counts_of_classes(criterion: Any, name: str) -> None:
    """Raise a ValueError if a criterion would leave rows out, or count absurdly."""
    if getattr(criterion, "ignore_index", UNUSED) != UNUSED:
        raise ValueError(
            f"criterion={name} has ignore_index={criterion.ignore_index}, but labels reach it as "
            "their places in classes_: drop the rows that are to be ignored, from X and y."
        )
    smoothing = criterion.label_smoothing if isinstance(criterion, nn.CrossEntropyLoss) else 0
    if not 0 <= smoothing <= 1:
        raise ValueError(
            f"criterion={name} has label_smoothing={shortened(smoothing)}: pass a number from 0 to "
            "1."
        )
    weight: Any = dict(criterion.named_buffers()).get("weight")
    if weight is not None and not (weight.isfinite().all() and weight.min() >= 0 < weight.max()):
        raise ValueError(
            f"criterion={name} has weight={listed(weight)}: what classes count must be finite and "
            "not negative, and not all zero. See also class_weight."
        )


def _check_losses(losses: object, name: str, batch: Batch) -> None:
    got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
    if isinstance(losses, Tensor) and got == (batch.n_rows,):
        if not losses.isfinite().all():
            raise ValueError(
                f"criterion={name} gives losses {listed(losses)} before any training: check its "
                "criterion__* parameters."
            )
        return
    cure = (
        'Pass the criterion\'s class, or an instance with reduction="none"'
        if got == ()
        else "Pass a criterion for classes, such as torch.nn.CrossEntropyLoss"
    )
    raise ValueError(
        "The criterion must give one loss per row: expected shape "
        f"({batch.n_rows},), got {got}. {cure}, not {name}."
    )


def _are_probabilities(y_pred: Tensor) -> bool:
    sums = y_pred.sum(dim=-1)
    return bool((y_pred >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
