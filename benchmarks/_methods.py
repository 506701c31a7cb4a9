"""The methods of accuracy.py, by name. Their hyper-parameters are the same for all tasks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from _tasks import IMBALANCED, Problem
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_sample_weight
from skorch.callbacks import Callback
from torch import nn

from skmetaweight import (
    FirstOrderMetaWeightNet,
    LearningToReweight,
    MetaWeightClassifier,
    MetaWeightNet,
)

TRUSTED_SHARE = 0.2
FINE_TUNING_STEPS = 100
FINE_TUNING_LR = 1e-4
META_ONLY_STEPS = 400
"""As many as the network takes on 4,000 rows."""

HGB = HistGradientBoostingClassifier(learning_rate=0.05)
FOREST = RandomForestClassifier(n_estimators=200, min_samples_leaf=5)
LOGISTIC = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


class Fitted(NamedTuple):
    """A fitted classifier, and what it makes of each training row: higher, more trusted."""

    classifier: Any
    weights: NDArray | None = None


@dataclass(frozen=True)
class Method:
    """How to fit, and about how long it takes: for planning only."""

    fit: Callable[[Problem, int], Fitted]
    seconds: float
    """On 4,000 rows, without boosting."""
    boostings: int = 0
    """Fits of HGB, whose cost goes by classes and features."""
    imbalanced_only: bool = False
    """Whether it is left out where classes are not imbalanced, unless it is named."""

    def applies_to(self, noise: str) -> bool:
        return noise in IMBALANCED or not self.imbalanced_only

    def expected_seconds(self, n_rows: int, n_features: int, n_classes: int) -> float:
        n_trees = 1 if n_classes == 2 else n_classes
        boosting = n_trees * (0.05 + 0.008 * n_features)
        return 0.05 + self.seconds * n_rows / 4_000 + self.boostings * boosting


# scikit-learn's --------------------------------------------------------------------------------


def seeded_clone(estimator: Any, seed: int) -> Any:
    estimator = clone(estimator)
    names = [name for name in estimator.get_params() if name.endswith("random_state")]
    return estimator.set_params(**dict.fromkeys(names, seed))


def on_union(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    X, y, _ = problem.union()
    return Fitted(seeded_clone(estimator, seed).fit(X, y))


def on_union_upweighted(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    """The trusted rows carry a fifth of the weight."""
    X, y, trusted = problem.union()
    share = np.where(trusted, TRUSTED_SHARE / trusted.sum(), (1 - TRUSTED_SHARE) / (~trusted).sum())
    return Fitted(seeded_clone(estimator, seed).fit(X, y, sample_weight=share * len(y)))


def with_learned_weights(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    """The recipe: MetaWeightClassifier's weights as another estimator's sample_weight."""
    X, y, trusted = problem.union()
    weights = network(seed).fit(X, y, meta_mask=trusted).sample_weights_
    fitted = seeded_clone(estimator, seed).fit(X, y, sample_weight=weights)
    return Fitted(fitted, weights[~trusted])


# The same network ------------------------------------------------------------------------------


class GeneralizedCrossEntropy(nn.Module):
    """(1 - p_y^q) / q of each row, from logits (Zhang and Sabuncu, NeurIPS 2018)."""

    def __init__(self, q: float = 0.7) -> None:
        super().__init__()
        self.q = q

    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        log_p = torch.log_softmax(y_pred, dim=-1).gather(1, y[:, None]).squeeze(1)
        return -torch.expm1(self.q * log_p) / self.q


SMOOTHING = {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1}


def network(seed: int, **params: Any) -> MetaWeightClassifier:
    return MetaWeightClassifier(random_state=seed, device="cpu", **params)


def plain_network(seed: int, **params: Any) -> MetaWeightClassifier:
    """Ordinary training to the last epoch: the meta set has no part in it."""
    plain = {"method": "uniform", "meta_share": 0.0, "early_stopping": False}
    return network(seed, **{**plain, **params})


def plain_on(X: NDArray, y: NDArray, seed: int, **params: Any) -> MetaWeightClassifier:
    """Train on these rows alone; they stand in for the meta set, which plain training ignores."""
    return plain_network(seed, **params).fit(X, y, X_meta=X, y_meta=y)


def with_meta(problem: Problem, seed: int, **params: Any) -> Fitted:
    X, y, trusted = problem.union()
    clf = network(seed, **params).fit(X, y, meta_mask=trusted)
    return Fitted(clf, clf.sample_weights_[~trusted])


def as_published(problem: Problem, seed: int, *, reweighter: Callable) -> Fitted:
    published = {"meta_share": 0.0, "lookahead_lr": "lr", "early_stopping": False}
    return with_meta(problem, seed, method=reweighter(), **published)


def plain_on_union(problem: Problem, seed: int, *, balanced: bool = False, **params: Any) -> Fitted:
    X, y, _ = problem.union()
    # Unlike class_weight, these weights enter the means and quantiles of the columns too.
    weight = compute_sample_weight("balanced", y) if balanced else None
    clf = plain_network(seed, **params)
    # A meta set must be given; it is watched and nothing more.
    return Fitted(clf.fit(X, y, sample_weight=weight, X_meta=problem.X_meta, y_meta=problem.y_meta))


def meta_tensors(problem: Problem, classes: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
    y_meta = np.searchsorted(classes, problem.y_meta)
    return torch.from_numpy(problem.X_meta), torch.from_numpy(y_meta)


class KeepMostAccurate(Callback):
    """Puts back the epoch with the most meta rows right, the last of equals."""

    def __init__(self, X_meta: torch.Tensor, y_meta: torch.Tensor) -> None:
        self.X_meta = X_meta
        self.y_meta = y_meta

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.n_right_ = -1

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        module = net.module_.eval()
        with torch.no_grad():
            n_right = int((module(self.X_meta).argmax(dim=1) == self.y_meta).sum())
        if n_right >= self.n_right_:
            self.n_right_, self.state_ = n_right, copy.deepcopy(module.state_dict())

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        net.module_.load_state_dict(self.state_)


def early_stopped(problem: Problem, seed: int) -> Fitted:
    """Trained on the noisy rows; the trusted ones choose the epoch, by accuracy."""
    X, y, trusted = problem.union()
    keep = KeepMostAccurate(*meta_tensors(problem, np.unique(y)))
    return Fitted(plain_network(seed, callbacks=[keep]).fit(X, y, meta_mask=trusted))


def fine_tuned(problem: Problem, seed: int) -> Fitted:
    """Trained on the noisy rows, then for some steps on the trusted ones."""
    X, y, trusted = problem.union()
    clf = plain_network(seed).fit(X, y, meta_mask=trusted)
    module = clf.net_.module_.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=FINE_TUNING_LR)
    X_meta, y_meta = meta_tensors(problem, clf.classes_)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(FINE_TUNING_STEPS):
            rows = rng.permutation(len(y_meta))[:64]
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X_meta[rows]), y_meta[rows]).backward()
            optimizer.step()
    module.eval()
    return Fitted(clf)


def meta_only(problem: Problem, seed: int) -> Fitted:
    X, y = problem.X_meta, problem.y_meta
    epochs = -(-META_ONLY_STEPS // -(-len(y) // 64))
    return Fitted(plain_on(X, y, seed, batch_size=64, max_epochs=epochs))


# Without trusted rows ---------------------------------------------------------------------------


def plain_on_noisy(problem: Problem, seed: int, **params: Any) -> Fitted:
    return Fitted(plain_on(problem.X, problem.y, seed, **params))


def split_off(problem: Problem, seed: int, **params: Any) -> Fitted:
    """The meta set is a tenth of the noisy rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        clf = network(seed, **params).fit(problem.X, problem.y)
    return Fitted(clf, clf.sample_weights_)


