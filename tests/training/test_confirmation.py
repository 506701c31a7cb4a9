"""Trusted rows confirm that labels are wrong before they are trained on."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.stats import ttest_ind
from sklearn.datasets import load_digits, make_classification
from skorch.callbacks import Callback
from torch import nn

from skmetaweight import LearningToReweight, MetaWeightClassifier, MetaWeightNet
from skmetaweight._bilevel.objective import Batch
from skmetaweight._data.batches import Rows
from skmetaweight._training.confirmation import (
    common_direction,
    distinct,
    standardized_difference,
    strength_of,
)
from tests.conftest import Data, Linear, noisy_blobs, quick

Q = 0.5 / np.log(3)
"""Bounds the losses of trusted rows of three classes."""


def bounded_losses(net: Any, *of: Any) -> list[np.ndarray]:
    return [(1 - np.exp(-Q * net.evaluate(rows).losses.numpy())) / Q for rows in of]


def withheld(net: Any) -> np.ndarray:
    """Return which training rows do not count."""
    everything = Batch(
        torch.empty(0), torch.empty(0), torch.arange(len(net.confirmation_._counted))
    )
    weights = net.confirmation_.withheld(everything).sample_weight
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    return (weights == 0).numpy()


def slow_evidence(net: Any, rows: Any, compared: np.ndarray, *, head: bool = True) -> float:
    labels = rows.y.numpy()[compared], net.meta_rows_.y.numpy()
    losses, meta_losses = bounded_losses(net, rows, net.meta_rows_)
    z = slow_difference(losses[compared], meta_losses, *labels)
    if not head:
        return z
    gradients = slow_gradients(net, rows)[compared], slow_gradients(net, net.meta_rows_)
    return max(z, slow_common_direction(*gradients, *labels))


class Watch(Callback):
    """Notes what trusted rows carry in each epoch, and the evidence while that is nothing."""

    def __init__(self, *, head: bool = True) -> None:
        self.head = head
        self.shares: list[float] = []
        self.evidence: list[float] = []

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.shares.append(net.stage_.share)
        self.compared = withheld(net) if net.confirmation_ else None

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        if self.compared is not None:
            found = slow_evidence(net, dataset_train, self.compared, head=self.head)
            self.evidence.append(found)


def slow_gradients(net: Any, rows: Any) -> np.ndarray:
    """Differentiate the bounded loss of one row after the other by the last layer."""
    gradients = []
    for i in range(len(rows)):
        row = rows.take(torch.tensor([i]))
        loss = nn.functional.cross_entropy(net.module_.eval()(row.X), row.y)
        bounded = (1 - torch.exp(-loss) ** Q) / Q
        by_layer = torch.autograd.grad(bounded, list(net.objective_.head.parameters()))
        gradients.append(torch.cat([gradient.flatten() for gradient in by_layer]).numpy())
    return np.stack(gradients)


def slow_difference(values: Any, meta_values: Any, labels: Any, meta_labels: Any) -> float:
    """Sum over classes, each compared as by Student."""
    difference, variance = 0.0, 0.0
    for c in np.unique(meta_labels):
        own, meta_own = values[labels == c], meta_values[meta_labels == c]
        share, apart = len(meta_own) / len(meta_labels), own.mean() - meta_own.mean()
        difference += share * apart
        variance += (share * apart / ttest_ind(own, meta_own).statistic) ** 2
    return float(difference / np.sqrt(variance))


def slow_common_direction(
    gradients: Any, meta_gradients: Any, labels: Any, meta_labels: Any
) -> float:
    """Sum over pairs, as in the equation."""
    means, errors, spread = {}, {}, {}
    for c in np.unique(meta_labels):
        own = gradients[labels == c]
        means[c] = own.mean(axis=0)
        errors[c] = own.var(axis=0, ddof=1).sum() / len(own)
        spread[c] = 1 + np.sum(meta_labels == c) / len(own)
    total = variance = 0.0
    for j, (g, c) in enumerate(zip(meta_gradients, meta_labels, strict=True)):
        for k, (h, d) in enumerate(zip(meta_gradients, meta_labels, strict=True)):
            if j != k:
                pair = (g - means[c]) @ (h - means[d]) - (errors[c] if c == d else 0)
                total += pair
                variance += 2 * spread[c] * spread[d] * pair**2
    return float(total / np.sqrt(variance))


# ------------------------------------------------------------------ the evidence


def test_difference_is_the_statistic_of_student() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.exponential(size=200), rng.exponential(scale=2.0, size=30)
    labels = torch.zeros(200, dtype=torch.long), torch.zeros(30, dtype=torch.long)
    expected = ttest_ind(one, other).statistic
    found = standardized_difference(torch.as_tensor(one), torch.as_tensor(other), *labels)
    assert found == pytest.approx(expected, rel=1e-12)
    assert standardized_difference(torch.ones(5), torch.ones(3), labels[0][:5], labels[1][:3]) == 0


def drawn(
    n: list[int], rng: np.random.Generator, *, wrong: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Return labels, losses and gradients of rows of three classes, some with a wrong label."""
    truth = np.repeat(np.arange(3), n)
    labels = np.where(rng.random(len(truth)) < wrong, (truth + 1) % 3, truth)
    losses = rng.exponential(size=len(truth)) * (1 + truth) + 5 * (labels != truth)
    deltas = np.eye(3)[truth] - np.eye(3)[labels] + 0.5 * rng.normal(size=(len(truth), 3))
    features = np.eye(4)[truth] + 0.5 * rng.normal(size=(len(truth), 4))
    factors = torch.as_tensor(deltas), torch.as_tensor(features)
    return torch.as_tensor(labels), torch.as_tensor(losses), factors


