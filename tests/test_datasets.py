from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skmetaweight.datasets import corrupt_labels, make_long_tailed

WITHOUT_ARGUMENTS = ["uniform", "pair", "flip-one", "flip-two"]
NOISES = [*WITHOUT_ARGUMENTS, "class-conditional", "feature-dependent"]
CENTRES = np.array([[0.0, 0.0], [3.0, 0.0], [20.0, 0.0]])  # 2 resembles 1 more than it does 0

LABEL_SETS = {
    "int8": np.array([-3, 0, 7, 9], dtype=np.int8),
    "int64": np.arange(4),
    "float": np.array([0.0, 1.0, 2.0, 5.0]),
    "str": np.array(["a", "bb", "ccc", "d"]),
    "object of str": np.array(["a", "bb", "ccc", "d"], dtype=object),
    "object of int": np.array([3, 1, 4, 10], dtype=object),
    "datetime": np.array(["2020", "2021", "2022", "2023"], dtype="datetime64[Y]"),
}


def blobs(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(seed)
    y = rng.randint(3, size=n)
    return CENTRES[y] + rng.normal(size=(n, 2)), y


def arguments(noise: str, y: np.ndarray) -> dict[str, Any]:
    n_classes = len(np.unique(y))
    if noise == "class-conditional":
        matrix = np.random.RandomState(0).dirichlet(np.ones(n_classes), size=n_classes)
        return {"noise": noise, "transition_matrix": matrix}
    if noise == "feature-dependent":
        return {"noise": noise, "X": np.random.RandomState(0).normal(size=(len(y), 2))}
    return {"noise": noise}


def assert_rate(successes: np.ndarray, rate: float | np.ndarray) -> None:
    """Within five standard deviations of a sum of independent draws."""
    rates = np.broadcast_to(rate, successes.shape)
    spread = np.sqrt(np.sum(rates * (1 - rates)))
    assert abs(successes.sum() - rates.sum()) <= 5 * spread + 1e-9


# ------------------------------------------------------------------ what holds for every noise


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("classes", LABEL_SETS.values(), ids=LABEL_SETS)
def test_mask_is_exact_and_dtype_is_kept(noise: str, classes: np.ndarray) -> None:
    y = classes[np.random.RandomState(1).randint(4, size=200)]
    y_noisy, changed = corrupt_labels(y, **arguments(noise, y), random_state=0)
    assert y_noisy.dtype == y.dtype
    assert changed.dtype == bool
    np.testing.assert_array_equal(changed, y_noisy != y)
    assert changed.any()
    assert set(y_noisy) <= set(classes)
    assert {type(label) for label in y_noisy} == {type(label) for label in y}


@pytest.mark.parametrize("noise", [n for n in NOISES if n != "flip-two"])
def test_bool_labels(noise: str) -> None:
    y = np.arange(50) % 3 == 0
    y_noisy, changed = corrupt_labels(y, **arguments(noise, y), random_state=0)
    assert y_noisy.dtype == bool
    np.testing.assert_array_equal(y_noisy, y ^ changed)


@pytest.mark.parametrize("noise", NOISES)
def test_same_seed_same_noise_and_nothing_else_is_touched(noise: str) -> None:
    _, y = blobs(300)
    given_ = arguments(noise, y)
    before = {name: np.array(value) for name, value in {"y": y, **given_}.items()}
    global_state = np.random.get_state()  # noqa: NPY002

    results = [corrupt_labels(y, **given_, random_state=seed)[0] for seed in (0, 0, 1)]
    seeded = corrupt_labels(y, **given_, random_state=np.random.RandomState(0))[0]

    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], seeded)
    assert np.any(results[0] != results[2])
    for name, value in {"y": y, **given_}.items():
        np.testing.assert_array_equal(value, before[name])
    for old, new in zip(global_state, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("noise", [n for n in NOISES if n != "class-conditional"])
@pytest.mark.parametrize("rate", [0, 0.1, 0.4, 0.9, 1])
def test_rate(noise: str, rate: float) -> None:
    X, y = blobs(1500)
    extra = {"X": X} if noise == "feature-dependent" else {}
    _, changed = corrupt_labels(y, noise=noise, noise_rate=rate, **extra, random_state=2)
    assert_rate(changed, rate)


@pytest.mark.parametrize("noise", WITHOUT_ARGUMENTS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_labels(noise: str, data: st.DataObject) -> None:
    codes = data.draw(arrays(np.int64, st.integers(3, 60), elements=st.integers(-3, 3)))
    codes[:3] = [4, 5, 6]  # at least three classes
    rate = data.draw(st.floats(0, 1))
    y_noisy, changed = corrupt_labels(codes, noise=noise, noise_rate=rate, random_state=0)
    np.testing.assert_array_equal(changed, y_noisy != codes)
    assert set(y_noisy) <= set(codes)


@pytest.mark.parametrize("as_container", [list, pd.Series, pd.Categorical, pl.Series])
def test_y_containers(as_container: Callable[[list[str]], Any]) -> None:
    labels = ["a", "b", "c", "b"] * 10
    expected = corrupt_labels(np.array(labels), random_state=0)
    for got, want in zip(
        corrupt_labels(as_container(labels), random_state=0), expected, strict=True
    ):
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, want)


# ------------------------------------------------------------------ where labels go


def transitions(y: np.ndarray, y_noisy: np.ndarray) -> np.ndarray:
    counts = np.zeros((y.max() + 1, y.max() + 1), dtype=int)
    np.add.at(counts, (y, y_noisy), 1)
    return counts


def test_uniform_noise_reaches_every_other_class_alike() -> None:
    y = np.repeat(np.arange(5), 2000)
    y_noisy, changed = corrupt_labels(y, noise_rate=0.6, random_state=0)
    for label in range(5):
        for other in set(range(5)) - {label}:
            assert_rate(y_noisy[y == label] == other, 0.15)
        assert_rate(changed[y == label], 0.6)


def test_pair_noise_moves_to_the_next_class() -> None:
    y = np.repeat(np.arange(4), 100)
    y_noisy, changed = corrupt_labels(y, noise="pair", random_state=0)
    np.testing.assert_array_equal(y_noisy[changed], (y[changed] + 1) % 4)


@pytest.mark.parametrize("n_classes", [3, 10])
@pytest.mark.parametrize(("noise", "n_targets"), [("flip-one", 1), ("flip-two", 2)])
def test_flips_have_their_targets_per_class_drawn_by_the_seed(
    noise: str, n_targets: int, n_classes: int
) -> None:
    y = np.repeat(np.arange(n_classes), 1000)
    targets = set()
    for seed in range(4):
        y_noisy, _ = corrupt_labels(y, noise=noise, noise_rate=0.4, random_state=seed)
        counts = transitions(y, y_noisy)
        for label, row in enumerate(counts):
            reached = np.delete(row, label)
            assert np.count_nonzero(reached) == n_targets
            np.testing.assert_allclose(reached[reached > 0], 400 / n_targets, atol=80)
        targets.add((counts > 0).tobytes())
    assert (len(targets) == 1) == (n_classes == n_targets + 1)


def test_transition_matrix_is_followed_in_the_order_of_the_classes() -> None:
    matrix = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.5, 0.1, 0.4]])
    classes = np.array(["ant", "bee", "cat"])
    y = np.repeat(classes[::-1], 3000)
    y_noisy, _ = corrupt_labels(
        y, noise="class-conditional", transition_matrix=matrix, random_state=0
    )
    for row, label in zip(matrix, classes, strict=True):
        for probability, other in zip(row, classes, strict=True):
            assert_rate(y_noisy[y == label] == other, probability)


