"""Learned weights in the hands of any other classifier."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skmetaweight._data.containers import refuse_other_kind, stack_rows
from skmetaweight._data.validation import check_sample_weight, check_y, encode
from skmetaweight._estimator.classifier import MetaWeightClassifier
from skmetaweight._estimator.html import DocLinkMixin
from skmetaweight._estimator.usable_weights import check_estimator, usable_weights


class MetaWeightedEstimator(  # pyright: ignore[reportIncompatibleMethodOverride]
    DocLinkMixin, MetaEstimatorMixin, ClassifierMixin, BaseEstimator
):
    """Any classifier that takes ``sample_weight``, fit with learned weights.

    Rows below 1% of the mean weight are left out: boostings take steps of any length in leaves
    that hold little else. A class whose mean is below it keeps its rows, at weight one.

    Parameters
    ----------
    estimator : classifier
        Takes ``sample_weight``: a boosting, a forest, a linear model.
    weigher : MetaWeightClassifier or None, default=None
        Learns the weights; None for ``MetaWeightClassifier()``.
    average : bool, default=False
        Whether probabilities are the mean of the estimator's and the weigher's.

    Attributes
    ----------
    estimator_ : classifier
    weigher_ : MetaWeightClassifier
    sample_weights_ : ndarray of shape (n_samples + n_meta,)
        What rows of X, then of ``X_meta``, count in ``estimator_``; 0 for those left out.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
    """

    __metadata_request__fit: ClassVar = {"X_meta": True, "y_meta": True, "meta_mask": True}

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "weigher": [MetaWeightClassifier, None],
        "average": ["boolean"],
    }

    def __init__(
        self, estimator: Any, weigher: MetaWeightClassifier | None = None, *, average: bool = False
    ) -> None:
        self.estimator = estimator
        self.weigher = weigher
        self.average = average

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        X_meta: Any = None,
        y_meta: ArrayLike | None = None,
        meta_mask: ArrayLike | None = None,
    ) -> MetaWeightedEstimator:
        """Learn weights and fit the estimator with them, from what MetaWeightClassifier takes."""
        check_estimator(self.estimator, average=self.average)
        y = check_y(y)
        if X_meta is not None:
            refuse_other_kind(X, X_meta)
        estimator: Any = clone(self.estimator)
        weigher: Any = clone(self.weigher or MetaWeightClassifier())
        trusted: Any = {"X_meta": X_meta, "y_meta": y_meta, "meta_mask": meta_mask}
        weigher.fit(X, y, sample_weight=sample_weight, **trusted)
        weights = usable_weights(weigher.sample_weights_, weigher._known_quality().trusted, y)
        counts = check_sample_weight(sample_weight, X)
        (X,) = indexable(X)
        if X_meta is not None:
            known, labels = weigher.classes_, check_y(y_meta, "y_meta")
            X, y = stack_rows(X, X_meta), np.append(y, known[encode(labels, known, "y_meta")])
            weights = np.append(weights, np.ones(len(labels)))
        kept = np.flatnonzero(weights)
        if counts is not None:
            weights[: len(counts)] *= counts / counts.mean()
        estimator.fit(_safe_indexing(X, kept), y[kept], sample_weight=weights[kept])
        self.estimator_, self.weigher_, self.sample_weights_ = estimator, weigher, weights
        self.classes_ = estimator.classes_
        validate_data(self, X, skip_check_array=True)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the predicted label of each row."""
        check_is_fitted(self)
        if self.average:
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        return self.estimator_.predict(X)

    @available_if(lambda self: hasattr(self.estimator, "predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return class probabilities, of shape (n_samples, n_classes)."""
        check_is_fitted(self)
        members = [self.estimator_, self.weigher_][: 1 + self.average]
        return np.mean([member.predict_proba(X) for member in members], axis=0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        parts = (self.estimator, self.weigher or MetaWeightClassifier())
        both = [get_tags(part).input_tags for part in parts]
        for name in ("sparse", "allow_nan", "categorical"):
            setattr(tags.input_tags, name, all(getattr(of, name) for of in both))
        return tags
