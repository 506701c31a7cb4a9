"""What the fitted classifier makes of each given label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skmetaweight._messages import import_pandas

if TYPE_CHECKING:
    import pandas as pd

    from skmetaweight._data.fit_data import FitData
    from skmetaweight._training.net import ReweightedNet
    from skmetaweight._training.rows_net import Judgement


OF_EACH_ROW = ("sample_weights_", "meta_indices_", "_label_quality")
"""Attributes of a fitted classifier with an entry for each row."""


@dataclass(frozen=True)
class LabelQuality:
    """The given labels of the rows of a fit, and what the classifier says of them.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    given, predicted : ndarray of int of shape (n_samples,)
        Encoded labels.
    p_given : ndarray of shape (n_samples,)
        Probability of the given label.
    weights : ndarray of shape (n_samples,)
        Learned weights.
    trusted : ndarray of bool of shape (n_samples,)
    index : pandas Index of n_samples entries, (values, name) of one, or None
        That of X or, if X has none, of y. Values are a list of arrays for several levels.
    """

    classes: NDArray[Any]
    given: NDArray[np.int32]
    predicted: NDArray[np.int32]
    p_given: NDArray[np.float64]
    weights: NDArray[np.float64]
    trusted: NDArray[np.bool_]
    index: Any = None

    @property
    def relative_weights(self) -> NDArray[np.float64]:
        """Weights over their mean, trusted rows left aside."""
        mean = self.weights[~self.trusted].mean()
        return self.weights / max(mean, np.finfo(float).tiny)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Probability of the given label, lowered by a weight below the mean; 1 if trusted."""
        quality = self.p_given * np.minimum(self.relative_weights, 1)
        return np.where(self.trusted, 1.0, quality)

    @property
    def is_issue(self) -> NDArray[np.bool_]:
        """Whether prediction and weight, not above the mean, both speak against the label."""
        return (self.predicted != self.given) & (self.relative_weights <= 1) & ~self.trusted

    @property
    def noise_estimate(self) -> float:
        """Share of the labels that are not trusted which are issues."""
        return float(self.is_issue[~self.trusted].mean())

    def issues(self) -> NDArray[np.intp]:
        """Return the places of the issues, the lowest quality first."""
        order = np.argsort(self.scores, kind="stable")
        return order[self.is_issue[order]]

    def with_plain_index(self) -> LabelQuality:
        """Return the same with the values and the name of the index, which need no pandas."""
        index = self.index
        if index is None or isinstance(index, tuple):
            return self
        if index.nlevels == 1:
            return replace(self, index=(index.to_numpy(), index.name))
        levels = [index.get_level_values(i).to_numpy() for i in range(index.nlevels)]
        return replace(self, index=(levels, list(index.names)))

    def to_frame(self) -> pd.DataFrame:
        """Tabulate with cleanlab's column names."""
        pd = import_pandas("label_quality()")
        index = self.index
        if isinstance(index, tuple):
            values, name = index
            if isinstance(values, list):
                index = pd.MultiIndex.from_arrays(values, names=name)
            else:
                index = pd.Index(values, name=name)
        return pd.DataFrame(
            {
                "is_label_issue": self.is_issue,
                "label_quality": self.scores,
                "given_label": self.classes[self.given],
                "predicted_label": self.classes[self.predicted],
                "p_given_label": self.p_given,
                "sample_weight": self.weights,
            },
            index=index,
        )


class LabelQualityMixin:
    """What a fitted classifier says of the labels that it was given."""

    _label_quality: LabelQuality

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say why a fitted classifier does not know what was learned of the rows."""
            if name in OF_EACH_ROW and "net_" in vars(self):
                raise AttributeError(
                    "What was learned of the rows is not in the file that this classifier was "
                    "loaded from: save it with rows=True."
                )
            return super().__getattribute__(name)

    @property
    def label_noise_estimate_(self) -> float:
        """Share of the labels, trusted ones left aside, that look wrong."""
        return self._known_quality().noise_estimate

    def label_quality(self) -> pd.DataFrame:
        """Tabulate what was learned of each label of ``fit``, with cleanlab's column names.

        Returns
        -------
        frame : DataFrame of n_samples rows, in the order of X and with its index, if it has one,
            or else with that of y, and with the columns

            is_label_issue : bool
                Whether the classifier predicts another label and the weight of the row is not
                above the mean weight of the untrusted rows.
            label_quality : float
                From 0, surely wrong, to 1, surely right: ``p_given_label`` times the weight over
                its mean, the latter cut at 1; 1 for trusted rows.
            given_label, predicted_label
                The y of ``fit``, and the prediction for the row.
            p_given_label : float
                Probability of the given label under the fitted classifier.
            sample_weight : float
                As in ``sample_weights_``.

        Notes
        -----
        The classifier was trained on these rows: ``p_given_label`` is not out of fold, and a
        network that memorises wrong labels will find fewer of them. A trusted row is never an
        issue, whatever is predicted for it; rows that ``fit`` split off itself, which nobody has
        checked, are judged as the others. ``method="uniform"`` has equal weights, so that its
        issues are the rows where the prediction differs.
        """
        return self._known_quality().to_frame()

    def find_label_issues(self) -> NDArray[np.intp]:
        """Return the places in X of the rows whose label is likely wrong, the worst first.

        Returns
        -------
        indices : ndarray of int of shape (n_issues,)
            Where ``is_label_issue`` of :meth:`label_quality` is true, by rising ``label_quality``.
        """
        return self._known_quality().issues()

    def _known_quality(self) -> LabelQuality:
        check_is_fitted(self)
        return self._label_quality


def judge(
    net: ReweightedNet, data: FitData, judged: Judgement, weights: NDArray[Any]
) -> LabelQuality:
    """Gather what the fitted net says of the labels of the rows of X, whose weights are given."""
    n_rows = len(weights)
    given, predicted = (np.empty(n_rows, dtype=np.int32) for _ in range(2))
    p_given = np.empty(n_rows)
    parts = [(data.train, judged, data.train_indices)]
    if len(data.meta_indices):  # else the trusted rows are no rows of X
        parts.append((data.meta, net.evaluate(net.meta_rows_), data.meta_indices))
    for rows, seen, places in parts:
        given[places] = rows.y
        predicted[places] = seen.predicted.cpu().numpy()
        p_given[places] = seen.p_given.cpu().numpy()
    trusted = np.zeros(n_rows, dtype=bool)
    trusted[data.meta_indices] = data.meta_is_trusted
    return LabelQuality(data.classes, given, predicted, p_given, weights, trusted, data.row_index)
