"""scikit-learn's own checks, and the equivalence of weights and repetitions they cannot see."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmetaweight import (
    FirstOrderMetaWeightNet,
    LearningToReweight,
    LiLAW,
    MetaWeightClassifier,
    MetaWeightNet,
)
from tests.conftest import METHODS, Data, Linear

SETTINGS = {"max_epochs": 8, "lr": 0.01, "meta_size": 0.2}
MINI_BATCHES = "rows are drawn in mini-batches: weighting a row is not repeating it in the draw"


def expected_failures(estimator: MetaWeightClassifier) -> dict[str, str]:
    del estimator
    return {
        "check_sample_weight_equivalence_on_dense_data": MINI_BATCHES,
        "check_sample_weight_equivalence_on_sparse_data": MINI_BATCHES,
    }


@pytest.mark.filterwarnings("ignore:No trusted rows were given:UserWarning")
@pytest.mark.filterwarnings("ignore:The meta set has no row:UserWarning")
@parametrize_with_checks(
    [MetaWeightClassifier(method=method, **SETTINGS) for method in METHODS],
    expected_failed_checks=expected_failures,
)
def test_estimator_checks(estimator: MetaWeightClassifier, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("meta_share", [0, 0.2])
@pytest.mark.parametrize(
    "method",
    [
        "uniform",
        MetaWeightNet.paper(),
        MetaWeightNet(memory=0),
        FirstOrderMetaWeightNet(meta_interval=1),
        LearningToReweight.paper(),
        LiLAW(warm_up=0),
        MetaWeightNet(memory=0, weighting="lilaw"),
    ],
    ids=[
        *("uniform", "mw-net-paper", "mw-net-mean-one", "fmw-net", "l2rw-paper", "lilaw"),
        "mw-net-lilaw",
    ],
)
def test_weighting_rows_is_repeating_them_in_full_batches(
    method: Any, meta_share: float, class_weight: Any, data: Data
) -> None:
    X, y = data.X[~data.mask].astype(float), data.y[~data.mask]
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    torch.manual_seed(0)
    clf = MetaWeightClassifier(
        Linear(dtype=torch.float64),
        method=method,
        meta_share=meta_share,
        class_weight=class_weight,
        batch_size=-1,
        meta_batch_size=len(data.y_meta),
        optimizer=torch.optim.SGD,
        lr=0.1,
        max_epochs=5,
        random_state=0,
    )
    trusted = {"X_meta": data.X_meta.astype(float), "y_meta": data.y_meta}

    repeated = clf.fit(X.repeat(counts, axis=0), y.repeat(counts), **trusted)
    expected = repeated.predict_proba(X)
    weighted = clf.fit(X, y, sample_weight=counts, **trusted)
    np.testing.assert_allclose(weighted.predict_proba(X), expected, rtol=1e-10)
    without = clf.fit(X, y, **trusted)
    assert np.abs(without.predict_proba(X) - expected).max() > 1e-3
