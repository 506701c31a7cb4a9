"""A stream may bring one row at a time."""

from typing import Any

import numpy as np
import pytest

from tests.conftest import Data, Linear, of_method, quick


@pytest.mark.parametrize("module", [None, Linear])
@pytest.mark.parametrize("memory", [0.9, 0])
def test_partial_fit_on_one_row(method: str, memory: float, module: Any, data: Data) -> None:
    trusted: dict[str, Any] = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    params = {"method": method, "module": module, **of_method(method, memory=memory)}
    new, old = quick(**params), quick(**params).partial_fit(data.X, data.y, **trusted)
    for clf in (new, old):
        for row in range(3):
            one = slice(row, row + 1)
            clf.partial_fit(data.X[one], data.y[one], classes=[0, 1, 2], **trusted)
        assert clf.sample_weights_.shape == (1,)
        assert np.isfinite(clf.sample_weights_).all()
        assert np.isfinite(clf.predict_log_proba(data.X)).all()
        assert np.isfinite(clf.compute_sample_weight(data.X, data.y)).all()
        assert len(clf.label_quality()) == 1


def test_one_row_and_one_trusted_row(data: Data) -> None:
    clf = quick().partial_fit(data.X, data.y, meta_mask=data.mask)
    with pytest.warns(UserWarning, match=r"no row of the classes"):
        clf.partial_fit(data.X[:2], data.y[:2], meta_mask=[True, False])
    assert np.isfinite(clf.predict_proba(data.X)).all()


@pytest.mark.parametrize("first", [True, False])
def test_one_row_that_teaches_no_batch_norm_changes_nothing(first: bool, data: Data) -> None:
    trusted: dict[str, Any] = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    clf = quick(meta_share=0)
    if not first:
        clf.partial_fit(data.X, data.y, **trusted)
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=r"cannot learn from a batch of one row: .* meta_share"):
        clf.partial_fit(data.X[:1], data.y[:1], classes=[0, 1, 2], **trusted)
    assert vars(clf) == before


def test_one_row_without_trusted_rows(data: Data) -> None:
    clf = quick().partial_fit(data.X, data.y, meta_mask=data.mask)
    with pytest.raises(ValueError, match=r"n_samples=1 .* or trusted rows as X_meta and y_meta"):
        clf.partial_fit(data.X[:1], data.y[:1])
