"""The network used when the user gives none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """Shift and scale each column by the mean and the standard deviation of the training rows.

    Parameters
    ----------
    n_features : int
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def set_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Set the column means and variances; a constant column is only shifted."""
        scale = variance.sqrt()
        rounding = torch.finfo(scale.dtype).eps * mean.abs()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 10 * rounding, scale, torch.ones_like(scale)))

    def forward(self, X: Tensor) -> Tensor:
        """Standardise X of shape (n, n_features)."""
        return (X - self.mean) / self.scale


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
        widths = [min(50, (cardinality + 1) // 2) for cardinality in cardinalities]
        self.columns = nn.ModuleList(
            nn.Embedding(cardinality, width, padding_idx=0)
            for cardinality, width in zip(cardinalities, widths, strict=True)
        )
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(0.1)  # a category means little until it has been learned
        self.width = sum(widths)

    def forward(self, codes: Tensor) -> Tensor:
        """Embed codes of shape (n, n_columns) in shape (n, width)."""
        codes = codes.long()
        parts = [column(codes[:, i]) for i, column in enumerate(self.columns)]
        return torch.cat(parts, dim=1)


class TabularMLP(nn.Module):
    """A multilayer perceptron for tables: standardise, then blocks of linear, norm, ReLU, dropout.

    Parameters
    ----------
    n_features : int
        Columns of X, codes included.
    n_classes : int
    hidden_dims : sequence of int, default=(128, 128)
        Widths of the hidden layers.
    dropout : float, default=0.15
        Probability with which a hidden unit is dropped in training.
    batch_norm : bool, default=True
        Whether each hidden layer is batch-normalised.
    cardinalities : sequence of int, default=()
        For codes of categories, which are the last columns of X and are embedded: how many codes
        each of these columns can have. Code 0 is for categories never seen.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden_dims: Sequence[int] = (128, 128),
        dropout: float = 0.15,
        batch_norm: bool = True,
        cardinalities: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.n_numbers = n_features - len(cardinalities)
        self.standardize = Standardize(self.n_numbers)
        self.embeddings = Embeddings(cardinalities) if cardinalities else None
        layers: list[nn.Module] = []
        width = self.n_numbers + (self.embeddings.width if self.embeddings else 0)
        for hidden_dim in hidden_dims:
            layers.append(nn.Linear(width, hidden_dim))
            if batch_norm:
                layers.append(nn.BatchNorm1d(hidden_dim))
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = hidden_dim
        self.layers = nn.Sequential(*layers, nn.Linear(width, n_classes))

    def forward(self, X: Tensor) -> Tensor:
        """Map X of shape (n, n_features) to logits of shape (n, n_classes)."""
        if self.embeddings is None:
            return self.layers(self.standardize(X))
        numbers, codes = X[:, : self.n_numbers], X[:, self.n_numbers :]
        return self.layers(torch.cat([self.standardize(numbers), self.embeddings(codes)], dim=1))
