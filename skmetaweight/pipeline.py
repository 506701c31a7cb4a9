"""A pipeline that cannot forget to transform the meta set."""

from __future__ import annotations

from typing import Any

from sklearn import config_context
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from skmetaweight._estimator.html import DocLinkMixin

__all__ = ["MetaPipeline", "make_meta_pipeline"]


class MetaPipeline(DocLinkMixin, Pipeline):  # pyright: ignore[reportIncompatibleMethodOverride]
    """A scikit-learn Pipeline that never fits its last step to a meta set it has not transformed.

    Its ``fit`` enables metadata routing for itself, without which ``transform_input`` does
    nothing, and refuses an ``X_meta`` that is not among ``transform_input``. All else is
    :class:`sklearn.pipeline.Pipeline`. Build it with :func:`make_meta_pipeline`.

    Parameters
    ----------
    steps : list of (str, estimator)
        Transformers, and last an estimator that takes ``X_meta``.
    transform_input : list of str, default=None
        Arguments of ``fit`` that are transformed as X.
    memory : str, joblib.Memory or None, default=None
        Where to cache fitted transformers.
    verbose : bool, default=False
        Whether to print the duration of each step.
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> MetaPipeline:
        """Fit each step to what the steps before it return, for X and ``X_meta`` alike.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix
        y : array-like of shape (n_samples,)
        **params : dict
            ``X_meta`` and ``y_meta``, or ``meta_mask``, and what else the steps request.

        Returns
        -------
        self : MetaPipeline

        Raises
        ------
        ValueError
            If ``X_meta`` would not be transformed.
        TypeError
            If no step takes an argument.
        """
        if "X_meta" in params and "X_meta" not in (self.transform_input or ()):
            raise ValueError(
                "X_meta would reach the last step untransformed: use make_meta_pipeline, or "
                "set_params(transform_input=['X_meta'])."
            )
        prefixed = [name for name in params if "__" in name]
        if prefixed:
            plain = [name.rpartition("__")[-1] for name in prefixed]
            raise TypeError(f"Pass {', '.join(plain)} by name, without the prefix: got {prefixed}.")
        with config_context(enable_metadata_routing=True):
            return super().fit(X, y, **params)


def make_meta_pipeline(*steps: Any, memory: Any = None, verbose: bool = False) -> MetaPipeline:
    """Build a pipeline that transforms ``X_meta`` as it transforms X.

    Metadata routing need not be enabled, and nothing requested:
    ``make_meta_pipeline(StandardScaler(), MetaWeightClassifier()).fit(X, y, X_meta=X_meta,
    y_meta=y_meta)``. Inside a search or another meta-estimator the same arguments go to its
    ``fit``.

    Parameters
    ----------
    *steps : estimators
        Transformers, and last an estimator that takes ``X_meta``.
    memory : str, joblib.Memory or None, default=None
        Where to cache fitted transformers.
    verbose : bool, default=False
        Whether to print the duration of each step.

    Returns
    -------
    pipeline : MetaPipeline

    Raises
    ------
    ValueError
        If the last step does not take ``X_meta``.
    TypeError
        If a step is a class.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmetaweight import MetaWeightClassifier
    >>> from skmetaweight.datasets import corrupt_labels
    >>> from skmetaweight.pipeline import make_meta_pipeline
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> y_noisy, _ = corrupt_labels(y[60:], noise_rate=0.3, random_state=0)
    >>> pipe = make_meta_pipeline(StandardScaler(), MetaWeightClassifier(random_state=0))
    >>> pipe.fit(X[60:], y_noisy, X_meta=X[:60], y_meta=y[:60]).predict(X).shape
    (569,)
    """
    classes = [step.__name__ for step in steps if isinstance(step, type)]
    if classes:
        raise TypeError(f"Steps are objects, not classes: pass {classes[0]}(), not {classes[0]}.")
    names, _ = zip(*make_pipeline(*steps).steps, strict=True) if steps else ((), ())
    pipeline = MetaPipeline(
        list(zip(names, steps, strict=True)),
        transform_input=["X_meta"],
        memory=memory,
        verbose=verbose,
    )
    with config_context(enable_metadata_routing=True):
        takes = get_routing_for_object(steps[-1]).consumes("fit", ["X_meta"]) if steps else ()
    if not takes:
        last = type(steps[-1]).__name__ if steps else "nothing"
        raise ValueError(
            f"The last step must take X_meta, got {last}: end with MetaWeightClassifier, or with a "
            "search or ensemble of it."
        )
    return pipeline
