"""What the displays share: the classifier inside an estimator, axes, colours."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted

from skmetaweight._estimator.classifier import MetaWeightClassifier
from skmetaweight._messages import import_for, shortened

# Okabe and Ito's, which colour-blind readers can tell apart
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def classifier_of(estimator: Any) -> MetaWeightClassifier:
    """Return the fitted classifier at the end of a search or a pipeline."""
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        is_search = hasattr(estimator, "best_estimator_")
        estimator = estimator.best_estimator_ if is_search else estimator.steps[-1][1]
    if not isinstance(estimator, MetaWeightClassifier):
        raise TypeError(f"Expected a MetaWeightClassifier at the end, got {estimator!r}.")
    check_is_fitted(estimator)
    return estimator


def pyplot(display: object) -> Any:
    """Import matplotlib's pyplot, or say how to install it."""
    return import_for(f"{type(display).__name__} needs", "matplotlib.pyplot", extra="plot")


def literal(label: Any) -> str:
    """Return what makes a legend of matplotlib show a label as it is, and show it at all."""
    text = str(label).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def axes(display: object, ax: Any) -> tuple[Any, Any]:
    """Return axes to draw in, new ones if there are none, and their figure."""
    plt = pyplot(display)
    ax = plt.subplots()[1] if ax is None else ax
    if not hasattr(ax, "figure"):
        raise TypeError(f"ax must be Axes of matplotlib, got {shortened(ax)}.")
    return ax, ax.figure
