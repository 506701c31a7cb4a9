"""Fits that go on: what they take over, what they refuse, and what a long stream keeps."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch import Tensor, nn
from torch.nn.utils import weight_norm

from skmetaweight import LearningToReweight, MetaWeightClassifier, MetaWeightNet
from skmetaweight._estimator.resumption import _same
from skmetaweight._training.prepared_net import KEPT_EPOCHS
from tests.conftest import Data, quick

GO_ON = ["partial_fit", "fit"]


def go_on(clf: MetaWeightClassifier, how: str, data: Data) -> MetaWeightClassifier:
    return getattr(clf, how)(data.X, data.y, meta_mask=data.mask)


def begun(how: str, data: Data, **params: Any) -> MetaWeightClassifier:
    return go_on(quick(warm_start=True, **params), how, data)


class Count(Callback):
    """Counts the batches, their rows and their largest number."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kw: Any
    ) -> None:
        if training:
            self.sizes.append(len(batch[1]))


# ------------------------------------------------------------------ what takes effect

SEEN: dict[str, tuple[dict[str, Any], Callable[[MetaWeightClassifier], Any], Any]] = {
    "lr": ({"lr": 0.5}, lambda clf: clf.history_[-1, "learning_rate"], 0.5),
    "weight decay": (
        {"optimizer__weight_decay": 0.25},
        lambda clf: clf.net_.optimizer_.param_groups[0]["weight_decay"],
        0.25,
    ),
    "batch size": ({"batch_size": 78}, lambda clf: clf.history_[-1, "train_batch_count"], 1),
    "meta batch size": (
        {"meta_batch_size": 5},
        lambda clf: clf.net_.meta_batch_size,
        5,
    ),
    "share": ({"meta_share": 0.5}, lambda clf: clf.net_.objective_.meta_share, 0.5),
    "no share": ({"meta_share": 0.0}, lambda clf: clf.net_.objective_.meta_share, 0.0),
    "best epoch": ({"early_stopping": False}, lambda clf: clf.best_epoch_ == clf.n_iter_, True),
    "class weight": (
        {"class_weight": {0: 1, 1: 1, 2: 5}},
        lambda clf: clf.net_.objective_.meta_class_weight is None,
        False,
    ),
    "bounded losses": (
        {"robust_meta_loss": False},
        lambda clf: clf.net_.objective_.meta_robustness,
        0.0,
    ),
    "precision": (
        {"mixed_precision": "bfloat16"},
        lambda clf: clf.net_.objective_.autocast_dtype,
        torch.bfloat16,
    ),
    "random state": ({"random_state": 7}, lambda clf: clf.net_.seed != begun_seed(), True),
    "progress": (
        {"show_progress": True},
        lambda clf: "epoch_bar" in dict(clf.net_.callbacks_),
        True,
    ),
    "verbosity": ({"verbose": 0}, lambda clf: clf.net_.verbose, 0),
    "loader": (
        {"iterator_train__drop_last": True},
        lambda clf: clf.net_.batching_,
        "loader",
    ),
}


def begun_seed() -> int:
    return int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))


@pytest.mark.parametrize("how", GO_ON)
@pytest.mark.parametrize("name", SEEN)
def test_what_can_change_between_fits_does(name: str, how: str, data: Data) -> None:
    changed, seen, expected = SEEN[name]
    clf = begun(how, data, lr_schedule="constant", optimizer__weight_decay=0.0)
    net = clf.net_
    go_on(clf.set_params(**changed), how, data)
    assert seen(clf) == expected
    assert clf.n_iter_ == 2 * (1 if how == "partial_fit" else clf.max_epochs)
    assert clf.net_ is not net
    go_on(clf, how, data)  # and stays so
    assert seen(clf) == expected


