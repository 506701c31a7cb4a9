"""Layers in bfloat16; all that is learned of the rows stays in float32."""

import copy
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from skorch.callbacks import EpochScoring
from torch import nn

from skmetaweight import FirstOrderMetaWeightNet, LearningToReweight, LiLAW, MetaWeightNet
from skmetaweight._bilevel.alignments import Alignments
from skmetaweight._bilevel.gradients import trainable
from skmetaweight._bilevel.last_layer import LastLayerAlignments
from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight._estimator.build import _autocast_dtype
from skmetaweight.datasets import corrupt_labels
from tests._reference import per_sample_alignments
from tests.conftest import Data, Linear, of_method, quick
from tests.reweighting._cases import (
    MODULE_CASES,
    ONE_DERIVATIVE_CASES,
    expected_warning,
    grads_of,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
    relative_error,
)

BFLOAT16 = torch.bfloat16
METHODS = {
    "mw-net": MetaWeightNet,
    "mw-net exact": MetaWeightNet.paper,
    "fmw-net": FirstOrderMetaWeightNet,
    "l2rw": LearningToReweight,
    "l2rw exact": LearningToReweight.paper,
    "lilaw": partial(LiLAW, warm_up=0),
    "mw-net lilaw": partial(MetaWeightNet, memory=0, weighting="lilaw", normalize=False),
    "mw-net cmw": partial(MetaWeightNet, memory=0, weighting="cmw"),
}
EXACT = [
    "plain",
    "batch norm",
    "dropout",
    "both",
    "layer norm",
    "cnn",
    "gru",
    "dict input",
    "attention",
]
FALLBACKS = ["norm, custom function", "norm, straight-through", "spectral norm", "embedding bag"]
CASES = {**MODULE_CASES, **ONE_DERIVATIVE_CASES}


def single(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: single(value) for name, value in values.items()}
    return values.float() if values.is_floating_point() else values


def batches(case: Any) -> tuple[Batch, Batch]:
    made = make_batch(case), make_meta_batch(case)
    return tuple(Batch(single(rows.X), rows.y, rows.index) for rows in made)


def objective(dtype: torch.dtype | None = BFLOAT16, **kwargs: Any) -> Objective:
    return Objective(nn.CrossEntropyLoss(reduction="none"), autocast_dtype=dtype, **kwargs)


# ------------------------------------------------------------------ one step


@pytest.mark.parametrize("knows_head", [False, True])
@pytest.mark.parametrize("meta_share", [0.0, 0.3])
@pytest.mark.parametrize("name", EXACT)
def test_alignments_are_exact_to_rounding(name: str, meta_share: float, knows_head: bool) -> None:
    case = CASES[name]
    module = make_module(case, dtype=torch.float32)
    batch, meta_batch = batches(case)
    direction = {k: torch.randn_like(v) for k, v in trainable(module).items()}
    head: Any = list(module.modules())[-1] if knows_head else None
    goal = objective(meta_share=meta_share, head=head)
    forward = goal.training_pass(module, batch, meta_batch, keep_calls=True)
    alignments = Alignments()
    got = alignments(goal, module, forward, direction)
    assert alignments.mode == case.mode
    assert forward.outputs.dtype == forward.losses.dtype == got.dtype == torch.float32
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 2e-2


@pytest.mark.parametrize("name", FALLBACKS)
def test_fallbacks_warn_once_and_are_close(name: str) -> None:
    case = CASES[name]
    module = make_module(case, dtype=torch.float32)
    batch, meta_batch = batches(case)
    direction = {k: torch.randn_like(v) for k, v in trainable(module).items()}
    forward = objective().training_pass(module, batch, meta_batch)
    alignments = Alignments()
    with expected_warning(case):
        got = alignments(objective(), module, forward, direction)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alignments(objective(), module, forward, direction)
    assert alignments.mode == case.mode
    expected = per_sample_alignments(forward.losses, trainable(module), direction)
    assert relative_error(got, expected) < 2e-2


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
def test_last_layer_is_compared_in_float32(meta_share: float) -> None:
    case = CASES["batch norm"]
    module = make_module(case, dtype=torch.float32)
    batch, meta_batch = batches(case)
    found = []
    for dtype in (None, BFLOAT16):
        own = copy.deepcopy(module)
        goal = objective(dtype, meta_share=meta_share, head=own[-1])
        forward = goal.training_pass(own, batch, meta_batch)
        alignments = LastLayerAlignments()
        found.append(alignments(goal, own, forward, meta_batch)[0])
        state = alignments.state_dict().values()
        assert {values.dtype for values in (*forward.last_layer, *state)} == {torch.float32}
    assert found[1].dtype == torch.float32
    assert relative_error(found[1], found[0]) < 3e-2


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_steps_are_those_of_float32_to_rounding(make: Any, name: str) -> None:
    case = CASES[name]
    batch, meta_batch = batches(case)
    found = []
    for dtype in (None, BFLOAT16):
        module = make_module(case, dtype=torch.float32)
        reweighter = make()
        remembers = bool(reweighter.memory)  # and then compares the last layer
        head = list(module.modules())[-1] if remembers else None
        ready(reweighter, module, head=head)
        reweighter.bind(objective(dtype, meta_share=0.2, head=head), batch.n_rows)
        torch.manual_seed(3)
        result = reweighter.step(module, batch, meta_batch, 0.1)
        network = getattr(reweighter, "network_", None)
        assert network is None or {p.dtype for p in network.parameters()} == {torch.float32}
        assert all(grad.dtype == torch.float32 for grad in grads_of(module))
        assert result.weights.dtype == result.y_pred.dtype == torch.float32
        found.append((result.sample_losses, result.weights, grads_of(module)))
        if network is not None:
            found[-1] = (*found[-1], grads_of(network))
    *exact, tolerances = *found, (2e-2, 2e-2, 5e-2, 0.15)  # the last has sums that cancel
    for plain, mixed, tolerance in zip(*exact, tolerances, strict=False):
        assert relative_error(mixed, plain) < tolerance


