"""The weights of classes, in both losses."""

import numpy as np
import pytest
from sklearn.utils import compute_sample_weight

from skmetaweight._data.class_weight import meta_class_weight, weigh_by_class
from skmetaweight._data.validation import LabelledRows
from tests.conftest import Data, Linear, quick

CLASSES = np.array(["a", "b", "c"])
Y = np.array([0, 0, 0, 2, 0, 2])


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 3.0, "c": 0.5}, {"c": 2.0}])
def test_rows_weigh_as_in_scikit_learn(class_weight):
    expected = compute_sample_weight(class_weight, CLASSES[Y])
    rows = weigh_by_class(class_weight, CLASSES, LabelledRows(None, Y))
    np.testing.assert_allclose(rows.sample_weight, expected / expected.mean())
    by_class = meta_class_weight(class_weight, CLASSES, LabelledRows(None, Y))
    np.testing.assert_allclose(by_class[Y], expected / expected.mean())


def test_balanced_classes_have_equal_shares_of_weighted_rows():
    sample_weight = np.array([1.0, 0.0, 2.0, 3.0, 1.0, 0.5])
    rows = weigh_by_class("balanced", CLASSES, LabelledRows(None, Y, sample_weight))
    np.testing.assert_allclose(np.bincount(Y, rows.sample_weight), [3, 0, 3])
    np.testing.assert_allclose(rows.sample_weight[2] / rows.sample_weight[0], 2)


def test_without_class_weight_nothing_changes():
    rows = LabelledRows(None, Y)
    assert weigh_by_class(None, CLASSES, rows) is rows
    assert meta_class_weight(None, CLASSES, rows) is None


def test_some_class_of_each_loss_must_count():
    nothing = {"a": 0.0, "c": 0.0}
    with pytest.raises(ValueError, match="zero for all training rows"):
        weigh_by_class(nothing, CLASSES, LabelledRows(None, Y))
    with pytest.raises(ValueError, match="zero for all classes of the meta set"):
        meta_class_weight(nothing, CLASSES, LabelledRows(None, Y))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0, 2: 0.5}])
def test_class_weight_weighs_the_training_rows(class_weight, data: Data):
    plain = {"method": "uniform", "meta_share": 0, "early_stopping": False}
    plain |= {"module": Linear, "lr": 0.1}
    trusted = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    kept = data.y != 1
    kept[np.flatnonzero(data.y == 1)[:5]] = True  # a rare class
    X, y = data.X[kept], data.y[kept]
    by_class = quick(**plain, class_weight=class_weight).fit(X, y, **trusted)
    by_row = quick(**plain).fit(
        X, y, sample_weight=compute_sample_weight(class_weight, y), **trusted
    )
    unweighted = quick(**plain).fit(X, y, **trusted)
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), rtol=1e-4)
    assert np.abs(by_class.predict_proba(X) - unweighted.predict_proba(X)).max() > 1e-2
