"""Callbacks of skorch inside a fit, and of scikit-learn outside."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    ParamMapper,
    ProgressBar,
    WarmRestartLR,
)
from torch.optim import SGD

from skmetaweight import MetaWeightNet
from tests.conftest import Linear, quick


def test_progress_bar_of_skorch(fitted, capsys):
    fitted(callbacks=[ProgressBar(detect_notebook=False)])
    assert "%|" in capsys.readouterr().err


def test_rare_updates_leave_no_gap_in_the_history(fitted):
    history = fitted(method="fmw-net", method__meta_interval=5, max_epochs=3).history_
    multipliers = history[:, "fmw_lambda"]
    assert len(multipliers) == 3
    assert np.nanmin(multipliers) >= 0


def test_weight_change_is_that_of_the_rows(fitted):
    change = fitted(max_epochs=3).history_[:, "weight_change"]
    assert np.isnan(change[0])
    assert np.all(np.array(change[1:]) > 0)


def test_scikit_learn_follows_the_epochs_and_can_stop(data):
    pytest.importorskip("sklearn.callback")

    class Stop:
        n_tasks = 0

        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            self.n_tasks += 1
            assert len(fitted_estimator.predict(X)) == len(X)
            return self.n_tasks == 2

    clf, stop = quick(max_epochs=5), Stop()
    clf.set_callbacks(stop).fit(data.X, data.y, meta_mask=data.mask)
    assert clf.n_iter_ == 2
    assert stop.n_tasks == 3  # two epochs and the fit


def test_progress_bar_of_scikit_learn_through_a_search(data):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    search = GridSearchCV(quick(), {"lr": [1e-3]}, cv=2).set_callbacks(callback.ProgressBar())
    search.fit(data.X, data.y, meta_mask=data.mask)
    assert search.best_estimator_.n_iter_ == 2


def test_scores_of_scikit_learn_at_each_epoch(data):
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = quick(early_stopping=False, class_smoothing=0).set_callbacks(monitor)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    logged = monitor.get_logs().data_as_pandas
    scores = logged.loc[logged["task_name"] == "epoch", "accuracy"].tolist()
    assert len(scores) == 2
    assert scores[-1] == clf.score(data.X, data.y)


def test_function_at_each_epoch(fitted):
    method = MetaWeightNet(memory=0, normalize=False)
    function = fitted(method=method, early_stopping=False).weighting_function_
    losses = [0.1, 1.0]
    np.testing.assert_allclose(function.at_epoch(2)(losses), function(losses), rtol=1e-5)
    assert np.any(function.at_epoch(1)(losses) != function(losses))
    with pytest.raises(ValueError, match="from 1 to 2; got 3"):
        function.at_epoch(3)


def test_long_work_shows_a_bar_if_asked(fitted, capsys, monkeypatch):
    fitted(show_progress=True)
    assert "epoch" not in capsys.readouterr().err
    monkeypatch.setattr("skmetaweight._training.on_screen.BAR_DELAY", 0.0)
    clf = fitted(show_progress=True)
    shown = capsys.readouterr().err
    assert f"0/{clf.n_iter_}" in shown
    fitted(show_progress=False)
    assert "epoch" not in capsys.readouterr().err


class Call(Callback):
    """Calls a function of the net when a training, or an epoch, begins."""

    def __init__(self, hook, function):
        self.hook = hook
        self.function = function

    def on_train_begin(self, net, **kwargs):
        if self.hook == "train":
            self.function(net)

    def on_epoch_begin(self, net, **kwargs):
        if self.hook == "epoch":
            self.function(net)


@pytest.mark.parametrize("hook", ["train", "epoch"])
@pytest.mark.parametrize(
    ("part", "replace"),
    [
        ("module", lambda net: net.set_params(module__n_features=4)),
        ("module", lambda net: net.set_params(module__n_features=7)),
        ("criterion", lambda net: net.set_params(criterion__label_smoothing=0.1)),
        ("optimizer", lambda net: setattr(net, "optimizer_", SGD(net.module_.parameters()))),
    ],
)
def test_a_part_that_a_callback_replaces_is_named(fitted, hook, part, replace):
    with pytest.raises(ValueError, match=rf"^A callback has put another {part} into the net"):
        fitted(module=Linear, callbacks=[Call(hook, replace)])


def test_what_a_callback_sets_in_place_stays(fitted):
    set_decay = Call("train", lambda net: net.set_params(optimizer__weight_decay=0.1))
    groups = fitted(callbacks=[set_decay]).net_.optimizer_.param_groups
    assert groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize("module", [None, Linear])
def test_a_callback_that_freezes_all_is_told(fitted, method, module):
    for freezer in (Freezer("*"), ParamMapper("*", fn=freeze, at=2)):
        with pytest.raises(ValueError, match=r"^A callback has frozen all parameters"):
            fitted(module=module, method=method, callbacks=[freezer])


@pytest.mark.parametrize("part", ["layers.1.*", "layers.5.*"])
def test_what_a_callback_freezes_stays_as_it_was(fitted, method, part):
    clf = fitted(method=method, callbacks=[Freezer(part)], max_epochs=3)
    other = fitted(method=method, callbacks=[Freezer(part)], max_epochs=1)
    for name, parameter in clf.net_.module_.named_parameters():
        same = torch.equal(parameter, other.net_.module_.get_parameter(name))
        assert same == name.startswith(part.removesuffix("*")), name


def freeze(parameter):
    parameter.requires_grad_(False)


def fail(net):
    raise KeyError("mine")


FAILING = {
    "on_train_begin": [
        LRScheduler("StepLR"),
        LRScheduler(3),
        LRScheduler(WarmRestartLR, min_lr="x"),
        EarlyStopping(threshold_mode="x"),
        Call("train", fail),
    ],
    "on_grad_computed": [GradientNormClipping("x")],
    "on_epoch_end": [
        LRScheduler("StepLR", step_size=0),
        EarlyStopping(threshold="x"),
        EpochScoring("roc_auc"),
    ],
    "on_epoch_begin": [Freezer(3), Call("epoch", fail)],
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("hook", "callback"), [(hook, each) for hook, those in FAILING.items() for each in those]
)
def test_an_error_of_a_callback_names_it(fitted, hook, callback, named):
    kind = type(callback).__name__
    with pytest.raises(Exception) as error:  # noqa: PT011, its own is left as it is
        fitted(callbacks=[("mine", callback) if named else callback])
    assert error.value.__notes__ == [
        f"Raised by the callback '{'mine' if named else kind}' ({kind}) in {hook}: check its "
        "settings."
    ]


@pytest.mark.parametrize("callback", [LRScheduler("Nope"), EpochScoring(3)])
def test_callbacks_that_cannot_be_built_are_named(fitted, callback):
    name = type(callback).__name__
    with pytest.raises(ValueError, match=rf"^callbacks=\['{name}'\] cannot be built: "):
        fitted(callbacks=[callback])
