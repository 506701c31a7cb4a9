"""All that a net has learned as plain values, and a net that goes on from them."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from skorch import NeuralNet
from torch import Tensor, nn

from skmetaweight._bilevel.alignments import Alignments
from skmetaweight._bilevel.last_layer import find_head
from skmetaweight._bilevel.objective import Objective
from skmetaweight._bilevel.stage import Stage
from skmetaweight._messages import listed
from skmetaweight._training.archive import FileError
from skmetaweight._training.midway import counts_of, placed
from skmetaweight._training.net import ReweightedNet
from skmetaweight.reweighting import Reweighter

DEFAULTS = {name: p.default for name, p in inspect.signature(NeuralNet.__init__).parameters.items()}


def arguments_of(net: ReweightedNet, *, training: bool) -> dict[str, Any]:
    """Return what a net was made of, but for its device and, if it is not to train, optimiser."""
    apart = {"train_split", "device"}
    return {
        name: value
        for name, value in vars(net).items()
        if not name.startswith("_")
        and not name.endswith("_")
        and name not in apart
        and value is not DEFAULTS.get(name, inspect.Parameter.empty)
        and (training or name.partition("__")[0] != "optimizer")
    }


def learned_state(net: ReweightedNet, *, rows: bool, training: bool) -> dict[str, Any]:
    """Return what a net has learned, by the parts of a file.

    Parameters
    ----------
    net : ReweightedNet
    rows : bool
        Whether what is known of single rows is among it.
    training : bool
        Whether a training can go on from it.
    """
    reweighter = net.reweighter_
    state = reweighter.state_dict()
    psi_optimizer = state.pop("optimizer", None)
    if not training:
        del state["last_layer"]  # running means of the gradients of trusted rows
    if not (rows or training):
        state = _of_no_row(reweighter, state)
    parts: dict[str, Any] = {
        "module": dict(net.module_.state_dict(keep_vars=True)),
        "weighting": {"counts": counts_of(reweighter), "state": state},
        "fitted": {"counts": counts_of(net), "history": history_of(net, batches=training)},
    }
    if rows and reweighter.compares_new_rows and net.meta_rows_ is not None:
        parts["rows"] = {"trusted": trusted_rows(net)}
    if training:
        parts["training"] = {"optimizer": net.optimizer_.state_dict(), "weighting": psi_optimizer}
    return parts


def history_of(net: ReweightedNet, *, batches: bool) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in epoch.items() if batches or name != "batches"}
        for epoch in net.history
    ]


def _of_no_row(reweighter: Reweighter, state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what has a number for each row; quantiles stand for a memory."""
    of_each = (reweighter.n_rows_,)
    kept = {k: v for k, v in state.items() if getattr(v, "shape", None) != of_each}
    if "memory" in kept:
        kept["memory"] = {**kept["memory"], "values": reweighter.memory_.quantiles()}
    return kept


def trusted_rows(net: ReweightedNet) -> dict[str, Any]:
    """Return the trusted rows and what their loss is, for alignments with them."""
    everything = torch.arange(len(net.meta_rows_), device=net.meta_rows_.device)
    batch, objective = net.meta_rows_.evaluation.dense().take(everything), net.objective_
    return {
        "X": batch.X,
        "y": batch.y,
        "class_weight": objective.meta_class_weight,
        "robustness": objective.meta_robustness,
    }


class NoOptimizer:
    """Stands in where nothing is to be trained: torch's own take seconds to be imported."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def restored_net(
    arguments: dict[str, Any], parts: dict[str, Any], n_classes: int, device: torch.device
) -> ReweightedNet:
    """Build the net of :func:`arguments_of` and :func:`learned_state`.

    Without a training state, its optimisers can do nothing.

    Raises
    ------
    FileError
        If its module is not the one that learned.
    """
    can_go_on = "training" in parts
    reweighter = arguments["reweighter"]
    if not can_go_on:
        idle = copy.copy(reweighter)
        vars(idle).update(optimizer=NoOptimizer)
        arguments = {**arguments, "reweighter": idle, "optimizer": NoOptimizer}
    net = ReweightedNet(**arguments, device=device)
    net.initialize()
    if isinstance(net.module, type):
        _take_dtype(net.module_, parts["module"])
    check_same_parameters(net.module_, parts["module"])
    net.module_.load_state_dict(parts["module"])
    net.module_.eval()
    net.build(n_classes)
    net.reweighter = reweighter
    vars(net).update(parts["fitted"]["counts"])
    net.history.extend({"batches": [], **epoch} for epoch in parts["fitted"]["history"])
    _restore_reweighter(net.reweighter_, parts["weighting"])
    _restore_trusted_rows(net, parts.get("rows", {}).get("trusted"))
    net.can_go_on_ = can_go_on
    if can_go_on:
        net.optimizer_.load_state_dict(parts["training"]["optimizer"])
        if parts["training"]["weighting"] is not None:
            psi = {**net.reweighter_.state_dict(), "optimizer": parts["training"]["weighting"]}
            net.reweighter_.load_state_dict(psi)
    return net


def _restore_reweighter(reweighter: Reweighter, learned: dict[str, Any]) -> None:
    reweighter.n_rows_ = 0  # a file says how many there are, and memory is cheap to ask for
    reweighter._forget_rows()
    state = placed(learned["state"], reweighter.like_.device)
    reweighter.load_state_dict({**reweighter.state_dict(), **state})
    vars(reweighter).update(learned["counts"])


def _restore_trusted_rows(net: ReweightedNet, trusted: dict[str, Any] | None) -> None:
    net.meta_rows_ = None  # pyright: ignore[reportAttributeAccessIssue]
    if trusted is None:
        return
    net.meta_rows_ = net.make_rows(trusted["X"], trusted["y"])
    few = net.meta_rows_.take(torch.arange(min(2, len(net.meta_rows_)), device=net.device))
    weight = trusted["class_weight"]
    net.objective_ = Objective(
        net.losses_,
        net.meta_share,
        None if weight is None else weight.to(net.device),
        trusted["robustness"],
        stage=Stage(net.meta_share),
        head=find_head(net.module_, few.X),
        autocast_dtype=net.autocast_dtype,
    )
    net.reweighter_.objective_ = net.objective_
    net.reweighter_.alignments_ = Alignments()


def _take_dtype(module: nn.Module, learned: dict[str, Tensor]) -> None:
    """Give a module that was built now the floating dtype that torch had by default then."""
    dtypes = {value.dtype for value in learned.values() if value.is_floating_point()}
    if len(dtypes) == 1:
        module.to(dtypes.pop())


def check_same_parameters(module: nn.Module, learned: dict[str, Tensor]) -> None:
    """Raise a FileError if a module has not the names, shapes and dtypes of what was learned."""
    has = {name: _described(value) for name, value in module.state_dict().items()}
    needs = {name: _described(value) for name, value in learned.items()}
    if has == needs:
        return
    differing = [name for name in has.keys() | needs.keys() if has.get(name) != needs.get(name)]
    first = min(differing)
    raise FileError(
        f"The module {type(module).__name__} is not the one that was saved: they differ in "
        f"{listed(sorted(differing))}; {first} is {has.get(first, 'absent')} there and "
        f"{needs.get(first, 'absent')} in the file. Pass the module that was trained."
    )


def _described(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
