"""The temperature: by trusted rows that were not taught, and what it makes of predictions."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from skmetaweight._data.batches import Rows
from skmetaweight._training.calibration import HOTTEST, fit_temperature, kept_out
from skmetaweight._training.confirmation import FEWEST_EPOCHS
from tests.conftest import Data, quick

TEMPERATURES = np.exp(np.linspace(0, np.log(HOTTEST), 4001))


def naive_temperature(log_p: torch.Tensor, y: torch.Tensor, strength: float) -> float:
    """Try many."""
    costs = []
    for temperature in TEMPERATURES:
        p = np.exp(log_p.numpy()) ** (1 / temperature)
        given = p[np.arange(len(y)), y] / p.sum(axis=1)
        costs.append(2 * (np.log(temperature) - 0.2 - 0.8 * strength) ** 2 - np.log(given).sum())
    return float(TEMPERATURES[np.argmin(costs)])


@pytest.mark.parametrize("n", [1, 10, 300])
@pytest.mark.parametrize("too_sure", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_temperature_is_the_best_of_all(n: int, too_sure: float, strength: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = torch.as_tensor([rng.choice(3, p=row) for row in p])
    log_p = torch.log_softmax(torch.as_tensor(logits) * too_sure, dim=1)
    found = fit_temperature(log_p, y, strength)
    assert found == pytest.approx(naive_temperature(log_p, y, strength), rel=2e-3)
    if n == 300:
        assert found == pytest.approx(max(too_sure, 1.0), rel=0.2)


def test_without_rows_it_is_the_likely_one() -> None:
    nothing = torch.empty(0, 3), torch.empty(0, dtype=torch.long)
    found = [fit_temperature(*nothing, strength) for strength in (0, 0.5, 1)]
    np.testing.assert_allclose(found, np.exp([0.2, 0.6, 1.0]), rtol=1e-3)


def rows_of(X: Any) -> Rows:
    y = np.zeros(len(X))
    kind: dict[str, Any] = {"device": torch.device("cpu"), "dtype": torch.float32}
    return Rows(X, y, cast_integers=True, **kind)


def test_a_fifth_is_kept_out_and_always_the_same() -> None:
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    assert [len(kept_out(rows_of(X[:n]), 3)) for n in (1, 4, 5, 100)] == [0, 0, 1, 20]
    known = set(kept_out(rows_of(X), 3).tolist())
    assert len(known) == 40
    assert known != set(kept_out(rows_of(X), 4).tolist())
    order = np.random.default_rng(1).permutation(200)
    assert {int(order[i]) for i in kept_out(rows_of(X[order]), 3)} == known
    fewer = kept_out(rows_of(X[:150]), 3)
    assert len(known & set(fewer.tolist())) >= 25  # of thirty


def test_calls_that_tell_no_temperature_keep_the_one_before(data: Data) -> None:
    clf = quick(temperature="auto")
    clf.partial_fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    clf.net_.temperature_ = 2.5
    few = [int(np.flatnonzero(data.y_meta == label)[0]) for label in (0, 1, 2)]
    clf.partial_fit(data.X, data.y, X_meta=data.X_meta[few], y_meta=data.y_meta[few])
    assert clf.temperature_ == 2.5
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No trusted rows")
        assert clf.partial_fit(data.X, data.y).temperature_ == 2.5
        assert clf.fit(data.X, data.y).temperature_ == 1


@pytest.mark.parametrize("criterion", [torch.nn.CrossEntropyLoss, torch.nn.NLLLoss])
def test_probabilities_are_those_of_the_temperature(criterion: Any, data: Data) -> None:
    given: dict[str, Any] = {"criterion": criterion, "method": "uniform"}
    if criterion is torch.nn.NLLLoss:
        module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=-1))
        given["module"] = module
    # The rows kept out are those of the seed, which a temperature that is given does not keep out.
    clf = quick(**given).fit(data.X, data.y, meta_mask=data.mask)
    clf.net_.temperature_ = 1.0
    plain = clf.predict_proba(data.X)
    clf.net_.temperature_ = 3.0
    expected = plain ** (1 / 3) / (plain ** (1 / 3)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(clf.predict_proba(data.X), expected, rtol=1e-9)
    np.testing.assert_allclose(clf.predict_log_proba(data.X), np.log(expected), rtol=1e-9)


def test_label_quality_is_of_the_same_probabilities(data: Data) -> None:
    clf = quick(temperature=2.5, method="uniform").fit(data.X, data.y, meta_mask=data.mask)
    quality = clf.label_quality()
    p = clf.predict_proba(data.X)[np.arange(len(data.y)), data.y]
    np.testing.assert_allclose(quality["p_given_label"], p, rtol=1e-6)


@pytest.mark.parametrize("kind", ["taught", "kept out"])
def test_rows_kept_out_are_not_taught(kind: str, data: Data) -> None:
    def fit(y_meta: np.ndarray) -> np.ndarray:
        clf = quick(method="uniform", early_stopping=False)
        clf.fit(data.X, data.y, X_meta=data.X_meta, y_meta=y_meta)
        clf.net_.temperature_ = 1.0
        return clf.predict_proba(data.X)

    net = quick(method="uniform").fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta).net_
    untaught = kept_out(net.meta_rows_, net.seed).numpy()
    places = np.arange(len(data.y_meta))
    chosen = untaught if kind == "kept out" else np.setdiff1d(places, untaught)[: len(untaught)]
    y_meta = data.y_meta.copy()
    y_meta[chosen] = (y_meta[chosen] + 1) % 3
    is_same = np.array_equal(fit(y_meta), fit(data.y_meta))
    assert is_same == (kind == "kept out")


def test_a_stream_keeps_the_same_rows_out(data: Data) -> None:
    clf = quick(random_state=None)
    taught = []
    for _ in range(3):
        clf.partial_fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
        taught.append(clf.net_.objective_.taught)
    assert (taught[0] == 0).sum() == len(data.y_meta) // 5
    assert torch.equal(taught[0], taught[1])
    assert torch.equal(taught[0], taught[2])


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_temperature_is_that_of_the_rows_kept_out(share: float, data: Data) -> None:
    clf = quick(meta_share=share, max_epochs=6, lr=0.1)
    clf.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    found, net = clf.temperature_, clf.net_
    judges = kept_out(net.meta_rows_, net.seed).numpy() if share else slice(None)
    net.temperature_, net.class_factors_ = 1.0, ()
    log_p = torch.as_tensor(clf.predict_log_proba(data.X_meta)[judges])
    assert found == fit_temperature(log_p, torch.as_tensor(data.y_meta[judges]), 0.5)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"temperature": 1.7}, 1.7),
        ({"temperature": 1}, 1.0),
        ({"predict_nonlinearity": lambda logits: torch.softmax(logits, dim=-1)}, 1.0),
    ],
)
def test_temperatures_that_are_not_fitted(params: Any, expected: float, data: Data) -> None:
    clf = quick(**params).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.temperature_ == expected
    assert clf.net_.objective_.taught is None


def test_untrusted_rows_tell_no_temperature(data: Data) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No trusted rows")
        clf = quick().fit(data.X, data.y)
    assert clf.temperature_ == 1
    assert clf.net_.objective_.taught is None


@pytest.mark.parametrize("wrong", [0, -1.0, "hot", None])
def test_wrong_temperatures(wrong: Any, data: Data) -> None:
    with pytest.raises(ValueError, match="temperature"):
        quick(temperature=wrong).fit(data.X, data.y, meta_mask=data.mask)


def test_what_trusted_rows_have_confirmed_tells_the_likely_temperature(data: Data) -> None:
    clf = quick(max_epochs=FEWEST_EPOCHS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The trusted rows do not confirm")
        clf.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    net, found = clf.net_, clf.temperature_
    assert np.isfinite(clf.noise_evidence_)
    judges = kept_out(net.meta_rows_, net.seed).numpy()
    net.temperature_, net.class_factors_ = 1.0, ()
    log_p = torch.as_tensor(clf.predict_log_proba(data.X_meta)[judges])
    y = torch.as_tensor(data.y_meta[judges])
    assert found == fit_temperature(log_p, y, clf.weight_strength_)