def test_identity_transition_matrix_changes_nothing_and_permutation_everything() -> None:
    _, y = blobs(200)
    kept, changed = corrupt_labels(y, noise="class-conditional", transition_matrix=np.eye(3))
    np.testing.assert_array_equal(kept, y)
    assert not changed.any()
    assert not np.shares_memory(kept, y)
    permutation = np.eye(3, dtype=np.float32)[[1, 2, 0]]
    moved, _ = corrupt_labels(y, noise="class-conditional", transition_matrix=permutation)
    np.testing.assert_array_equal(moved, (y + 1) % 3)


# ------------------------------------------------------------------ feature-dependent noise


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5])
def test_ambiguous_rows_flip_more(rate: float) -> None:
    X, y = blobs()
    X, y = X[y < 2], y[y < 2]
    margin = np.where(y == 0, 1.5 - X[:, 0], X[:, 0] - 1.5)  # the Bayes boundary is at 1.5
    _, changed = corrupt_labels(y, noise="feature-dependent", noise_rate=rate, X=X, random_state=0)
    thirds = [changed[rows].mean() for rows in np.array_split(np.argsort(margin), 3)]
    assert thirds[0] > thirds[1] >= thirds[2]
    assert thirds[0] > 1.5 * rate
    assert_rate(changed, rate)


