"""One fit on several processes of this machine finds what it finds in one."""

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._training.agreement import _are_close
from tests.conftest import quick
from tests.training._processes import (
    CASES,
    DATA,
    fit_cases,
    fit_kept,
    fit_kept_until_one_dies,
    fitted,
    found,
    in_a_group_of_the_users,
    on_processes,
    refusals,
    sent_in_a_step,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ON_FOUR = ["mw-net, exact", "one trusted row, exact"]

Found = dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def on_two() -> list[Found]:
    return on_processes(2, fit_cases, list(CASES))


@pytest.fixture(scope="module")
def on_four() -> list[Found]:
    return on_processes(4, fit_cases, ON_FOUR)


@pytest.fixture(scope="module")
def said() -> list[dict[str, str]]:
    return on_processes(2, refusals)


def assert_same_as_alone(name: str, answers: Any) -> None:
    assert all(isinstance(answer, dict) for answer in answers), answers
    alone, (first, *others) = found(fitted(name)), [answer[name] for answer in answers]
    for part, expected in alone.items():
        np.testing.assert_allclose(first[part], expected, rtol=1e-6, atol=1e-6, err_msg=part)
        for other in others:
            np.testing.assert_array_equal(other[part], first[part], err_msg=part)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_find_what_one_does(name: str, on_two: list[Found]) -> None:
    assert_same_as_alone(name, on_two)


@pytest.mark.parametrize("name", ON_FOUR)
def test_four_processes_find_what_one_does(name: str, on_four: list[Found]) -> None:
    assert_same_as_alone(name, on_four)


def test_dropout_draws_other_numbers_in_each_process() -> None:
    net, seeds = quick().fit(DATA.X, DATA.y, meta_mask=DATA.mask).net_, set()
    for rank in range(3):
        net.generator_, net.ranks_ = torch.Generator().manual_seed(0), Ranks(rank, 3)
        seeds.add(net._drawn_from()[0].initial_seed())
    assert len(seeds) == 3


def test_cases_take_the_ways_that_they_name() -> None:
    modes = {
        name: fitted(name).net_.reweighter_.alignments_.mode
        for name in CASES
        if name.startswith("mw-net, exact")
    }
    assert list(modes.values()) == ["layer-by-layer", "forward-mode", "double-backward"]


@pytest.mark.parametrize(
    ("what", "beginning"),
    [
        ("data", "ValueError: Processes 0 and 1 of a fit on 2 were given different y (y: "),
        ("parameters", "ValueError: Processes 0 and 1 of a fit on 2 were given different lr (lr: "),
        ("random states", "ValueError: Processes of a fit were given different random_state: None"),
        ("checkpoint", "ValueError: A checkpoint needs a random_state, "),
        ("loader", "ValueError: iterator_train=DataLoader with options cannot be used in a fit on"),
        ("drift", "ValueError: Processes 0 and 1 of a fit have drifted apart: "),
        ("search", "ValueError: Of several fits at a time in a process group, the messages would"),
        ("embedding", "ValueError: The module Renormed has an embedding with sparse=True or a max"),
        ("rows that mix", "ValueError: The module InPieces makes something else of rows that are"),
    ],
)
def test_what_cannot_be_is_one_error_in_all_processes(
    what: str, beginning: str, said: list[dict[str, str]]
) -> None:
    assert all(answer[what].startswith(beginning) for answer in said), said


def test_what_is_wrong_in_one_process_ends_the_same_fit_in_the_others(
    said: list[dict[str, str]],
) -> None:
    first, second = (answer["wrong in one"] for answer in said)
    assert second.startswith("InvalidParameterError: The 'lr' parameter")
    assert first.startswith("LostRankError: Process 0 of a fit on 2 cannot reach the others. ")
    assert "Process 1 failed: InvalidParameterError" in first


@pytest.mark.parametrize("name", ["layer drop", "lazy"])
def test_what_can_be_fitted_on_several_processes(name: str, said: list[dict[str, str]]) -> None:
    assert [answer[name] for answer in said] == ["", ""]


def test_rounding_in_a_deep_network_is_no_mixing_of_rows() -> None:
    torch.manual_seed(0)
    layers = [nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
    deep = nn.Sequential(
        nn.Conv2d(3, 8, 3), *(copy.deepcopy(layer) for layer in layers * 30), nn.Flatten()
    )
    X, parts = torch.randn(64, 3, 8, 8), []
    for is_fast in (True, False):
        with torch.backends.mkldnn.flags(enabled=is_fast):
            outputs = deep(X)
            grads = torch.autograd.grad(outputs.logsumexp(dim=1).sum(), list(deep.parameters()))
        parts.append([outputs.detach(), torch.cat([grad.flatten() for grad in grads])])
    assert _are_close(*parts)


def test_a_process_that_fails_ends_the_others_with_its_error(said: list[dict[str, str]]) -> None:
    first, second = (answer["one that fails"] for answer in said)
    assert second == "RuntimeError: out of luck"
    assert first == (
        "LostRankError: Process 0 of a fit on 2 cannot reach the others. Process 1 failed: "
        "RuntimeError: out of luck"
    )


def test_one_process_shows_what_all_find(said: list[dict[str, str]]) -> None:
    first, second = (answer["nothing"] for answer in said)
    assert "train_loss" in first
    assert second == ""


@pytest.fixture(params=[0.0, 0.5], ids=["", "dropout"], scope="module")
def cut_off(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[float, Path, dict[str, np.ndarray]]:
    """Return a dropout, checkpoints of a fit of which a process died, and what it finds uncut."""
    folder = tmp_path_factory.mktemp("checkpoints")
    first, second = on_processes(2, fit_kept_until_one_dies, folder, 40, request.param)
    assert second is None, "it died"
    assert first.startswith("Process 0 of a fit on 2 cannot reach the others"), first
    kept = sorted(path.name for path in folder.glob("*/*.smw"))
    assert kept == ["epoch-000002.smw", "epoch-000003.smw"]
    return request.param, folder, on_processes(2, fit_kept, None, 40, request.param)[0]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_fit_of_which_a_process_died_goes_on(n: int, cut_off: Any, tmp_path: Path) -> None:
    dropout, folder, uncut = cut_off
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    answers = on_processes(n, fit_kept, tmp_path, 40, dropout)
    assert all(isinstance(answer, dict) for answer in answers), answers
    for part, expected in uncut.items():
        first, *others = [answer[part] for answer in answers]
        for same in [*others, *([expected] if n == 2 else [])]:
            np.testing.assert_array_equal(first, same, err_msg=part)
        if not dropout:
            np.testing.assert_allclose(first, expected, rtol=1e-6, atol=1e-6, err_msg=part)
    assert not list(tmp_path.glob("*/*.smw"))


def test_what_is_sent_in_a_step() -> None:
    n_parameters, n_tensors, n_classes, width = 163, 10, 3, 8
    statistics = 2 * [2 * (2 * width + 1)]  # of two layers, of each process
    assert on_processes(2, sent_in_a_step)[0] == [
        *statistics,
        (40 + 8) * n_classes,
        n_classes * (width + 1),
        40,
        *statistics,
        n_parameters + n_tensors,
    ]


def test_a_process_that_dies_in_a_group_of_the_users_ends_the_others() -> None:
    first, second = on_processes(2, in_a_group_of_the_users)
    assert second is None, "it died"
    assert first["is_there"]
    assert first["weights"].std() > 0
    assert first["told"].startswith("LostRankError: Process 0 of a fit on 2 cannot reach the other")
