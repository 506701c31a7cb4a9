"""How sure a network is of each row: of its label, and of the class that it prefers."""

from __future__ import annotations

import torch
from torch import Tensor


def certainties(probabilities: Tensor, y: Tensor) -> Tensor:
    """Return the probability of each label, and the largest one, of shape (n, 2)."""
    given = probabilities.gather(-1, y[:, None])
    return torch.cat([given, probabilities.max(dim=-1, keepdim=True).values], dim=-1)
