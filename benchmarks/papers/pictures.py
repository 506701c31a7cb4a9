"""What a fit learned, as the papers draw it."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.papers.tasks import Problem
from skmetaweight import MetaWeightClassifier
from skmetaweight.inspection import (
    SampleWeightDisplay,
    TrainingHistoryDisplay,
    WeightingFunctionDisplay,
)

N_CURVES = 5


def draw(clf: MetaWeightClassifier, problem: Problem, title: str) -> Any:
    """Draw the weighting function over the epochs, weights, convergence, and their variation.

    A method without a function has that panel empty.
    """
    figure, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
    figure.suptitle(title)
    if hasattr(clf, "weighting_function_"):
        epochs = np.unique(np.linspace(1, clf.n_iter_, N_CURVES).round().astype(int))
        WeightingFunctionDisplay.from_estimator(clf, epochs=epochs, ax=axes[0, 0])
    else:
        axes[0, 0].set_axis_off()
    changed = None if problem.is_right.all() else ~problem.is_right
    SampleWeightDisplay.from_estimator(clf, changed=changed, ax=axes[0, 1])
    TrainingHistoryDisplay.from_estimator(clf, ax=axes[1])
    plt.close(figure)
    return figure
