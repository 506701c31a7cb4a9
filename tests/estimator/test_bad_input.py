"""One clear error each, before any training, and nothing half-fitted."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn
from torch.utils.data import DataLoader

from skmetaweight import LearningToReweight, MetaWeightClassifier
from tests.conftest import Data, Linear, make_data, quick

DATA = make_data()


def fit_arguments(data: Data = DATA) -> dict[str, Any]:
    return {"X": data.X, "y": data.y, "meta_mask": data.mask}


def with_value(X: np.ndarray, value: float) -> np.ndarray:
    X = X.copy()
    X[3, 1] = value
    return X


def frame(X: np.ndarray, columns: str = "abcd") -> pd.DataFrame:
    return pd.DataFrame(X, columns=list(columns))


X, Y, MASK = DATA.X, DATA.y, DATA.mask
X_META, Y_META = DATA.X_meta, DATA.y_meta
META = {"meta_mask": None, "X_meta": X_META, "y_meta": Y_META}

BAD_DATA = {
    # trusted rows
    "X_meta alone": ({**META, "y_meta": None}, "X_meta was given without y_meta"),
    "y_meta alone": ({**META, "X_meta": None}, "y_meta was given without X_meta"),
    "two sources": ({**META, "meta_mask": MASK}, "given twice, as X_meta and as meta_mask"),
    "unknown labels": (
        {**META, "y_meta": np.where(Y_META == 1, 8, Y_META)},
        "y_meta has labels [8] that are not among the classes [0, 1, 2]. Drop these rows of "
        "X_meta, or give X rows with such labels; for a stream, pass all labels as classes of the "
        "first partial_fit; if a meta-estimator recodes y, mark the trusted rows with meta_mask "
        "instead.",
    ),
    "labels of another kind": (
        {**META, "y_meta": np.array(["a", "b", "c"])[Y_META]},
        "y_meta has labels ['a', 'b', 'c'] that are not among the classes [0, 1, 2]",
    ),
    "meta width": (
        {**META, "X_meta": X_META[:, :3]},
        "X_meta must go through the same preprocessing as X. X_meta has 3 features, but "
        "MetaWeightClassifier is expecting 4 features",
    ),
    "meta length": (
        {**META, "y_meta": Y_META[1:]},
        "X_meta and y_meta must have the same length, got 18 rows and 17 labels",
    ),
    "meta columns": (
        {**META, "X": frame(X), "X_meta": frame(X_META, "abce")},
        "feature names should match",
    ),
    "meta column order": (
        {**META, "X": frame(X), "X_meta": frame(X_META, "abdc")},
        "must be in the same order",
    ),
    "one trusted row": (
        {**META, "X_meta": X_META[:1], "y_meta": Y_META[:1]},
        "At least 2 trusted rows are needed, got n_samples=1",
    ),
    "integer mask": ({"meta_mask": MASK.astype(int)}, "must be boolean, got dtype int64"),
    "text mask": ({"meta_mask": MASK.astype(str)}, "must be boolean, got dtype <U5"),
    "short mask": ({"meta_mask": MASK[1:]}, "one entry per row of X, shape (96,), got (95,)"),
    "column mask": ({"meta_mask": MASK[:, None]}, "shape (96,), got (96, 1)"),
    "all trusted": ({"meta_mask": np.ones(96, bool)}, "marks all 96 rows as trusted"),
    "none trusted": (
        {"meta_mask": np.zeros(96, bool)},
        "marks none of the 96 rows as trusted. In cross-validation, stratify",
    ),
    # X and y
    **{
        f"X={value!r}": (
            {"X": value},
            f"Input X must be rows, e.g. an array of shape (n_samples, n_features), got {value!r}",
        )
        for value in (None, 3, "abc", b"abc", 2.5, True)
    },
    **{
        f"X_meta={value!r}": ({**META, "X_meta": value}, "Input X_meta must be rows, e.g. an arra")
        for value in (3, "abc", False)
    },
    **{
        f"{name} of {type(value).__name__}": (
            {**META, name: value},
            f"Input {name} must be rows, e.g. an array of shape (n_samples, n_features), got ",
        )
        for name in ("X", "X_meta")
        for value in ({1.5, 2.5}, iter(X), dict(enumerate(X)).values(), DataLoader(list(X)), map)
    },
    "no columns of pandas": ({"X": pd.DataFrame(X)[[]]}, "Input X has no columns."),
    "no columns of polars": ({"X": pl.DataFrame(X)[[], []]}, "Input X has no columns."),
    "no columns of X_meta": ({**META, "X_meta": pd.DataFrame()}, "Input X_meta has no columns."),
    "NaN only in X": ({"X": np.full_like(X, np.nan)}, "Input X contains NaN only"),
    "infinity in X": ({"X": with_value(X, np.inf)}, "Input X contains infinity"),
    "infinity in X_meta": (
        {**META, "X_meta": with_value(X_META, -np.inf)},
        "Input X_meta contains infinity",
    ),
    "NaN in sparse X": ({"X": sp.csr_array(with_value(X, np.nan))}, "Input X contains NaN"),
    "dict for the default module": ({"X": {"a": X}}, "only a module of your own can take one"),
    "images for the default module": (
        {"X": X.reshape(-1, 2, 2)},
        "rows of shape (2, 2), which only a module of your own can take: pass module",
    ),
    "text in X": ({"X": X.astype(object).astype(str).astype(object) + "a"}, "could not convert"),
    "lengths": ({"y": Y[1:]}, "X and y must have the same length, got 96 rows and 95 labels"),
    "no y": ({"y": None}, "requires y to be passed, but the target y is None"),
    "continuous y": ({"y": X[:, 0]}, "Unknown label type: continuous"),
    "NaN in y": ({"y": with_value(X, np.nan)[:, 1]}, "Input y contains NaN"),
    "missing label": (
        {"y": np.array(["a", "b", None], dtype=object)[Y]},
        "Input y contains missing labels",
    ),
    "two columns of y": ({"y": np.stack([Y, Y], axis=1)}, "y should be a 1d array"),
    "one class": ({"y": np.full(96, 7)}, "y has only one class, [7]"),
    "negative sample_weight": ({"sample_weight": X[:, 0] - 100}, "sample_weight"),
    "zero sample_weight": ({"sample_weight": np.zeros(96)}, "sample_weight is zero for all rows"),
    "sample_weight of trusted rows only": (
        {"sample_weight": MASK.astype(float)},
        "sample_weight is zero for all training rows",
    ),
    "huge sample_weight": (
        {"sample_weight": np.full(96, 1e308)},
        "sample_weight has numbers as la",
    ),
    "sample_weight length": ({"sample_weight": np.ones(95)}, "sample_weight.shape == (95,)"),
    "NaN in sample_weight": ({"sample_weight": np.full(96, np.nan)}, "sample_weight contains NaN"),
}

BAD_PARAMETERS = {
    "class for a method": ({"method": LearningToReweight}, r"'method' parameter .* Got <class"),
    "unknown method": ({"method": "mwnet"}, r"'method' parameter .* Got 'mwnet' instead"),
    "methods are listed": ({"method": "mwnet"}, r"among .*'l2rw'.*"),
    **{
        f"{name}={value}": ({name: value}, f"'{name}' parameter .* Got {value!r} instead")
        for name, values in {
            "meta_size": (0.0, 1.0, 1, -0.5),
            "lr": (0, -0.1, "fast"),
            "meta_share": (1.0, -0.1, 2),
            "meta_batch_size": (0, 2.5),
            "temperature": (0, -1.0, 1e7, 1e-7, np.inf, np.nan, "cold"),
            "class_smoothing": (-1.0, 1e7, np.inf, np.nan, "even"),
            "max_epochs": (0, 2.5),
            "batch_size": (0, -2, "all"),
            "lr_schedule": ("linear",),
            "class_weight": ("even",),
            "random_state": ("seed",),
        }.items()
        for value in values
    },
    **{
        f"{name} of {method}={value}": (
            {"method": method, f"method__{name}": value},
            f"'{name}' parameter of .* Got {value!r} instead",
        )
        for method, names in {
            "mw-net": {
                "memory": (1.0, -0.1, None),
                "meta_interval": (0, -1, 1.5),
                "meta_lr": (0.0, -1),
                "lookahead_lr": (0, "meta"),
                "alignment_layers": ("first",),
                "weighting": ("cmw-net",),
                "prior": (-1,),
                "normalize": (2,),
            },
            "fmw-net": {"meta_interval": (0, None), "meta_lr": (0.0,), "eta": (-1,)},
            "l2rw": {
                "memory": (1.0,),
                "sharpness": (0,),
                "bias": ("none", np.inf),
                "meta_interval": (0,),
            },
            "lilaw": {
                "alpha": (0.9, np.inf),
                "beta": (np.nan, "low"),
                "delta": (None, -np.inf),
                "meta_lr": (0.0,),
                "weight_decay": (-1e-4,),
                "warm_up": (-1, 0.5),
            },
        }.items()
        for name, values in names.items()
        for value in values
    },
    **{
        f"{name}={value} is no number": (
            {name: value, **({"method": method} if method else {})},
            f"'{name.removeprefix('method__')}' parameter of .* Got {value} instead",
        )
        for method, names in {
            "": ("lr", "meta_batch_size", "max_epochs", "batch_size", "meta_share", "meta_size"),
            "mw-net": ("method__meta_lr", "method__meta_interval", "method__lookahead_lr"),
            "fmw-net": ("method__eta", "method__meta_lr", "method__meta_interval"),
            "l2rw": ("method__sharpness", "method__bias", "method__memory"),
            "lilaw": ("method__alpha", "method__meta_lr", "method__warm_up"),
        }.items()
        for name in names
        for value in (True, False)
    },
    "long values": ({"lr": X}, r"'lr' parameter of .* Got array\(.{20,60}\.\.\. instead\.$"),
    "milestones": ({"lr_schedule": (0, 3)}, r"epochs, from 1, after .* got \(0, 3\)"),
    "milestones of milestones": ({"lr_schedule": [[1], [2, 3]]}, r"epochs, from 1, after .* got"),
    "milestones of parts": ({"lr_schedule": [0.5]}, r"epochs, from 1, after .* got \[0.5\]"),
    "LBFGS": ({"optimizer": torch.optim.LBFGS}, "LBFGS needs a closure"),
    "mean criterion": (
        {"criterion": nn.CrossEntropyLoss()},
        r'one loss per row: expected shape \(2,\), got \(\). .* reduction="none"',
    ),
    "columns of the module": (
        {"module": Linear(n_classes=5)},
        r"one column per class: expected shape \(2, 3\) for 2 rows and 3 classes, got \(2, 5\)",
    ),
    "tuple of the module": ({"module": nn.LSTM(4, 3)}, r"expected shape \(2, 3\) .* got tuple"),
    "interval of L2RW": (
        {"method": "l2rw", "method__memory": 0, "method__meta_interval": 5},
        "L2RW without a memory needs meta_interval=1, got 5",
    ),
    "compiled module": ({"compile": True}, "compile=True cannot be used: a compiled backward"),
    "last layer without a memory": (
        {"method__memory": 0, "method__alignment_layers": "last"},
        'alignment_layers="last" needs a memory',
    ),
    "unknown label in class_weight": (
        {"class_weight": {0: 1, 4: 2}},
        r"class_weight has labels \[4\] that are not among the classes \[0, 1, 2\]",
    ),
    "negative class_weight": ({"class_weight": {0: -1.0}}, r"must be non-negative .* \[-1.0\]"),
    "class_weight of a boolean": ({"class_weight": {0: True}}, r"finite numbers, got \[True\]"),
    "class_weight of zero": (
        {"class_weight": {0: 0.0, 1: 0.0, 2: 0.0}},
        "class_weight is zero for all training rows",
    ),
}


def assert_fails_before_training(
    clf: MetaWeightClassifier, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = dict(vars(clf))
    with pytest.raises(error, match=message):
        clf.fit(**arguments)
    assert dict(vars(clf)) == before


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(name: str) -> None:
    change, message = BAD_DATA[name]
    arguments = {**fit_arguments(), **change}
    assert_fails_before_training(quick(), arguments, ValueError, re.escape(message))
    fitted = quick().fit(**fit_arguments())
    probabilities = fitted.predict_proba(DATA.X)
    assert_fails_before_training(fitted, arguments, ValueError, re.escape(message))
    np.testing.assert_array_equal(fitted.predict_proba(DATA.X), probabilities)


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_bad_parameters(name: str) -> None:
    params, message = BAD_PARAMETERS[name]
    message = f"(?s){message}"
    assert_fails_before_training(quick(**params), fit_arguments(), ValueError, message)
    fitted = quick().fit(**fit_arguments())
    probabilities = fitted.predict_proba(DATA.X)
    fitted.set_params(**params)
    if "module" in params:
        del fitted.module__hidden_dims
    assert_fails_before_training(fitted, fit_arguments(), ValueError, message)
    if "module" not in params:
        np.testing.assert_array_equal(fitted.predict_proba(DATA.X), probabilities)


@pytest.mark.parametrize(
    ("n_rows", "labels", "message"),
    [
        (2, [0, 1], "n_samples=2 with 2 classes would leave 2 training and 0 trusted rows"),
        (3, [0, 0, 1], "n_samples=3 with 2 classes would leave 2 training and 1 trusted rows"),
    ],
)
def test_too_few_rows_to_split(n_rows: int, labels: list[int], message: str) -> None:
    arguments = {"X": DATA.X[:n_rows], "y": labels}
    assert_fails_before_training(quick(), arguments, ValueError, message)


def test_split_that_takes_every_row() -> None:
    message = "meta_size=96 would take all of the 96 rows"
    assert_fails_before_training(quick(meta_size=96), {"X": X, "y": Y}, ValueError, message)


def test_bad_rows_after_fit() -> None:
    clf = quick().fit(**fit_arguments())
    for function in (clf.predict, clf.predict_proba, lambda X: clf.compute_sample_weight(X, Y)):
        with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
            function(X[:, :3])
        with pytest.raises(ValueError, match="Input X contains infinity"):
            function(with_value(X, np.inf))


def test_missing_values_for_an_own_module() -> None:
    clf, gap = quick(module=Linear), with_value(X, np.nan)
    message = "Input X contains NaN, and a module of your own takes no missing values: fill them"
    with_none = np.where(np.isnan(gap), None, gap.astype(object))
    for given in (gap, gap.tolist(), with_none, with_none.tolist(), sp.csr_array(gap)):
        arguments = {**fit_arguments(), "X": given}
        assert_fails_before_training(clf, arguments, ValueError, f"^{message}")
    arguments = {**META, "X": X, "y": Y, "X_meta": with_value(X_META, np.nan)}
    message = message.replace("X", "X_meta")
    assert_fails_before_training(clf, arguments, ValueError, message)
    clf.fit(**fit_arguments())
    for function in (clf.predict, clf.predict_proba, lambda X: clf.compute_sample_weight(X, Y)):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            function(with_value(X, np.nan))


def test_shapes_for_an_own_module() -> None:
    class Flat(Linear):
        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return super().forward(X.flatten(1))

    images = X.reshape(-1, 2, 2)
    arguments = {**META, "X": images, "y": Y, "X_meta": X_META.reshape(-1, 2, 2, 1)}
    message = r"the shape of a row of X, \(2, 2\), got \(2, 2, 1\)"
    assert_fails_before_training(quick(module=Flat), arguments, ValueError, message)
    arguments = {**META, "X": {"X": X}, "y": Y, "X_meta": {"x": X_META}}
    message = r"Input X_meta is a dict of \['x'\], but X of fit is a dict of \['X'\]"
    assert_fails_before_training(quick(module=Linear), arguments, ValueError, message)
    arguments = {"X": {"X": with_value(X, np.nan)}, "y": Y, "meta_mask": MASK}
    assert_fails_before_training(quick(module=Linear), arguments, ValueError, "X 'X' contains NaN")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("epochs", "did you mean 'max_epochs'"),
        ("learning_rate", "module__, criterion__"),
        ("modul__hidden_dims", "did you mean 'module__hidden_dims'"),
        ("optimiser", "did you mean 'optimizer'"),
        ("train_split", "'train_split'"),
        ("metasize", "did you mean 'meta_size'"),
    ],
)
def test_unknown_parameters(name: str, hint: str) -> None:
    clf = MetaWeightClassifier(**{name: 3})
    assert_fails_before_training(clf, fit_arguments(), TypeError, re.escape(hint))
    clf = quick()
    with pytest.raises(ValueError, match=re.escape(hint)):
        clf.set_params(**{name: 3, "lr": 0.5})
    assert clf.lr != 0.5
    assert not hasattr(clf, name)


def test_parameters_that_a_subclass_hides() -> None:
    class Hides(MetaWeightClassifier):
        def __init__(self, module: Any = None, *, extra: int = 3, **others: Any) -> None:
            super().__init__(module, **others)
            self.extra = extra

    class HidesAll(Hides):
        def __init__(self, **others: Any) -> None:
            super().__init__(**others)

    class Adds(MetaWeightClassifier):
        extra = 3

    for clf, first in ((Hides(), "method"), (Hides(max_epochs=1), "method"), (HidesAll(), "mod")):
        message = rf"^{type(clf).__name__}\.__init__ does not name \['{first}.* reads them in its"
        assert_fails_before_training(clf, fit_arguments(), TypeError, message)
    Adds(max_epochs=1).fit(**fit_arguments())


def test_unknown_parameter_of_the_module() -> None:
    clf = quick(module__n_hidden=3)
    assert_fails_before_training(clf, fit_arguments(), TypeError, "n_hidden")


# ------------------------------------------------------------------ errors during training


def is_unfitted(clf: MetaWeightClassifier) -> bool:
    return not clf.__sklearn_is_fitted__() and not [name for name in vars(clf) if name[-1] == "_"]


class AtEpoch(Callback):
    """Calls a function of the net when an epoch begins."""

    def __init__(self, epoch: int, call: Callable[[Any], None]) -> None:
        self.epoch = epoch
        self.call = call

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) == self.epoch:
            self.call(net)


def spoil(net: Any) -> None:
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.fill_(np.nan)


def interrupt(net: Any) -> None:
    raise KeyboardInterrupt


def test_loss_that_is_no_number_stops_the_fit(method: str) -> None:
    clf = quick(method=method).fit(**fit_arguments())
    before = clf.predict_proba(fit_arguments()["X"])
    clf.set_params(callbacks=[AtEpoch(2, spoil)], max_epochs=5)
    with pytest.raises(ValueError, match=r"training loss became nan in epoch 2 .* Lower lr"):
        clf.fit(**fit_arguments())
    np.testing.assert_array_equal(clf.predict_proba(fit_arguments()["X"]), before)
    clf.set_params(callbacks=None).fit(**fit_arguments())


def test_learning_rate_that_is_far_too_large(method: str) -> None:
    clf = quick(module=Linear, method=method, optimizer=torch.optim.SGD, lr=1e38)
    with pytest.raises(ValueError, match=r"loss became (nan|inf) in epoch 1 with lr=1e\+38"):
        clf.fit(**fit_arguments())
    assert is_unfitted(clf)


def test_meta_loss_that_is_no_number_after_a_single_step() -> None:
    clf = quick(module=Linear, optimizer=torch.optim.SGD, lr=1e38, batch_size=-1, max_epochs=1)
    with pytest.raises(ValueError, match=r"meta loss became (nan|inf) in epoch 1"):
        clf.fit(**fit_arguments())
    assert is_unfitted(clf)


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_interrupt_is_passed_on(fit: str) -> None:
    # EarlyStopping also stops a fit by a KeyboardInterrupt; a user's is another one.
    clf = quick(callbacks=[EarlyStopping(patience=1), AtEpoch(1, interrupt)])
    with pytest.raises(KeyboardInterrupt):
        getattr(clf, fit)(**fit_arguments())
    assert is_unfitted(clf)


def test_interrupted_warm_start_leaves_the_classifier_as_it_was() -> None:
    clf = quick(warm_start=True, callbacks=[AtEpoch(3, interrupt)]).fit(**fit_arguments())
    net, before = clf.net_, clf.predict_proba(fit_arguments()["X"])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(**fit_arguments())
    assert clf.net_ is net
    np.testing.assert_array_equal(clf.predict_proba(fit_arguments()["X"]), before)
    clf.set_params(callbacks=None).fit(**fit_arguments())
    assert clf.n_iter_ == 4


@pytest.mark.parametrize("call", ["predict", "predict_proba", "predict_log_proba", "score"])
@pytest.mark.parametrize("value", [None, 3, "abc"])
def test_no_rows_to_predict(call: str, value: Any, fitted: Callable[..., Any]) -> None:
    arguments = (value, Y) if call == "score" else (value,)
    with pytest.raises(ValueError, match=f"^Input X must be rows, .* got {value!r}"):
        getattr(fitted(), call)(*arguments)


@pytest.mark.parametrize("missing", [np.nan, None, float("inf")])
def test_classes_of_a_stream_have_none_missing(missing: Any) -> None:
    kinds = np.array([0, 1, 2, missing], dtype=object if missing is None else float)
    with pytest.raises(ValueError, match=r"^Input classes contains"):
        quick().partial_fit(X, Y.astype(float), classes=kinds, meta_mask=MASK)
