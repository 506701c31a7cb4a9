"""How often a class is predicted: as far as the trusted rows can tell."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from skmetaweight import MetaWeightClassifier, MetaWeightNet
from skmetaweight._training.calibration import PSEUDO_ROWS, smoothed
from tests.conftest import UNCALIBRATED, Data, quick


def naive_factors(proportions: Any, counts: Any, n_trusted: int, pseudo_rows: float) -> list[float]:
    classes = [c for c, count in enumerate(counts) if count]
    everything = n_trusted + pseudo_rows * len(classes)
    factors = []
    for c, proportion in enumerate(proportions):
        share = max(proportion, 1 / sum(counts))
        of_class = n_trusted * share + (pseudo_rows if c in classes else 0)
        factors.append(of_class / everything / share)
    return factors


@pytest.mark.parametrize("counts", [[70, 20, 10], [90, 10, 0], [1, 1, 998]])
@pytest.mark.parametrize("pseudo_rows", [0.5, 5.0, 1e6])
def test_factors_are_those_of_the_definition(counts: list[int], pseudo_rows: float) -> None:
    proportions = torch.tensor([0.8, 0.1999, 0.0001], dtype=torch.float64)
    found = smoothed(proportions, torch.tensor(counts), 50, pseudo_rows)
    assert found == pytest.approx(naive_factors(proportions.tolist(), counts, 50, pseudo_rows))


def test_a_class_that_nobody_predicts_or_has_stays_possible() -> None:
    proportions, counts = torch.tensor([1.0, 0.0, 0.0]).double(), torch.tensor([90, 10, 0])
    found = smoothed(proportions, counts, 20, 5.0)
    assert found == pytest.approx([25 / 30, (20 / 100 + 5) / 30 * 100, 20 / 30])


def test_factors_turn_one_posterior_into_the_other() -> None:
    """Bayes' rule for two normal distributions, with other proportions."""
    n_trusted, proportions = 40, np.array([0.9, 0.1])
    factors = smoothed(torch.from_numpy(proportions), torch.tensor([900, 100]), n_trusted, 5.0)
    expected = np.array([41.0, 9.0]) / 50
    x = np.linspace(-3, 4, 50)[:, None]
    likelihood = norm.pdf(x, loc=[0, 1])
    before, after = (likelihood * prior for prior in (proportions, expected))
    adjusted = before / before.sum(axis=1, keepdims=True) * factors
    np.testing.assert_allclose(
        adjusted / adjusted.sum(axis=1, keepdims=True), after / after.sum(axis=1, keepdims=True)
    )


def test_the_more_trusted_rows_the_weaker() -> None:
    proportions, counts = torch.tensor([0.9, 0.1]).double(), torch.tensor([900, 100])
    of_rare = [smoothed(proportions, counts, n, 5.0)[1] for n in (10, 100, 1000, 10**6)]
    assert of_rare == sorted(of_rare, reverse=True)
    assert of_rare[-1] == pytest.approx(1, abs=1e-4)
    assert smoothed(proportions, counts, 10, 1e6)[1] == pytest.approx(5, rel=1e-4)


@pytest.mark.parametrize("module", [None, "softmax"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_probabilities_are_those_of_the_definition(
    module: Any, temperature: float, weighted: bool, data: Data
) -> None:
    given: dict[str, Any] = {"temperature": temperature}
    if module:
        own = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=-1))
        given |= {"module": own, "criterion": torch.nn.NLLLoss}
    weight = np.random.default_rng(0).uniform(size=96) if weighted else None
    plain, clf = (
        quick(**given, class_smoothing=a).fit(
            data.X, data.y, meta_mask=data.mask, sample_weight=weight
        )
        for a in (0, 4)
    )
    p, train = plain.predict_proba(data.X), ~data.mask
    proportions = np.average(p[train], axis=0, weights=None if weight is None else weight[train])
    counts = np.bincount(data.y).tolist()
    factors = naive_factors(proportions, counts, int(data.mask.sum()), 4.0)
    np.testing.assert_array_equal(plain.class_factors_, np.ones(3))
    np.testing.assert_allclose(clf.class_factors_, factors, rtol=1e-5)
    expected = p * clf.class_factors_
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(clf.predict_proba(data.X), expected, rtol=1e-9)
    np.testing.assert_allclose(clf.predict_log_proba(data.X), np.log(expected), rtol=1e-9)
    quality = clf.label_quality()
    np.testing.assert_array_equal(quality["predicted_label"], clf.predict(data.X))
    np.testing.assert_allclose(quality["p_given_label"], expected[np.arange(96), data.y], rtol=1e-6)


