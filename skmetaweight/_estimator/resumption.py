"""A fit that goes on: which changed settings take effect, and which cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._data.containers import open_X
from skmetaweight._data.validation import unfitted_table
from skmetaweight._estimator.build import of_each_fit, resolve_device
from skmetaweight._estimator.fitted_state import twin
from skmetaweight._training.building import as_callbacks
from skmetaweight._training.net import ReweightedNet
from skmetaweight.reweighting import METHODS

OF_EACH_FIT = {
    *("max_epochs", "meta_size", "class_weight", "robust_meta_loss", "warm_start", "random_state"),
    *("lr", "lr_schedule", "meta_share", "meta_batch_size", "batch_size", "early_stopping"),
    *("callbacks", "mixed_precision", "verbose", "show_progress", "predict_nonlinearity"),
    *("iterator_train", "iterator_valid", "temperature", "class_smoothing", "checkpoint"),
}
"""Parameters that a fit that goes on takes as they are now."""

PREFIXES_OF_EACH_FIT = ("iterator_train__", "iterator_valid__", "callbacks__")

ABSENT = object()


def settings_of(estimator: Any) -> dict[str, Any]:
    """Return all parameters, those of the method by prefix."""
    method = estimator.method
    method = METHODS[method]() if isinstance(method, str) else method
    params = {
        **{f"method__{name}": value for name, value in method.get_params(deep=False).items()},
        **estimator.get_params(deep=False),
        "method": type(method),
        "device": resolve_device(estimator.device),
    }
    return {name: list(v) if isinstance(v, list) else v for name, v in params.items()}


def check_goes_on(estimator: Any, X: Any) -> list[str]:
    """Return the names of the settings that changed since the last fit, which X goes on from.

    Raises
    ------
    ValueError
        If a setting was changed that cannot change between fits that go on, or the training state
        was left behind.
    """
    if not estimator.net_.can_go_on_:
        raise ValueError(
            "No fit can go on from this classifier: it was saved or pickled without its training "
            "state. Save it with training_state=True, pickle it with warm_start=True, or fit anew "
            "with warm_start=False."
        )
    net, settings = estimator.net_, settings_of(estimator)
    changed = _changed(net.settings_, settings)
    if "categorical_features" in changed and _takes_same_categories(estimator, X):
        changed.remove("categorical_features")
    fixed = [name for name in changed if not _can_change(name, net, settings)]
    if fixed:
        raise ValueError(
            f"{', '.join(sorted(fixed))} cannot change between fits that go on (warm_start, "
            "partial_fit): what was learned belongs to the old setting. Set it back, or fit anew "
            "with warm_start=False."
        )
    return changed


def continued(
    estimator: Any, changed: list[str], n_train: int, seed: int, ranks: Ranks, *, constant_lr: bool
) -> ReweightedNet:
    """Copy the net of the last fit, with the settings that the estimator has now."""
    net, settings = twin(estimator.net_), settings_of(estimator)
    for name in changed:
        if name == "lr" or name.startswith("optimizer__"):
            net.set_params(**{name: settings[name]})  # in all groups of parameters
        elif name in vars(net) or name.startswith(PREFIXES_OF_EACH_FIT):
            value = settings[name]
            setattr(net, name, as_callbacks(value) if name == "callbacks" else value)
    for name, value in of_each_fit(estimator, n_train, net.parameter.device, ranks).items():
        setattr(net, name, value)
    if any(name.startswith(("callbacks", "show_progress", "checkpoint")) for name in changed):
        net._initialize_callbacks()
    net.seed = seed
    net.settings_ = settings
    if constant_lr:
        net.lr_schedule = "constant"
    return net


def _can_change(name: str, net: ReweightedNet, settings: dict[str, Any]) -> bool:
    if name.startswith("optimizer__"):
        option = name.removeprefix("optimizer__")
        return name in settings and all(option in group for group in net.optimizer_.param_groups)
    if name.startswith(PREFIXES_OF_EACH_FIT):
        return name in settings
    return name in OF_EACH_FIT


def _takes_same_categories(estimator: Any, X: Any) -> bool:
    """Whether the columns of X that hold categories now are those of the last fit."""
    before, now = estimator._table, unfitted_table(estimator, open_X(estimator, X))
    return now is None or now.categorical == before.categorical


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = before.keys() | now.keys()
    return [name for name in names if not _same(before.get(name, ABSENT), now.get(name, ABSENT))]


def _same(one: Any, other: Any) -> bool:
    """Whether two settings are equal, arrays and tensors in them by what they hold."""
    one, other = (list(value) if isinstance(value, tuple) else value for value in (one, other))
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, Tensor | np.ndarray):
        is_alike = one.shape == other.shape and one.dtype == other.dtype
        return is_alike and bool((one == other).all())
    try:
        return bool(np.all(one == other))
    except (TypeError, ValueError, RuntimeError):  # of objects that cannot be compared
        return False
