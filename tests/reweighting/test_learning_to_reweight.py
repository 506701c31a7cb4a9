"""L2RW's weights are its per-sample products."""

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.objective import Batch
from skmetaweight.reweighting import LearningToReweight
from tests._reference import LearningToReweightReference, MemoryLearningToReweightReference
from tests.reweighting._cases import (
    MODULE_CASES,
    N_ROWS,
    every_share,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
)
from tests.reweighting._runs import N_TRUSTED, compare_runs

CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
OBJECTIVES = {"published": {}, "share": {"meta_share": 0.3}}
OBJECTIVES["class weight"] = {"meta_class_weight": CLASS_WEIGHT}
OBJECTIVES["both"] = {"meta_share": 0.3, "meta_class_weight": CLASS_WEIGHT}
OBJECTIVES["robust"] = {**OBJECTIVES["both"], "meta_robustness": 0.7}
OBJECTIVES["learned"] = {**OBJECTIVES["robust"], "learned_loss": 0.9}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("name", ["both", "cnn", "gru", "frozen"])
def test_steps_without_memory(name, objective, weighted):
    compare_runs(
        LearningToReweight.paper(),
        lambda: LearningToReweightReference(**objective),
        case=MODULE_CASES[name],
        weighted=weighted,
        **objective,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_steps_with_memory(objective, interval, weighted):
    options = {"sharpness": 3.0, "bias": 0.5}
    reweighter, reference = compare_runs(
        LearningToReweight(meta_interval=interval, alignment_layers="all", **options),
        lambda: MemoryLearningToReweightReference(
            n_rows=3 * N_ROWS, n_trusted=N_TRUSTED, **options, **objective
        ),
        weighted=weighted,
        **objective,
    )
    torch.testing.assert_close(
        reweighter.memory_.values, torch.tensor(reference.memory.values, dtype=torch.float64)
    )
    assert reweighter.memory_.values.any()


def disagreeing_batches():
    """Trusted rows that say the opposite of every row of the batch."""
    X = torch.eye(5, dtype=torch.float64)
    batch = Batch(X, torch.tensor([0, 0, 0, 0, 0]), torch.arange(5))
    meta_batch = Batch(X, torch.tensor([1, 1, 1, 1, 1]), torch.arange(5))
    return batch, meta_batch


@every_share
def test_batch_without_a_positive_alignment_counts_for_nothing(meta_share):
    module = nn.Linear(5, 3).double()
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    batch, meta_batch = disagreeing_batches()
    reweighter = ready(LearningToReweight.paper(), module, meta_share=meta_share)
    result = reweighter.step(module, batch, meta_batch, 0.1)
    assert not result.weights.any()
    loss = nn.functional.cross_entropy(module(meta_batch.X), meta_batch.y)
    expected = torch.autograd.grad(meta_share * loss, list(module.parameters()))
    for param, grad in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(param.grad, grad)


def test_agreeing_rows_share_all_the_weight():
    module = nn.Linear(5, 3).double()
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    batch, meta_batch = disagreeing_batches()
    batch.y[:2] = 1
    reweighter = ready(LearningToReweight.paper(), module)
    weights = reweighter.step(module, batch, meta_batch, 0.1).weights
    torch.testing.assert_close(weights, torch.tensor([2.5, 2.5, 0, 0, 0], dtype=torch.float64))


def test_published_preset():
    reweighter = ready(LearningToReweight.paper(), make_module())
    assert not reweighter.memory
    assert (reweighter.meta_interval_, reweighter.alignment_layers_) == (1, "all")


def test_without_memory_every_batch_is_aligned():
    with pytest.raises(ValueError, match="without a memory needs meta_interval=1, got 2"):
        ready(LearningToReweight(memory=0.0, meta_interval=2), make_module())


def test_without_memory_rows_are_weighed_by_the_mean_of_their_weights():
    module = make_module()
    reweighter = ready(LearningToReweight.paper(), module)
    total, visits = torch.zeros(N_ROWS).double(), torch.zeros(N_ROWS)
    for t in range(3):
        batch = make_batch(seed=t, n=8, places=N_ROWS)
        weights = reweighter.step(module, batch, make_meta_batch(seed=t), 0.1).weights
        total[batch.index] += weights
        visits[batch.index] += 1
    assert reweighter.weight_sums_.equal(total)
    assert reweighter.visits_.equal(visits.double())
