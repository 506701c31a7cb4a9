"""The network used when the user gives none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from skmetaweight._bilevel.randomness import Dropout
from skmetaweight._tabular.sparse import SparseLinear
from skmetaweight._tabular.standardize import Standardize


class PiecewiseLinear(nn.Module):
    r"""How far a number has come through each bin of its column [1]_.

    A number :math:`x` becomes, for the bin from :math:`b_t` to :math:`b_{t+1}`,

    .. math:: \min\Bigl(\max\Bigl(\frac{x - b_t}{b_{t+1} - b_t}, 0\Bigr), 1\Bigr).

    Parameters
    ----------
    bin_edges : sequence of array of shape (n_edges,)
        For each of the first columns the rising edges of its bins. A column of fewer than two bins
        is left out.

    Raises
    ------
    ValueError
        If edges do not rise, or are not those of columns.

    References
    ----------
    .. [1] Gorishniy et al. On Embeddings for Numerical Features in Tabular Deep Learning.
       NeurIPS, 2022.
    """

    column: Tensor
    left: Tensor
    width: Tensor

    def __init__(self, bin_edges: Sequence[ArrayLike]) -> None:
        super().__init__()
        edges = [np.asarray(column, dtype=np.float64) for column in bin_edges]
        # All columns in one row: torch takes as long for one number as for a thousand.
        n_edges = np.array([column.size for column in edges], dtype=int)
        column = np.repeat(np.arange(len(edges)), n_edges)
        flat = np.concatenate([np.empty(0), *map(np.ravel, edges)])
        left = torch.as_tensor(flat, dtype=torch.get_default_dtype())
        width = left.diff()
        is_bin = column[1:] == column[:-1]
        wrong = [i for i, each in enumerate(edges) if each.ndim != 1]
        wrong += column[1:][is_bin & ~(width > 0).numpy()].tolist()
        if wrong:
            raise ValueError(
                "bin_edges must hold the rising edges of each column, got "
                f"{edges[wrong[0]].tolist()} for column {wrong[0]}"
            )
        is_bin &= n_edges[column[1:]] > 2
        self.register_buffer("column", torch.as_tensor(column[1:][is_bin]))
        self.register_buffer("left", left[:-1][is_bin])
        self.register_buffer("width", width[is_bin])
        self.n_outputs = len(self.column)

    def forward(self, X: Tensor) -> Tensor:
        """Encode X of shape (n, n_features) in shape (n, n_outputs)."""
        # In place: a new tensor for each operation takes as long as the operation.
        return (X.index_select(1, self.column) - self.left).div_(self.width).clamp_(0, 1)


class Embeddings(nn.Module):
    """An embedding for each column of codes.

    Code 0 stands for categories never seen: its vector is zero and stays so.

    Parameters
    ----------
    cardinalities : sequence of int
        How many codes each column can have; half as many dimensions, at most 50, embed them.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        widths = [self.width_of(cardinality) for cardinality in cardinalities]
        self.columns = nn.ModuleList(
            nn.Embedding(cardinality, width, padding_idx=0)
            for cardinality, width in zip(cardinalities, widths, strict=True)
        )
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(0.1)  # a category means little until it has been learned
        self.width = sum(widths)

    @staticmethod
    def width_of(cardinality: int) -> int:
        """Return the dimensions of a column's embedding."""
        return min(50, (cardinality + 1) // 2)

    def forward(self, codes: Tensor) -> Tensor:
        """Embed codes of shape (n, n_columns) in shape (n, width)."""
        codes = codes.long()
        parts = [column(codes[:, i]) for i, column in enumerate(self.columns)]
        return torch.cat(parts, dim=1)


class TabularMLP(nn.Module):
    """A multilayer perceptron for tables.

    Numbers are standardised and, beside that, encoded piecewise linearly; categories are embedded.
    Blocks of a linear layer, batch normalisation, ReLU and dropout follow.

    Parameters
    ----------
    n_features : int
        Columns of X, codes included.
    n_classes : int
    hidden_dims : sequence of int, default=(256, 256)
        Widths of the hidden layers.
    dropout : float, default=0.4
        Probability with which a hidden unit is dropped in training.
    batch_norm : bool, default=True
        Whether each hidden layer is batch-normalised.
    input_dropout : float, default=0.0
        Probability with which an input of the first layer is dropped in training: a standardised
        number, a part of its encoding, a dimension of an embedding.
    cardinalities : sequence of int, default=()
        For codes of categories, which are the last columns of X and are embedded: how many codes
        each of these columns can have. Code 0 is for categories never seen.
    bin_edges : sequence of array of shape (n_edges,), default=()
        For each of the first columns the rising edges of the bins of its encoding; () for none.
    sparse : bool, default=False
        Whether X is mostly zeros, and may be a sparse COO tensor, which is not made dense. Input
        dropout leaves zeros as they are. There can be neither codes nor bins.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden_dims: Sequence[int] = (256, 256),
        dropout: float = 0.4,
        batch_norm: bool = True,
        input_dropout: float = 0.0,
        cardinalities: Sequence[int] = (),
        bin_edges: Sequence[ArrayLike] = (),
        sparse: bool = False,
    ) -> None:
        super().__init__()
        _check_kinds(batch_norm, sparse, dropout, input_dropout)
        _check_sizes(n_features=[n_features], n_classes=[n_classes])
        _check_sizes(hidden_dims=hidden_dims, cardinalities=cardinalities)
        self.n_numbers = n_features - len(cardinalities)
        if self.n_numbers < 0:
            raise ValueError(
                f"cardinalities are of {len(cardinalities)} columns, but X has {n_features}"
            )
        if len(bin_edges) > self.n_numbers:
            raise ValueError(
                f"bin_edges are of {len(bin_edges)} columns, but X has {self.n_numbers} of numbers"
            )
        self.piecewise = PiecewiseLinear(bin_edges)
        self.standardize = Standardize(self.n_numbers)
        self.embeddings = Embeddings(cardinalities) if cardinalities else None
        if sparse and (cardinalities or self.piecewise.n_outputs):
            raise ValueError(
                f"sparse=True takes neither codes nor bins, got {len(cardinalities)} columns of "
                f"codes and {self.piecewise.n_outputs} bins"
            )
        self.takes_sparse = sparse
        widths = [*hidden_dims, n_classes]
        layers: list[nn.Module] = []
        if sparse:
            self.first = SparseLinear(n_features, widths[0], input_dropout)
        else:
            n_inputs = self.n_numbers + self.piecewise.n_outputs
            n_inputs += self.embeddings.width if self.embeddings else 0
            layers += [Dropout(input_dropout)] if input_dropout else []
            layers.append(nn.Linear(n_inputs, widths[0]))
        for width, n_outputs in pairwise(widths):
            layers += [nn.BatchNorm1d(width)] if batch_norm else []
            layers.append(nn.ReLU())
            layers += [Dropout(dropout)] if dropout else []
            layers.append(nn.Linear(width, n_outputs))
        self.layers = nn.Sequential(*layers)

    def forward(self, X: Tensor) -> Tensor:
        """Map X of shape (n, n_features) to logits of shape (n, n_classes)."""
        n_codes = len(self.embeddings.columns) if self.embeddings is not None else 0
        if X.shape[1] != self.n_numbers + n_codes:
            raise ValueError(
                f"X has {X.shape[1]} columns, but the network was made for "
                f"{self.n_numbers + n_codes}"
            )
        if self.takes_sparse:
            return self.layers(self.first(X, self.standardize))
        numbers = X[:, : self.n_numbers]
        parts = [self.standardize(numbers)]
        if self.piecewise.n_outputs:
            parts.append(self.piecewise(numbers))
        if self.embeddings is not None:
            parts.append(self.embeddings(X[:, self.n_numbers :]))
        return self.layers(torch.cat(parts, dim=1))


def _check_kinds(batch_norm: Any, sparse: Any, *dropouts: Any) -> None:
    for name, value in (("batch_norm", batch_norm), ("sparse", sparse)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    if any(isinstance(p, bool) or not isinstance(p, Real) for p in dropouts):
        raise TypeError(f"dropout must be a number, got {' and '.join(map(repr, dropouts))}")


def _check_sizes(**sizes: Sequence[int]) -> None:
    for name, values in sizes.items():
        if not isinstance(values, Iterable):
            raise TypeError(f"{name} must be a sequence of whole numbers, got {values!r}")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be whole numbers from 1, got {value!r}")
