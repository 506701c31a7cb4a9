"""On a CUDA GPU a fit finds what it finds on a CPU; these tests need one, and are else skipped."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from torch import nn

from skmetaweight import MetaWeightClassifier
from skmetaweight._bilevel.randomness import Dropout
from skmetaweight._bilevel.ranks import Ranks
from skmetaweight._training.processes import BACKENDS
from skmetaweight.reweighting import METHODS
from tests.conftest import Data, noisy_blobs, quick
from tests.training._processes import CASES, fitted, found, on_processes

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

every_method = pytest.mark.parametrize("method", METHODS)


def on_gpu(**params: Any) -> MetaWeightClassifier:
    return quick(device="cuda", **params)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("params", [{}, {"meta_batch_size": 5}], ids=["", "meta batches"])
def test_a_fit_finds_what_it_finds_on_a_cpu(name: str, params: dict[str, Any]) -> None:
    got, expected = (found(fitted(name, device=device, **params)) for device in ("cuda", "cpu"))
    for part, value in expected.items():
        np.testing.assert_allclose(got[part], value, rtol=1e-6, atol=1e-6, err_msg=part)


@every_method
def test_the_same_seed_gives_the_same_fit(method: str, data: Data) -> None:
    clf = on_gpu(method=method, module__dropout=0.5)
    fits = [clf.fit(data.X, data.y, meta_mask=data.mask).predict_proba(data.X) for _ in range(2)]
    np.testing.assert_allclose(*fits, rtol=1e-4, atol=1e-5)


@every_method
def test_no_generator_of_torch_s_is_moved(method: str, data: Data) -> None:
    before = torch.cuda.get_rng_state(), torch.get_rng_state()
    on_gpu(method=method, module__dropout=0.5).fit(data.X, data.y, meta_mask=data.mask)
    torch.testing.assert_close((torch.cuda.get_rng_state(), torch.get_rng_state()), before)


@pytest.mark.parametrize("mixed_precision", [None, "bfloat16"])
@every_method
def test_it_learns(method: str, mixed_precision: str | None) -> None:
    X, y, mask = noisy_blobs(0.4)
    clf = MetaWeightClassifier(
        method=method, device="cuda", mixed_precision=mixed_precision, random_state=0
    )
    clf.fit(X, y, meta_mask=mask)
    assert next(clf.net_.module_.parameters()).device.type == "cuda"
    assert np.mean(clf.predict(X) == np.arange(600) % 3) > 0.9


def test_dropout_drops_as_many_as_it_says() -> None:
    layer = Dropout(0.25)
    layer.generator = torch.Generator("cuda").manual_seed(0)
    dropped = layer(torch.ones(1000, 1000, device="cuda"))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=2e-3)
    assert dropped.mean().item() == pytest.approx(1, abs=4e-3)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))])
def test_copies_predict_the_same(copied: Any, data: Data) -> None:
    clf = on_gpu().fit(data.X, data.y, meta_mask=data.mask)
    np.testing.assert_array_equal(copied(clf).predict_proba(data.X), clf.predict_proba(data.X))


def test_a_file_goes_on_and_is_read_where_there_is_no_gpu(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clf = on_gpu(meta_batch_size=5).fit(data.X, data.y, meta_mask=data.mask)
    expected = clf.predict_proba(data.X)
    clf.save(tmp_path / "clf.smw", training_state=True)
    loaded = MetaWeightClassifier.load(tmp_path / "clf.smw")
    np.testing.assert_allclose(loaded.predict_proba(data.X), expected, rtol=1e-4, atol=1e-5)
    further = [c.partial_fit(data.X, data.y, meta_mask=data.mask) for c in (clf, loaded)]
    probabilities = [c.predict_proba(data.X) for c in further]
    np.testing.assert_allclose(*probabilities, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    elsewhere = MetaWeightClassifier.load(tmp_path / "clf.smw")
    assert elsewhere.net_.parameter.device.type == "cpu"
    np.testing.assert_allclose(elsewhere.predict_proba(data.X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["mw-net", "fmw-net", "l2rw"])
def test_a_fit_that_was_cut_off_goes_on(
    method: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"method": method, "max_epochs": 4, "module__dropout": 0.5, "meta_batch_size": 5}
    whole = on_gpu(**params).fit(data.X, data.y, meta_mask=data.mask)
    cut_off = on_gpu(**params, checkpoint=tmp_path)
    net = type(whole.net_)
    run = net.run_single_epoch

    def until_the_third(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.n_epochs_ == 2:
            raise MemoryError
        return run(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(net, "run_single_epoch", until_the_third)
        with pytest.raises(MemoryError):
            cut_off.fit(data.X, data.y, meta_mask=data.mask)
    cut_off.fit(data.X, data.y, meta_mask=data.mask)
    expected = whole.predict_proba(data.X)
    np.testing.assert_allclose(cut_off.predict_proba(data.X), expected, rtol=1e-4, atol=1e-5)


def test_tables_sparse_rows_and_images(data: Data) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    frame = pd.DataFrame(data.X, columns=list("wxyz")).assign(
        kind=pd.Categorical.from_codes(data.y % 2, ["a", "b"])
    )
    images = np.random.default_rng(0).integers(256, size=(len(data.y), 8, 8, 3), dtype=np.uint8)
    convolution = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    module = nn.Sequential(convolution, nn.Linear(144, 3))
    for X, params in (
        (frame, {}),
        (sparse.csr_matrix(np.tile(data.X, 100)), {}),
        (np.moveaxis(images, -1, 1).astype(np.float32), {"module": module}),
    ):
        clf = on_gpu(**params).fit(X, data.y, meta_mask=data.mask)
        assert np.isfinite(clf.predict_proba(X)).all()


# Processes -------------------------------------------------------------------------------------


def fit_by_gloo(name: str) -> dict[str, np.ndarray]:
    dist.init_process_group("gloo")
    return found(fitted(name, dist.get_world_size(), device="cuda:0"))


@pytest.mark.parametrize("name", ["mw-net", "mw-net, exact, forward mode", "l2rw", "uniform"])
def test_two_processes_share_a_gpu_by_gloo(name: str) -> None:
    """NCCL wants a GPU for each."""
    first, second = on_processes(2, fit_by_gloo, name)
    for part, value in found(fitted(name, device="cpu")).items():
        np.testing.assert_allclose(first[part], value, rtol=1e-6, atol=1e-6, err_msg=part)
        np.testing.assert_allclose(first[part], second[part], rtol=1e-9, err_msg=part)


def test_one_process_sends_by_nccl() -> None:
    assert on_processes(1, sent_by_nccl) == [[3.0, 3.0, "an object"]]


def sent_by_nccl() -> list[Any]:
    """Send what a fit sends, by the backends that it asks for, in a group of one."""
    dist.init_process_group(BACKENDS["cuda"])
    ranks = Ranks(0, 2, torch.device("cuda:0"))
    sums = [ranks.total(torch.tensor(3.0, device=device)) for device in ("cuda", "cpu")]
    return [*map(float, sums), ranks.first_ones(lambda: "an object")]
