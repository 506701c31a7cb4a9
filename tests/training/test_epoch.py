"""What is kept of the batches of an epoch."""

import pytest
import torch

from skmetaweight._training.epoch import RowLog


@pytest.mark.parametrize("n_rows", [1, 7, 100])
@pytest.mark.parametrize("sizes", [[7], [3, 4], [1] * 7, [5, 0, 2], [60, 40, 1]])
def test_rows_are_those_of_the_batches_in_order(n_rows, sizes):
    log, epochs = RowLog(n_rows), []
    for epoch in range(2):
        log.clear()
        batches = [(torch.rand(n), torch.arange(n) + 100 * epoch) for n in sizes]
        for batch in batches:
            log.add(*batch)
        epochs.append(([torch.cat(parts) for parts in zip(*batches, strict=True)], log.columns()))
    for expected, found in epochs:  # the first is not written over by the second
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one, other)