def pseudo_trusted(problem: Problem, seed: int, *, n_trusted: int = 200, **params: Any) -> Fitted:
    """Trust the rows of each class whose label two networks, out of fold, are surest of."""
    X, y = problem.X, problem.y
    margin = np.empty(len(y))
    folds = StratifiedKFold(n_splits=2, shuffle=True, random_state=seed)
    for train, test in folds.split(X, y):
        clf = plain_on(X[train], y[train], seed)
        p = clf.predict_proba(X[test])
        given = np.searchsorted(clf.classes_, y[test])
        p_given = p[np.arange(len(test)), given]
        p[np.arange(len(test)), given] = 0
        margin[test] = p_given - p.max(axis=1)
    share = min(1.0, n_trusted / len(y))
    trusted = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        surest = members[np.argsort(-margin[members])]
        trusted[surest[: max(1, round(share * len(members)))]] = True
    clf = network(seed, **params).fit(X, y, meta_mask=trusted)
    return Fitted(clf, clf.sample_weights_)


# cleanlab's ------------------------------------------------------------------------------------


class FromZero(ClassifierMixin):
    """Takes the labels 0, 1, ... of a classifier that needs them without gaps back to y's."""

    def __init__(self, classifier: Any, classes: NDArray[np.int64]) -> None:
        self.classifier = classifier
        self.classes_ = classes

    def predict_proba(self, X: NDArray) -> NDArray:
        return self.classifier.predict_proba(X)


