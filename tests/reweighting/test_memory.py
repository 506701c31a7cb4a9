"""The alignment memory is a running mean, free of scale."""

import pytest
import torch

from skmetaweight.reweighting import AlignmentMemory
from tests._reference import MemoryReference
from tests.reweighting._cases import make_batch

N_TRUSTED = torch.tensor([0.0, 3.0, 8.0], dtype=torch.float64)
ONE_CLASS = torch.full((1,), torch.inf, dtype=torch.float64)  # with trusted rows beyond doubt


def draws(n_batches=20, n=5, places=11):
    torch.manual_seed(0)
    for t in range(n_batches):
        batch = make_batch(n=n, seed=t, places=places)
        yield batch, torch.randn(n, dtype=torch.float64) * 10 ** torch.rand(1).item()


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_memory_is_its_equation(decay):
    memory = AlignmentMemory(11, decay, N_TRUSTED)
    reference = MemoryReference(11, decay, N_TRUSTED.tolist())
    for batch, alignments in draws():
        scaled = memory.scale(alignments, batch.y)
        torch.testing.assert_close(scaled, reference.scale(alignments, batch.y))
        memory.remember(batch.index, scaled)
        reference.remember(batch, scaled)
        torch.testing.assert_close(memory[batch.index], reference.read(batch))


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_memory_does_not_depend_on_the_scale_of_the_alignments(factor):
    first, second = (AlignmentMemory(11, 0.9, N_TRUSTED) for _ in range(2))
    for batch, alignments in draws():
        first.remember(batch.index, first.scale(alignments, batch.y))
        second.remember(batch.index, second.scale(factor * alignments, batch.y))
    torch.testing.assert_close(first.values, second.values)


def test_values_stay_within_the_clip():
    memory = AlignmentMemory(20, 0.9, ONE_CLASS)
    outlier = torch.zeros(20, dtype=torch.float64)
    outlier[0] = 1.0
    labels = torch.zeros(20, dtype=torch.long)
    assert memory.scale(outlier, labels).max() == 3
    for _ in range(100):
        memory.remember(torch.arange(20), memory.scale(outlier, labels))
    assert memory.values.max() <= 3


def test_first_batch_has_root_mean_square_one():
    memory = AlignmentMemory(4, 0.9, ONE_CLASS)
    alignments = torch.tensor([1.0, -2.0, 2.0, -1.0], dtype=torch.float64)
    scaled = memory.scale(alignments, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(scaled.square().mean().item(), 1.0)


def test_alignments_of_zero_are_remembered_as_zero():
    memory = AlignmentMemory(4, 0.9, ONE_CLASS)
    nothing = torch.zeros(4, dtype=torch.float64)
    memory.remember(torch.arange(4), memory.scale(nothing, nothing.long()))
    assert torch.equal(memory.values, torch.zeros(4, dtype=torch.float64))


def test_only_the_rows_of_the_batch_are_touched():
    memory = AlignmentMemory(6, 0.9, ONE_CLASS)
    memory.remember(torch.tensor([4, 1]), torch.tensor([1.0, -1.0], dtype=torch.float64))
    expected = torch.tensor([0, -0.1, 0, 0, 0.1, 0], dtype=torch.float64)
    torch.testing.assert_close(memory.values, expected)


def test_guess_keeps_the_order_and_moves_nothing():
    memory = AlignmentMemory(11, 0.9, torch.full_like(N_TRUSTED, torch.inf))
    for batch, alignments in draws():
        memory.remember(batch.index, memory.scale(alignments, batch.y))
    before = memory.state_dict()
    guess = memory.guess(torch.linspace(-0.1, 0.1, 7, dtype=torch.float64), torch.arange(7) % 3)
    assert (guess.diff() > 0).all()
    assert abs(guess[3].item()) < 1e-15
    after = memory.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_nothing_speaks_against_a_class_without_trusted_rows():
    memory = AlignmentMemory(8, 0.9, N_TRUSTED)
    labels = torch.arange(8) % 2
    scaled = memory.scale(torch.where(labels == 0, -2.0, -1.0).double(), labels)
    assert torch.equal(scaled[labels == 0], torch.zeros(4, dtype=torch.float64))
    assert (scaled[labels == 1] < 0).all()
