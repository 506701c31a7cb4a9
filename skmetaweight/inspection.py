"""Pictures of what was learned, after scikit-learn's Display API; matplotlib is needed to plot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, product
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmetaweight._classifier import MetaWeightClassifier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SampleWeightDisplay", "WeightingFunctionDisplay"]

# Okabe and Ito's, which colour-blind readers can tell apart
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


class WeightingFunctionDisplay:
    """The learned weight of a row as a function of its loss.

    Parameters
    ----------
    losses : ndarray of shape (n_points,)
        In nats.
    weights : ndarray of shape (n_points,) or (n_classes, n_points)
        One row per class for a class-aware function.
    quartiles : ndarray of shape (2, ...) or None, default=None
        First and third quartile of the weights over the training rows' alignments.
    classes : ndarray of shape (n_classes,) or None, default=None
        The labels of a class-aware function.
    training_losses : ndarray or None, default=None
        Losses, or percentiles of the losses, of the training rows.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    line_ : Line2D or list of Line2D
        A list, with one line per class, for a class-aware function.
    band_ : PolyCollection or None
        Between the quartiles, where alignments matter; None for a class-aware function, whose
        lines it would hide.
    rug_ : LineCollection or None
        The training losses.
    outside_ : list of Rectangle
        Shade where no training row is and the function extrapolates.
    """

    def __init__(
        self,
        *,
        losses: NDArray[Any],
        weights: NDArray[Any],
        quartiles: NDArray[Any] | None = None,
        classes: NDArray[Any] | None = None,
        training_losses: NDArray[Any] | None = None,
    ) -> None:
        self.losses = losses
        self.weights = weights
        self.quartiles = quartiles
        self.classes = classes
        self.training_losses = training_losses

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        loss_range: tuple[float, float] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> WeightingFunctionDisplay:
        """Draw the function that a fitted classifier learned.

        Parameters
        ----------
        estimator : MetaWeightClassifier, or Pipeline or search that ends in one
        loss_range : tuple of float, optional
            Smallest and largest loss to draw; from 0 to the largest of a training row if None.
        ax, **kwargs
            As in :meth:`plot`.

        Raises
        ------
        AttributeError
            If the method learned no function of the loss.
        """
        function = _classifier(estimator).weighting_function_
        low, high = function.loss_range_
        losses = np.linspace(*(loss_range or (min(0.0, low), high)), 201)
        classes = function.classes_
        labels = None if classes is None else classes[:, None]
        grid = losses if classes is None else np.tile(losses, (len(classes), 1))
        return cls(
            losses=losses,
            weights=function(grid, labels),
            quartiles=np.stack([function.quantile(grid, q, labels) for q in (0.25, 0.75)]),
            classes=classes,
            training_losses=function.loss_percentiles_,
        ).plot(ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any
    ) -> WeightingFunctionDisplay:
        """Draw the function.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure if None.
        name : str, optional
            What the legend calls the curve.
        **kwargs : dict
            For the lines, as in :meth:`matplotlib.axes.Axes.plot`.
        """
        self.ax_, self.figure_ = _axes(self, ax)
        one = self.classes is None
        band = self.quartiles if one else None
        if band is not None and np.array_equal(*band):
            band = None
        name = name or (None if band is None else "Mean over rows")
        labels = [name] if self.classes is None else self.classes
        styles = cycle(product(("-", "--", ":", "-."), COLORS))
        lines = []
        for label, weights, style in zip(labels, np.atleast_2d(self.weights), styles, strict=False):
            look = {"linestyle": style[0], "color": style[1], "label": label, **kwargs}
            lines += self.ax_.plot(self.losses, weights, **look)
        self.line_ = lines[0] if one else lines
        self.band_ = None
        if band is not None:
            look = {"color": lines[0].get_color(), "alpha": 0.2, "lw": 0, "label": "Quartiles"}
            self.band_ = self.ax_.fill_between(self.losses, *band, **look)
        self._mark_training_losses()
        self.ax_.set(xlabel="Training loss (nats)", ylabel="Weight", ylim=(0, None), xmargin=0)
        if self.ax_.get_legend_handles_labels()[0]:
            self.ax_.legend(title=None if one else "Given label", frameon=False)
        return self

    def _mark_training_losses(self) -> None:
        self.rug_, self.outside_ = None, []
        if self.training_losses is None:
            return
        look = {"color": "0.4", "linewidth": 0.6, "transform": self.ax_.get_xaxis_transform()}
        self.rug_ = self.ax_.vlines(self.training_losses, 0, 0.04, **look)
        low, high = self.training_losses.min(), self.training_losses.max()
        for start, end in ((self.losses[0], low), (high, self.losses[-1])):
            if start < end:
                self.outside_.append(self.ax_.axvspan(start, end, color="0.5", alpha=0.15, lw=0))


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
        classifier = _classifier(estimator)
        weights, mask = _check_changed(classifier.sample_weights_, changed)
        untrusted = np.setdiff1d(np.arange(len(weights)), classifier.meta_indices_)
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
        self.ax_, self.figure_ = _axes(self, ax)
        edges = np.histogram_bin_edges(self.weights, bins)
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


def _classifier(estimator: Any) -> MetaWeightClassifier:
    """Return the fitted classifier at the end of a search or a pipeline."""
    while hasattr(estimator, "best_estimator_") or hasattr(estimator, "steps"):
        is_search = hasattr(estimator, "best_estimator_")
        estimator = estimator.best_estimator_ if is_search else estimator.steps[-1][1]
    if not isinstance(estimator, MetaWeightClassifier):
        raise TypeError(f"Expected a MetaWeightClassifier at the end, got {estimator!r}.")
    check_is_fitted(estimator)
    return estimator


def _check_changed(
    weights: ArrayLike, changed: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    weights = np.asarray(weights, dtype=float)
    if changed is None:
        return weights, None
    mask = np.asarray(changed)
    if mask.dtype != bool or mask.shape != weights.shape:
        raise ValueError(
            f"changed must hold one bool per row, shape {weights.shape}, True where the label is "
            f"wrong; got {mask.dtype} of shape {mask.shape}."
        )
    return weights, mask


def _axes(display: object, ax: Axes | None) -> tuple[Any, Any]:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__} needs matplotlib: pip install 'skmetaweight[plot]'"
        ) from error
    ax = plt.subplots()[1] if ax is None else ax
    return ax, ax.figure
