"""Warnings judge what was learned, and count what counts."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skmetaweight import LearningToReweight, MetaWeightClassifier, MetaWeightNet
from skmetaweight._data.fit_data import FitData
from skmetaweight._data.validation import LabelledRows
from skmetaweight._estimator.diagnosis import diagnose
from skmetaweight.reweighting import Evaluation, Reweighter
from tests.conftest import noisy_blobs

STRENGTHS = (0.001, 0.008, 0.1, 0.3, 0.5, 0.9, 0.999)


class Given(LearningToReweight):
    """Has the raw weights that it is given."""

    def raw_weights(self, rows: Evaluation) -> torch.Tensor:
        return self.values_


def given(values: np.ndarray, strength: float) -> Given:
    method = Given()
    method.values_, method.strength_ = torch.as_tensor(values, dtype=torch.float64), strength
    return method


def calibrated(method: Reweighter) -> np.ndarray:
    nothing = torch.empty(0)
    return method.calibrate(
        Evaluation(nothing, nothing, nothing, torch.Tensor, torch.Tensor)
    ).numpy()


def warnings_of(values: np.ndarray, strength: float, told: set[str] | None = None) -> list[str]:
    """Return what is warned of a fit of three classes with these raw weights."""
    method = given(values, strength)
    weights = calibrated(method)
    labels, places = np.arange(len(values)) % 3, np.arange(len(values))
    clf: Any = MetaWeightClassifier()
    clf.net_ = type("Net", (), {"reweighter_": method})
    clf.n_iter_, clf.weight_strength_, clf.noise_evidence_ = 25, strength, 2 * strength
    clf.sample_weights_, clf._told = weights, set() if told is None else told
    rows = LabelledRows(None, labels)
    data = FitData(rows, rows, places, places[:0], np.array(list("abc")), True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        diagnose(clf, data)
    return [str(warning.message) for warning in caught]


SPREAD = np.random.default_rng(0).uniform(0, 2, 300)
ZERO = np.full(300, 1e-6) * SPREAD
EQUAL = 0.8 + 1e-5 * SPREAD
NO_CLASS_C = np.where(np.arange(300) % 3 == 2, 1e-3, SPREAD)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_weights_are_judged_as_they_were_learned(strength: float) -> None:
    def kinds(values: np.ndarray) -> list[str]:
        said = ("do not confirm", "all near zero", "all equal", "hardly any weight")
        return [kind for text in warnings_of(values, strength) for kind in said if kind in text]

    judged = strength >= 0.5
    assert kinds(SPREAD) == ["do not confirm"]
    assert kinds(ZERO) == ["do not confirm", "all near zero"][: 1 + judged]
    assert kinds(EQUAL) == ["do not confirm", "all equal"][: 1 + judged]
    assert kinds(NO_CLASS_C) == ["do not confirm", "hardly any weight"][: 1 + (strength >= 0.9)]


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("n_large", [1, 3, 300])
def test_no_row_outgrows_the_strength(strength: float, n_large: int) -> None:
    """A mean near zero once made a weight of 19 at a strength of 0.8%."""
    values = np.where(np.arange(3000) < n_large, 2.0, 1e-7)
    weights = calibrated(given(values, strength))
    assert weights.mean() == pytest.approx(1)
    assert weights.max() <= 1 + 4 * strength / (1 - strength)
    assert weights.min() >= 1 - strength - 1e-12


@pytest.mark.parametrize("strength", STRENGTHS)
def test_ordinary_weights_are_drawn_to_one_in_proportion(strength: float) -> None:
    expected = 1 + strength * (SPREAD / SPREAD.mean() - 1)
    np.testing.assert_allclose(calibrated(given(SPREAD, strength)), expected, rtol=1e-12)


@pytest.mark.parametrize("method", [MetaWeightNet(), LearningToReweight()], ids=["mw-net", "l2rw"])
def test_collapsed_weights_of_a_fit_stay_near_one(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skmetaweight._training.net.strength_of", lambda evidence: 0.01)
    X, y, checked = noisy_blobs(0.4)
    clf = MetaWeightClassifier(method=method, random_state=0, device="cpu", max_epochs=10)
    with pytest.warns(UserWarning, match="have 1% of their effect"):
        clf.fit(X, y, meta_mask=checked)
    rows = clf.net_.make_rows(X[~checked], y[~checked])
    evaluation = clf.net_.evaluation(rows, clf.net_.evaluate(rows).losses, is_training_set=True)
    reweighter = clf.net_.reweighter_
    few = torch.where(torch.arange(540) < 1, 2.0, 1e-7)
    monkeypatch.setattr(type(reweighter), "raw_weights", lambda self, rows: few)
    assert reweighter.calibrate(evaluation).max() < 1.05
    if isinstance(method, MetaWeightNet):
        function = reweighter.weighting_function(evaluation, clf.classes_)
        assert np.max(function([0.0, 1.0, 8.0])) < 1.2


def test_advice_of_collapse_is_a_convergence_warning() -> None:
    assert issubclass(ConvergenceWarning, UserWarning)
    (said,) = warnings_of(ZERO, 1.0)
    assert said.endswith("or raise max_epochs.")


def test_a_class_without_weight_is_told_of_once() -> None:
    told: set[str] = set()
    said = [warnings_of(NO_CLASS_C, 1.0, told) for _ in range(3)]
    assert ["labelled ['c'] have" in text for text in said[0]] == [True]
    assert said[1:] == [[], []]
    other = np.where(np.arange(300) % 3 > 0, 1e-3, SPREAD)
    (news,) = warnings_of(other, 1.0, told)
    assert "labelled ['b'] have" in news
