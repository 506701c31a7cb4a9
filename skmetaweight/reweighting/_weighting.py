r"""The weighting network :math:`V_\psi`, and the fitted function a user holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from skmetaweight._arrays import read_array, read_numbers
from skmetaweight._messages import import_pandas, listed, shortened

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

CHUNK_SIZE = 16_384
"""Inputs that a fitted function evaluates at a time."""

LARGEST_LOSS = 1e20
"""Beyond it, unless training rows were there, sums in float32 might be infinite."""


class WeightingNetwork(nn.Module):
    r"""The multilayer perceptron :math:`V_\psi` of Meta-Weight-Net.

    .. math:: V_\psi(x) = c\,\sigma\bigl(W_2 \max(W_1 x + b_1, 0) + b_2\bigr)

    Parameters
    ----------
    n_inputs : int, default=1
        Number of columns of the input; the first is the loss of the row.
    hidden_dim : int, default=100
        Width of the hidden layer.
    max_weight : float, default=1.0
        The largest weight, :math:`c`.
    zero_init : bool, default=False
        Whether the last layer starts at zero, so that all weights start at ``max_weight / 2``.

    References
    ----------
    .. [1] Shu et al. Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting.
       NeurIPS, 2019.
    """

    def __init__(
        self,
        n_inputs: int = 1,
        hidden_dim: int = 100,
        *,
        max_weight: float = 1.0,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.max_weight = max_weight
        self.hidden = nn.Linear(n_inputs, hidden_dim)
        self.output = nn.Linear(hidden_dim, 1)
        if zero_init:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (n, n_inputs) to weights of shape (n,)."""
        scores = self.output(torch.relu(self.hidden(inputs))).squeeze(-1)
        return self.max_weight * torch.sigmoid(scores)


def weighting_inputs(
    losses: Tensor, memory: Tensor | None, labels: Tensor | None, n_classes: int
) -> Tensor:
    """Stack what the weighting network sees: loss, remembered alignment, one-hot class.

    Parameters
    ----------
    losses : Tensor of shape (n,)
        Detached; scaled by the caller.
    memory : Tensor of shape (n,) or None
    labels : Tensor of shape (n,) or None
        None for a function that does not know classes.
    n_classes : int

    Returns
    -------
    inputs : Tensor of shape (n, n_inputs)
    """
    columns = [losses.unsqueeze(-1)]
    if memory is not None:
        columns.append(memory.unsqueeze(-1))
    if labels is not None:
        columns.append(nn.functional.one_hot(labels, n_classes).to(losses.dtype))
    return columns[0] if len(columns) == 1 else torch.cat(columns, dim=-1)


