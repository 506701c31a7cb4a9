"""Recorded steps do what steps do, for every method; recording on the CPU stands in for CUDA."""

import copy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from skmetaweight import MetaWeightNet, _build, _functional, _step_graphs
from tests import _recording
from tests.conftest import quick


@pytest.fixture
def recordings(monkeypatch):
    """Record on the CPU; count the recordings and their runs."""
    counts = {"recorded": 0, "run": 0}

    def refuse(*_):
        raise RuntimeError("random state asked for during capture")

    def record(work):
        with monkeypatch.context() as capturing:
            capturing.setattr(_functional, "get_rng_state", refuse)
            replay, result = _recording.record(work)
        counts["recorded"] += 1

        def counted():
            counts["run"] += 1
            replay()

        return counted, result

    monkeypatch.setattr(_step_graphs, "record_cuda_graph", record)
    monkeypatch.setattr(_build, "_can_record", lambda estimator, device: estimator.cuda_graphs)
    return counts


SETTINGS = {
    "mw-net": {"method": "mw-net"},
    "mw-net every batch": {"method": "mw-net", "meta_interval": 1},
    "mw-net without memory": {"method": "mw-net", "alignment_memory": 0, "meta_share": 0},
    "mw-net of all layers": {"method": "mw-net", "alignment_layers": "all"},
    "class-aware": {"method": "mw-net", "weighting": "class-aware", "class_weight": "balanced"},
    "robust": {"method": "mw-net", "robust_meta_loss": True},
    "l2rw": {"method": "l2rw"},
    "l2rw without memory": {"method": "l2rw", "alignment_memory": 0},
    "confirmed": {"max_epochs": 12},
    "uniform": {"method": "uniform"},
    "momentum": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    "full": {"batch_size": -1},
}


def fitted(data, *, cuda_graphs, **params):
    params = {"max_epochs": 9, **params}
    clf = quick(cuda_graphs=cuda_graphs, early_stopping=False, **params)
    weight = np.linspace(0.5, 1.5, len(data.y))
    return clf.fit(data.X, data.y, meta_mask=data.mask, sample_weight=weight)


@pytest.mark.filterwarnings("ignore:The trusted rows do not confirm")
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_fit_is_the_same(setting, recordings, data):
    expected = fitted(data, cuda_graphs=False, **setting)
    assert recordings["recorded"] == 0
    clf = fitted(data, cuda_graphs=True, **setting)
    assert recordings["run"] > 0
    np.testing.assert_allclose(clf.sample_weights_, expected.sample_weights_, rtol=1e-5)
    proba = expected.predict_proba(data.X)
    np.testing.assert_allclose(clf.predict_proba(data.X), proba, rtol=1e-4, atol=1e-6)
    for column in ("train_loss", "meta_loss", "mean_weight", "effective_sample_size"):
        np.testing.assert_allclose(clf.history_[:, column], expected.history_[:, column], rtol=1e-4)


def test_steps_that_repeat_a_pass_run_one_by_one(recordings, data):
    settings = {"method": MetaWeightNet(memory=0, meta_interval=2), "module": Scaled}
    expected = fitted(data, cuda_graphs=False, **settings)
    with pytest.warns(UserWarning, match="could not be recorded .*random state") as caught:
        clf = fitted(data, cuda_graphs=True, **settings)
    assert len([warning for warning in caught if "recorded" in str(warning.message)]) == 1
    assert recordings["run"] > 0  # those without an update
    np.testing.assert_allclose(clf.sample_weights_, expected.sample_weights_, rtol=1e-5)


class Scaled(nn.Module):
    """No chain of known layers: its alignments repeat the training pass."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))
        self.out = nn.Linear(4, 3)

    def forward(self, X):
        return self.out(self.scale * X)


def test_smaller_batches_run_one_by_one(recordings, data):
    n_rows = int((~data.mask).sum())
    fitted(data, cuda_graphs=True, method="uniform", batch_size=n_rows // 2 - 1)
    # Two of the three batches of each epoch but the first, which warms up.
    assert recordings["run"] == 8 * 2


def test_learning_rates_make_new_recordings(recordings, data):
    fitted(data, cuda_graphs=True, method="uniform", batch_size=-1, lr_schedule="constant")
    assert recordings["recorded"] == 1
    fitted(data, cuda_graphs=True, method="uniform", batch_size=-1)
    assert recordings["recorded"] == 1 + 9 - _step_graphs.WARM_UP


def test_callbacks_that_need_gradients_are_called(recordings, data):
    callbacks = [GradientNormClipping(0.1)]
    expected = fitted(data, cuda_graphs=False, callbacks=callbacks)
    with pytest.warns(UserWarning, match="no CUDA graph can call"):
        clf = fitted(data, cuda_graphs=True, callbacks=callbacks)
    assert not recordings["recorded"]
    np.testing.assert_array_equal(clf.predict_proba(data.X), expected.predict_proba(data.X))


def test_other_devices_warn(data):
    expected = fitted(data, cuda_graphs=False)
    with pytest.warns(UserWarning, match="needs a CUDA device, got 'cpu'") as caught:
        clf = fitted(data, cuda_graphs=True)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(clf.predict_proba(data.X), expected.predict_proba(data.X))


def test_a_classifier_can_be_copied_while_it_trains(recordings, data):
    copies = []

    class Copy(Callback):
        def on_epoch_end(self, net, **kwargs):
            copies.append(copy.deepcopy(net))

    fitted(data, cuda_graphs=True, callbacks=[Copy()])
    assert not hasattr(copies[-1], "graphs_")
