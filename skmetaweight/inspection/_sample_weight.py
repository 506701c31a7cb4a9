"""A picture of the learned weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skmetaweight._arrays import read_array, read_numbers
from skmetaweight._messages import explained, shortened
from skmetaweight.inspection._common import COLORS, axes, classifier_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray


class SampleWeightDisplay:
    """Histogram of learned weights, split by whether the label is right where that is known.

    Parameters
    ----------
    weights : ndarray of shape (n_rows,)
    changed : ndarray of bool of shape (n_rows,) or None, default=None
        True for rows whose label is wrong; None where that is unknown.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    hist_ : list of StepPatch
        One for all rows, or two: right labels, then wrong ones.

    Examples
    --------
    >>> from skmetaweight.inspection import SampleWeightDisplay
    >>> wrong = [False, False, True]
    >>> display = SampleWeightDisplay.from_weights([1.2, 1.6, 0.2], changed=wrong, bins=5)
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['Right label', 'Wrong label']
    """

    def __init__(self, *, weights: NDArray[Any], changed: NDArray[np.bool_] | None = None) -> None:
        self.weights = weights
        self.changed = changed

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        changed: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SampleWeightDisplay:
        """Draw the ``sample_weights_`` of a fitted classifier, without the trusted rows.

        Parameters
        ----------
        estimator : MetaWeightClassifier, or Pipeline or search that ends in one
        changed : array-like of bool of shape (n_samples,), optional
            True for the rows of the X of ``fit`` whose label is wrong, as
            :func:`~skmetaweight.datasets.corrupt_labels` returns it.
        ax, **kwargs
            As in :meth:`plot`.
        """
        classifier = classifier_of(estimator)
        weights, mask = _check_changed(classifier.sample_weights_, changed)
        untrusted = ~classifier._known_quality().trusted
        mask = None if mask is None else mask[untrusted]
        return cls(weights=weights[untrusted], changed=mask).plot(ax, **kwargs)

    @classmethod
    def from_weights(
        cls,
        weights: ArrayLike,
        *,
        changed: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SampleWeightDisplay:
        """Draw given weights, for example those of ``compute_sample_weight``.

        Parameters
        ----------
        weights : array-like of shape (n_rows,)
        changed : array-like of bool of shape (n_rows,), optional
            True for rows whose label is wrong.
        ax, **kwargs
            As in :meth:`plot`.
        """
        checked, mask = _check_changed(weights, changed)
        return cls(weights=checked, changed=mask).plot(ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, bins: int | str | Sequence[float] = 30, **kwargs: Any
    ) -> SampleWeightDisplay:
        """Draw the histogram.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure if None.
        bins : int, str or sequence of float, default=30
            As in :func:`numpy.histogram_bin_edges`; the same for right and wrong labels.
        **kwargs : dict
            For the histograms, as in :meth:`matplotlib.axes.Axes.stairs`.
        """
        with explained("bins", bins, "cannot be drawn", "Pass a number of bins, or their edges."):
            edges = np.histogram_bin_edges(self.weights, bins)
        self.ax_, self.figure_ = axes(self, ax)
        groups = {None: self.weights}
        if self.changed is not None:
            right, wrong = self.weights[~self.changed], self.weights[self.changed]
            groups = {"Right label": right, "Wrong label": wrong}
        self.hist_ = []
        for (label, weights), color in zip(groups.items(), COLORS, strict=False):
            look = {"fill": True, "alpha": 0.6, "color": color, "label": label, **kwargs}
            self.hist_.append(self.ax_.stairs(np.histogram(weights, edges)[0], edges, **look))
        self.ax_.set(xlabel="Learned weight", ylabel="Rows")
        if self.changed is not None:
            self.ax_.legend(frameon=False)
        return self


def _check_changed(
    weights: ArrayLike, changed: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    given, weights = weights, read_numbers(weights, "weights")
    if weights.ndim != 1 or not np.isfinite(weights).all():
        raise ValueError(
            f"weights must be finite numbers of shape (n_rows,), got {shortened(given)}."
        )
    if changed is None:
        return weights, None
    mask = read_array(changed, "changed")
    if mask.dtype != bool or mask.shape != weights.shape:
        raise ValueError(
            f"changed must hold one bool per row, shape {weights.shape}, True where the label is "
            f"wrong; got {mask.dtype} of shape {mask.shape}."
        )
    return weights, mask