def test_ambiguous_rows_become_the_class_they_resemble() -> None:
    X, y = blobs()
    y_noisy, changed = corrupt_labels(
        y, noise="feature-dependent", noise_rate=0.5, X=X, random_state=0
    )
    distances = np.linalg.norm(X[:, None] - CENTRES, axis=2)
    distances[np.arange(len(y)), y] = np.inf
    assert np.mean(y_noisy[changed] == distances.argmin(axis=1)[changed]) > 0.9
    assert changed[y < 2].mean() > 2 * changed[y == 2].mean()


def test_features_without_information_flip_rows_regardless_of_their_order() -> None:
    y = np.tile([0, 1], 1000)
    _, changed = corrupt_labels(
        y, noise="feature-dependent", noise_rate=0.3, X=np.zeros((2000, 1)), random_state=0
    )
    assert_rate(changed[:1000], 0.3)
    assert_rate(changed[1000:], 0.3)


@pytest.mark.parametrize(
    "as_container",
    [list, sp.csr_matrix, sp.coo_array, pd.DataFrame, lambda X: pl.DataFrame(X, schema=["a", "b"])],
    ids=["list", "csr", "coo", "pandas", "polars"],
)
def test_feature_containers(as_container: Callable[[np.ndarray], Any]) -> None:
    X, y = blobs(600)
    options = {"noise": "feature-dependent", "random_state": 0}
    y_noisy, _ = corrupt_labels(y, X=as_container(X), **options)
    # Sparse features are not centred, which moves a penalised fit a little.
    assert np.mean(y_noisy != corrupt_labels(y, X=X, **options)[0]) < 0.02


def test_missing_features_and_rare_classes_are_welcome() -> None:
    X, y = blobs(60)
    X[::7, 0] = np.nan
    X[:, 1] = np.nan
    y[:2] = 9
    _, changed = corrupt_labels(y, noise="feature-dependent", X=X, random_state=0)
    assert_rate(changed, 0.4)


# ------------------------------------------------------------------ errors

