"""Rivals get what they should: the trusted rows, their shares, the training of their papers."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from benchmarks.accuracy.methods import METHODS
from benchmarks.accuracy.methods.ablations import WITHOUT
from benchmarks.accuracy.methods.method import import_rival
from benchmarks.accuracy.methods.rivals import on_union_upweighted, validation_rows
from benchmarks.accuracy.methods.tabular_networks import NegativeOfLabel, TabMMembers
from benchmarks.accuracy.runner import score
from benchmarks.accuracy.tasks import Problem


@pytest.fixture
def problem():
    X, y = make_blobs(400, centers=3, n_features=4, cluster_std=2.0, random_state=0)
    X = X.astype(np.float32)
    is_right = np.random.default_rng(0).random(200) < 0.7
    noisy = np.where(is_right, y[:200], (y[:200] + 1) % 3)
    parts = X[:200], noisy, X[200:260], y[200:260], X[260:], y[260:]
    return Problem(*parts, n_classes=3, is_right=is_right)


class KeepsWeights(DecisionTreeClassifier):
    def fit(self, X, y, sample_weight=None):
        self.given_ = sample_weight
        return super().fit(X, y, sample_weight)


def test_trusted_rows_count_as_much_as_the_rest(problem):
    given = on_union_upweighted(problem, 0, estimator=KeepsWeights()).classifier.given_
    *_, trusted = problem.union()
    assert given[trusted].sum() == pytest.approx(given[~trusted].sum())
    assert given.mean() == pytest.approx(1)


def test_classes_without_a_training_row_are_no_part_of_validation(problem):
    others = problem.y != 1
    some = replace(problem, X=problem.X[others], y=problem.y[others])
    kept = validation_rows(some)
    assert set(kept["y_val"]) == {0, 2}
    np.testing.assert_array_equal(kept["X_val"], problem.X_meta[problem.y_meta != 1])
    assert len(validation_rows(problem)["y_val"]) == len(problem.y_meta)


@pytest.mark.filterwarnings("ignore:The learned weights are all equal")
def test_published_is_told_apart_from_published_in_our_training(problem):
    few = replace(problem, X=problem.X[:30], y=problem.y[:30])
    names = ("mw-net-published", "mw-net-paper")
    published, ours = (METHODS[name].fit(few, 0).classifier for name in names)
    assert isinstance(published.net_.optimizer_, torch.optim.SGD)
    assert (published.lr, published.method.lookahead_lr, published.max_epochs) == (0.1, "lr", 120)
    assert isinstance(ours.net_.optimizer_, torch.optim.AdamW)
    assert ours.method.lookahead_lr == 0.1
    for clf in (published, ours):
        assert (clf.meta_share, clf.early_stopping, clf.method.memory) == (0, False, 0)
        assert not clf.method.normalize


class FakeTabM(nn.Module):
    """Two members of one linear layer each."""

    def __init__(self, n_num_features, d_out, d_block):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n_num_features, d_out) for _ in range(2))

    @classmethod
    def make(cls, **kwargs):
        return cls(**kwargs)

    def forward(self, X):
        return torch.stack([layer(X) for layer in self.layers], dim=1)


def test_members_of_tabm_train_apart_and_predict_together(monkeypatch):
    monkeypatch.setitem(sys.modules, "tabm", SimpleNamespace(TabM=FakeTabM))
    torch.manual_seed(0)
    module = TabMMembers(5, 3)
    X, y = torch.randn(7, 5), torch.randint(3, (7,))
    logits = module.members(X)
    of_members = [nn.functional.cross_entropy(logits[:, i], y, reduction="none") for i in (0, 1)]
    losses = NegativeOfLabel()(module(X), y)
    torch.testing.assert_close(losses, torch.stack(of_members).mean(dim=0))
    outputs = module.eval()(X)
    together = logits.softmax(dim=-1).mean(dim=1)
    torch.testing.assert_close(outputs.softmax(dim=-1), together)
    torch.testing.assert_close(NegativeOfLabel()(outputs, y), -together[range(7), y].log())


def test_a_missing_package_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    with pytest.raises(ImportError, match=r"catboost cannot be imported .*\[test,rivals\]"):
        import_rival("catboost")


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("catboost", "catboost"),
        ("pytabkit", "realmlp"),
        ("pytabkit", "tabm"),
        ("tabm", "mw-net-tabm"),
        ("tabm", "uniform-tabm"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_rivals_fit_where_they_are_installed(problem, package, name):
    pytest.importorskip(package)
    assert score(METHODS[name].fit(problem, 0), problem)["accuracy"] > 0.5


OF_OTHER_TASKS = {"rare-class-rule", "many-trusted-rule"}


@pytest.mark.slow
def test_a_part_that_is_taken_out_is_missed(problem):
    names = ["mw-net", *(f"mw-net-without-{part}" for part in WITHOUT), "mw-net"]
    default, *without, again = (
        METHODS[name].fit(problem, 1).classifier.predict_proba(problem.X_test) for name in names
    )
    missed = {part for part, p in zip(WITHOUT, without, strict=True) if (p != default).any()}
    assert missed == WITHOUT.keys() - OF_OTHER_TASKS
    np.testing.assert_array_equal(again, default)