@pytest.mark.parametrize("n_trusted", [[40, 12, 4], [20, 20, 20], [0, 30, 0], [0, 5, 30]])
def test_evidence_is_of_labels_and_not_of_the_shares_of_classes(n_trusted: list[int]) -> None:
    rng = np.random.default_rng(0)

    def evidence(wrong: float) -> tuple[float, float]:
        labels, losses, gradients = drawn([400, 120, 40], rng, wrong=wrong)
        meta_labels, meta_losses, meta_gradients = drawn(n_trusted, rng)
        z = standardized_difference(losses, meta_losses, labels, meta_labels)
        return z, common_direction(gradients, meta_gradients, labels, meta_labels)

    right, wrong = (np.array([evidence(rate) for _ in range(200)]) for rate in (0.0, 0.4))
    assert np.abs(right.mean(axis=0)).max() < 0.3
    assert right.std(axis=0) == pytest.approx([1.0, 1.2], abs=0.4)
    assert (np.median(wrong, axis=0) > 2).all()


def test_classes_without_training_rows_to_compare_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    labels, losses, gradients = drawn([60, 60, 1], rng)
    meta_labels, meta_losses, (deltas, features) = drawn([10, 10, 10], rng)

    def evidence(rows: slice) -> tuple[float, float]:
        z = standardized_difference(losses, meta_losses[rows], labels, meta_labels[rows])
        factors = deltas[rows], features[rows]
        return z, common_direction(gradients, factors, labels, meta_labels[rows])

    assert evidence(slice(None)) == pytest.approx(evidence(slice(20)), rel=1e-12)
    assert evidence(slice(20, None)) == (0, 0)


def test_strength_rises_with_the_evidence() -> None:
    evidence = [-3, 0, 0.5, 1.5, 2, 9]
    assert [strength_of(z) for z in evidence] == [0, 0, 0.25, 0.75, 1, 1]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("noise_rate", [0.0, 0.4])
@pytest.mark.filterwarnings("ignore:The trusted rows do not confirm")
def test_trusted_rows_are_withheld_until_they_have_told(
    noise_rate: float, class_weight: str | None
) -> None:
    X, y, checked = noisy_blobs(noise_rate, seed=2)
    watch = Watch()
    clf = MetaWeightClassifier(
        class_weight=class_weight, callbacks=[watch], random_state=0, device="cpu"
    )
    clf.fit(X[30:], y[30:], meta_mask=checked[30:])
    end = watch.shares.index(0.2)
    assert watch.shares == [0.0] * end + [0.2] * (25 - end)
    assert clf.noise_evidence_ == pytest.approx(max(watch.evidence), rel=1e-4)
    assert clf.weight_strength_ == strength_of(clf.noise_evidence_)
    assert end == (3 if noise_rate else 5)  # certain at the first look, or never
    assert clf.noise_evidence_ > 3 if noise_rate else clf.noise_evidence_ < 3


