"""Folds of trusted rows."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from skmetaweight.model_selection import TrustedKFold
from tests.conftest import Data


@pytest.mark.parametrize("shuffle", [False, True])
def test_trusted_rows_are_each_scored_once_and_all_else_is_trained_on(
    shuffle: bool, data: Data
) -> None:
    cv = TrustedKFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    folds = list(cv.split(data.X, data.y, meta_mask=data.mask))
    assert len(folds) == cv.get_n_splits(data.X, data.y, meta_mask=data.mask) == 3
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(data.mask))
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(96))
        assert np.bincount(data.y[test]).tolist() == [2, 2, 2]
        assert np.bincount(data.y[train][data.mask[train]]).tolist() == [4, 4, 4]


def test_groups_are_the_mask(data: Data) -> None:
    cv = TrustedKFold(3, shuffle=True, random_state=0)
    by_groups = list(cv.split(data.X, data.y, data.mask))
    by_mask = list(cv.split(data.X, data.y, data.mask.tolist(), meta_mask=data.mask))
    for folds in zip(by_groups, by_mask, strict=True):
        for one, other in zip(*folds, strict=True):
            np.testing.assert_array_equal(one, other)


def test_shuffling_is_ruled_by_random_state(data: Data) -> None:
    def first_fold(seed: int) -> list[int]:
        cv = TrustedKFold(3, shuffle=True, random_state=seed)
        return next(cv.split(data.X, data.y, data.mask))[1].tolist()

    assert first_fold(0) == first_fold(0)
    assert first_fold(0) != first_fold(1)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "does not know the trusted rows: pass meta_mask"),
        (np.zeros(96, dtype=bool), "marks none of the 96 rows"),
        (np.arange(96), "must be boolean"),
        (np.arange(96) < 2, r"n_splits=3 needs as many trusted rows of a class"),
        (np.ones(5, dtype=bool), "one entry per row"),
    ],
)
def test_bad_masks(mask: Any, message: str, data: Data) -> None:
    with pytest.raises(ValueError, match=message):
        next(TrustedKFold(3).split(data.X, data.y, meta_mask=mask))


def test_bad_calls(data: Data) -> None:
    with pytest.raises(ValueError, match="groups and meta_mask differ"):
        next(TrustedKFold(3).split(data.X, data.y, ~data.mask, meta_mask=data.mask))
    with pytest.raises(ValueError, match="y is missing"):
        next(TrustedKFold(3).split(data.X, groups=data.mask))
    assert repr(TrustedKFold(3)) == "TrustedKFold(n_splits=3, random_state=None, shuffle=False)"


@pytest.mark.parametrize("n_splits", ["x", 2.5, None, 0, 1, -1, True, [2]])
def test_splits_are_a_number_from_two(n_splits: Any, data: Data) -> None:
    with pytest.raises(ValueError, match=r"^n_splits must be a whole number from 2, got "):
        list(TrustedKFold(n_splits).split(data.X, data.y, meta_mask=data.mask))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda y: [None] * len(y), "missing labels"),
        (lambda y: y + 0.5, "Unknown label type"),
        (lambda y: np.where(y == 0, np.nan, y), "contains NaN"),
        (lambda y: [1, "a"] * (len(y) // 2), "several kinds"),
    ],
)
def test_labels_to_stratify_by_are_labels(make: Any, message: str, data: Data) -> None:
    y = np.array(make(data.y), dtype=object) if message == "several kinds" else make(data.y)
    with pytest.raises(ValueError, match=message):
        list(TrustedKFold(2).split(data.X, y, meta_mask=data.mask))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_classes_with_fewer_rows_than_folds_are_dealt_out_silently(
    shuffle: bool, n_splits: int
) -> None:
    rng, random_state = np.random.default_rng(0), 0 if shuffle else None
    for n_classes in (1, 3, 26):
        y = rng.permutation(np.r_[np.full(n_splits, n_classes), np.arange(n_classes)])
        mask = np.r_[np.ones(len(y), dtype=bool), False]
        cv = TrustedKFold(n_splits, shuffle=shuffle, random_state=random_state)
        folds = [test for _, test in cv.split(mask, np.append(y, 0), mask)]
        alike = StratifiedKFold(n_splits, shuffle=shuffle, random_state=random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = [test for _, test in alike.split(y, y)]
        np.testing.assert_equal(folds, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"random_state": 0}, "random_state has no effect since shuffle is False"),
        ({"shuffle": "yes"}, "shuffle must be True or False; got yes"),
        ({"shuffle": True, "random_state": "x"}, "'x' cannot be used to seed"),
    ],
)
def test_settings_that_do_not_go_together(settings: Any, message: str, data: Data) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        next(TrustedKFold(2, **settings).split(data.X, data.y, data.mask))
