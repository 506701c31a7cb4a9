"""The first layer of the default network for tables of mostly zeros."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from skmetaweight._bilevel.randomness import Dropout
from skmetaweight._tabular.standardize import Standardize


class SparseLinear(nn.Module):
    r"""A linear layer of standardised numbers, which makes no zero of X a number of its own.

    With :math:`s_j(x)` a standardised number of column :math:`j`, the outputs are

    .. math:: W^\top s(x_i) + b
              = W^\top s(0) + b + \sum_{j:\, x_{ij} \ne 0} (s_j(x_{ij}) - s_j(0))\, W_j .

    In training, numbers that differ from zero are dropped at random; a dropped one stands for the
    mean of its column. Zeros stay: each is nearly the mean of its column, so that a mask over all
    of them would cost a dense product and change next to nothing.

    Parameters
    ----------
    n_features, n_outputs : int
    dropout : float
        As in :class:`Dropout`.

    Attributes
    ----------
    weight : Parameter of shape (n_features, n_outputs)
        The other way round than that of ``torch.nn.Linear``: the weights of a column, which are
        read together, lie together.
    """

    def __init__(self, n_features: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        linear = nn.Linear(n_features, n_outputs)
        self.weight = nn.Parameter(linear.weight.detach().T.contiguous())
        self.bias = nn.Parameter(linear.bias.detach())
        self.dropout = Dropout(dropout)

    def forward(self, X: Tensor, standardize: Standardize) -> Tensor:
        """Map X of shape (n, n_features), dense or sparse COO, to shape (n, n_outputs)."""
        if not X.is_sparse and not self.training:
            return torch.addmm(self.bias, standardize(X), self.weight)
        X = (X if X.is_sparse else X.to_sparse()).coalesce()
        columns = X.indices()[1]
        zeros = standardize(X.values().new_zeros(X.shape[1]))
        values = self.dropout(standardize(X.values(), columns)) - zeros[columns]
        changes = torch.sparse_coo_tensor(
            X.indices(), values, X.shape, is_coalesced=True, check_invariants=False
        )
        with torch.autocast(X.device.type, enabled=False):  # there are no sparse products of halves
            return _FromZeros.apply(self.weight, zeros, changes) + self.bias  # pyright: ignore


class _FromZeros(Function):
    """The product of rows and weights, with rows given by their changes from a row that all share.

    torch's own sparse product has no forward-mode derivative, and its gradient would be one more
    tensor of the size of the weights.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, zeros: Tensor, changes: Tensor) -> Tensor:
        ctx.zeros, ctx.changes = zeros, changes
        return _product(weight, zeros, changes)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grad_outputs
        shared = torch.outer(ctx.zeros, grad.sum(dim=0))
        return shared.addmm_(ctx.changes.t(), grad), None, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        return _product(grad_inputs[0], ctx.zeros, ctx.changes)


def _product(weight: Tensor, zeros: Tensor, changes: Tensor) -> Tensor:
    return torch.sparse.mm(changes, weight).add_(zeros @ weight)
