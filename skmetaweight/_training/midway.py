"""All that a training has come to after an epoch, and a training that goes on from it."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from skmetaweight._training.callback_state import restore_callback, state_of_callback
from skmetaweight.reweighting import Reweighter
from skmetaweight.reweighting._weighting import WeightingFunction

PARTS = ("parameters", "optimizer", "weighting", "generators", "progress", "record", "callbacks")

COUNTS = (bool, int, float, str, set, tuple)
"""What is written of attributes that end in an underscore; all else has a place of its own."""

PROGRESS = {
    "best_": ("epoch", "_lowest", "_state"),
    "log_": ("_weights_before",),
    "meta_batches_": ("_order",),
    "schedule_": ("n_begun",),
    "stage_": ("share",),
}
"""What an epoch moves on of the parts that a training has while it runs."""

NUMBERS = {int: torch.int64, float: torch.float64}

NET_PROGRESS = ("n_batches_", "n_epochs_", "noise_evidence_")


def state_of(net: Any, history: list[dict[str, Any]], drawn: list[list[Tensor]]) -> dict[str, Any]:
    """Return all that a training needs to go on after an epoch, by the :data:`PARTS` of a file.

    Parameters
    ----------
    net : ReweightedNet
    history : list of dict
        The history of the net, :func:`in_columns`.
    drawn : list of list of Tensor
        The states of the :func:`generators_of` the net in each process of the fit.
    """
    confirmation = net.confirmation_
    progress = {
        part: {name: getattr(getattr(net, part), name) for name in names}
        for part, names in PROGRESS.items()
    }
    return {
        **start_of(net),
        "generators": drawn,
        "progress": {
            **progress,
            "net": {name: getattr(net, name) for name in NET_PROGRESS},
            "evidence": None if confirmation is None else confirmation.evidence,
            "diagnostics": net.diagnostics_,
        },
        "record": {
            "history": history,
            "snapshots": [_without_network(function) for function in net.snapshots_],
        },
        "callbacks": {name: state_of_callback(each) for name, each in net.callbacks_},
    }


def start_of(net: Any) -> dict[str, Any]:
    """Return those of the parts by which two trainings that begin are told apart."""
    module, reweighter = net.module_, net.reweighter_
    saved = module.state_dict()
    return {
        "parameters": {
            "module": saved,
            "transient": {n: b for n, b in module.named_buffers() if n not in saved},
            "trained": {name: p.requires_grad for name, p in module.named_parameters()},
            "criterion": net.criterion_.state_dict(),
        },
        "optimizer": net.optimizer_.state_dict(),
        "weighting": {
            "state": reweighter.state_dict(),
            "counts": counts_of(reweighter),
            "alignments": vars(reweighter.alignments_),
        },
    }


def checksum(value: Any) -> int:
    """Return a number that tells tensors in dictionaries and sequences apart."""
    so_far = 0
    for tensor in _tensors_in(value):
        plain = tensor.detach().cpu().contiguous().flatten()
        plain = plain.as_strided(plain.shape, (1,))  # one that is empty may have a stride of zero
        so_far = zlib.crc32(plain.view(torch.uint8).numpy().data, so_far)
    return so_far


def go_on(net: Any, state: dict[str, Any]) -> None:
    """Put a training that begins where :func:`state_of` found it."""
    _restore_parameters(net, state["parameters"])
    net.optimizer_.load_state_dict(state["optimizer"])
    _restore_weighting(net.reweighter_, state["weighting"])
    _restore_generators(net, state["generators"])
    progress = state["progress"]
    for part in PROGRESS:
        for name, value in placed(progress[part], net.parameter.device).items():
            setattr(getattr(net, part), name, value)
    vars(net).update(progress["net"])
    net.diagnostics_ |= progress["diagnostics"]
    if progress["evidence"] is None:
        net.confirmation_ = None
    else:
        net.confirmation_.evidence = progress["evidence"]
    net.history[:] = [_in_rows(epoch) for epoch in state["record"]["history"]]
    network = getattr(net.reweighter_, "network_", None)
    net.snapshots_[:] = [_with_network(each, network) for each in state["record"]["snapshots"]]
    for name, callback in net.callbacks_:
        if name in state["callbacks"]:  # a bar may be new
            restore_callback(callback, state["callbacks"][name])


def _restore_parameters(net: Any, state: dict[str, Any]) -> None:
    net.module_.load_state_dict(state["module"])
    net.criterion_.load_state_dict(state["criterion"])
    for name, buffer in net.module_.named_buffers():
        if name in state["transient"]:
            buffer.copy_(state["transient"][name])
    for name, parameter in net.module_.named_parameters():
        parameter.requires_grad_(state["trained"][name])


def _restore_weighting(reweighter: Reweighter, learned: dict[str, Any]) -> None:
    reweighter.load_state_dict(placed(learned["state"], reweighter.like_.device))
    vars(reweighter).update(learned["counts"])
    vars(reweighter.alignments_).update(learned["alignments"])


def _restore_generators(net: Any, drawn: list[list[Tensor]]) -> None:
    """Let a process draw on; one more than there were shares the first, and begins the others."""
    rank, is_new = net.ranks_.rank, net.ranks_.rank >= len(drawn)
    before = drawn[0][:1] if is_new else drawn[rank]
    for generator, state in zip(generators_of(net), before, strict=not is_new):
        generator.set_state(state)


def generators_of(net: Any) -> list[torch.Generator]:
    """Return what a training draws from: its own generators, and those of a user's loader.

    The first is the same in all processes of a fit.
    """
    given = [v for name, v in sorted(vars(net).items()) if name.startswith("iterator_train__")]
    samplers = given + [getattr(each, "sampler", None) for each in given]
    of_loader = [*given, *(getattr(each, "generator", None) for each in samplers)]
    generators = [each for each in of_loader if isinstance(each, torch.Generator)]
    return [net.generator_, *net.stage_.generators, *generators]


def counts_of(owner: Any) -> dict[str, Any]:
    """Return the plain values that an object has learned."""
    learned = {name: v for name, v in vars(owner).items() if name.endswith("_")}
    return {name: value for name, value in learned.items() if type(value) in COUNTS}


def placed(state: Any, device: torch.device) -> Any:
    """Move the tensors of a state, but not those of an optimiser, which places them itself."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {k: v if k == "optimizer" else placed(v, device) for k, v in state.items()}
    return state


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(each)


