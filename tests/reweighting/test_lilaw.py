"""LiLAW is its equations, and the loop of its paper."""

import numpy as np
import pytest
import torch
from torch import nn

from skmetaweight import LiLAW, MetaWeightNet
from skmetaweight.reweighting import make_reweighter
from tests._reference import LiLAWReference, lilaw_weights, paper_lilaw_step
from tests.conftest import Linear, Softmax, quick
from tests.reweighting._cases import (
    MODULE_CASES,
    N_META,
    every_share,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
)
from tests.reweighting._runs import compare_runs

CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
OBJECTIVES = {
    "published": {},
    "share": {"meta_share": 0.3},
    "class weight": {"meta_class_weight": CLASS_WEIGHT},
    "robust": {"meta_robustness": 0.7},
    "everything": {
        "meta_share": 0.3,
        "learned_loss": 0.9,
        "taught": torch.tensor([1.5, 0.0, 1.5]).double()[torch.arange(N_META) % 3],
        "meta_class_weight": CLASS_WEIGHT,
        "meta_robustness": 0.7,
    },
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["both", "dict input", "gru"])
def test_steps(name, weighted, objective):
    reweighter, reference = compare_runs(
        LiLAW(warm_up=0, meta_lr=0.5),
        lambda: LiLAWReference(lr=0.5, **objective),
        case=MODULE_CASES[name],
        weighted=weighted,
        **objective,
    )
    numbers = torch.tensor(reference.numbers, dtype=torch.float64)
    torch.testing.assert_close(reweighter.numbers_, numbers, rtol=1e-9, atol=0)


@pytest.mark.parametrize("warm_up", [0, 1, 2])
def test_published_loop(warm_up):
    """Their meta step after a batch is ours before the next one."""
    n_steps, n_rows = 8, 24
    module, theirs = make_module(), make_module()
    reweighter = ready(LiLAW(warm_up=warm_up), module, n_rows=n_rows)
    ours_by, theirs_by = (torch.optim.SGD(m.parameters(), lr=0.3) for m in (module, theirs))
    numbers = (10.0, 2.0, 6.0)
    for t in range(n_steps):
        batch = make_batch(seed=t, places=n_rows)
        is_warm = t >= 2 * warm_up
        ours_by.zero_grad()
        before = make_meta_batch(seed=t - 1)
        reweighter.step(module, batch, before, 0.3, update=t > 2 * warm_up)
        ours_by.step()
        told = reweighter.numbers_.tolist()
        assert told == pytest.approx(numbers, rel=1e-12)
        numbers = paper_lilaw_step(
            theirs, theirs_by, numbers, batch, make_meta_batch(seed=t), is_warm=is_warm
        )
    assert told != [10.0, 2.0, 6.0]
    for ours, expected in zip(module.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("warm_up", [0, 1, 2, 3])
@pytest.mark.parametrize("sizes", [[24], [10, 10, 4], [23, 1]])
def test_warm_up_is_of_whole_epochs(warm_up, sizes):
    module = make_module()
    reweighter = ready(LiLAW(warm_up=warm_up), module, n_rows=24)
    for epoch in range(5):
        for n in sizes:
            batch = make_batch(n=n, places=24)
            weights = reweighter.step(module, batch, make_meta_batch(), 0.1).weights
            assert (weights == 1).all() == (epoch < warm_up)
    moved = reweighter.numbers_.tolist() != [10.0, 2.0, 6.0]
    assert moved


@every_share
@pytest.mark.parametrize("start", [(1.0, 0.0, 0.0), (10.0, 2.0, 6.0), (1.5, -3.0, 20.0)])
def test_numbers_drift_one_way_and_stay_within_their_bounds(start, meta_share):
    module = make_module()
    settings = dict(zip(("alpha", "beta", "delta"), start, strict=True))
    reweighter = LiLAW(**settings, meta_lr=3.0, weight_decay=0.0, warm_up=0)
    ready(reweighter, module, meta_share=meta_share)
    before = start
    for t in range(30):
        reweighter.step(module, make_batch(seed=t), make_meta_batch(seed=t), 0.1)
        alpha, beta, delta = now = reweighter.numbers_.tolist()
        assert 1 <= alpha <= before[0]
        assert before[1] <= beta <= delta
        before = now
    assert now != list(start)


@pytest.mark.parametrize("temperature", [1.0, 3.0, "auto"])
@pytest.mark.parametrize(
    ("module", "criterion"), [(Linear, nn.CrossEntropyLoss), (Softmax, nn.NLLLoss)]
)
def test_fitted_weights_are_of_the_untempered_probabilities(data, module, criterion, temperature):
    clf = quick(method="lilaw", module=module, criterion=criterion, temperature=temperature)
    clf.set_params(max_epochs=5).fit(data.X, data.y, meta_mask=data.mask)
    linear = clf.net_.module_.linear
    train = ~data.mask
    logits = linear(torch.from_numpy(data.X[train])).double().detach()
    numbers = clf.net_.reweighter_.numbers_.double()
    expected = lilaw_weights(numbers, logits, torch.from_numpy(data.y[train]))
    np.testing.assert_allclose(clf.sample_weights_[train], expected, rtol=1e-4)
    new = clf.compute_sample_weight(data.X[train], data.y[train])
    np.testing.assert_allclose(new, expected, rtol=1e-4)


def test_logits_and_their_probabilities_train_alike(data):
    by_logits, by_probabilities = (
        quick(method="lilaw", module=module, criterion=criterion, max_epochs=5).fit(
            data.X, data.y, meta_mask=data.mask
        )
        for module, criterion in [(Linear, nn.CrossEntropyLoss), (Softmax, nn.NLLLoss)]
    )
    np.testing.assert_allclose(
        by_logits.predict_proba(data.X), by_probabilities.predict_proba(data.X), rtol=1e-3
    )


def test_history_tells_the_three_numbers(data):
    clf = quick(method="lilaw", max_epochs=4).fit(data.X, data.y, meta_mask=data.mask)
    told = [clf.history_[:, f"lilaw_{name}"] for name in ("alpha", "beta", "delta")]
    for start, by_epoch in zip((10.0, 2.0, 6.0), told, strict=True):
        assert by_epoch[:2] == [start, start]
        assert by_epoch[-1] != start


@pytest.mark.parametrize("settings", [{"delta": 1.0}, {"beta": 7.0}, {"beta": -1, "delta": -2.0}])
def test_delta_below_beta_is_refused(settings):
    with pytest.raises(ValueError, match=r"LiLAW holds delta to at least beta, got .*raise delta"):
        ready(LiLAW(**settings), make_module())


def test_its_function_needs_the_published_mw_net():
    with pytest.raises(ValueError, match=r'weighting="lilaw" sees no .* memory=0\.9: pass .*=0\.'):
        ready(MetaWeightNet(weighting="lilaw"), make_module())
    with pytest.raises(ValueError, match=r"'weighting' parameter of FirstOrder.*'cmw'.*'lilaw'"):
        ready(make_reweighter("fmw-net", weighting="lilaw"), make_module())
