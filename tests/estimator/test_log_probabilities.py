"""Logarithms of probabilities, where these are zero by rounding too."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from tests.conftest import Data, Linear, Softmax, quick


class Certain(Linear):
    """Is far surer than a float can say."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return 1e4 * super().forward(X)


class CertainSoftmax(Certain):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.softmax(super().forward(X), dim=-1)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"module": Linear},
        {"module": Softmax, "criterion": nn.NLLLoss},
        {"predict_nonlinearity": lambda y: torch.softmax(2 * y, dim=-1)},
        {"module": Softmax, "criterion": nn.NLLLoss, "temperature": 3},
        {"module": Certain, "lr": 1e-8, "temperature": 1},
        {"module": CertainSoftmax, "criterion": nn.NLLLoss, "lr": 1e-8, "temperature": 1},
    ],
    ids=["default", "own", "NLLLoss", "nonlinearity", "tempered", "certain", "certain NLLLoss"],
)
def test_logarithms_are_those_of_the_probabilities(params: dict[str, Any], data: Data) -> None:
    clf = quick(method="uniform", **params).fit(data.X, data.y, meta_mask=data.mask)
    probabilities, logarithms = clf.predict_proba(data.X), clf.predict_log_proba(data.X)
    assert np.isfinite(logarithms).all()
    is_zero = probabilities == 0
    assert is_zero.any() == ("ertain" in getattr(params.get("module"), "__name__", ""))
    with np.errstate(divide="ignore"):
        expected = np.log(probabilities)
    np.testing.assert_allclose(logarithms[~is_zero], expected[~is_zero], rtol=1e-6, atol=1e-9)
    assert (logarithms[is_zero] < -700).all()
    np.testing.assert_array_equal(clf.classes_[logarithms.argmax(axis=1)], clf.predict(data.X))


@pytest.mark.parametrize("temperature", [1, 1.5, "auto"])
def test_probabilities_of_float32_sum_to_one_in_float64(temperature: Any, data: Data) -> None:
    clf = quick(module=Softmax, criterion=nn.NLLLoss, temperature=temperature)
    probabilities = clf.fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
    log_loss(data.y, probabilities)  # which warns of other sums
