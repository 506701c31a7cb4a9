"""Standardising numbers by the training rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """Shift and scale each column by the mean and the standard deviation of the training rows.

    Numbers outside the bounds of their column, none at first, are taken as the bound.

    Parameters
    ----------
    n_features : int
    """

    mean: Tensor
    scale: Tensor
    lower: Tensor
    upper: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("lower", torch.full((n_features,), -torch.inf))
        self.register_buffer("upper", torch.full((n_features,), torch.inf))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def set_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Set the column means and variances; a constant column is only shifted."""
        scale = variance.sqrt()
        rounding = torch.finfo(scale.dtype).eps * mean.abs()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 10 * rounding, scale, torch.ones_like(scale)))

    def set_bounds(self, lower: Tensor, upper: Tensor) -> None:
        """Set the bounds of the first columns; the others, indicators, need none."""
        self.lower[: len(lower)].copy_(lower)
        self.upper[: len(upper)].copy_(upper)

    def forward(self, X: Tensor, columns: Tensor | None = None) -> Tensor:
        """Standardise X of shape (n, n_features), or numbers of shape (n,) of given columns."""
        known = (self.lower, self.upper, self.mean, self.scale)
        lower, upper, mean, scale = known if columns is None else (each[columns] for each in known)
        return X.clamp(lower, upper).sub_(mean).div_(scale)