class Doubled(Linear):
    """Ends in no linear layer, whose gradients could be compared."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(X)


@pytest.mark.filterwarnings("ignore:The trusted rows do not confirm")
def test_losses_alone_are_compared_without_a_last_layer(data: Data) -> None:
    losses = Watch(head=False)
    clf = quick(module=Doubled, method__alignment_layers="all", callbacks=[losses], max_epochs=10)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert clf.net_.objective_.head is None
    assert len(losses.evidence) == 2
    assert clf.noise_evidence_ == pytest.approx(max(losses.evidence), rel=1e-4)


# ------------------------------------------------------------------ what comes of it


def test_right_labels_are_recognised_and_warned_of() -> None:
    X, y = load_digits(return_X_y=True)
    checked = np.random.default_rng(2).permutation(len(y)) < 100
    clf = MetaWeightClassifier(random_state=0, device="cpu")
    message = r"do not confirm .* only 1\.\d .* \d+% of their .*=False"
    with pytest.warns(UserWarning, match=message) as record:
        clf.fit(X, y, meta_mask=checked)
    assert [warning.filename for warning in record] == [__file__]
    assert clf.weight_strength_ == clf.noise_evidence_ / 2


def test_without_evidence_every_row_counts_the_same() -> None:
    X, y, checked = noisy_blobs(0, seed=13)
    clf = MetaWeightClassifier(random_state=0, device="cpu")
    with pytest.warns(UserWarning, match="have 0% of their effect"):
        clf.fit(X, y, meta_mask=checked)
    assert clf.noise_evidence_ < 0
    np.testing.assert_array_equal(clf.sample_weights_, 1)
    np.testing.assert_array_equal(clf.compute_sample_weight(X, y), 1)
    np.testing.assert_array_equal(clf.weighting_function_([0.0, 5.0]), 1)


@pytest.mark.parametrize("method", [MetaWeightNet(), LearningToReweight()], ids=["mw-net", "l2rw"])
def test_weights_count_as_far_as_they_are_confirmed(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skmetaweight._training.net.strength_of", lambda evidence: 0.25)
    X, y, checked = noisy_blobs(0.4)
    clf = MetaWeightClassifier(method=method, random_state=0, device="cpu")
    with pytest.warns(UserWarning, match="have 25% of their effect"):
        clf.fit(X, y, meta_mask=checked)
    confirmed = [clf.sample_weights_, clf.compute_sample_weight(X, y)]
    if isinstance(method, MetaWeightNet):
        confirmed.append(clf.weighting_function_([0.0, 1.0, 4.0]))
    clf.net_.reweighter_.strength_ = 1.0
    rows = clf.net_.make_rows(X[~checked], y[~checked])
    losses = clf.net_.evaluate(rows).losses
    evaluation = clf.net_.evaluation(rows, losses, is_training_set=True)
    learned = [np.ones(600), clf.compute_sample_weight(X, y)]
    learned[0][~checked] = clf.net_.reweighter_.weigh(evaluation).numpy()
    assert learned[0].std() > 0.3
    if isinstance(method, MetaWeightNet):
        function = clf.net_.reweighter_.weighting_function(evaluation, clf.classes_)
        learned.append(function([0.0, 1.0, 4.0]))
    for found, weights in zip(confirmed, learned, strict=True):
        np.testing.assert_allclose(found, 1 + 0.25 * (weights - 1), rtol=1e-5)
    assert np.mean(learned[0] < 0.5) > 0.1
    assert set(clf.history_[5:, "share_distrusted"]) == {0.0}  # in training as well


# ------------------------------------------------------------------ when


@pytest.mark.parametrize(
    "params",
    [
        {"confirm_weights": False},
        {"max_epochs": 9},
        {"meta_share": 0},
        {"method__memory": 0},
        {"method": "fmw-net"},
        {"method": "uniform"},
        {"method": MetaWeightNet(normalize=False)},
    ],
    ids=["off", "epochs", "share", "memory", "fmw-net", "uniform", "raw"],
)
@pytest.mark.filterwarnings("ignore:The learned weights are")
def test_nothing_is_withheld_where_it_is_not_due(params: dict[str, Any], data: Data) -> None:
    watch = Watch()
    clf = quick(callbacks=[watch], **{"max_epochs": 10, **params})
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert set(watch.shares) == {clf.meta_share}
    assert np.isnan(clf.noise_evidence_)
    assert clf.weight_strength_ == 1


def test_nothing_is_withheld_without_trusted_rows(data: Data) -> None:
    with pytest.warns(UserWarning, match="No trusted rows|hardly any weight"):
        clf = quick(max_epochs=10).fit(data.X, data.y)
    assert np.isnan(clf.noise_evidence_)


@pytest.mark.parametrize("n_trusted", [[50, 50], [80, 20], [100, 0]])
@pytest.mark.filterwarnings(
    "ignore:The trusted rows do not confirm", "ignore:The meta set has no row"
)
def test_right_labels_of_unequal_classes_are_no_evidence(n_trusted: list[int]) -> None:
    X, y = make_classification(
        1500, 12, n_informative=8, weights=[0.8], class_sep=0.5, flip_y=0, random_state=0
    )
    trusted = [np.flatnonzero(y == c)[:n] for c, n in enumerate(n_trusted)]
    mask = np.isin(np.arange(len(y)), np.concatenate(trusted))
    clf = MetaWeightClassifier(random_state=0, device="cpu").fit(X, y, meta_mask=mask)
    assert clf.noise_evidence_ < 2


@pytest.mark.parametrize("kind", ["wide", "weighted", "weighted classes", "constant", "trusted"])
@pytest.mark.filterwarnings("ignore:The trusted rows do not confirm", "ignore:The learned weights")
def test_right_labels_are_no_evidence_whatever_the_rows(kind: str) -> None:
    n_columns = {"wide": 200, "constant": 1}.get(kind, 12)
    rng, shares = np.random.default_rng(0), [0.7, 0.2] if kind == "weighted classes" else None
    X, y = make_classification(
        300, max(n_columns, 12), n_informative=8, n_classes=3, weights=shares, random_state=0
    )
    X = np.ones((300, 1)) if kind == "constant" else X
    checked = rng.permutation(300) < (220 if kind == "trusted" else 60)
    params = {"class_weight": "balanced"} if kind == "weighted classes" else {}
    weights = np.exp(X[:, 0]) if kind == "weighted" else None
    clf = MetaWeightClassifier(random_state=0, device="cpu", **params)
    clf.fit(X, y, meta_mask=checked, sample_weight=weights)
    assert clf.noise_evidence_ < 3
    assert kind != "constant" or clf.noise_evidence_ == 0


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.filterwarnings("ignore:The trusted rows do not confirm", "ignore:The learned weights")
def test_copies_of_trusted_rows_are_no_evidence(kind: str) -> None:
    X, y = make_classification(600, 10, n_informative=6, n_classes=3, random_state=0)
    X = csr_matrix(np.tile(X, 30)) if kind == "sparse" else X
    several = np.repeat(np.arange(20), 5)
    clf = MetaWeightClassifier(random_state=0, device="cpu", max_epochs=15)
    clf.fit(X[80:], y[80:], X_meta=X[several], y_meta=y[several])
    assert clf.noise_evidence_ < 2


def test_rows_are_distinct_by_all_that_they_are() -> None:
    X = {"a": torch.tensor([[1.0], [1.0], [2.0], [1.0]]), "b": torch.tensor([3, 3, 3, 3])}
    like = {"device": torch.device("cpu"), "dtype": torch.float32, "cast_integers": False}
    rows = Rows(X, np.array([0, 0, 0, 1]), **like)
    assert distinct(rows, torch.tensor([1, 0, 2, 3])).tolist() == [1, 2, 3]


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.filterwarnings("ignore:The trusted rows do not confirm", "ignore:The learned weights")
def test_too_few_rows_to_compare_are_no_evidence(n: int) -> None:
    y = np.arange(n + 20) % 2
    X = np.eye(2)[y]
    clf = MetaWeightClassifier(random_state=0, device="cpu")
    clf.fit(X, y, meta_mask=np.arange(n + 20) >= n)
    assert clf.noise_evidence_ == 0


def test_a_fit_that_goes_on_withholds_nothing_more() -> None:
    X, y, checked = noisy_blobs(0.4)
    watch = Watch()
    clf = MetaWeightClassifier(
        warm_start=True, max_epochs=10, callbacks=[watch], random_state=0, device="cpu"
    ).fit(X, y, meta_mask=checked)
    evidence = clf.noise_evidence_
    assert watch.shares[0] == 0
    clf.fit(X, y, meta_mask=checked)
    assert set(watch.shares[10:]) == {0.2}
    assert clf.noise_evidence_ == evidence


def test_confirmation_needs_trusted_rows_and_a_memory(data: Data) -> None:
    for method in ("fmw-net", "uniform", MetaWeightNet(memory=0)):
        clf = quick(method=method, confirm_weights=True, max_epochs=10)
        with pytest.raises(ValueError, match="confirm_weights=True needs a method with an alignm"):
            clf.fit(data.X, data.y, meta_mask=data.mask)
    clf = quick(confirm_weights=True, max_epochs=10)
    with (
        pytest.warns(UserWarning, match="No trusted rows"),
        pytest.raises(ValueError, match="confirm_weights=True needs trusted rows"),
    ):
        clf.fit(data.X, data.y)
    with pytest.raises(ValueError, match="confirm_weights=True needs max_epochs of at least 10"):
        quick(confirm_weights=True, max_epochs=9).fit(data.X, data.y, meta_mask=data.mask)
