"""Our default with one part taken out: what each rule and each threshold gives.

Some parts are parameters; others are no user's to choose, and are constants that are replaced here.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks.accuracy.methods.method import Fitted
from benchmarks.accuracy.methods.same_network import with_meta
from benchmarks.accuracy.tasks import Problem

ALMOST_ZERO = 1e-9
"""Stands for no doubt about the mean of a class, also of one without trusted rows."""


class Part(NamedTuple):
    """What a fit without the part has otherwise."""

    params: dict[str, Any]
    constants: dict[str, Any]
    """By the place where they are looked up, below skmetaweight."""


def parameter(**params: Any) -> Part:
    return Part(params, {})


def constant(place: str, value: Any) -> Part:
    return Part({}, {place: value})


WITHOUT = {
    "share": parameter(meta_share=0.0),
    "confirmation": parameter(confirm_weights=False),
    "best-epoch": parameter(early_stopping=False),
    "bounded-losses": parameter(robust_meta_loss=False),
    "prior": parameter(method__prior=ALMOST_ZERO),
    "last-layer": parameter(method__alignment_layers="all"),
    "interval": parameter(method__meta_interval=1, method__meta_lr=5e-3),
    "learned": constant("_training.prepared_net.LEARNED", 0.0),
    "class-smoothing": parameter(class_smoothing=0.0),
    "kept-out": constant("_training.calibration.ROWS_FOR_ONE", 10**9),
    "class-alignments": constant("reweighting.AlignmentMemory.few_trusted", ALMOST_ZERO),
    "class-weights": constant("reweighting.MetaWeightNet.few_trusted", ALMOST_ZERO),
    "rare-class-rule": constant("_data.fit_data.MUCH_IMBALANCE", math.inf),
    "many-trusted-rule": constant("_estimator.fitting.MANY_TRUSTED_ROWS", math.inf),
    "early-certainty": constant("_training.confirmation.CERTAIN", math.inf),
    "half-meta-batch": parameter(meta_batch_size=16),
    "input-dropout": constant("_estimator.default_network.ROWS_PER_INPUT", 0),
}
"""Parts by name. Without ``kept-out`` no trusted row is kept for the temperature, which is one."""


def without(part: str, problem: Problem, seed: int) -> Fitted:
    with ExitStack() as stack:
        for place, value in WITHOUT[part].constants.items():
            stack.enter_context(patch(f"skmetaweight.{place}", value))
        return with_meta(problem, seed, **WITHOUT[part].params)