class WeightingFunction:
    """The learned function from losses to weights; NumPy in, NumPy out.

    Attributes
    ----------
    loss_range_ : tuple of float
        Smallest and largest loss of a training row under the fitted classifier, in nats. Outside
        this range the function extrapolates.
    loss_percentiles_ : ndarray of shape (101,)
        Percentiles of those losses.
    classes_ : ndarray of shape (n_classes,) or None
        The labels that a class-aware function takes; None if it takes losses only.

    Notes
    -----
    With an alignment memory the weight of a row depends on its loss and on its remembered
    alignment. Calling the object then gives the partial dependence on the loss: the mean weight
    over the alignments of the training rows; :meth:`quantile` gives the spread around it.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        losses: Tensor,
        loss_scale: float,
        normalizer: float,
        strength: float = 1.0,
        memory: Tensor | None = None,
        classes: NDArray[Any] | None = None,
    ) -> None:
        self._network = network
        self._loss_scale = loss_scale
        self._normalizer = normalizer
        self._strength = strength
        self._memory = memory
        self.classes_ = classes
        self._epochs: dict[int, Any] = {}
        self.loss_range_ = (float(losses.min()), float(losses.max()))
        self.loss_percentiles_ = np.percentile(losses.cpu().numpy(), np.arange(101))

    def __call__(self, losses: ArrayLike, classes: ArrayLike | None = None) -> NDArray[Any]:
        """Return the weight for each loss.

        Parameters
        ----------
        losses : array-like of any shape
            Per-sample losses, in nats.
        classes : array-like that broadcasts to the shape of losses, optional
            The given label of each row; a class-aware function needs it.

        Returns
        -------
        weights : ndarray of the shape of losses
            Scaled as ``sample_weights_``: normalised methods have mean one over the training rows.

        Raises
        ------
        ValueError
            If losses are negative or not finite, or classes are missing, unknown, of another shape,
            or given to a function of the loss alone.
        """
        return self._evaluate(losses, classes, lambda weights: weights.mean(axis=-1))

    def quantile(
        self, losses: ArrayLike, q: float, classes: ArrayLike | None = None
    ) -> NDArray[Any]:
        """Return a quantile, over the training rows' alignments, of the weight at each loss."""
        if not (isinstance(q, Real) and 0 <= q <= 1):
            raise ValueError(f"q must be a number from 0 to 1, got {shortened(q)}.")
        return self._evaluate(losses, classes, lambda weights: np.quantile(weights, q, axis=-1))

    def remember_epochs(self, snapshots: Sequence[Any], *, last: int) -> WeightingFunction:
        """Keep what the function was after the last epochs, for :meth:`at_epoch`; return itself."""
        self._epochs = dict(enumerate(snapshots, last + 1 - len(snapshots)))
        return self

    def at_epoch(self, epoch: int) -> WeightingFunction:
        """Return the function as it was at the end of an epoch.

        Its range, scale and alignments are those that the training rows had during that epoch,
        while ``weighting_function_`` itself belongs to the classifier that was kept.

        Parameters
        ----------
        epoch : int
            From 1, as ``best_epoch_``.

        Raises
        ------
        ValueError
            If there was no such epoch, or it is on record no more: of the fits before one that
            goes on, the last hundred epochs are.
        """
        if not isinstance(epoch, Real) or epoch not in self._epochs:
            known = "none (save keeps them with snapshots=True)"
            if self._epochs:
                known = f"from {min(self._epochs)} to {max(self._epochs)}"
            raise ValueError(f"epoch must be one on record, {known}; got {shortened(epoch)}.")
        function = copy.copy(self._epochs[epoch])
        function.classes_ = self.classes_
        return function

    def to_frame(self, n_points: int = 101) -> pd.DataFrame:
        """Tabulate the function over ``loss_range_``.

        Returns
        -------
        frame : DataFrame with columns loss, weight and, for a class-aware function, class
        """
        if not isinstance(n_points, Integral) or n_points < 1:
            raise ValueError(f"n_points must be a whole number from 1, got {shortened(n_points)}.")
        pd = import_pandas("to_frame()")
        losses = np.linspace(*self.loss_range_, n_points)
        if self.classes_ is None:
            return pd.DataFrame({"loss": losses, "weight": self(losses)})
        parts = [
            pd.DataFrame(
                {"class": label, "loss": losses, "weight": self(losses, np.full(n_points, label))}
            )
            for label in self.classes_
        ]
        return pd.concat(parts, ignore_index=True)

    def __repr__(self) -> str:
        low, high = self.loss_range_
        labels = None if self.classes_ is None else self.classes_[[0, 0]]
        at_low, at_high = self([low, high], labels)
        inputs = ["loss"]
        inputs += ["alignment"] if self._memory is not None else []
        inputs += ["class"] if self.classes_ is not None else []
        return (
            f"WeightingFunction({', '.join(inputs)} -> weight; "
            f"loss {low:.3g} -> {at_low:.3g}, loss {high:.3g} -> {at_high:.3g})"
        )

    def _evaluate(
        self,
        losses: ArrayLike,
        classes: ArrayLike | None,
        reduce: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> NDArray[Any]:
        """Reduce weights of shape (n, n_alignments) to one per loss, a few losses at a time."""
        losses = self._check_losses(losses)
        labels = self._encode(classes, losses.shape)
        parameter = next(self._network.parameters())
        flat = torch.as_tensor(losses.ravel(), dtype=parameter.dtype) / self._loss_scale
        memory = None if self._memory is None else self._memory.to(parameter.dtype)
        n_alignments = 1 if memory is None else len(memory)
        n_classes = 0 if self.classes_ is None else len(self.classes_)
        reduced = [np.empty(0)]
        for places in torch.arange(len(flat)).split(CHUNK_SIZE // n_alignments):
            each = places.repeat_interleave(n_alignments)
            with torch.no_grad():
                weights = self._network(
                    weighting_inputs(
                        flat[each],
                        None if memory is None else memory.repeat(len(places)),
                        None if labels is None else labels[each],
                        n_classes,
                    )
                )
            reduced.append(reduce(weights.reshape(-1, n_alignments).double().numpy()))
        weights = np.concatenate(reduced).reshape(losses.shape) / self._normalizer
        return (1 - self._strength) + self._strength * weights

    def _check_losses(self, losses: ArrayLike) -> NDArray[np.float64]:
        checked = read_numbers(losses, "losses")
        least = min(0.0, self.loss_range_[0])  # a criterion of one's own may go below zero
        most = max(LARGEST_LOSS, self.loss_range_[1])
        unusable = ~((checked >= least) & (checked <= most))
        if unusable.any():
            raise ValueError(
                f"losses must be finite, at least {least:g} and at most {most:g}, got "
                f"{listed(checked[unusable])}."
            )
        return checked

    def _encode(self, classes: ArrayLike | None, shape: Sequence[int]) -> Tensor | None:
        if self.classes_ is None:
            if classes is not None:
                raise ValueError("This weighting function takes losses only, but got classes.")
            return None
        if classes is None:
            raise ValueError(
                "This weighting function is class-aware: pass the label of each loss as classes."
            )
        labels = read_array(classes, "classes")
        try:
            given = np.broadcast_to(labels, shape).ravel()
        except ValueError as error:
            raise ValueError(
                f"classes must be one label, or one for each loss, shape {tuple(shape)}; got shape "
                f"{labels.shape}."
            ) from error
        unknown = sorted(set(given.tolist()) - set(self.classes_.tolist()), key=str)
        if unknown:
            raise ValueError(f"Unknown classes {listed(unknown)}: not in {listed(self.classes_)}.")
        return torch.as_tensor(np.searchsorted(self.classes_, given))