def in_columns(epoch: dict[str, Any]) -> dict[str, Any]:
    """Write batches that are alike as columns: there can be many."""
    groups = groupby(epoch["batches"], lambda batch: tuple((k, type(v)) for k, v in batch.items()))
    return {**epoch, "batches": [_columns(kinds, list(batches)) for kinds, batches in groups]}


def _columns(kinds: tuple[tuple[str, type], ...], batches: list[dict[str, Any]]) -> Any:
    if not kinds or any(kind not in NUMBERS for _, kind in kinds):
        return batches
    return {
        name: torch.tensor([batch[name] for batch in batches], dtype=NUMBERS[kind])
        for name, kind in kinds
    }


def _in_rows(epoch: dict[str, Any]) -> dict[str, Any]:
    batches = []
    for group in epoch["batches"]:
        if isinstance(group, dict):
            rows = zip(*(column.tolist() for column in group.values()), strict=True)
            batches += [dict(zip(group, row, strict=True)) for row in rows]
        else:
            batches += group
    return {**epoch, "batches": batches}


def _without_network(function: WeightingFunction | None) -> dict[str, Any] | None:
    if function is None:
        return None
    return {**vars(function), "_network": function._network.state_dict()}


def _with_network(state: dict[str, Any] | None, network: Any) -> WeightingFunction | None:
    if state is None:
        return None
    function = object.__new__(WeightingFunction)
    own: nn.Module = copy.deepcopy(network).cpu()
    own.load_state_dict(state["_network"])
    vars(function).update(state, _network=own)
    return function
