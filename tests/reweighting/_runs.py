"""Run a reweighter and its slow reference side by side, several optimiser steps long."""

import copy
from functools import partial

import torch

from tests.reweighting._cases import (
    MODULE_CASES,
    N_ROWS,
    flat,
    grads_of,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
    relative_error,
)

LR = 0.3
N_TRUSTED = (0, 3, 8)
"""Trusted rows of each class."""
SGD = partial(torch.optim.SGD, lr=LR, momentum=0.9)


def compare_runs(
    reweighter,
    make_reference,
    *,
    case=MODULE_CASES["both"],
    optimizer=SGD,
    n_steps=7,
    lookahead_lr=0.2,
    weighted=False,
    **objective,
):
    """Assert equal weights, gradients, parameters and networks at every step.

    Returns the reweighter and the reference, for what only some methods have.
    """
    module = make_module(case)
    if hasattr(reweighter, "lookahead_lr"):
        reweighter.set_params(lookahead_lr=lookahead_lr)
    ready(reweighter, module, n_rows=3 * N_ROWS, n_trusted=torch.tensor(N_TRUSTED), **objective)
    network = copy.deepcopy(getattr(reweighter, "network_", None))
    reference = make_reference(network) if network is not None else make_reference()
    slow_module = copy.deepcopy(module)
    fast, slow = optimizer(module.parameters()), optimizer(slow_module.parameters())
    for t in range(n_steps):
        batch = make_batch(case, seed=t, weighted=weighted, places=3 * N_ROWS)
        meta_batch = make_meta_batch(case, seed=t)
        update = t % reweighter.meta_interval_ == 0
        fast.zero_grad()
        slow.zero_grad()
        torch.manual_seed(t)
        result = reweighter.step(module, batch, meta_batch, LR, update=update)
        torch.manual_seed(t)
        weights = reference.step(slow_module, batch, meta_batch, lookahead_lr, update=update)
        assert relative_error(result.weights, weights) < 1e-8
        assert relative_error(grads_of(module), grads_of(slow_module)) < 1e-8
        fast.step()
        slow.step()
        if network is not None:
            ours, theirs = flat(reweighter.network_.parameters()), flat(network.parameters())
            assert relative_error(ours, theirs) < 1e-8
    for key, value in slow_module.state_dict().items():
        torch.testing.assert_close(module.state_dict()[key], value, rtol=1e-8, atol=1e-10)
    return reweighter, reference
