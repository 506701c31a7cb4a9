"""Means of classes count as far as trusted rows speak for them."""

import pytest
import torch

from skmetaweight.reweighting._class_means import ClassMeans

LABELS = torch.tensor([0, 0, 1, 1, 1, 2])
VALUES = torch.tensor([0.1, 0.3, 1.0, 1.2, 0.8, 0.6], dtype=torch.float64)


def followed(n_trusted, values=VALUES):
    means = ClassMeans(8.0, torch.tensor(n_trusted, dtype=torch.float64))
    means.follow(values, LABELS)
    return means


def test_means_of_the_first_batch_are_its_own():
    expected = torch.tensor([0.2, 1.0, 0.6, 0.0], dtype=torch.float64)
    torch.testing.assert_close(followed([0.0, 0.0, 0.0, 0.0]).means, expected)


@pytest.mark.parametrize("n_trusted", [0, 8, 24, 1e12])
def test_class_is_drawn_to_the_mean_of_all_rows_the_less_trusted_rows_it_has(n_trusted):
    means = followed([n_trusted, 1e12, 1e12])
    drawn = means.drawn_together(VALUES, LABELS)
    share = 8 / (8 + n_trusted)
    expected = 0.2 ** (1 - share) * VALUES.mean().item() ** share
    torch.testing.assert_close(drawn[:2].mean().item(), expected)
    torch.testing.assert_close(drawn[2:], VALUES[2:])
    torch.testing.assert_close(drawn[1] / drawn[0], VALUES[1] / VALUES[0])


def test_class_of_hardly_any_weight_is_raised_by_no_more_than_fifty():
    values = torch.where(LABELS == 0, 1e-9, 1.0).double()
    drawn = followed([0.0, 0.0, 0.0], values).drawn_together(values, LABELS)
    torch.testing.assert_close(drawn[:2], 50 * values[:2])


def test_weights_that_are_all_zero_stay_zero():
    nothing = torch.zeros_like(VALUES)
    drawn = followed([0.0, 8.0, 0.0], nothing).drawn_together(nothing, LABELS)
    assert torch.equal(drawn, nothing)
