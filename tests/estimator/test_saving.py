"""Files of fitted classifiers: what comes back, what goes on, and what is refused."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import EarlyStopping
from torch import nn

from skmetaweight import FirstOrderMetaWeightNet, MetaWeightClassifier, MetaWeightNet
from skmetaweight._training import archive
from skmetaweight.reweighting import _memory
from tests.conftest import Data, Linear, Softmax, make_data, quick
from tests.ecosystem._frames import make_frame
from tests.reweighting._cases import MethodCase, every_method

load = MetaWeightClassifier.load

pytestmark = [
    pytest.mark.filterwarnings("ignore:lookahead_lr="),
    pytest.mark.filterwarnings("ignore:.*(absurdly far|No category is known)"),
]


def fitted(data: Data, **params: Any) -> MetaWeightClassifier:
    return quick(**params).fit(data.X, data.y, meta_mask=data.mask)


def again(clf: MetaWeightClassifier, folder: Path, module: Any = None, **kept: Any) -> Any:
    clf.save(folder / "clf.smw", **kept)
    return load(folder / "clf.smw", module)


def assert_same(clf: Any, other: Any, X: Any, y: Any) -> None:
    """Compare all that two classifiers know."""
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(clf.predict_log_proba(X), other.predict_log_proba(X))
    assert clf.predict(X).dtype == other.predict(X).dtype
    np.testing.assert_array_equal(clf.predict(X), other.predict(X))
    np.testing.assert_array_equal(
        clf.compute_sample_weight(X, y), other.compute_sample_weight(X, y)
    )
    assert_same_function(clf, other)


def assert_same_function(clf: Any, other: Any) -> None:
    if not hasattr(clf, "weighting_function_"):
        message = clf._weighting_function
        with pytest.raises(AttributeError, match=re.escape(message)):
            _ = other.weighting_function_
        return
    function, others = clf.weighting_function_, other.weighting_function_
    assert repr(function) == repr(others)
    np.testing.assert_array_equal(function.loss_percentiles_, others.loss_percentiles_)


def assert_same_rows(clf: Any, other: Any) -> None:
    np.testing.assert_array_equal(clf.sample_weights_, other.sample_weights_)
    np.testing.assert_array_equal(clf.meta_indices_, other.meta_indices_)
    pd.testing.assert_frame_equal(clf.label_quality(), other.label_quality())
    np.testing.assert_array_equal(clf.find_label_issues(), other.find_label_issues())


@every_method
def test_every_method_comes_back(case: MethodCase, data: Data, tmp_path: Path) -> None:
    clf = fitted(data, method=case.make())
    other = again(clf, tmp_path)
    assert_same(clf, other, data.X, data.y)
    assert_same_rows(clf, other)
    assert repr(other) == repr(clf)
    for name in ("n_iter_", "best_epoch_", "weight_strength_", "n_features_in_", "classes_"):
        np.testing.assert_array_equal(getattr(other, name), getattr(clf, name))
    assert str(other.noise_evidence_) == str(clf.noise_evidence_)  # NaN here
    for column in ("train_loss", "meta_loss", "learning_rate", "meta_loss_best", "dur"):
        assert other.history_[:, column] == clf.history_[:, column]
    if case.has_function:
        then, others = (each.weighting_function_.at_epoch(1) for each in (clf, other))
        assert repr(then) == repr(others)


@every_method
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_fits_go_on_as_if_nothing_had_happened(
    case: MethodCase, how: str, data: Data, tmp_path: Path
) -> None:
    clf = quick(method=case.make(), warm_start=True)
    getattr(clf, how)(data.X, data.y, meta_mask=data.mask)
    other = again(clf, tmp_path, training_state=True)
    for each in (clf, other):
        getattr(each, how)(data.X, data.y, meta_mask=data.mask)
    assert_same(clf, other, data.X, data.y)
    assert_same_rows(clf, other)
    ran, others = ([{**epoch, "dur": 0} for epoch in each.history_] for each in (clf, other))
    assert repr(ran) == repr(others)
    if case.has_function:
        assert clf.weighting_function_._epochs.keys() == other.weighting_function_._epochs.keys()


@pytest.mark.parametrize("class_weight", [None, {0: 1, 1: 5, 2: 1}])
def test_new_rows_are_compared_with_the_trusted_ones(
    class_weight: Any, data: Data, tmp_path: Path
) -> None:
    clf = fitted(data, method="l2rw", class_weight=class_weight)
    assert_same(clf, again(clf, tmp_path), data.X, data.y)


@every_method
def test_a_file_without_rows_says_so(
    case: MethodCase, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory, "MOST_QUANTILES", 16)
    clf = fitted(data, method=case.make())
    other = again(clf, tmp_path, rows=False, snapshots=False)
    np.testing.assert_array_equal(clf.predict_proba(data.X), other.predict_proba(data.X))
    assert_same_function(clf, other)
    for name in ("sample_weights_", "meta_indices_", "label_noise_estimate_"):
        assert not hasattr(other, name)
        with pytest.raises(AttributeError, match=r"not in the file.*rows=True"):
            getattr(other, name)
        with pytest.raises(AttributeError, match=f"no attribute '{name}'|not fitted"):
            getattr(quick(), name)
    for method in (other.label_quality, other.find_label_issues):
        with pytest.raises(AttributeError, match="rows=True"):
            method()
    if case.method == "l2rw":
        with pytest.raises(ValueError, match=r"trusted rows.*rows=True"):
            other.compute_sample_weight(data.X, data.y)
    else:
        assert_same(clf, other, data.X, data.y)
    if case.has_function:
        with pytest.raises(ValueError, match=r"on record, none .*snapshots=True"):
            other.weighting_function_.at_epoch(1)
    n_rows, n_trusted = len(data.y), int(data.mask.sum())
    sizes = {size for each in tensors_of(tmp_path / "clf.smw").values() for size in each.shape}
    assert not sizes & {n_rows, n_trusted, n_rows - n_trusted}
    assert_same_function(again(other, tmp_path), other)


def test_a_loaded_classifier_is_pickled_and_copied(data: Data, tmp_path: Path) -> None:
    other = again(fitted(data), tmp_path)
    for copied in (copy.deepcopy(other), pickle.loads(pickle.dumps(other)), again(other, tmp_path)):
        assert_same(copied, other, data.X, data.y)
        assert_same_rows(copied, other)


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    parts = {"fitted", "module", "weighting", "rows", "training"}
    return archive.read_archive(path, parts)[1]


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_without_its_training_state_no_fit_goes_on(how: str, data: Data, tmp_path: Path) -> None:
    other = again(fitted(data, warm_start=True), tmp_path)
    before = other.predict_proba(data.X)
    for given in ({"meta_mask": data.mask}, {}):  # refused before anything is warned of
        with pytest.raises(ValueError, match=r"training_state=True.* or fit anew"):
            getattr(other, how)(data.X, data.y, **given)
    with pytest.raises(ValueError, match="leave it False"):
        other.save(tmp_path / "more.smw", training_state=True)
    np.testing.assert_array_equal(other.predict_proba(data.X), before)
    other.set_params(warm_start=False).fit(data.X, data.y, meta_mask=data.mask)
    assert_same(other, fitted(data), data.X, data.y)


# ------------------------------------------------------------------ tables, labels, parameters


@pytest.mark.parametrize("numeric_scaling", ["standardize", "quantile"])
def test_tables_with_categories_and_missing_values(numeric_scaling: str, tmp_path: Path) -> None:
    frame, y, mask = make_frame()
    frame = frame.drop(columns="seen").assign(
        known=frame["rent"] > 900, size=pd.Categorical(np.arange(len(frame)) % 3)
    )
    frame.index = pd.Index([f"row {i}" for i in range(len(frame))], name="id")
    clf = quick(numeric_scaling=numeric_scaling, warm_start=True).fit(frame, y, meta_mask=mask)
    other = again(clf, tmp_path, training_state=True)
    unseen = frame.assign(colour="violet", income=1e9, rent=np.nan)
    for X in (frame, unseen, frame.iloc[:1]):
        assert_same(clf, other, X, y[: len(X)])
    assert_same_rows(clf, other)
    assert other.feature_names_in_.tolist() == frame.columns.tolist()
    for each in (clf, other):
        each.fit(frame, y, meta_mask=mask)
    assert_same(clf, other, frame, y)


LABELS: dict[str, Callable[[Any], Any]] = {
    "integers": lambda y: y * 7 - 3,
    "bytes of integers": lambda y: y.astype(np.uint8),
    "floats": lambda y: y * 2.0,
    "booleans": lambda y: y > 0,
    "text": lambda y: np.array(["ä", "b\n", "~tuple"])[y],
    "objects": lambda y: np.array(["ant", "bee", "~"], dtype=object)[y],
    "a Series": lambda y: pd.Series(np.array(["ant", "bee", "cow"])[y], index=y.cumsum()),
    "categories": lambda y: pd.Categorical.from_codes(y, ["c", "a", "b"]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_every_kind(name: str, data: Data, tmp_path: Path) -> None:
    y = LABELS[name](data.y)
    clf = quick().fit(data.X, y, meta_mask=data.mask)
    other = again(clf, tmp_path)
    assert_same(clf, other, data.X, y)
    assert_same_rows(clf, other)
    assert other.classes_.dtype == clf.classes_.dtype


def test_an_index_of_times_or_of_objects(data: Data, tmp_path: Path) -> None:
    frame = pd.DataFrame(data.X, index=pd.date_range("2026-01-01", periods=len(data.X), name="t"))
    clf = quick().fit(frame, data.y, meta_mask=data.mask)
    other = again(clf, tmp_path)
    pd.testing.assert_frame_equal(
        clf.label_quality(), other.label_quality(), check_freq=False, check_index_type=False
    )
    assert_same_rows(other, again(other, tmp_path))
    frame.index = pd.MultiIndex.from_product([["a"], frame.index], names=[None, "t"])
    clf = quick().fit(frame, data.y, meta_mask=data.mask)
    index, come_back = (c.label_quality().index for c in (clf, again(clf, tmp_path)))
    assert come_back.equals(index)
    assert come_back.names == index.names
    frame.index = pd.MultiIndex.from_product([[object()], data.y, data.X[:1, 0]])[: len(frame)]
    clf = quick().fit(frame, data.y, meta_mask=data.mask)
    with pytest.raises(TypeError, match=r"index of the rows is a object.*rows=False"):
        clf.save(tmp_path / "other.smw")
    assert not (tmp_path / "other.smw").exists()
    again(clf, tmp_path, rows=False)


INDICES: dict[str, Callable[[int], Any]] = {
    "times in a zone": lambda n: pd.date_range("2026-10-24", periods=n, freq="h", tz="Asia/Tokyo"),
    "periods": lambda n: pd.period_range("2026-01", periods=n, freq="M"),
    "intervals": lambda n: pd.interval_range(0.0, n, periods=n),
    "durations": lambda n: pd.timedelta_range(0, periods=n, freq="h"),
    "decimals": lambda n: pd.Index([Decimal(i) / 10 for i in range(n)]),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_of_every_kind(name: str, data: Data, tmp_path: Path) -> None:
    frame = pd.DataFrame(data.X, index=INDICES[name](len(data.X)))
    clf = quick().fit(frame, data.y, meta_mask=data.mask)
    index, come_back = (c.label_quality().index for c in (clf, again(clf, tmp_path)))
    assert list(come_back) == list(index)
    assert type(come_back) is type(index)


def of_days(y: Any) -> Any:
    return pd.to_datetime("2026-01-01") + pd.to_timedelta(y, "D")


CATEGORIES: dict[str, Callable[[Any], Any]] = {
    "intervals": lambda y: pd.cut(y, 3),
    "times": lambda y: pd.Categorical(of_days(y)),
    "times in a zone": lambda y: pd.Categorical(of_days(y).tz_localize("Europe/Berlin")),
    "periods": lambda y: pd.Categorical(of_days(y).to_period("D")),
    "decimals": lambda y: pd.Categorical([Decimal(int(each)) / 10 for each in y]),
    "bytes": lambda y: pd.Categorical(np.array([b"a", b"\0b", b"c\xff"], dtype=object)[y]),
    "intervals, some missing": lambda y: pd.cut(np.where(y == 1, np.nan, y), 2),
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_of_every_kind(name: str, data: Data, tmp_path: Path) -> None:
    frame = pd.DataFrame(data.X).rename(columns=str).assign(q=CATEGORIES[name](data.y))
    clf = quick().fit(frame, data.y, meta_mask=data.mask)
    assert_same(clf, again(clf, tmp_path), frame, data.y)


@pytest.mark.parametrize("is_frame", [True, False])
def test_categories_that_no_file_holds_are_told_by_column(
    is_frame: bool, data: Data, tmp_path: Path
) -> None:
    X: Any = np.column_stack([data.X.astype(object), np.array([Path("a"), Path("b"), 0])[data.y]])
    X, y = X[data.y < 2], data.y[data.y < 2]
    frame = pd.DataFrame(X, columns=[*"abcd", "q"]).astype({"q": "category"})
    params = {} if is_frame else {"categorical_features": [4]}
    clf = quick(**params).fit(frame if is_frame else X, y, meta_mask=data.mask[data.y < 2])
    column = r"'q' is a \w+Path.*X\['q'\]" if is_frame else r"4 is a \w+Path.*X\[:, 4\]"
    for rows in (True, False):
        with pytest.raises(TypeError, match=rf"^A category of the column {column}\.astype\(str\)"):
            clf.save(tmp_path / "clf.smw", rows=rows)
    frame["q"] = frame["q"].astype(str)
    quick().fit(frame, y, meta_mask=data.mask[data.y < 2]).save(tmp_path / "clf.smw")


PARAMETERS: dict[str, dict[str, Any]] = {
    "class weights": {"class_weight": {0: 1, 1: 2.5, 2: 1}},
    "tensors": {"criterion__weight": torch.tensor([1.0, 2.0, 1.0])},
    "an instance": {"criterion": nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)},
    "milestones": {"lr_schedule": (1, 2), "optimizer": torch.optim.SGD, "optimizer__momentum": 0.5},
    "arrays": {"categorical_features": np.array([False, False, False, True])},
    "a device": {"device": torch.device("cpu"), "mixed_precision": "bfloat16"},
    "a weighting network": {
        "method": MetaWeightNet(
            memory=0.0,
            weighting=nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Flatten(0)),
        )
    },
    "an optimiser of psi": {
        "method": FirstOrderMetaWeightNet(optimizer=partial(torch.optim.SGD, momentum=0.5))
    },
    "no encoding": {"module__bin_edges": (), "module__batch_norm": False},
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_every_kind(name: str, data: Data, tmp_path: Path) -> None:
    X = np.c_[data.X[:, :3], np.arange(len(data.X)) % 3]
    clf = quick(**PARAMETERS[name], warm_start=True).fit(X, data.y, meta_mask=data.mask)
    other = again(clf, tmp_path, training_state=True)
    assert repr(other) == repr(clf)
    for each in (clf, other):
        each.fit(X, data.y, meta_mask=data.mask)
    assert_same(clf, other, X, data.y)
    assert_same_rows(clf, other)


def test_parameters_that_were_set_after_the_fit(data: Data, tmp_path: Path) -> None:
    clf = fitted(data).set_params(lr=0.5, criterion=nn.NLLLoss)
    other = again(clf, tmp_path)
    assert other.lr == 0.5
    assert_same(clf, other, data.X, data.y)


def test_what_is_no_plain_value_is_left_out_by_name(data: Data, tmp_path: Path) -> None:
    clf = fitted(
        data,
        callbacks=[EarlyStopping(monitor="meta_loss")],
        random_state=np.random.RandomState(0),
        iterator_train__worker_init_fn=lambda worker: None,
    )
    left_out = r"\['callbacks', 'iterator_train__worker_init_fn', 'random_state'\]"
    with pytest.warns(UserWarning, match=left_out) as warned:
        other = again(clf, tmp_path)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    with zipfile.ZipFile(tmp_path / "clf.smw") as file:
        named = json.loads(file.read("format.json"))["left_out"]
    assert str(named) == left_out.replace("\\", "")
    assert other.callbacks is None
    assert_same(clf, other, data.X, data.y)


class OwnLoss(nn.Module):
    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(y_pred, y, reduction="none")


class OwnOptimizer(torch.optim.SGD):
    """Nothing of torch's."""


