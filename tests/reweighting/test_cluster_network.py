"""CMW-Net's network: which classes share a head, and what it makes of rows."""

import itertools

import numpy as np
import pytest
import torch

from skmetaweight.reweighting._cluster_network import ClusterNetwork, size_clusters
from tests.conftest import make_data, quick


def best_partition(sizes):
    """The least sum of squares of at most three runs of the sorted sizes, all of them tried."""
    sizes = np.sort(sizes).astype(float)
    n_parts = min(3, len(np.unique(sizes)))
    return min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(sizes, cuts))
        for cuts in itertools.combinations(range(1, len(sizes)), n_parts - 1)
    )


@pytest.mark.parametrize("seed", range(40))
def test_clusters_are_the_best_there_are(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, int(rng.choice([2, 5, 100, 10_000])), int(rng.integers(2, 12)))
    clusters = size_clusters(sizes)
    assert set(clusters) == set(range(min(3, len(np.unique(sizes)))))
    parts = [sizes[clusters == k] for k in np.unique(clusters)]
    squares = sum(((part - part.mean()) ** 2).sum() for part in parts)
    assert squares == pytest.approx(best_partition(sizes), rel=1e-9, abs=1e-9)
    order = sizes.argsort(kind="stable")
    assert (np.diff(clusters[order]) >= 0).all(), "larger classes have later heads"
    again = size_clusters(sizes[::-1])
    np.testing.assert_array_equal(again[::-1], clusters)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_equal_classes_are_one_cluster(n_classes):
    assert size_clusters(np.full(n_classes, 50)).tolist() == [0] * n_classes


@pytest.mark.parametrize("n_seen", [1, 2])
@pytest.mark.parametrize("max_weight", [1.0, 2.0])
def test_each_row_has_the_head_of_its_class(n_seen, max_weight):
    torch.manual_seed(0)
    network = ClusterNetwork(n_seen + 5, 5, 7, max_weight=max_weight).double()
    network.group(torch.tensor([100, 3, 40, 100, 2]))
    head_of = {0: 2, 1: 0, 2: 1, 3: 2, 4: 0}
    x, labels = torch.randn(20, n_seen).double(), torch.randint(5, (20,))
    one_hot = torch.nn.functional.one_hot(labels, 5).double()
    weights = network(torch.cat([x, one_hot], dim=1))
    for row, label, weight in zip(x, labels.tolist(), weights, strict=True):
        hidden = torch.clamp(network.hidden.weight @ row + network.hidden.bias, min=0)
        k = head_of[label]
        score = network.output.weight[k] @ hidden + network.output.bias[k]
        torch.testing.assert_close(weight, max_weight / (1 + torch.exp(-score)))


def test_two_classes_have_two_heads():
    network = ClusterNetwork(3, 2)
    assert network.output.out_features == 2
    network.group(torch.tensor([9, 1]))
    assert network.clusters.tolist() == [1, 0]


@pytest.mark.parametrize("memory", [0, 0.9])
def test_sizes_are_those_of_the_training_rows(memory):
    data = make_data(120)
    kept = data.mask | (data.y != 1) | (np.arange(120) % 4 == 0)
    X, y, mask = data.X[kept], data.y[kept], data.mask[kept]
    clf = quick(method__weighting="cmw", method__memory=memory, warm_start=True)
    clf.fit(X, y, meta_mask=mask)
    expected = size_clusters(np.bincount(y[~mask]))
    assert len(set(expected)) > 1
    assert clf.net_.reweighter_.network_.clusters.tolist() == expected.tolist()
    function = clf.weighting_function_
    assert function.classes_.tolist() == [0, 1, 2]
    clf.fit(data.X, data.y, meta_mask=data.mask)  # goes on, with other sizes
    expected = size_clusters(np.bincount(data.y[~data.mask]))
    assert clf.net_.reweighter_.network_.clusters.tolist() == expected.tolist()


def test_classes_of_like_size_have_the_same_function():
    data = make_data(120)
    kept = data.mask | (data.y != 1) | (np.arange(120) % 4 == 0)
    clf = quick(method__weighting="cmw", method__memory=0, max_epochs=4)
    clf.fit(data.X[kept], data.y[kept], meta_mask=data.mask[kept])
    clusters = clf.net_.reweighter_.network_.clusters
    losses = np.linspace(0, 3, 7)
    curves = [clf.weighting_function_(losses, np.full(7, label)) for label in range(3)]
    for one, other in itertools.combinations(range(3), 2):
        same = np.array_equal(curves[one], curves[other])
        assert same == bool(clusters[one] == clusters[other])
