"""Pipelines that preprocess the rows, and what becomes of the trusted ones."""

from typing import Any

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
import skrub
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skmetaweight.pipeline import make_meta_pipeline
from tests.conftest import Data, quick
from tests.ecosystem._frames import make_frame


@pytest.fixture
def raw(data: Data) -> Data:
    return data._replace(X=100 + 50 * data.X)


def probabilities_by_hand(raw: Data, scaler: Any = None) -> np.ndarray:
    """Train on rows and trusted rows that are scaled alike, without any pipeline."""
    scaler = (scaler or StandardScaler()).fit(raw.X)
    X, X_meta = scaler.transform(raw.X), scaler.transform(raw.X_meta)
    return quick().fit(X, raw.y, X_meta=X_meta, y_meta=raw.y_meta).predict_proba(X)


def test_pipeline_with_standard_scaler(raw: Data) -> None:
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), quick(), transform_input=["X_meta"])
        pipe.fit(raw.X, raw.y, X_meta=raw.X_meta, y_meta=raw.y_meta)
    np.testing.assert_array_equal(pipe.predict_proba(raw.X), probabilities_by_hand(raw))


def test_pipeline_with_the_mask(raw: Data) -> None:
    X = StandardScaler().fit_transform(raw.X)
    expected = quick().fit(X, raw.y, meta_mask=raw.mask).predict_proba(X)
    pipe = make_pipeline(StandardScaler(), quick())
    pipe.fit(raw.X, raw.y, metaweightclassifier__meta_mask=raw.mask)
    np.testing.assert_array_equal(pipe.predict_proba(raw.X), expected)
    with config_context(enable_metadata_routing=True):
        pipe.fit(raw.X, raw.y, meta_mask=raw.mask)
    np.testing.assert_array_equal(pipe.predict_proba(raw.X), expected)


@pytest.mark.parametrize("routing", [False, True])
def test_meta_pipeline_needs_no_switch(routing: bool, raw: Data) -> None:
    with config_context(enable_metadata_routing=routing):
        pipe = make_meta_pipeline(StandardScaler(), quick())
        pipe.fit(raw.X, raw.y, X_meta=raw.X_meta, y_meta=raw.y_meta)
        probabilities = pipe.predict_proba(raw.X)
    np.testing.assert_array_equal(probabilities, probabilities_by_hand(raw))


def test_raw_meta_set_in_a_pipeline_is_warned_of(raw: Data) -> None:
    pipe = Pipeline([("scale", StandardScaler()), ("clf", quick())])
    message = r"X_meta is far from X in \d of the 4 columns.*make_meta_pipeline"
    with pytest.warns(UserWarning, match=message):
        pipe.fit(raw.X, raw.y, clf__X_meta=raw.X_meta, clf__y_meta=raw.y_meta)


def days(frame: pd.DataFrame) -> pd.DataFrame:
    return (frame - pd.Timestamp("2024-01-01")) / pd.Timedelta(days=1)


def column_transformer() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    dates = make_pipeline(FunctionTransformer(days), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, ["income", "rent", "age", "height"]),
            ("categories", categories, ["colour"]),
            ("dates", dates, ["seen"]),
        ]
    )


def assert_transforms_what_is_trusted(pipe: Any, transformer: Any) -> np.ndarray:
    """Fit a pipeline, with a meta set and with a mask, and its last step alone; return its X."""
    frame, y, mask = make_frame()
    with config_context(enable_metadata_routing=True):
        pipe.fit(frame, y, X_meta=frame[mask], y_meta=y[mask])
    transformer = pipe[:-1] if transformer is None else transformer.fit(frame)
    X, X_meta = transformer.transform(frame), transformer.transform(frame[mask])
    expected = quick().fit(X, y, X_meta=X_meta, y_meta=y[mask])
    np.testing.assert_array_equal(pipe.predict_proba(frame), expected.predict_proba(X))
    with config_context(enable_metadata_routing=True):
        pipe.fit(frame, y, meta_mask=mask)
    expected = quick().fit(X, y, meta_mask=mask)
    np.testing.assert_array_equal(pipe.predict_proba(frame), expected.predict_proba(X))
    return X


def test_column_transformer() -> None:
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(column_transformer(), quick(), transform_input=["X_meta"])
    X = assert_transforms_what_is_trusted(pipe, column_transformer())
    assert X.shape == (96, 9)


def test_skrub_tabular_pipeline() -> None:
    # Before 0.6 it was called tabular_learner.
    tabular_pipeline = getattr(skrub, "tabular_pipeline", None) or skrub.tabular_learner
    with config_context(enable_metadata_routing=True):
        pipe = tabular_pipeline(quick()).set_params(transform_input=["X_meta"])
    assert_transforms_what_is_trusted(pipe, None)


def test_skrub_table_vectorizer_in_a_meta_pipeline() -> None:
    frame, y, mask = make_frame()
    pipe = make_meta_pipeline(skrub.TableVectorizer(), SimpleImputer(), StandardScaler(), quick())
    pipe.fit(frame, y, X_meta=frame[mask], y_meta=y[mask])
    assert pipe[-1].n_features_in_ > frame.shape[1]
    assert pipe.predict(frame).shape == y.shape


@pytest.mark.parametrize("sampler", [RandomOverSampler, RandomUnderSampler])
def test_imbalanced_learn_sampler_before_the_scaler(sampler: Any, raw: Data) -> None:
    keep = np.r_[np.flatnonzero(raw.y == 0)[:10], np.flatnonzero(raw.y != 0)]
    X, y = raw.X[keep], raw.y[keep]
    with config_context(enable_metadata_routing=True):
        pipe = imblearn.pipeline.make_pipeline(
            sampler(random_state=0), StandardScaler(), quick(), transform_input=["X_meta"]
        )
        pipe.fit(X, y, X_meta=raw.X_meta, y_meta=raw.y_meta)
    X_sampled, y_sampled = sampler(random_state=0).fit_resample(X, y)
    scaler = StandardScaler().fit(X_sampled)
    expected = quick().fit(
        scaler.transform(X_sampled),
        y_sampled,
        X_meta=scaler.transform(raw.X_meta),
        y_meta=raw.y_meta,
    )
    probabilities = pipe.predict_proba(X)
    np.testing.assert_array_equal(probabilities, expected.predict_proba(scaler.transform(X)))


def test_imbalanced_learn_sampler_leaves_the_mask_as_it_was(raw: Data) -> None:
    keep = np.r_[np.flatnonzero(raw.y == 0)[:10], np.flatnonzero(raw.y != 0)]
    pipe = imblearn.pipeline.make_pipeline(RandomOverSampler(random_state=0), quick())
    with pytest.raises(
        ValueError, match=r"adds or drops rows leaves the mask.*pass X_meta instead"
    ):
        pipe.fit(raw.X[keep], raw.y[keep], metaweightclassifier__meta_mask=raw.mask[keep])