# ------------------------------------------------------------------ whole fits


@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_accuracy_and_weights_are_those_of_float32(load: Any, method: str) -> None:
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    X, X_meta, y, y_meta = train_test_split(X, y, test_size=30, stratify=y, random_state=0)
    y, _ = corrupt_labels(y, noise_rate=0.3, random_state=0)
    plain, mixed = (
        quick(
            method=method,
            max_epochs=8,
            module__hidden_dims=(32,),
            module__input_dropout=0.0,
            mixed_precision=precision,
        )
        for precision in (None, "bfloat16")
    )
    for clf in (plain, mixed):
        clf.fit(X, y, X_meta=X_meta, y_meta=y_meta)
    assert abs(mixed.score(X_test, y_test) - plain.score(X_test, y_test)) < 0.06
    differences = np.abs(mixed.sample_weights_ - plain.sample_weights_)
    assert np.quantile(differences, 0.99) < 0.4
    assert differences.mean() <= 0.1 * plain.sample_weights_.std()
    probabilities = mixed.predict_proba(X_test)
    assert probabilities.dtype == np.float64
    assert not np.array_equal(probabilities, plain.predict_proba(X_test))
    net = mixed.net_
    assert {p.dtype for p in net.module_.parameters()} == {torch.float32}
    for learned in ("network_", "memory_"):
        own = getattr(net.reweighter_, learned, None)
        values = [] if own is None else own.state_dict().values()
        assert all(v.dtype == torch.float32 for v in values if isinstance(v, torch.Tensor))


class Watched(Linear):
    """Remembers which of its passes ran in mixed precision."""

    seen: list[bool]

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        type(self).seen.append(torch.is_autocast_enabled("cpu"))
        return super().forward(X)


class InFullPrecision(nn.Module):
    """A criterion that insists on float32 outside autocast."""

    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        assert y_pred.dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
        return nn.functional.cross_entropy(y_pred, y, reduction="none")


def n_rows(net: Any, X: Any, y: Any) -> int:
    return len(net.predict(X))


@pytest.mark.parametrize("memory", [0, 0.9])
def test_all_passes_are_in_mixed_precision(memory: float, method: str, data: Data) -> None:
    Watched.seen = []
    clf = quick(
        module=Watched,
        method=method,
        **of_method(method, memory=memory),
        criterion=InFullPrecision,
        mixed_precision="bfloat16",
        callbacks=[EpochScoring(n_rows, name="n_rows", on_train=False, use_caching=False)],
    )
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert Watched.seen.count(False) == 1  # the search for the last layer
    Watched.seen = []
    clf.predict(data.X)
    clf.compute_sample_weight(data.X, data.y)
    clf.net_.predict(data.X)
    assert Watched.seen
    assert all(Watched.seen)
    assert not torch.is_autocast_enabled("cpu")


def test_refits_and_copies_are_bit_identical(method: str, data: Data) -> None:
    first, second = (
        quick(method=method, mixed_precision="bfloat16").fit(data.X, data.y, meta_mask=data.mask)
        for _ in range(2)
    )
    other = copy.deepcopy(first)
    for clf in (second, other):
        np.testing.assert_array_equal(clf.sample_weights_, first.sample_weights_)
        np.testing.assert_array_equal(clf.predict_proba(data.X), first.predict_proba(data.X))


def test_modules_in_float64_stay_so(method: str, data: Data) -> None:
    plain, mixed = (
        quick(module=Linear, module__dtype=torch.float64, method=method, mixed_precision=precision)
        for precision in (None, "bfloat16")
    )
    for clf in (plain, mixed):
        clf.fit(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(mixed.predict_proba(data.X), plain.predict_proba(data.X))
    np.testing.assert_array_equal(mixed.sample_weights_, plain.sample_weights_)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("precision", ["float16", "bf16", True])
def test_other_precisions_are_unknown(precision: Any, data: Data) -> None:
    message = f"'mixed_precision' parameter .*'bfloat16'.* Got {precision!r} instead"
    with pytest.raises(ValueError, match=message):
        quick(mixed_precision=precision).fit(data.X, data.y, meta_mask=data.mask)


def test_devices_that_cannot_do_it() -> None:
    message = "mixed_precision='bfloat16' needs a CPU or a CUDA GPU with bfloat16, got device 'mps'"
    with pytest.raises(ValueError, match=message):
        _autocast_dtype("bfloat16", torch.device("mps"))
    assert _autocast_dtype(None, torch.device("mps")) is None
