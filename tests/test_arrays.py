"""Every argument that is not X takes, and refuses, the same kinds of arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from skmetaweight import MetaWeightClassifier
from skmetaweight._arrays import open_tensor, read_array, read_numbers
from skmetaweight.datasets import corrupt_labels, make_long_tailed
from skmetaweight.inspection import SampleWeightDisplay, WeightingFunctionDisplay
from skmetaweight.model_selection import TrustedKFold
from tests.conftest import make_data, quick

plt = pytest.importorskip("matplotlib.pyplot")

X, Y, MASK = make_data()
META = {"X_meta": X[MASK], "y_meta": Y[MASK]}
FITTED = quick(method__weighting="class-aware").fit(X, Y, meta_mask=MASK)
PLAIN = quick().fit(X, Y, meta_mask=MASK)
LOSSES = np.linspace(0.0, 2.0, 96)
WEIGHTS = np.linspace(0.5, 1.5, 96)


def fit(**arguments: Any) -> Any:
    return quick(max_epochs=1).fit(X, **{"y": Y, "meta_mask": MASK, **arguments}).predict_proba(X)


def drawn(display: Any, *given: Any, **arguments: Any) -> Any:
    make = getattr(display, "from_estimator" if given[0] is PLAIN else "from_weights")
    line = make(*given, **arguments)
    plt.close("all")
    return line.weights


# What is called, by the name of its argument in messages, and one value that it takes.
ARGUMENTS: dict[str, tuple[str, Callable[[Any], Any], Any]] = {
    "fit's y": ("y", lambda y: fit(y=y), Y),
    "y_meta": ("y_meta", lambda y: fit(meta_mask=None, **{**META, "y_meta": y}), META["y_meta"]),
    "meta_mask": ("meta_mask", lambda mask: fit(meta_mask=mask), MASK),
    "sample_weight": ("sample_weight", lambda weight: fit(sample_weight=weight), WEIGHTS),
    "classes": (
        "classes",
        lambda classes: quick().partial_fit(X, Y, classes, meta_mask=MASK).classes_,
        np.arange(3),
    ),
    "categorical_features": (
        "categorical_features",
        lambda places: (
            quick(categorical_features=places)
            .fit(np.c_[Y, Y], Y, meta_mask=MASK)
            .score(np.c_[Y, Y], Y)
        ),
        np.array([0, 1]),
    ),
    "score's y": ("y", lambda y: PLAIN.score(X, y), Y),
    "score's sample_weight": ("sample_weight", lambda w: PLAIN.score(X, Y, w), WEIGHTS),
    "compute_sample_weight": ("y", lambda y: PLAIN.compute_sample_weight(X, y), Y),
    "losses": ("losses", lambda losses: PLAIN.weighting_function_(losses), LOSSES),
    "quantile": ("losses", lambda losses: PLAIN.weighting_function_.quantile(losses, 0.5), LOSSES),
    "classes of losses": (
        "classes",
        lambda labels: FITTED.weighting_function_(LOSSES, labels),
        Y,
    ),
    "TrustedKFold's y": ("y", lambda y: next(TrustedKFold(2).split(X, y, MASK))[1], Y),
    "TrustedKFold's mask": ("meta_mask", lambda m: next(TrustedKFold(2).split(X, Y, m))[1], MASK),
    "corrupt_labels": ("y", lambda y: corrupt_labels(y, random_state=0)[0], Y),
    "make_long_tailed": ("y", lambda y: make_long_tailed(X, y, random_state=0)[2], Y),
    "transition_matrix": (
        "transition_matrix",
        lambda matrix: corrupt_labels(
            Y, noise="class-conditional", transition_matrix=matrix, random_state=0
        )[0],
        np.full((3, 3), 0.25) + np.eye(3) / 4,
    ),
    "weights": ("weights", lambda weights: drawn(SampleWeightDisplay, weights), WEIGHTS),
    "changed": ("changed", lambda mask: drawn(SampleWeightDisplay, PLAIN, changed=mask), MASK),
    "loss_range": (
        "loss_range",
        lambda ends: drawn(WeightingFunctionDisplay, PLAIN, loss_range=ends),
        np.array([0.0, 1.0]),
    ),
    "epochs": (
        "epochs",
        lambda epochs: drawn(WeightingFunctionDisplay, PLAIN, epochs=epochs),
        np.array([1, 2]),
    ),
}


def masked(values: np.ndarray) -> Any:
    return np.ma.masked_array(values, np.arange(values.size).reshape(values.shape) == 0)


def ragged(values: np.ndarray) -> Any:
    parts: list[Any] = [[value] for value in values.ravel().tolist()]
    return [[*parts[0], 0], *parts[1:]]


UNUSABLE = {
    "masked": (masked, "has masked values: fill them"),
    "ragged": (ragged, "is ragged, e.g. "),
    "complex": (lambda values: values + 1j, "has complex numbers"),
    "complex list": (lambda values: (values + 1j).tolist(), "has complex numbers"),
    "complex tensor": (lambda values: torch.tensor(values + 1j), "has complex numbers"),
    "sparse tensor": (lambda values: torch.tensor(values).to_sparse(), "is a tensor that no array"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_what_no_argument_takes(argument: str, kind: str) -> None:
    name, call, values = ARGUMENTS[argument]
    spoil, message = UNUSABLE[kind]
    with pytest.raises(ValueError, match=f"^(Complex data not supported: )?Input {name} {message}"):
        call(spoil(values))


def tensor(values: np.ndarray, dtype: torch.dtype | None = None, **options: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype, **options)


TENSORS = {
    "as it is": tensor,
    "masked nowhere": np.ma.masked_array,
    "list": np.ndarray.tolist,
    "negative view": lambda values: torch._neg_view(tensor(-values)),
    "with a gradient": lambda values: tensor(values, torch.float64, requires_grad=True),
    "bfloat16": lambda values: tensor(values, torch.bfloat16),
    "bfloat16 with a gradient": lambda values: tensor(values, torch.bfloat16, requires_grad=True),
}
NO_FLOATS = ("meta_mask", "changed", "categorical_features", "epochs")


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_what_every_argument_takes(argument: str, kind: str) -> None:
    name, call, values = ARGUMENTS[argument]
    is_float = "gradient" in kind or "bfloat" in kind
    if (is_float and name in NO_FLOATS) or ("negative" in kind and values.dtype == bool):
        return
    tolerance = 0.01 if "bfloat16" in kind else 0
    expected = np.asarray(call(values), dtype=float)
    found = np.asarray(call(TENSORS[kind](values)), dtype=float)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["2020", "2021"], dtype="datetime64[D]"),
        np.array([1, 2], dtype="timedelta64[s]"),
        pd.date_range("2020", periods=2),
        [pd.Timestamp(0), pd.Timestamp(1)],
        np.array(["1", "2"]),
        ["1", "2"],
        np.array(["1", "2"], dtype=object),
        np.array([1, "2"], dtype=object),
        pd.Series(["1", "2"]),
        [b"1", b"2"],
        {1.0, 2.0},
        "1",
        object(),
        [10**400],
        [1j, None],
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', '')}",
)
def test_what_are_no_numbers(values: Any) -> None:
    with pytest.raises(ValueError, match=r"^weights must be numbers, got .{1,60}\.$"):
        read_numbers(values, "weights")
    with pytest.raises(ValueError, match=r"^sample_weight must be numbers"):
        PLAIN.score(X, Y, sample_weight=values)
    with pytest.raises(ValueError, match=r"^losses must be numbers"):
        PLAIN.weighting_function_(values)


@pytest.mark.parametrize("values", [[1, 2], [True, False], [1.5, None], (np.float32(1), 2), [], 3])
def test_what_are_numbers(values: Any) -> None:
    expected = np.asarray(values, dtype=np.float64)
    for given in (values, np.array(values), np.array(values, dtype=object)):
        found = read_numbers(given, "losses")
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float64
        assert not np.shares_memory(found, given) if isinstance(given, np.ndarray) else True


@pytest.mark.parametrize("values", [[1, "a"], ["a", 2.5, "b"], ["a", True], ("a", 1)])
def test_text_is_not_mixed_with_others(values: Any) -> None:
    message = r"y must hold values of one kind, got text and others, "
    for call in (lambda y: read_array(y, "y"), corrupt_labels, lambda y: fit(y=y)):
        with pytest.raises(ValueError, match=message):
            call(values)
    for clf in (quick(categorical_features=values), MetaWeightClassifier()):
        if clf.categorical_features is values:
            with pytest.raises(ValueError, match="categorical_features must hold values of one"):
                clf.fit(pd.DataFrame(X, columns=list("abcd")), Y, meta_mask=MASK)
    assert read_array([["a"], ["b"]], "y").shape == (2, 1)


UNREADABLE = {
    "sparse": lambda: torch.eye(96).to_sparse(),
    "sparse rows": lambda: torch.eye(96).to_sparse_csr(),
    "sparse bfloat16": lambda: torch.eye(96, dtype=torch.bfloat16).to_sparse(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(96, 4), 0.1, 0, torch.quint8),
    "on no device": lambda: torch.ones(96, 4, device="meta"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR tensor")
@pytest.mark.filterwarnings("ignore:.*quantize.*deprecated", "ignore:.*sparse CSR")
@pytest.mark.parametrize("kind", UNREADABLE)
def test_tensors_that_no_array_holds(kind: str) -> None:
    given = UNREADABLE[kind]()
    message = r"is a tensor that no array can hold, of torch\..* and torch\..*: .*\. Pass a dense"
    with pytest.raises(ValueError, match=f"Input values {message}"):
        open_tensor(given, "values")
    with pytest.raises(ValueError, match=f"Input X {message}"):
        quick().fit(given, Y, meta_mask=MASK)
    with pytest.raises(ValueError, match=f"Input y {message}"):
        fit(y=given)


@pytest.mark.parametrize("loss", [1e21, 1e38, 1e308, np.finfo(np.float64).max])
def test_losses_beyond_all_losses_are_refused(loss: float) -> None:
    with pytest.raises(ValueError, match=r"^losses must be finite, .* at most 1e\+20, got \["):
        PLAIN.weighting_function_([1.0, loss])
    assert np.isfinite(PLAIN.weighting_function_([0.0, 1e20])).all()