Y = [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (
            Y,
            {"noise": "unifrom"},
            "must be one of uniform, pair, flip-one, flip-two, .*; got 'unifrom'",
        ),
        (Y, {"noise": None}, "got None"),
        (Y, {"noise_rate": 1.2}, r"in \[0, 1\], got 1.2"),
        (Y, {"noise_rate": -0.1}, r"in \[0, 1\], got -0.1"),
        (Y, {"noise_rate": np.nan}, r"in \[0, 1\], got nan"),
        (Y, {"noise_rate": "0.4"}, r"in \[0, 1\], got '0.4'"),
        ([3, 3], {}, r"at least 2 classes, got 1: \[3\]"),
        ([], {}, "at least 2 classes, got 0"),
        ([[0, 1], [1, 0]], {}, r"one-dimensional, got shape \(2, 2\)"),
        ([0.0, np.nan, 1.0], {}, "missing labels, got the classes .*nan"),
        (np.array([0, 1, np.nan], dtype=object), {}, "missing labels"),
        (np.array(["a", None], dtype=object), {}, "sortable labels, none missing: '<' not supp"),
        (pd.Series(["a", "b", pd.NA], dtype=object), {}, "sortable labels, none missing"),
        ([0.5, 1.5, 2.0], {}, r"continuous values like \[0.5 1.5 2. \]"),
        ([0, 1, 0], {"noise": "flip-two"}, "needs at least 3 classes, got 2"),
        (Y, {"noise": "class-conditional"}, "'class-conditional' needs transition_matrix"),
        (Y, {"transition_matrix": np.eye(3)}, "'uniform' does not use transition_matrix"),
        (Y, {"X": np.eye(6)}, "'uniform' does not use X, which is for 'feature-dependent' only"),
        (Y, {"noise": "feature-dependent"}, "'feature-dependent' needs X, got X=None"),
        (Y, {"noise": "feature-dependent", "X": np.eye(5)}, r"inconsistent .*\[5, 6\]"),
        (Y, {"noise": "feature-dependent", "X": np.arange(6)}, "Expected 2D array"),
        (Y, {"noise": "feature-dependent", "X": [["a"]] * 6}, "could not convert string"),
        (Y, {"noise": "feature-dependent", "X": [[np.inf]] * 6}, "infinity"),
        ([0, 0, 1], {"noise": "feature-dependent", "X": np.eye(3)}, r"2 rows .* got \[2 1\]"),
    ],
)
def test_corrupt_labels_errors(y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt_labels(y, **options)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), r"must be 3 x 3, got shape \(2, 2\)"),
        (np.ones(3) / 3, r"must be 3 x 3, got shape \(3,\)"),
        (np.eye(3) * 0.9, r"sum to 1, got .* the sums \[0.9 0.9 0.9\]"),
        ([[1.5, -0.5, 0], [0, 1, 0], [0, 0, 1]], "non-negative .* a minimum of -0.5"),
        (np.full((3, 3), np.nan), "a minimum of nan"),
    ],
)
def test_transition_matrix_errors(matrix: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt_labels(Y, noise="class-conditional", transition_matrix=matrix)


# ------------------------------------------------------------------ long tails


def sizes_after(counts: list[int], ratio: float) -> list[int]:
    y = np.repeat(np.arange(len(counts)), counts)
    y_tailed = make_long_tailed(y[:, None], y, imbalance_ratio=ratio, random_state=0)[1]
    return np.bincount(y_tailed, minlength=len(counts)).tolist()


@pytest.mark.parametrize(
    ("counts", "ratio", "sizes"),
    [
        # Long-tailed CIFAR-10 with ratio 100, as in the papers' tables.
        ([5000] * 10, 100, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
        ([32] * 6, 32, [32, 16, 8, 4, 2, 1]),  # exact powers survive the floor
        ([100] * 3, 1, [100, 100, 100]),
        ([10] * 3, 1e6, [10, 1, 1]),  # at least one
        ([100, 400, 100], 4, [100, 400, 100]),  # the largest first, ties in class order
        ([80, 90, 100], 25, [4, 20, 100]),
        ([100, 3, 50], 4, [100, 3, 50]),  # never more than there are
    ],
)
def test_profile(counts: list[int], ratio: float, sizes: list[int]) -> None:
    assert sizes_after(counts, ratio) == sizes


@settings(deadline=None, max_examples=50)
@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=6), ratio=st.floats(1, 200))
def test_profile_obeys_its_bounds(counts: list[int], ratio: float) -> None:
    sizes = np.array(sizes_after(counts, ratio))
    assert np.all((sizes >= 1) & (sizes <= counts))
    assert sizes.max() == max(counts)
    by_size = np.argsort(-np.array(counts), kind="stable")
    assert np.all(np.diff(sizes[by_size]) <= 0)  # the order of frequencies is not inverted
    assert sizes[by_size[-1]] <= max(1, max(counts) / ratio + 1e-6)
    if ratio == 1:
        np.testing.assert_array_equal(sizes, counts)


