r"""The weighting network of CMW-Net: a head for each cluster of classes of like size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor, nn

MOST_CLUSTERS = 3


class ClusterNetwork(nn.Module):
    r"""The multilayer perceptron of CMW-Net [1]_: one hidden layer, a head for each cluster.

    .. math:: V_\psi(x, y) = c\,\sigma\bigl(w_{k(y)} \max(W_1 x + b_1, 0) + b_{k(y)}\bigr)

    with :math:`k(y)` the cluster of the given class: classes are clustered by their number of
    training rows, in :meth:`group`; before that they are one.

    Parameters
    ----------
    n_inputs : int
        Columns of the input, of which the last ``n_classes`` are the label, one-hot.
    n_classes : int
    hidden_dim, max_weight, zero_init
        As in :class:`WeightingNetwork`.

    References
    ----------
    .. [1] Shu et al. CMW-Net: Learning a Class-Aware Sample Weighting Mapping for Robust Deep
       Learning. IEEE TPAMI, 2023.
    """

    clusters: Tensor

    def __init__(
        self,
        n_inputs: int,
        n_classes: int,
        hidden_dim: int = 100,
        *,
        max_weight: float = 1.0,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.max_weight = max_weight
        self.hidden = nn.Linear(n_inputs - n_classes, hidden_dim)
        self.output = nn.Linear(hidden_dim, min(MOST_CLUSTERS, n_classes))
        self.register_buffer("clusters", torch.zeros(n_classes, dtype=torch.long))
        if zero_init:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def group(self, class_sizes: Tensor) -> None:
        """Give each class the head of its cluster, by numbers of rows of shape (n_classes,)."""
        self.clusters.copy_(torch.from_numpy(size_clusters(class_sizes.cpu().numpy())))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (n, n_inputs) to weights of shape (n,)."""
        x, labels = inputs.split([self.hidden.in_features, len(self.clusters)], dim=-1)
        scores = self.output(torch.relu(self.hidden(x)))
        heads = self.clusters[labels.argmax(dim=-1)]
        return self.max_weight * torch.sigmoid(scores.gather(-1, heads[:, None]).squeeze(-1))


def size_clusters(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cluster of each class by k-means, from 0 for the smallest classes."""
    n_init: Any = 10  # scikit-learn 1.6 annotates a text
    n_clusters = min(MOST_CLUSTERS, len(np.unique(sizes)))
    k_means = KMeans(n_clusters, n_init=n_init, random_state=0)
    column = sizes[:, None].astype(np.float64)
    found = k_means.fit(np.sort(column, axis=0))  # sorted: the order of classes says nothing
    rank = found.cluster_centers_[:, 0].argsort().argsort()
    return rank[found.predict(column)]
