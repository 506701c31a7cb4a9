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


class TabularMLP(nn.Module):
    """A multilayer perceptron for tables: standardise, then blocks of linear, norm, ReLU, dropout.

    Parameters
    ----------
    n_features : int
    n_classes : int
    hidden_dims : sequence of int, default=(128, 128)
        Widths of the hidden layers.
    dropout : float, default=0.15
        Probability with which a hidden unit is dropped in training.
    batch_norm : bool, default=True
        Whether each hidden layer is batch-normalised.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden_dims: Sequence[int] = (128, 128),
        dropout: float = 0.15,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.standardize = Standardize(n_features)
        layers: list[nn.Module] = []
        width = n_features
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
        return self.layers(self.standardize(X))
