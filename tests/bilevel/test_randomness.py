"""Dropout from bytes against its definition, and its generator."""

import copy
import pickle

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.chain import LAYERS
from skmetaweight._bilevel.randomness import (
    Dropout,
    default_generators,
    draw_from,
    replayed,
    states_of,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.4, 0.5, 0.75])
def test_each_input_is_kept_as_often_as_it_should_be(p, dtype):
    layer = Dropout(p)
    draw_from(torch.Generator().manual_seed(0), layer)
    ones = torch.ones(400, 999, dtype=dtype)  # no multiple of eight
    outputs = layer(ones).double()
    kept = 1 - round(256 * p) / 256
    scale = torch.tensor(1 / kept, dtype=dtype).item()
    assert set(outputs.unique().tolist()) == {0.0, scale}
    # Within five standard errors, over all and for each place among the eight of a word.
    by_place = (outputs.ravel()[: 8 * (ones.numel() // 8)] > 0).double().reshape(-1, 8).mean(dim=0)
    error = (kept * (1 - kept) / (ones.numel() / 8)) ** 0.5
    assert (by_place - kept).abs().max() < 5 * error


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4, 5), (0, 4)])
def test_shape_and_gradient_are_those_of_the_mask(shape):
    layer = Dropout(0.5)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    outputs = layer(x)
    (grad,) = torch.autograd.grad(outputs.sum(), x)
    torch.testing.assert_close(outputs, x * grad)
    assert outputs.shape == shape
    assert set(grad.unique().tolist()) <= {0.0, 2.0}


def test_evaluation_mode_and_probability_zero_draw_nothing():
    x, generator = torch.randn(3, 4), torch.Generator().manual_seed(0)
    for layer in (Dropout(0.5).eval(), Dropout(0.0)):
        draw_from(generator, layer)
        assert layer(x) is x
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_probability_is_one(p):
    with pytest.raises(ValueError, match=str(p)):
        Dropout(p)


def test_masks_come_from_the_generator_and_leave_torch_s_own_alone():
    module = nn.Sequential(nn.Linear(4, 8), Dropout(0.5), nn.Sequential(Dropout(0.5)))
    draw_from(torch.Generator().manual_seed(1), module)
    x, before = torch.randn(5, 4), torch.get_rng_state()
    first = module(x)
    assert torch.equal(torch.get_rng_state(), before)
    draw_from(torch.Generator().manual_seed(1), module)
    assert torch.equal(module(x), first)
    assert not torch.equal(module(x), first)


def test_without_a_generator_torch_s_own_seeds_it():
    layer, x = Dropout(0.5), torch.randn(50)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = layer(x)
        torch.manual_seed(0)
        assert torch.equal(layer(x), first)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_alone_and_its_layers_share_a_generator(copied):
    module = nn.Sequential(Dropout(0.5), Dropout(0.5))
    draw_from(torch.Generator().manual_seed(1), module)
    x = torch.randn(50)
    module(x)
    twin = copied(module)
    assert twin[0].generator is twin[1].generator
    assert twin[0].generator is not module[0].generator
    assert torch.equal(module(x), twin(x))


@pytest.mark.parametrize("own", [True, False])
def test_a_replay_draws_the_same_and_puts_the_present_back(own):
    layer, x = Dropout(0.5), torch.randn(50)
    generators = default_generators(torch.device("cpu"))
    if own:
        generators = (torch.Generator().manual_seed(1),)
        draw_from(*generators, layer)
    states = states_of(generators)
    first = layer(x)
    present = states_of(generators)
    with replayed(generators, states):
        assert torch.equal(layer(x), first)
    assert torch.equal(*present, *states_of(generators))


def test_the_chain_has_a_rule_for_it():
    assert Dropout in LAYERS
