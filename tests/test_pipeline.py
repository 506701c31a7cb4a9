"""The pipeline that cannot forget to transform the meta set."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from skmetaweight.pipeline import MetaPipeline, make_meta_pipeline
from tests.conftest import Data, quick


def test_all_steps_transform_the_meta_set(data: Data) -> None:
    X = 100 + 50 * data.X
    pipe = make_meta_pipeline(StandardScaler(), SelectKBest(k=3), PCA(2), quick())
    pipe.fit(X, data.y, X_meta=X[data.mask], y_meta=data.y_meta)
    before = pipe[:-1]
    expected = quick().fit(
        before.transform(X), data.y, X_meta=before.transform(X[data.mask]), y_meta=data.y_meta
    )
    probabilities = pipe.predict_proba(X)
    np.testing.assert_array_equal(probabilities, expected.predict_proba(before.transform(X)))
    assert list(pipe.named_steps) == [
        "standardscaler",
        "selectkbest",
        "pca",
        "metaweightclassifier",
    ]


@pytest.mark.parametrize("copy", [clone, lambda pipe: pickle.loads(pickle.dumps(pipe))])
def test_copies_are_such_pipelines_too(copy: Any, data: Data) -> None:
    copied = copy(make_meta_pipeline(StandardScaler(), quick(), verbose=False))
    assert isinstance(copied, MetaPipeline)
    copied.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)
    assert copied.predict(data.X).shape == (96,)


def test_the_mask_passes_without_a_prefix(data: Data) -> None:
    pipe = make_meta_pipeline(StandardScaler(), quick()).fit(data.X, data.y, meta_mask=data.mask)
    assert pipe[-1].meta_indices_.size == 18
    with pytest.raises(TypeError, match="Pass meta_mask by name, without the prefix"):
        pipe.fit(data.X, data.y, metaweightclassifier__meta_mask=data.mask)


def test_last_step_must_take_the_meta_set() -> None:
    with pytest.raises(ValueError, match="last step must take X_meta, got LogisticRegression"):
        make_meta_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ValueError, match="got nothing"):
        make_meta_pipeline()
    make_meta_pipeline(StandardScaler(), GridSearchCV(quick(), {"lr": [0.1]}))


def test_meta_set_that_would_not_be_transformed_is_refused(data: Data) -> None:
    pipe = MetaPipeline([("scale", StandardScaler()), ("clf", quick())])
    with pytest.raises(ValueError, match="untransformed: use make_meta_pipeline"):
        pipe.fit(data.X, data.y, X_meta=data.X_meta, y_meta=data.y_meta)


@pytest.mark.parametrize("place", [0, 1])
def test_steps_are_objects(place: int) -> None:
    steps: list[Any] = [StandardScaler(), quick()]
    steps[place] = type(steps[place])
    with pytest.raises(TypeError, match=rf"pass {steps[place].__name__}\(\), not "):
        make_meta_pipeline(*steps)
