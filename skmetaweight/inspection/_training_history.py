"""A picture of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skmetaweight._messages import listed
from skmetaweight.inspection._common import COLORS, classifier_of, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from skmetaweight._estimator.classifier import MetaWeightClassifier

LOSSES = {"train_loss": "Training loss", "meta_loss": "Meta loss"}
WEIGHTS = {
    "mean_weight": "Mean weight",
    "weight_change": "Mean change of a weight",
    "effective_share": "Effective sample size (share)",
    "share_distrusted": "Distrusted (share)",
}


class TrainingHistoryDisplay:
    r"""Losses and weights over the epochs.

    Left, the weighted training loss and the meta loss. Right, what the weights did: their mean,
    the mean absolute change of a row's weight since the epoch before (the papers' curve of weight
    variation), the effective sample size :math:`(\sum w)^2 / \sum w^2` as a share of the rows,
    and the share of rows below half the mean weight.

    Parameters
    ----------
    history : mapping of str to ndarray of shape (n_epochs,)
        Columns by name: epoch, train_loss, meta_loss, mean_weight, weight_change, effective_share,
        share_distrusted, and fmw_lambda, which is not drawn.
    best_epoch : int or None, default=None
        The epoch, from 1, whose parameters were kept.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (2,)
    figure_ : Figure
    lines_ : dict of str to Line2D
        By column.
    best_ : list of Line2D
        Where the kept epoch is.
    """

    def __init__(
        self, *, history: Mapping[str, NDArray[Any]], best_epoch: int | None = None
    ) -> None:
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Sequence[Axes] | None = None, **kwargs: Any
    ) -> TrainingHistoryDisplay:
        """Draw the ``history_`` of a fitted classifier.

        Parameters
        ----------
        estimator : MetaWeightClassifier, or Pipeline or search that ends in one
        ax, **kwargs
            As in :meth:`plot`.
        """
        classifier = classifier_of(estimator)
        display = cls(history=history_columns(classifier), best_epoch=classifier.best_epoch_)
        return display.plot(ax, **kwargs)

    def plot(self, ax: Sequence[Axes] | None = None, **kwargs: Any) -> TrainingHistoryDisplay:
        """Draw the losses and the weights.

        Parameters
        ----------
        ax : two Axes, optional
            Where to draw losses, then weights; a new figure if None.
        **kwargs : dict
            For the lines, as in :meth:`matplotlib.axes.Axes.plot`.
        """
        missing = [name for name in ("epoch", *LOSSES, *WEIGHTS) if name not in self.history]
        if missing:
            raise ValueError(f"history has no columns {listed(missing)}, which are to be drawn.")
        plt = pyplot(self)
        if ax is None:
            ax = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")[1]
        self.axes_ = np.asarray(ax)
        if self.axes_.shape != (2,) or not all(hasattr(each, "figure") for each in self.axes_):
            raise ValueError(f"ax must be two Axes, for losses and for weights; got {ax!r}.")
        self.figure_ = self.axes_[0].figure
        self.lines_, self.best_ = {}, []
        for panel, columns in zip(self.axes_, (LOSSES, WEIGHTS), strict=True):
            for (name, label), color in zip(columns.items(), COLORS, strict=False):
                values = self.history[name]
                look = {"color": color, "label": label, **kwargs}
                (self.lines_[name],) = panel.plot(self.history["epoch"], values, **look)
            if self.best_epoch is not None:
                look = {"color": "0.5", "linestyle": ":", "label": "Kept epoch"}
                self.best_.append(panel.axvline(self.best_epoch, **look))
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set(xlabel="Epoch", ylim=(0, None))
            above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": 2}
            panel.legend(frameon=False, fontsize="small", **above)
        self.axes_[0].set(ylabel="Loss (nats)")
        self.axes_[1].set(ylabel="Weight, or share of the rows")
        return self


def history_columns(classifier: MetaWeightClassifier) -> dict[str, NDArray[Any]]:
    """Return what a classifier recorded of its epochs, by column."""
    rows = classifier.history_
    names = [*LOSSES, "mean_weight", "weight_change", "share_distrusted", "fmw_lambda"]
    columns: Any = rows[-1]
    history = {name: np.array(rows[:, name]) for name in names if name in columns}
    history["epoch"] = np.array(rows[:, "epoch"])
    history["effective_share"] = np.divide(
        rows[:, "effective_sample_size"], rows[:, "train_row_count"]
    )
    return history
