"""A picture of the learned function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle, product
from typing import TYPE_CHECKING, Any

import numpy as np

from skmetaweight._arrays import read_array
from skmetaweight.inspection._common import COLORS, axes, classifier_of, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


class WeightingFunctionDisplay:
    """The learned weight of a row as a function of its loss, or that function over the epochs.

    Parameters
    ----------
    losses : ndarray of shape (n_points,)
        In nats.
    weights : ndarray of shape (n_points,), (n_classes, n_points) or (n_epochs, n_points)
        One row per class for a class-aware function, or one per epoch.
    quartiles : ndarray of shape (2, ...) or None, default=None
        First and third quartile of the weights over the training rows' alignments.
    classes : ndarray of shape (n_classes,) or None, default=None
        The labels of a class-aware function.
    epochs : ndarray of int of shape (n_epochs,) or None, default=None
        Epochs, from 1, after which the function is drawn.
    training_losses : ndarray or None, default=None
        Losses, or percentiles of the losses, of the training rows.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    line_ : Line2D or list of Line2D
        A list if there is one per class or per epoch.
    band_ : PolyCollection or None
        Between the quartiles, where alignments matter; None where it would hide other lines.
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
        epochs: NDArray[Any] | None = None,
        training_losses: NDArray[Any] | None = None,
    ) -> None:
        self.losses = losses
        self.weights = weights
        self.quartiles = quartiles
        self.classes = classes
        self.epochs = epochs
        self.training_losses = training_losses

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        loss_range: tuple[float, float] | None = None,
        epochs: Sequence[int] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> WeightingFunctionDisplay:
        """Draw the function that a fitted classifier learned.

        Parameters
        ----------
        estimator : MetaWeightClassifier, or Pipeline or search that ends in one
        loss_range : tuple of float, optional
            Smallest and largest loss to draw; from 0 to the largest of a training row if None.
        epochs : sequence of int, optional
            Draw the function as it was after these epochs, counted from 1, and not as it was kept.
        ax, **kwargs
            As in :meth:`plot`.

        Raises
        ------
        AttributeError
            If the method learned no function of the loss.
        ValueError
            If there was no such epoch, or epochs are asked of a class-aware function; or if
            loss_range is no range.
        """
        function = classifier_of(estimator).weighting_function_
        if epochs is not None:
            return cls._over_epochs(function, epochs, loss_range).plot(ax, **kwargs)
        low, high = function.loss_range_
        losses = _grid(loss_range, (min(0.0, low), high))
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

    @classmethod
    def _over_epochs(
        cls, function: Any, epochs: Sequence[int], loss_range: tuple[float, float] | None
    ) -> WeightingFunctionDisplay:
        if function.classes_ is not None:
            raise ValueError("A class-aware function has too many curves for several epochs.")
        chosen = np.atleast_1d(read_array(epochs, "epochs")).tolist()
        if not chosen:
            raise ValueError("epochs are none: pass some, counted from 1, or leave epochs out.")
        functions = [function.at_epoch(epoch) for epoch in chosen]
        losses = _grid(loss_range, (0.0, max(each.loss_range_[1] for each in functions)))
        weights = np.stack([each(losses) for each in functions])
        return cls(losses=losses, weights=weights, epochs=np.array(chosen))

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
        self.ax_, self.figure_ = axes(self, ax)
        one = self.classes is None and self.epochs is None
        band = self.quartiles if one else None
        if band is not None and np.array_equal(*band):
            band = None
        name = name or (None if band is None else "Mean over rows")
        labels: Any = self.epochs if self.classes is None else map(literal, self.classes)
        labels = [name] if labels is None else list(labels)
        styles = self._styles(len(labels))
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
            title = None if one else "Given label" if self.epochs is None else "After epoch"
            self.ax_.legend(title=title, frameon=False)
        return self

    def _styles(self, n_lines: int) -> Iterable[tuple[str, Any]]:
        """Tell classes apart; let epochs grow darker."""
        if self.epochs is None:
            return cycle(product(("-", "--", ":", "-."), COLORS))
        from matplotlib import colormaps

        return zip(cycle("-"), colormaps["viridis_r"](np.linspace(0.1, 1, n_lines)), strict=False)

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


def _grid(loss_range: Any, default: tuple[float, float]) -> NDArray[Any]:
    ends = read_array(default if loss_range is None else loss_range, "loss_range")
    is_range = ends.shape == (2,) and ends.dtype.kind in "iuf" and np.isfinite(ends).all()
    if not is_range or ends[0] > ends[1]:
        raise ValueError(
            f"loss_range must be the smallest and the largest loss to draw, got {loss_range!r}."
        )
    return np.linspace(ends[0], ends[1], 201)