@pytest.mark.parametrize("how", GO_ON)
def test_callbacks_come_and_go(how: str, data: Data) -> None:
    clf, count = begun(how, data), Count()
    go_on(clf.set_params(callbacks=[count]), how, data)
    n_seen = len(count.sizes)
    assert n_seen > 0
    go_on(clf, how, data)
    assert len(count.sizes) == 2 * n_seen
    go_on(clf.set_params(callbacks=None), how, data)
    assert len(count.sizes) == 2 * n_seen
    go_on(clf.set_params(callbacks="disable"), how, data)


def test_epochs_and_split_of_each_fit(data: Data) -> None:
    clf = begun("fit", data)
    go_on(clf.set_params(max_epochs=5), "fit", data)
    assert clf.n_iter_ == 7
    with pytest.warns(UserWarning, match="No trusted rows"):
        clf.set_params(meta_size=9).fit(data.X, data.y)
    assert len(clf.meta_indices_) == 9


# ------------------------------------------------------------------ what cannot


class Other(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 3)


FIXED: dict[str, dict[str, Any]] = {
    "method": {"method": "l2rw"},
    "method, an object": {"method": LearningToReweight()},
    "method__memory": {"method__memory": 0.5},
    "method__prior": {"method__prior": 0.1},
    "module": {"module": Other},
    "module__dropout": {"module__dropout": 0.1},
    "criterion": {"criterion": nn.NLLLoss},
    "criterion__label_smoothing": {"criterion__label_smoothing": 0.1},
    "criterion__weight": {"criterion__weight": torch.ones(3)},
    "optimizer": {"optimizer": torch.optim.SGD},
    "optimizer__momentum": {"optimizer__momentum": 0.9},
    "categorical_features": {"categorical_features": [0]},
    "numeric_scaling": {"numeric_scaling": "quantile"},
    "confirm_weights": {"confirm_weights": False},
}


@pytest.mark.parametrize("how", GO_ON)
@pytest.mark.parametrize("name", FIXED)
def test_what_cannot_change_is_refused_by_name(name: str, how: str, data: Data) -> None:
    clf = begun(how, data, device="cpu")
    before, state = clf.predict_proba(data.X), dict(vars(clf))
    clf.set_params(**FIXED[name])
    with pytest.raises(ValueError, match=rf"{name.split(',')[0]}.* cannot change .*fit anew"):
        go_on(clf, how, data)
    clf.set_params(**{key: state.get(key) for key in FIXED[name] if key in state})
    for key in FIXED[name].keys() - state.keys():
        delattr(clf, key)
    np.testing.assert_array_equal(clf.predict_proba(data.X), before)
    go_on(clf, how, data)


@pytest.mark.parametrize("device", ["auto", torch.device("cpu")])
def test_the_same_device_in_other_words_is_no_change(device: Any, data: Data) -> None:
    clf = begun("fit", data, device="cpu").set_params(device=device)
    assert go_on(clf, "fit", data).n_iter_ == 4


def test_a_setting_of_a_method_object_cannot_change(data: Data) -> None:
    method = MetaWeightNet(memory=0.5)
    clf = begun("fit", data, method=method)
    method.set_params(memory=0.6)
    with pytest.raises(ValueError, match="method__memory cannot change"):
        go_on(clf, "fit", data)
    method.set_params(memory=0.5)
    go_on(clf, "fit", data)
    clf.set_params(method__memory=0.5)  # the same in other words
    go_on(clf, "fit", data)


# ------------------------------------------------------------------ learning rates


def rates(clf: MetaWeightClassifier) -> list[float]:
    return clf.history_[:, "learning_rate"]


def test_milestones_count_the_epochs_of_all_fits(data: Data) -> None:
    once = begun("fit", data, lr=0.1, lr_schedule=(2, 5), max_epochs=6)
    parts = begun("fit", data, lr=0.1, lr_schedule=(2, 5), max_epochs=3)
    go_on(parts, "fit", data)
    assert rates(parts) == rates(once) == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


