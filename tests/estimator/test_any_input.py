"""Any table a user may bring: the plain table's result, or one sentence of ours.

``pytest tests/estimator/test_any_input.py --hypothesis-profile=nightly`` tries ten times as many.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
from hypothesis import given
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from tests.conftest import quick

# ------------------------------------------------------------------ what a column may be


def as_category(values: NDArray[Any]) -> Any:
    return pd.Categorical([None if np.isnan(v) else f"level {v > 0}" for v in values])


def as_text(values: NDArray[Any]) -> Any:
    return np.array([None if np.isnan(v) else f"level {v > 0}" for v in values], dtype=object)


def as_number_in_text(values: NDArray[Any]) -> Any:
    return np.array([None if np.isnan(v) else f"{v:.6f}" for v in values], dtype=object)


def as_bool(values: NDArray[Any]) -> Any:
    if np.isnan(values).any():
        return pd.array([None if np.isnan(v) else v > 0 for v in values], dtype="boolean")
    return values > 0


KINDS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "float64": lambda v: v,
    "float32": lambda v: v.astype(np.float32),
    "float16": lambda v: v.astype(np.float16),
    "big endian": lambda v: v.astype(">f8"),
    "int64": lambda v: np.round(10 * v).astype(int) if not np.isnan(v).any() else v,
    "int8": lambda v: np.round(9 * v).astype(np.int8) if not np.isnan(v).any() else v,
    "offset": lambda v: 1.7e9 + v,
    "tiny": lambda v: 1e-35 * v,
    "huge": lambda v: 1e33 * v,
    "object": lambda v: v.astype(object),
    "nullable": lambda v: pd.array(v, dtype="Float64"),
    "text": as_text,
    "numbers in text": as_number_in_text,
    "category": as_category,
    "bool": as_bool,
}
OF_FRAMES = {"nullable", "text", "numbers in text", "category", "bool"}
CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda frame: frame,
    "polars": lambda frame: pl.DataFrame({name: plain(frame[name]) for name in frame}),
    "array": lambda frame: frame.to_numpy(),
    "Fortran": lambda frame: np.asfortranarray(frame.to_numpy()),
    "reversed": lambda frame: np.ascontiguousarray(frame.to_numpy()[::-1])[::-1],
    "read-only": lambda frame: read_only(frame.to_numpy()),
    "lists": lambda frame: frame.to_numpy().tolist(),
    "CSR": lambda frame: sparse.csr_matrix(frame.to_numpy(dtype=float)),
}
LABELS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "int": lambda y: y,
    "text": lambda y: np.array(["no", "yes", "perhaps"])[y],
    "list": lambda y: y.tolist(),
    "float": lambda y: y.astype(float),
    "series": lambda y: pd.Series(y, index=np.arange(len(y)) + 7),
    "category": lambda y: pd.Series(y).map({0: "a", 1: "b", 2: "c"}).astype("category"),
}


def plain(column: pd.Series) -> list[Any]:
    return [None if pd.isna(value) else value for value in column.tolist()]


def read_only(X: NDArray[Any]) -> NDArray[Any]:
    X = X.copy()
    X.flags.writeable = False
    return X


@dataclass(frozen=True)
class Case:
    """A separable problem, and how its table is written."""

    n_rows: int
    kinds: tuple[str, ...]
    missing: float
    container: str
    labels: str
    seed: int

    def problem(self) -> tuple[pd.DataFrame, NDArray[Any], NDArray[np.bool_]]:
        rng = np.random.default_rng(self.seed)
        y = rng.permutation(np.arange(self.n_rows) % 2)
        X = np.where(y == 1, 3.0, -3.0)[:, None] + rng.normal(size=(self.n_rows, len(self.kinds)))
        is_missing = rng.random(X.shape) < self.missing
        is_missing[:, 0] = False  # one column tells the classes in every row
        X[is_missing] = np.nan
        columns = {f"{i} {kind}": KINDS[kind](X[:, i]) for i, kind in enumerate(self.kinds)}
        checked = np.arange(self.n_rows) < 16
        return pd.DataFrame(columns), y, checked


cases = st.builds(
    Case,
    n_rows=st.integers(48, 120),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5).map(tuple),
    missing=st.sampled_from([0.0, 0.1, 0.4]),
    container=st.sampled_from(sorted(CONTAINERS)),
    labels=st.sampled_from(sorted(LABELS)),
    seed=st.integers(0, 1000),
)


def fitted(X: Any, y: Any, checked: NDArray[np.bool_]) -> Any:
    clf = quick(max_epochs=8, batch_size=16, lr=0.02, module__hidden_dims=(16,))
    return clf.fit(X, y, meta_mask=checked)


def is_ours(error: Exception) -> bool:
    """Whether an error is of one sentence or two, raised by us or by scikit-learn's checks."""
    raiser = traceback.extract_tb(error.__traceback__)[-1].filename
    return "skmetaweight" in raiser or "sklearn" in raiser


def is_expected(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, UserWarning | ConvergenceWarning) and (
        warning.filename == __file__
    )


@given(cases)
def test_any_table_gives_the_plain_one_s_result_or_one_sentence(case: Case) -> None:
    frame, y, checked = case.problem()
    if case.container == "CSR" and "offset" in case.kinds:
        return  # a sparse matrix cannot be shifted: see docs/gotchas.rst
    try:
        X = CONTAINERS[case.container](frame)
    except (TypeError, ValueError):  # text in a sparse matrix, say: no input of ours
        return
    labels = LABELS[case.labels](y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clf = fitted(X, labels, checked)
        except (TypeError, ValueError) as error:
            if is_ours(error):
                return
            raise
        predicted = clf.predict(X)
        probabilities = clf.predict_proba(X)
        assert clf.score(X, labels) > 0.9
    unexpected = [str(w.message) for w in caught if not is_expected(w)]
    assert not unexpected
    assert np.isfinite(probabilities).all()
    assert list(predicted[:3]) == [clf.classes_[p.argmax()] for p in probabilities[:3]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        again = fitted(frame, y, checked)
    if case.container == "frame":
        np.testing.assert_array_equal(again.predict_proba(frame), probabilities)