def test_training_is_the_same(data: Data) -> None:
    clf, plain = (
        quick(class_smoothing=a, temperature=1).fit(data.X, data.y, meta_mask=data.mask)
        for a in ("auto", 0)
    )
    np.testing.assert_array_equal(clf.sample_weights_, plain.sample_weights_)
    for name, value in clf.net_.module_.state_dict().items():
        assert torch.equal(value, plain.net_.module_.state_dict()[name])


@pytest.mark.parametrize(
    ("params", "applies"),
    [
        ({}, True),
        ({"method": "l2rw"}, True),
        ({"method": "fmw-net"}, True),
        ({"method": MetaWeightNet(memory=0)}, True),
        ({"method": "lilaw"}, False),
        ({"method": "uniform"}, False),
        ({"method": MetaWeightNet(memory=0, normalize=False)}, False),
        ({"class_weight": "balanced"}, False),
        ({"predict_nonlinearity": lambda logits: torch.softmax(logits, dim=-1)}, False),
        ({"method": "uniform", "class_smoothing": 2}, True),
    ],
)
def test_what_auto_is(params: dict[str, Any], applies: bool, data: Data) -> None:
    clf = quick(**params).fit(data.X, data.y, meta_mask=data.mask)
    assert (np.ptp(clf.class_factors_) > 0) == applies


def test_untrusted_rows_tell_nothing_of_it(data: Data) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No trusted rows")
        clf = quick().fit(data.X, data.y)
    np.testing.assert_array_equal(clf.class_factors_, np.ones(3))


def test_a_stream_keeps_what_fit_has_found(data: Data) -> None:
    rows = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    clf = quick().partial_fit(data.X, data.y, **rows)
    np.testing.assert_array_equal(clf.class_factors_, np.ones(3))
    found = clf.fit(data.X, data.y, **rows).class_factors_
    assert np.ptp(found) > 0
    one = data.y == 0
    np.testing.assert_array_equal(
        clf.partial_fit(data.X[one], data.y[one], **rows).class_factors_, found
    )


def test_rare_classes_are_found_more_often() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.06).astype(int)
    X = rng.normal(size=(3000, 4)) + y[:, None]
    trusted = np.arange(3000) < 60
    share = {}
    for a in (0, 5):
        clf = MetaWeightClassifier(max_epochs=8, class_smoothing=a, random_state=0)
        clf.fit(X[:2000], y[:2000], meta_mask=trusted[:2000])
        share[a] = clf.predict(X[2000:])[y[2000:] == 1].mean()
        mean = clf.predict_proba(X[60:2000])[:, 1].mean()
    assert share[5] > share[0] + 0.1
    assert mean == pytest.approx((60 * 0.06 + PSEUDO_ROWS) / 70, rel=0.25)


def test_uncalibrated_is_what_the_network_says(data: Data) -> None:
    clf = quick(**UNCALIBRATED).fit(data.X, data.y, meta_mask=data.mask)
    logits = clf.net_.module_(torch.as_tensor(data.X)).detach().double()
    np.testing.assert_allclose(clf.predict_proba(data.X), logits.softmax(dim=1).numpy(), rtol=1e-6)