def test_long_tail_rows_are_a_seeded_subset_in_order() -> None:
    X, y = blobs(500)
    before = X.copy(), y.copy()
    global_state = np.random.get_state()[1].copy()  # noqa: NPY002
    X_tailed, y_tailed, indices = make_long_tailed(X, y, random_state=0)
    assert np.all(np.diff(indices) > 0)
    np.testing.assert_array_equal(X_tailed, X[indices])
    np.testing.assert_array_equal(y_tailed, y[indices])
    np.testing.assert_array_equal(indices, make_long_tailed(X, y, random_state=0)[2])
    assert set(indices) != set(make_long_tailed(X, y, random_state=1)[2])
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    np.testing.assert_array_equal(global_state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("as_X", "as_y"),
    [
        (lambda X: pd.DataFrame(X, index=range(100, 160)), lambda y: pd.Series(y).astype(str)),
        (lambda X: pl.DataFrame(X, schema=["a", "b"]), pl.Series),
        (sp.csr_matrix, np.array),
        (sp.coo_array, np.array),
        (lambda X: X.reshape(-1, 2, 1), np.array),
        (list, list),
    ],
    ids=["pandas", "polars", "csr", "coo", "3d", "list"],
)
def test_long_tail_containers(as_X: Callable[..., Any], as_y: Callable[..., Any]) -> None:
    X, y = blobs(60)
    given_X, given_y = as_X(X), as_y(y.tolist())
    X_tailed, y_tailed, indices = make_long_tailed(
        given_X, given_y, imbalance_ratio=5, random_state=0
    )
    if sp.issparse(given_X):
        assert X_tailed.format == "csr"
        X_tailed = X_tailed.toarray()
    else:
        assert type(X_tailed) is type(given_X)
    assert type(y_tailed) is type(given_y)
    np.testing.assert_array_equal(np.asarray(X_tailed).reshape(-1, 2), X[indices])
    np.testing.assert_array_equal(np.asarray(y_tailed).astype(int), y[indices])
    if isinstance(given_X, pd.DataFrame):
        np.testing.assert_array_equal(X_tailed.index, indices + 100)


@pytest.mark.parametrize("ratio", [0.5, 0, -1, np.nan, np.inf, "50"])
def test_imbalance_ratio_errors(ratio: Any) -> None:
    with pytest.raises(ValueError, match=f"finite number >= 1, got {ratio!r}"):
        make_long_tailed(np.eye(4), [0, 1, 0, 1], imbalance_ratio=ratio)


def test_long_tail_data_errors() -> None:
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[3, 4\]"):
        make_long_tailed(np.eye(3), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        make_long_tailed(np.eye(3), [1, 1, 1])


@pytest.mark.parametrize("noise_rate", [True, False, "x", None, 2, np.nan, [0.1]])
def test_rates_are_numbers(noise_rate):
    with pytest.raises(ValueError, match=r"noise_rate must be a number in \[0, 1\], got"):
        corrupt_labels([0, 1, 0, 1], noise_rate=noise_rate)


@pytest.mark.parametrize("random_state", [-1, 2**32, "x", 1.5, [0.5]])
def test_what_makes_no_random_numbers(random_state: Any) -> None:
    for call in (corrupt_labels, lambda y, **options: make_long_tailed(y, y, **options)):
        with pytest.raises((ValueError, TypeError), match=r"^random_state=.* gives no random numb"):
            call(Y, random_state=random_state)


@pytest.mark.parametrize(
    "X",
    [
        [["a"]] * 6,
        np.full((6, 1), np.inf),
        np.eye(6) * 1j,
        np.arange(6),
        "abc",
        [[1], [1, 2], [3], [4], [5], [6]],
        pd.DataFrame({"a": range(6), "b": pd.Timestamp(0)}),
        pd.DataFrame({"a": range(6), "b": "text"}),
    ],
    ids=lambda X: f"{type(X).__name__} of {np.shape(X) if isinstance(X, np.ndarray) else len(X)}",
)
def test_what_is_no_table_of_numbers(X: Any) -> None:
    message = r"^X=.{1,60} is no table of numbers: .*\. Pass numbers, NaN where one is missing\.$"
    with pytest.raises((ValueError, TypeError), match=message):
        corrupt_labels(Y, noise="feature-dependent", X=X)


@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, sp.csr_array, sp.csc_array])
def test_numbers_whose_squares_are_infinite(wrap: Any) -> None:
    X = np.random.default_rng(0).normal(size=(6, 2))
    for largest in (1e300, -1e200):
        with pytest.raises(ValueError, match=r"^X has numbers as large as 1e\+[23]00, whose"):
            corrupt_labels(Y, noise="feature-dependent", X=wrap(np.where(X.max() == X, largest, X)))
    corrupt_labels(Y, noise="feature-dependent", X=wrap(X * 1e140))


def test_no_rows_of_a_long_tail() -> None:
    with pytest.raises(ValueError, match=r"^X must be rows, got None\.$"):
        make_long_tailed(None, Y)