def clean_learning(estimator: Any, seed: int) -> Any:
    try:
        from cleanlab.classification import CleanLearning
    except ImportError as error:
        message = "cleanlab is not installed: pip install cleanlab, or leave its methods out."
        raise ImportError(message) from error
    # Its own processes lack their data within a worker of ours.
    return CleanLearning(estimator, seed=seed, find_label_issues_kwargs={"n_jobs": 1})


def cleanlab_on_union(problem: Problem, seed: int, *, estimator: Any) -> Fitted:
    """Rows with suspect labels are dropped, but no trusted one."""
    X, y, trusted = problem.union()
    classes, y = np.unique(y, return_inverse=True)
    cleaner = clean_learning(seeded_clone(estimator, seed), seed)
    issues = cleaner.find_label_issues(X, y)
    issues.loc[trusted, "is_label_issue"] = False
    quality = issues["label_quality"].to_numpy()[~trusted]
    return Fitted(FromZero(cleaner.fit(X, y, label_issues=issues), classes), quality)


def cleanlab_with_meta(problem: Problem, seed: int) -> Fitted:
    """Around our unweighted classifier, which is given the meta set in every fold."""
    meta = {"X_meta": problem.X_meta, "y_meta": problem.y_meta}
    cleaner = clean_learning(network(seed, method="uniform"), seed)
    issues = cleaner.find_label_issues(problem.X, problem.y, clf_kwargs=meta)
    cleaner.fit(problem.X, problem.y, label_issues=issues, clf_kwargs=meta)
    return Fitted(cleaner.clf, issues["label_quality"].to_numpy())


def balanced_forest(problem: Problem, seed: int) -> Fitted:
    from imblearn.ensemble import BalancedRandomForestClassifier

    return on_union(problem, seed, estimator=BalancedRandomForestClassifier(n_estimators=200))


class PriorAdjusted(ClassifierMixin):
    """Divides probabilities by a power of the classes' shares (Menon et al., ICLR 2021).

    With two classes that is a threshold. The power is the one of the best balanced accuracy on
    the trusted rows.
    """

    def __init__(self, classifier: Any, y: NDArray, X_meta: NDArray, y_meta: NDArray) -> None:
        self.classifier = classifier
        self.classes_, sizes = np.unique(y, return_counts=True)
        self._shares = sizes / len(y)
        scores = {}
        for power in np.linspace(0, 1.5, 16):
            self._power = power
            predicted = self.classes_[self.predict_proba(X_meta).argmax(axis=1)]
            scores[power] = balanced_accuracy_score(y_meta, predicted)
        self._power = max(scores, key=lambda power: scores[power])

    def predict_proba(self, X: NDArray) -> NDArray:
        adjusted = self.classifier.predict_proba(X) / self._shares**self._power
        return adjusted / adjusted.sum(axis=1, keepdims=True)