def test_partial_fit_keeps_the_rate_constant_whatever_came_before(data: Data) -> None:
    clf = begun("fit", data, lr=0.1, max_epochs=3)
    go_on(clf, "partial_fit", data)
    go_on(clf, "partial_fit", data)
    go_on(clf, "fit", data)
    assert rates(clf)[3:5] == pytest.approx([0.1, 0.1])
    assert rates(clf)[5:] == pytest.approx(rates(clf)[:3])


def test_a_callback_that_sets_the_rate_does_so_on(data: Data) -> None:
    scheduler = LRScheduler(torch.optim.lr_scheduler.MultiStepLR, milestones=[1], gamma=0.5)
    clf = begun("fit", data, lr=0.1, callbacks=[scheduler])
    go_on(clf, "fit", data)
    assert rates(clf)[0] == pytest.approx(0.1)
    assert len(rates(clf)) == 4


# ------------------------------------------------------------------ copies


class Normed(nn.Module):
    """Its weights are no leaves of the graph once it ran: torch does not copy such tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = weight_norm(nn.Linear(4, 3))

    def forward(self, X: Tensor) -> Tensor:
        return self.layer(X)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("how", GO_ON)
def test_modules_whose_tensors_torch_does_not_copy_go_on(how: str, data: Data) -> None:
    clf = begun(how, data, module=Normed)
    before = clf.predict_proba(data.X)
    go_on(clf, how, data)
    assert not np.array_equal(clf.predict_proba(data.X), before)


def test_a_copy_goes_on_as_the_original(data: Data) -> None:
    clf = begun("partial_fit", data)
    others = [copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))]
    go_on(clf, "partial_fit", data)
    for other in others:
        go_on(other, "partial_fit", data)
        np.testing.assert_array_equal(other.predict_proba(data.X), clf.predict_proba(data.X))


def test_early_stopping_ends_each_fit_of_its_own(data: Data) -> None:
    stopper = EarlyStopping(monitor="meta_loss", patience=1, threshold=10.0, threshold_mode="abs")
    clf = begun("fit", data, max_epochs=5, callbacks=[stopper])
    assert clf.n_iter_ == 2
    go_on(clf, "fit", data)
    assert clf.n_iter_ == 4


# ------------------------------------------------------------------ streams


@pytest.mark.filterwarnings("ignore:The rows labelled|The learned weights")
@pytest.mark.parametrize("method", ["mw-net", "l2rw", "fmw-net"])
def test_a_stream_keeps_a_bounded_record(method: str, data: Data) -> None:
    clf = quick(method=method, batch_size=-1)
    sizes = {}
    for call in range(1, KEPT_EPOCHS + 31):
        go_on(clf, "partial_fit", data)
        if call in (KEPT_EPOCHS + 2, KEPT_EPOCHS + 30):
            sizes[call] = len(pickle.dumps(clf))
    assert clf.n_iter_ == KEPT_EPOCHS + 30
    assert clf.best_epoch_ == clf.n_iter_
    assert len(clf.history_) == KEPT_EPOCHS + 1
    assert clf.history_[:, "epoch"] == list(range(30, KEPT_EPOCHS + 31))
    first, last = sizes.values()
    assert last < 1.01 * first
    if method != "l2rw":
        function = clf.weighting_function_
        function.at_epoch(clf.n_iter_)
        function.at_epoch(30)
        with pytest.raises(ValueError, match="from 30 to 130; got 29"):
            function.at_epoch(29)


@pytest.mark.filterwarnings("ignore:The learned weights")
def test_a_single_fit_keeps_all_its_epochs(data: Data) -> None:
    clf = quick(max_epochs=KEPT_EPOCHS + 5, batch_size=-1, confirm_weights=False)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert len(clf.history_) == KEPT_EPOCHS + 5
    clf.weighting_function_.at_epoch(1)


FRAME = pd.DataFrame({"a": np.arange(96.0), "b": np.arange(96) % 5, "c": list("xyz") * 32})
SAME = [
    (None, ["from_dtype", None, [], ()]),
    (FRAME[["a", "b"]], ["from_dtype", None, []]),
    (FRAME, ["from_dtype", ["c"], ("c",), [2], np.array([False, False, True])]),
    (FRAME, [["b", "c"], [2, 1], [False, True, True]]),
]


@pytest.mark.parametrize("how", GO_ON)
@pytest.mark.parametrize(("X", "ways"), SAME, ids=["array", "numbers", "text", "two"])
def test_categories_are_compared_by_what_they_come_to(
    X: Any, ways: list[Any], how: str, data: Data
) -> None:
    data = data if X is None else data._replace(X=X)
    for before in ways:
        clf = begun(how, data, max_epochs=1, categorical_features=before)
        for after in ways:
            go_on(clf.set_params(categorical_features=after), how, data)
        assert clf.n_iter_ == 1 + len(ways)
        with pytest.raises(ValueError, match=r"^categorical_features cannot change between fits"):
            go_on(clf.set_params(categorical_features=[0]), how, data)


def test_a_list_of_widths_is_a_tuple_of_them(data: Data) -> None:
    clf = begun("fit", data, module__hidden_dims=(8,))
    assert go_on(clf.set_params(module__hidden_dims=[8]), "fit", data).n_iter_ == 4
    with pytest.raises(ValueError, match=r"^module__hidden_dims cannot change between fits"):
        go_on(clf.set_params(module__hidden_dims=[9]), "fit", data)


EQUAL: dict[str, Callable[[], Any]] = {
    "tensor": lambda: torch.arange(3.0),
    "array": lambda: np.arange(3.0),
    "empty": lambda: np.empty(0),
    "list": lambda: [1, [2, 3]],
    "tensors": lambda: [torch.ones(2), torch.zeros(3)],
    "dict": lambda: {"a": np.ones(2), "b": (1, 2)},
    "text": lambda: "".join(["a", "b"]),
    "series": lambda: pd.Series([1, 2]),
}
DIFFERENT = {
    "values": (torch.ones(3), torch.zeros(3)),
    "shapes": (torch.ones(3), torch.ones(1)),
    "shapes of arrays": (np.ones(3), np.ones(1)),
    "nothing": (np.empty(0), np.ones(1)),
    "dtypes": (torch.ones(3), torch.ones(3).double()),
    "kinds": (np.ones(3), torch.ones(3)),
    "lengths": ([1, 2], [1]),
    "keys": ({"a": 1}, {"b": 1}),
    "depths": ([torch.ones(2)], [torch.zeros(2)]),
    "types": (1, True),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_settings_are_the_same(name: str) -> None:
    assert _same(EQUAL[name](), EQUAL[name]())


@pytest.mark.parametrize("name", DIFFERENT)
def test_other_settings_are_not(name: str) -> None:
    one, other = DIFFERENT[name]
    assert not _same(one, other)
    assert not _same(other, one)


@pytest.mark.parametrize("how", GO_ON)
def test_a_copy_of_a_tensor_is_no_change(how: str, data: Data) -> None:
    weight = torch.tensor([1.0, 2.0, 3.0])
    clf = begun(how, data, criterion__weight=weight)
    go_on(clf.set_params(criterion__weight=weight.clone()), how, data)
    with pytest.raises(ValueError, match=r"^criterion__weight cannot change between fits"):
        go_on(clf.set_params(criterion__weight=weight + 1), how, data)


@pytest.mark.parametrize("how", GO_ON)
def test_what_was_told_is_remembered_until_a_fit_begins_anew(how: str, data: Data) -> None:
    clf = begun(how, data)
    clf._told = {"drift of 1"}
    copied = pickle.loads(pickle.dumps(clf))
    for each in (clf, copied):
        assert go_on(each, how, data)._told == {"drift of 1"}
    assert go_on(clf.set_params(warm_start=False), "fit", data)._told == set()
