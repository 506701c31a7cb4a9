"""What processes do together, as far as one can tell; training/test_distributed.py has many."""

import pickle

import pytest
import torch
from torch import nn

from skmetaweight._bilevel.ranks import ALONE, Ranks, _BatchStatistics


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 40, 41])
def test_ranks_part_rows_evenly_and_leave_none(n: int, size: int) -> None:
    parts = [range(n)[Ranks(rank, size).own(n)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_nothing_is_sent_or_copied() -> None:
    x = torch.arange(3.0, requires_grad=True)
    assert ALONE.total(x) is x
    assert ALONE.whole(x, [1, 2]) is x
    assert ALONE.handed_out({"x": x})["x"] is x
    assert ALONE.everyones("a") == ["a"]


def test_elsewhere_a_process_is_alone() -> None:
    assert pickle.loads(pickle.dumps(Ranks(1, 2))).size == 1


LAYERS = {
    "rows": (nn.BatchNorm1d(3), (6, 3)),
    "sequences": (nn.BatchNorm1d(3, affine=False), (6, 3, 4)),
    "images": (nn.BatchNorm2d(3, momentum=None), (6, 3, 2, 2)),  # type: ignore[arg-type]
    "no statistics": (nn.BatchNorm2d(3, track_running_stats=False), (2, 3, 4, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_batch_normalisation_is_that_of_torch(name: str) -> None:
    layer, shape = LAYERS[name]
    layer = layer.double()
    x = 1e3 + torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for mode in (_BatchStatistics(ALONE), torch.enable_grad()):
        layer.reset_running_stats()
        source = x.clone().requires_grad_()
        with mode:
            results = [layer(source), layer(source * 2)]
        outputs = torch.stack(results)
        (grad,) = torch.autograd.grad(outputs.sin().sum(), source, create_graph=True)
        (second,) = torch.autograd.grad(grad.square().sum(), source)
        found.append([outputs, grad, second, *layer.buffers()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_statistics_that_are_known_are_used() -> None:
    layer, x = nn.BatchNorm1d(3).eval(), torch.ones(2, 3)
    with _BatchStatistics(ALONE):
        assert torch.equal(layer(x), nn.BatchNorm1d(3).eval()(x))


def test_a_lone_row_is_refused_as_by_torch() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"), _BatchStatistics(ALONE):
        nn.BatchNorm1d(3)(torch.ones(1, 3))
