"""The baseline is plain training."""

import pytest

from skmetaweight.reweighting import Uniform
from tests._reference import UniformReference, cross_entropy
from tests.reweighting._cases import (
    MODULE_CASES,
    every_share,
    grads_of,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
    relative_error,
)
from tests.reweighting._runs import compare_runs


@every_share
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["both", "dict input"])
def test_steps(name, weighted, meta_share):
    compare_runs(
        Uniform(),
        lambda: UniformReference(meta_share=meta_share),
        case=MODULE_CASES[name],
        weighted=weighted,
        meta_share=meta_share,
    )


def test_gradient_is_that_of_the_plain_mean_loss():
    module, plain, batch = make_module(), make_module(), make_batch()
    ready(Uniform(), module).step(module, batch, make_meta_batch(), 0.1)
    cross_entropy(plain(batch.X), batch.y).mean().backward()
    assert relative_error(grads_of(module), grads_of(plain)) < 1e-15
