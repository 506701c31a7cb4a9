"""What is said of weights that were learned in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skmetaweight._messages import listed, warn
from skmetaweight._training.confirmation import SUFFICIENT
from skmetaweight.reweighting import Reweighter, Uniform

if TYPE_CHECKING:
    from skmetaweight._data.fit_data import FitData

WARM_UP_EPOCHS = 10
"""Epochs after which equal weights mean that nothing was learned."""

MUCH_STRENGTH = 0.5
"""Strength below which weights count too little for what they are to need mending."""

SUPPRESSED = 0.25
"""Share of the mean weight below which a whole class hardly counts."""


def diagnose(estimator: Any, data: FitData) -> None:
    """Warn of what the weights of a fitted classifier that learns any say of its data."""
    if isinstance(estimator.net_.reweighter_, Uniform) or estimator.n_iter_ < WARM_UP_EPOCHS:
        return
    if estimator.weight_strength_ < 1:
        warn_of_unconfirmed_weights(estimator.noise_evidence_, estimator.weight_strength_)
    if estimator.weight_strength_ < MUCH_STRENGTH:
        return
    weights = estimator.sample_weights_[data.train_indices]
    reweighter = estimator.net_.reweighter_
    steps = "method__meta_lr or " if "meta_lr" in reweighter.get_params() else ""
    if warn_of_collapse(_as_learned(weights, reweighter), f"{steps}max_epochs"):
        return
    warn_of_suppressed_classes(weights, data.train.y, data.classes, estimator._told)


def _as_learned(weights: NDArray[Any], reweighter: Reweighter) -> NDArray[Any]:
    """Return weights before they were drawn to one and scaled to mean one."""
    mean = reweighter.normalizer_
    return mean * (1 + (weights - 1) / float(reweighter.strength_at(mean)))


def warn_of_collapse(weights: NDArray[Any], remedies: str) -> bool:
    """Warn if all weights are near zero, or all equal; return whether they are."""
    mean, spread = weights.mean(), weights.std()
    if mean < 1e-3:
        what = f"all near zero (mean {mean:.2g})"
    elif spread < 1e-2 * mean:
        what = f"all equal (standard deviation {spread:.2g} around {mean:.2g})"
    else:
        return False
    warn(
        f"The learned weights are {what}: nothing was learned about the rows. Check that the meta "
        f"set is preprocessed as X and large enough, or raise {remedies}.",
        ConvergenceWarning,
    )
    return True


def warn_of_suppressed_classes(
    weights: NDArray[Any], labels: NDArray[np.int64], classes: NDArray[Any], told: set[str]
) -> None:
    """Warn with the names of classes whose rows have hardly any weight, right labels or wrong.

    In fits that go on, once of each: what was told is remembered.
    """
    sizes = np.bincount(labels, minlength=len(classes))
    means = np.bincount(labels, weights, minlength=len(classes)) / np.maximum(sizes, 1)
    suppressed = np.flatnonzero((sizes > 0) & (means < SUPPRESSED * weights.mean()))
    suppressed = [place for place in suppressed if f"suppressed class {place}" not in told]
    told.update(f"suppressed class {place}" for place in suppressed)
    if suppressed:
        warn(
            f"The rows labelled {listed(classes[suppressed])} have hardly any weight: their means "
            f"are {listed(means[suppressed].round(3))}, that of all rows is {weights.mean():.3g}. "
            "If these classes are rare rather than mislabelled, check more of their rows. "
            'class_weight="balanced" serves rare classes at the expense of the others, and can '
            "cost more than it gives where many classes are unequal: compare it, and "
            'method="uniform", on checked rows kept apart.',
        )


def warn_of_unconfirmed_weights(evidence: float, strength: float) -> None:
    """Warn that trusted rows show no clear sign of wrong labels, and what was made of it."""
    warn(
        "The trusted rows do not confirm that labels are wrong: before they were trained on, they "
        f"differed from the training rows by only {evidence:.1f} standard errors "
        f"(noise_evidence_), where {SUFFICIENT:g} are asked for. The learned weights therefore "
        f"have {strength:.0%} of their effect (weight_strength_). If you know that labels are "
        "wrong, check more rows, or pass confirm_weights=False.",
    )
