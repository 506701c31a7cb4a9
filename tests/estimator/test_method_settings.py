"""Settings of a method: by prefix, in an object, and where they are no longer."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skmetaweight import (
    PAPER_TRAINING,
    FirstOrderMetaWeightNet,
    LearningToReweight,
    MetaWeightClassifier,
    MetaWeightNet,
)
from tests.conftest import Data, Fitted, Linear, quick

MOVED = {
    "alignment_memory": 0,
    "alignment_layers": "all",
    "meta_interval": 2,
    "meta_lr": 0.1,
    "lookahead_lr": 0.1,
    "weighting": "class-aware",
}


@pytest.mark.parametrize("name", MOVED)
def test_moved_parameters_name_their_place(name: str) -> None:
    place = "method__memory" if name == "alignment_memory" else f"method__{name}"
    with pytest.raises(TypeError, match=f"'{name}' is '{place}' now"):
        MetaWeightClassifier(**{name: MOVED[name]})
    with pytest.raises(TypeError, match=f"'{name}' is '{place}' now"):
        quick().set_params(**{name: MOVED[name]})


def test_settings_by_prefix_reach_the_method(fitted: Fitted) -> None:
    clf = fitted(method__meta_lr=0.5, method__meta_interval=3, method__memory=0.5)
    reweighter = clf.net_.reweighter_
    assert reweighter.network_optimizer_.param_groups[0]["lr"] == 0.5
    assert (reweighter.meta_interval_, reweighter.memory) == (3, 0.5)
    for other in (clone(clf), copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
        assert other.get_params()["method__meta_lr"] == 0.5
        assert other.set_params(method__meta_lr=0.25).get_params()["method__meta_lr"] == 0.25


def test_settings_of_an_object_are_parameters_of_the_classifier(fitted: Fitted) -> None:
    method = MetaWeightNet(prior=0.1)
    clf = quick(method=method)
    assert clf.get_params()["method__prior"] == 0.1
    assert "method__prior" not in clf.get_params(deep=False)
    assert clf.set_params(method__prior=0.3).method is method
    assert method.prior == 0.3
    assert clone(clf).method is not method
    clf.set_params(method=LearningToReweight(), method__bias=2.0)
    assert clf.method.bias == 2.0
    with pytest.raises(ValueError, match=r"Invalid parameter 'prior' .* \['alignment_layers',"):
        clf.set_params(method__prior=0.1)


def test_prefix_overrides_an_object_and_leaves_it_alone(fitted: Fitted) -> None:
    method = MetaWeightNet(memory=0.5, prior=0.1)
    clf = fitted(method=method, method__memory=0.7)
    assert (clf.net_.reweighter_.memory, clf.net_.reweighter_.prior) == (0.7, 0.1)
    assert method.memory == 0.5
    assert clf.get_params()["method__memory"] == 0.7
    assert clf.set_params(method__memory=0.2).get_params()["method__memory"] == 0.2
    assert method.memory == 0.5


def test_numbers_of_numpy_are_settings(fitted: Fitted) -> None:
    plain = fitted(method__meta_interval=2, method__memory=0.5).sample_weights_
    of_numpy = {"method__meta_interval": np.int64(2), "method__memory": np.float32(0.5)}
    np.testing.assert_array_equal(fitted(**of_numpy).sample_weights_, plain)


def test_object_with_settings_beyond_its_signature_trains_with_them(fitted: Fitted) -> None:
    class Mine(MetaWeightNet):
        def __init__(self, *, gamma: float = 1.0, **settings: Any) -> None:
            super().__init__(**settings)
            self.gamma = gamma

    assert fitted(method=Mine(memory=0)).net_.reweighter_.memory == 0


def test_setting_may_end_in_an_underscore(fitted: Fitted) -> None:
    class Mine(MetaWeightNet):
        def __init__(self, lambda_: float = 1.0) -> None:
            super().__init__()
            self.lambda_ = lambda_

    assert fitted(method=Mine(), method__lambda_=0.5).net_.reweighter_.lambda_ == 0.5
    with pytest.raises(TypeError, match="has no setting 'memory_'; it has"):
        fitted(method__memory_=0.3)


def test_prefix_can_be_taken_back() -> None:
    clf = quick(method__memory=0.5)
    del clf.method__memory
    assert "method__memory" not in clf.get_params()


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_unknown_setting_is_refused_when_a_fit_goes_on(fit: str, data: Data) -> None:
    clf = quick(warm_start=True).fit(data.X, data.y, meta_mask=data.mask)
    clf.set_params(method__memry=0)
    with pytest.raises(TypeError, match="MetaWeightNet has no setting 'memry'"):
        getattr(clf, fit)(data.X, data.y, meta_mask=data.mask)
    assert clf.predict(data.X).shape == data.y.shape


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"method": "l2rw", "method__prior": 0.1},
            "LearningToReweight has no setting 'prior'; it has alignment_layers, bias, memory,",
        ),
        (
            {"method": "uniform", "method__memory": 0},
            "Uniform has no setting 'memory'; it has none",
        ),
        (
            {"method": MetaWeightNet(), "method__eta": 1},
            "MetaWeightNet has no setting 'eta'; it has",
        ),
        ({"method__memory__x": 1}, "MetaWeightNet has no setting 'memory__x'; it has"),
    ],
    ids=["l2rw", "uniform", "object", "nested"],
)
def test_settings_that_a_method_lacks_are_refused_with_those_it_has(
    params: dict[str, Any], message: str, data: Data
) -> None:
    clf = quick(**params)
    with pytest.raises(TypeError, match=message):
        clf.fit(data.X, data.y, meta_mask=data.mask)
    assert not hasattr(clf, "n_features_in_")


def test_search_varies_methods_and_their_settings(data: Data) -> None:
    grid = [
        {"method": ["mw-net", "l2rw", MetaWeightNet(prior=0.1)], "method__memory": [0, 0.9]},
        {"method": [FirstOrderMetaWeightNet(eta=0.1)], "method__meta_interval": [1, 2]},
    ]
    search = GridSearchCV(quick(max_epochs=1), grid, cv=2, error_score="raise")
    with config_context(enable_metadata_routing=True):
        search.fit(data.X, data.y, meta_mask=data.mask)
    assert len(search.cv_results_["params"]) == 8
    best = search.best_estimator_
    for name, value in search.best_params_.items():
        assert repr(best.get_params()[name]) == repr(clone(value, safe=False)) or name == "method"


def test_own_network_sees_labels_if_it_says_so(fitted: Fitted) -> None:
    class OfLossAndLabel(torch.nn.Module):
        class_aware = True

        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(1 + 3, 1)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.linear(inputs)).squeeze(-1)

    clf = fitted(method="fmw-net", method__weighting=OfLossAndLabel())
    assert clf.weighting_function_.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("method", [MetaWeightNet.paper(), FirstOrderMetaWeightNet.paper()])
def test_published_step_without_its_optimiser_is_warned_of(method: Any, data: Data) -> None:
    arguments = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    clf = quick(method=clone(method), meta_share=0)
    with pytest.warns(UserWarning, match=r"rate of AdamW, 0\.003\..*lookahead_lr=0\.1") as record:
        clf.fit(**arguments)
    assert [warning.filename for warning in record] == [__file__]
    clf.set_params(method__lookahead_lr=0.1).fit(**arguments)
    quick(module=Linear, method=method, optimizer=torch.optim.SGD).fit(**arguments)
    quick(method__lookahead_lr="lr").fit(**arguments)  # with a memory there is no virtual step


def test_published_training_is_one_line(data: Data) -> None:
    training = {**PAPER_TRAINING, "max_epochs": 2, "lr_schedule": (1,)}
    clf = MetaWeightClassifier(method=MetaWeightNet.paper(), **training, random_state=0)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert clf.history_[:, "learning_rate"] == pytest.approx([0.1, 0.01])
    assert clf.best_epoch_ == 2
    assert clf.net_.objective_.meta_share == clf.net_.objective_.meta_robustness == 0
    (group,) = clf.net_.optimizer_.param_groups
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-4, False)
    assert set(PAPER_TRAINING) <= set(MetaWeightClassifier(**PAPER_TRAINING).get_params())
