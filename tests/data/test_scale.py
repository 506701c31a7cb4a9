"""The warning of trusted rows that were not preprocessed as the others."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skmetaweight import MetaWeightClassifier
from skmetaweight._data.scale import far_columns, warn_of_scale

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SCALERS = [StandardScaler(), MinMaxScaler(), RobustScaler()]


@pytest.mark.parametrize("scaler", SCALERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_raw_trusted_rows_are_seen_and_scaled_ones_are_not(load: Callable, scaler) -> None:
    raw = np.random.default_rng(0).permutation(load().data)
    scaled = scaler.fit_transform(raw)
    with pytest.warns(UserWarning, match=r"X_meta is far from X in \d+ of the \d+ columns: "):
        warn_of_scale(raw[:20], scaled[20:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scale(scaled[:20], scaled[20:])
        warn_of_scale(raw[:20], raw[20:])


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: rng.standard_normal(shape),
        lambda rng, shape: rng.standard_cauchy(shape),
        lambda rng, shape: np.exp(3 * rng.standard_normal(shape)),
        lambda rng, shape: rng.poisson(0.05, shape),
        lambda rng, shape: np.where(rng.random(shape) < 0.3, np.nan, rng.random(shape)),
        lambda rng, shape: np.zeros(shape),
    ],
    ids=["normal", "cauchy", "lognormal", "rare", "missing", "constant"],
)
@pytest.mark.parametrize(("n_meta", "n"), [(2, 10), (20, 40), (50, 500), (500, 50)])
def test_ordinary_samples_are_never_far(draw: Draw, n_meta: int, n: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert not far_columns(draw(rng, (n_meta, 100)), draw(rng, (n, 100))).any()


def test_trusted_rows_of_another_class_mixture_are_not_far() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 4)) + 10 * (np.arange(1000) % 100 == 0)[:, None]
    balanced = rng.standard_normal((40, 4)) + 10 * (np.arange(40) % 2 == 0)[:, None]
    assert not far_columns(balanced, X).any()


def test_one_drifting_column_of_many_is_no_matter_of_scale() -> None:
    X = np.random.default_rng(0).standard_normal((220, 10))
    X[:20, 0] += 1000
    assert far_columns(X[:20], X[20:]).tolist() == [True] + [False] * 9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scale(X[:20], X[20:])


def test_large_and_sparse_tables_are_sampled() -> None:
    X = np.random.default_rng(0).random((1500, 300))
    message = "X_meta is far from X in 200 of the 200 columns looked at"
    with pytest.warns(UserWarning, match=message):
        warn_of_scale(sp.csr_matrix(100 * X[:30] + 1), sp.csr_matrix(X[30:]))


def test_pixels_are_columns() -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 3, 4, 4), dtype=np.uint8)
    with pytest.warns(UserWarning, match="X_meta is far from X in 48 of the 48 columns"):
        warn_of_scale(images[:30] / 255, images[30:])


def test_only_numbers_are_looked_at() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scale(np.full((20, 2), "a", dtype=object), np.full((50, 2), "b", dtype=object))
        warn_of_scale({"a": np.ones((20, 2))}, {"a": np.zeros((50, 2))})


def test_fit_warns_of_the_line_that_called_it() -> None:
    X, y = load_iris(return_X_y=True)
    clf = MetaWeightClassifier(max_epochs=1, random_state=0, device="cpu")
    with pytest.warns(UserWarning, match="X_meta is far from X") as record:
        clf.fit(X, y, X_meta=100 * X[::5] + 1000, y_meta=y[::5])
    assert record[0].filename == __file__
