"""Rows of three classes far apart, some labels wrong, and a quick fit that shows damage."""

from typing import Any

import numpy as np
import pandas as pd

from skmetaweight import MetaWeightClassifier

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(3, 6)) * 3
N = 600
TRUE = RNG.integers(0, 3, 2 * N)
ALL = np.round(CENTRES[TRUE] + RNG.normal(size=(2 * N, 6)), 3)
X, X_TEST, Y_TEST = ALL[:N], ALL[N:], TRUE[N:]
MASK = np.arange(N) < 60
Y = np.where(~MASK & (RNG.random(N) < 0.3), RNG.integers(0, 3, N), TRUE[:N])
NAMES = list("abcdef")


def make(**params: Any) -> MetaWeightClassifier:
    defaults = {"max_epochs": 12, "random_state": 0, "device": "cpu"}
    if params.get("module") is None:
        defaults["module__hidden_dims"] = (32,)
    return MetaWeightClassifier(**{**defaults, **params})


def fit(rows: Any, **params: Any) -> MetaWeightClassifier:
    return make(**params).fit(rows, Y, meta_mask=MASK)


def fit_own(rows: Any, module: Any, **params: Any) -> MetaWeightClassifier:
    """Fit a module of a user's own, unweighted: no warning of weights."""
    return fit(rows, module=module, method="uniform", **params)


def accuracy(clf: MetaWeightClassifier, rows: Any = X_TEST) -> float:
    return float((clf.predict(rows) == Y_TEST).mean())


def frame(rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(rows.copy(), columns=NAMES)