class OwnWeighting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs).sigmoid().squeeze(-1)


class OwnMethod(MetaWeightNet):
    """Nothing of ours."""


REFUSED: dict[str, dict[str, Any]] = {
    "criterion": {"criterion": OwnLoss},
    "predict_nonlinearity": {"predict_nonlinearity": lambda y_pred: y_pred.softmax(dim=1)},
    "method": {"method": OwnMethod()},
    "method.weighting": {"method": MetaWeightNet(memory=0.0, weighting=OwnWeighting())},
    "method__optimizer": {"method__optimizer": lambda ps, lr: torch.optim.SGD(ps, lr)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_predictions_depend_on_is_refused(name: str, data: Data, tmp_path: Path) -> None:
    clf = fitted(data, **REFUSED[name])
    with pytest.raises(TypeError, match=rf"^{name} is .*depend on it.*pickle the classifier"):
        clf.save(tmp_path / "clf.smw")
    assert os.listdir(tmp_path) == []


def test_an_optimiser_of_ones_own_is_needed_for_training_only(data: Data, tmp_path: Path) -> None:
    clf = fitted(data, optimizer=OwnOptimizer, optimizer__momentum=0.5)
    with pytest.warns(UserWarning, match="lacks \\['optimizer'\\]"):
        assert_same(clf, again(clf, tmp_path), data.X, data.y)
    with pytest.raises(TypeError, match="optimizer is OwnOptimizer"):
        clf.save(tmp_path / "clf.smw", training_state=True)


# ------------------------------------------------------------------ modules of one's own

MODULES: dict[str, tuple[Any, Any]] = {
    "a class": (Linear, Linear),
    "an instance": (Linear(), Linear(dtype=torch.float32)),
    "a class for an instance": (Linear(), Linear),
    "layers of torch's": (nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 3))),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_ones_own(name: str, data: Data, tmp_path: Path) -> None:
    module, passed = MODULES[name]
    clf = fitted(data, module=module)
    before = copy.deepcopy(passed.state_dict()) if isinstance(passed, nn.Module) else None
    state = torch.get_rng_state()
    other = again(clf, tmp_path, passed)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(clf, other, data.X, data.y)
    assert other.module is passed
    if before is not None:
        torch.testing.assert_close(passed.state_dict(), before, rtol=0, atol=0)


def test_a_module_goes_on(data: Data, tmp_path: Path) -> None:
    clf = fitted(data, module=Softmax, criterion=nn.NLLLoss, warm_start=True, module__n_classes=3)
    other = again(clf, tmp_path, Softmax, training_state=True)
    for each in (clf, other):
        each.fit(data.X, data.y, meta_mask=data.mask)
    assert_same(clf, other, data.X, data.y)


TRAINED_AND_SET: dict[str, tuple[Any, dict[str, Any]]] = {
    "none": (Linear, {"module": None}),
    "none, of an instance": (nn.Sequential(nn.Linear(4, 3)), {"module": None}),
    "a class": (None, {"module": Linear, "module__n_features": 4}),
    "another class": (Linear, {"module": Softmax}),
    "an instance": (Linear, {"module": Linear()}),
}


@pytest.mark.parametrize("name", TRAINED_AND_SET)
def test_a_file_is_of_the_module_that_was_trained(name: str, data: Data, tmp_path: Path) -> None:
    trained, since = TRAINED_AND_SET[name]
    clf = fitted(data, module=trained).set_params(**since)
    with pytest.warns(UserWarning, match=r"lacks \['module'\].*set them again after load"):
        clf.save(tmp_path / "clf.smw")
    if trained is not None:
        with pytest.raises(ValueError, match=rf"own, {getattr(trained, '__name__', 'Seq')}.*pass"):
            load(tmp_path / "clf.smw")
    other = load(tmp_path / "clf.smw", trained)
    assert_same(clf, other, data.X, data.y)
    assert other.module is trained
    again(other, tmp_path, trained)


@pytest.mark.parametrize("module", [None, Linear])
@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")])
def test_torch_may_have_another_default_dtype(
    dtypes: tuple[str, str], module: Any, data: Data, tmp_path: Path
) -> None:
    then, now = (getattr(torch, name) for name in dtypes)
    try:
        torch.set_default_dtype(then)
        clf = fitted(data, module=module)
        clf.save(tmp_path / "clf.smw")
        expected = clf.predict_proba(data.X)
        torch.set_default_dtype(now)
        other = load(tmp_path / "clf.smw", module)
        np.testing.assert_array_equal(other.predict_proba(data.X), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_another_module_is_refused_by_name(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "clf.smw"
    fitted(data, module=Linear).save(path)
    wrong = {
        "of a module of your own, Linear, .* pass it as module=": None,
        r"linear.weight is float32 \(3, 5\) there and float32 \(3, 4\)": Linear(5, 3),
        "linear.bias is float64": Linear(dtype=torch.float64),
        "0.bias is float32 .* there and absent": nn.Sequential(nn.Linear(4, 3)),
        "module=int cannot be built|is no torch.nn.Module": int,
    }
    for message, module in wrong.items():
        with pytest.raises((ValueError, TypeError), match=message):
            load(path, module)
    fitted(data).save(path)
    with pytest.raises(ValueError, match="of the default network: leave out module=Linear"):
        load(path, Linear)


# ------------------------------------------------------------------ files


def test_size(tmp_path: Path) -> None:
    data = make_data()
    clf = MetaWeightClassifier(max_epochs=2).fit(data.X, data.y, meta_mask=data.mask)
    clf.save(tmp_path / "clf.smw", rows=False, snapshots=False)
    learned = clf.net_.module_.state_dict().values()
    n_bytes = sum(value.numel() * value.element_size() for value in learned)
    assert n_bytes < os.path.getsize(tmp_path / "clf.smw") < n_bytes + 16_384


def test_a_file_is_replaced_at_once_or_not_at_all(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clf.smw"
    clf = fitted(data)
    clf.save(str(path))
    before = path.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    other = fitted(data, lr=1e-5)
    for holder, function in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patched:
            patched.setattr(holder, function, full)
            with pytest.raises(OSError, match="No space"):
                other.save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["clf.smw"]
    with pytest.raises(FileNotFoundError):
        clf.save(tmp_path / "no folder" / "clf.smw")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.smw")
    monkeypatch.setattr(archive, "LARGEST_DOCUMENT", 1000)
    with pytest.raises(ValueError, match="rows=False"):
        clf.save(path)


def test_subclasses(data: Data, tmp_path: Path) -> None:
    class Mine(MetaWeightClassifier):
        """Another class."""

    fitted(data).save(tmp_path / "clf.smw")
    with pytest.raises(ValueError, match="holds a MetaWeightClassifier: load it with"):
        Mine.load(tmp_path / "clf.smw")


def test_an_unfitted_classifier_has_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        quick().save(tmp_path / "clf.smw")


def test_a_device_that_is_not_there(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clf = fitted(data, warm_start=True)
    clf.set_params(device="cuda").save(tmp_path / "clf.smw")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    other = load(tmp_path / "clf.smw")
    np.testing.assert_array_equal(other.predict_proba(data.X), clf.predict_proba(data.X))
    assert other.device == "cuda"


def test_a_fresh_process_needs_neither_optimisers_nor_pandas(data: Data, tmp_path: Path) -> None:
    clf = fitted(data)
    clf.save(tmp_path / "clf.smw")
    np.save(tmp_path / "X.npy", data.X)
    script = (
        "import sys, numpy as np\n"
        "from skmetaweight import MetaWeightClassifier\n"
        "before = set(sys.modules)\n"
        "clf = MetaWeightClassifier.load('clf.smw')\n"
        "np.save('p.npy', clf.predict_proba(np.load('X.npy')))\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(ran.stdout.split()) <= {"safetensors", "torch", "numpy", "encodings"}
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), clf.predict_proba(data.X))


@pytest.mark.parametrize("name", ["training_state", "rows", "snapshots"])
@pytest.mark.parametrize("value", ["no", None, 1, 0, np.array([True])])
def test_what_to_keep_is_yes_or_no(name: str, value: Any, data: Data, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be True or False, got "):
        fitted(data).save(tmp_path / "clf.smw", **{name: value})


@pytest.mark.parametrize("wrong", [Linear(4, 5), Linear(5, 3)])
def test_an_instance_is_taken_as_it_is(wrong: nn.Module, data: Data, tmp_path: Path) -> None:
    clf = fitted(data, module=Linear, module__n_classes=3, module__n_features=4)
    other = again(clf, tmp_path, Linear())
    np.testing.assert_array_equal(other.predict_proba(data.X), clf.predict_proba(data.X))
    with pytest.raises(ValueError, match=r"is not the one that was saved: .*linear\.weight"):
        again(clf, tmp_path, wrong)