def prior_adjusted(problem: Problem, seed: int, *, fit: Callable[..., Fitted]) -> Fitted:
    classifier = fit(problem, seed).classifier
    _, y, _ = problem.union()
    return Fitted(PriorAdjusted(classifier, y, problem.X_meta, problem.y_meta))


METHODS: dict[str, Method] = {
    "logistic": Method(partial(on_union, estimator=LOGISTIC), 0.1),
    "forest": Method(partial(on_union, estimator=FOREST), 1.5),
    "hgb": Method(partial(on_union, estimator=HGB), 0.0, boostings=1),
    "hgb-upweighted": Method(partial(on_union_upweighted, estimator=HGB), 0.0, boostings=1),
    "cleanlab-hgb": Method(partial(cleanlab_on_union, estimator=HGB), 0.5, boostings=6),
    "cleanlab-uniform": Method(cleanlab_with_meta, 16.0),
    "plain": Method(plain_on_union, 2.2),
    "plain-share": Method(partial(with_meta, method="uniform", early_stopping=False), 2.3),
    "early-stopped": Method(early_stopped, 2.3),
    "fine-tuned": Method(fine_tuned, 2.3),
    "meta-only": Method(meta_only, 1.6),
    "gce": Method(partial(plain_on_union, criterion=GeneralizedCrossEntropy), 2.3),
    "gce-share": Method(
        partial(
            with_meta,
            method="uniform",
            early_stopping=False,
            criterion=GeneralizedCrossEntropy,
            robust_meta_loss=False,
        ),
        2.3,
    ),
    "smoothing-share": Method(
        partial(with_meta, method="uniform", early_stopping=False, **SMOOTHING), 2.3
    ),
    "mw-net-paper": Method(partial(as_published, reweighter=MetaWeightNet.paper), 6.5),
    "fmw-net-paper": Method(partial(as_published, reweighter=FirstOrderMetaWeightNet.paper), 3.2),
    "l2rw-paper": Method(partial(as_published, reweighter=LearningToReweight.paper), 5.5),
    "uniform": Method(partial(with_meta, method="uniform"), 2.3),
    "mw-net": Method(with_meta, 2.6),
    "fmw-net": Method(partial(with_meta, method="fmw-net"), 2.5),
    "l2rw": Method(partial(with_meta, method="l2rw"), 2.5),
    "forest-weighted": Method(partial(with_learned_weights, estimator=FOREST), 4.2),
    "hgb-weighted": Method(partial(with_learned_weights, estimator=HGB), 2.6, boostings=1),
    "untrusted-plain": Method(plain_on_noisy, 2.2),
    "untrusted-gce": Method(partial(plain_on_noisy, criterion=GeneralizedCrossEntropy), 2.3),
    "untrusted-split": Method(split_off, 2.4),
    "untrusted-split-plain-loss": Method(partial(split_off, robust_meta_loss=False), 2.4),
    "untrusted-split-gce": Method(partial(split_off, criterion=GeneralizedCrossEntropy), 1.4),
    "untrusted-pseudo": Method(pseudo_trusted, 4.5),
}

_BALANCED = {"class_weight": "balanced"}
_IMBALANCED = {
    "balanced-forest": (balanced_forest, 1.0),
    "plain-adjusted": (partial(prior_adjusted, fit=plain_on_union), 2.3),
    "mw-net-adjusted": (partial(prior_adjusted, fit=with_meta), 2.7),
    "plain-balanced": (partial(plain_on_union, balanced=True), 2.3),
    "hgb-balanced": (partial(on_union, estimator=clone(HGB).set_params(**_BALANCED)), 0.0),
    "uniform-balanced": (partial(with_meta, method="uniform", **_BALANCED), 2.4),
    "mw-net-balanced": (partial(with_meta, **_BALANCED), 2.7),
    "fmw-net-balanced": (partial(with_meta, method="fmw-net", **_BALANCED), 2.6),
    "l2rw-balanced": (partial(with_meta, method="l2rw", **_BALANCED), 2.6),
}
METHODS |= {
    name: Method(fit, seconds, boostings=int(name == "hgb-balanced"), imbalanced_only=True)
    for name, (fit, seconds) in _IMBALANCED.items()
}
