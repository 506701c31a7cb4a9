"""Fused optimisers take gradients of any strides, as autograd may return them."""

from functools import partial

import pytest
import torch
from torch import nn

from tests.conftest import quick


class Scaled(nn.Module):
    """A linear map and a scale, whose gradient autograd returns expanded."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_inputs, n_outputs))
        self.scale = nn.Parameter(torch.ones(3, 2))

    def forward(self, X):
        outputs = X @ self.weight * (self.scale.sum() / 6)
        return outputs if outputs.shape[1] > 1 else torch.sigmoid(outputs).squeeze(1)


@pytest.mark.filterwarnings("ignore:The module does not return the output of one linear layer")
def test_fused_steps_are_those_of_others(data, method):
    params = {"method": method, "module": Scaled(4, 3), "optimizer": torch.optim.Adam}
    if method in ("mw-net", "fmw-net"):
        params |= {"method__weighting": Scaled(1, 1), "method__meta_interval": 1}
        params |= {"method__memory": 0} if method == "mw-net" else {}
    weights = []
    for fused in (True, False):
        adam = partial(torch.optim.Adam, lr=0.01, fused=fused)
        options = {"method__optimizer": adam} if "method__weighting" in params else {}
        clf = quick(**params, **options, optimizer__fused=fused)
        clf.fit(data.X, data.y, meta_mask=data.mask)
        weights.append([*clf.net_.module_.parameters()])
        if options:
            weights[-1] += clf.net_.reweighter_.network_.parameters()
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
