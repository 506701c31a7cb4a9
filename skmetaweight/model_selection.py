"""Cross-validation that scores on trusted rows only."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.utils import check_random_state, indexable

from skmetaweight._data.meta_set import split_by_mask
from skmetaweight._data.validation import check_y
from skmetaweight._messages import listed

__all__ = ["TrustedKFold"]


class TrustedKFold(BaseCrossValidator):
    """K folds of the trusted rows; every untrusted row is always trained on.

    Scores on noisy labels reward what reproduces the noise. Here each fold is scored on its share
    of the trusted rows, stratified by class, and trained on all other rows: the other trusted ones,
    which the mask marks for the classifier, and all untrusted ones.

    The mask goes where the data go, in one of two ways:

    - with metadata routing enabled, ``search.fit(X, y, meta_mask=mask)``, which passes the mask
      both to the classifier and here;
    - without, ``search.fit(X, y, meta_mask=mask, groups=mask)``: scikit-learn passes ``groups``
      here, and all else to the classifier.

    A separate meta set is put below X first, with a mask that marks its rows.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2. There must be as many trusted rows, better as many of each
        class.
    shuffle : bool, default=False
        Whether to shuffle the trusted rows of each class before they are split.
    random_state : int, RandomState or None, default=None
        Rules the shuffling.

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : Folds of all rows, scored on all labels.

    Notes
    -----
    The test folds together hold the trusted rows only. What needs a prediction for every row,
    ``cross_val_predict`` and StackingClassifier, therefore refuses this splitter.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaweight.model_selection import TrustedKFold
    >>> X, y = np.zeros((8, 2)), np.array([0, 1, 0, 1, 0, 1, 0, 1])
    >>> mask = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    >>> for train, test in TrustedKFold(2).split(X, y, mask):
    ...     print(train, test)
    [2 3 4 5 6 7] [0 1]
    [0 1 4 5 6 7] [2 3]
    """

    # The same argument as that of the classifier's fit: routing then needs no request.
    __metadata_request__split: ClassVar = {"meta_mask": True, "groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any = None, groups: Any = None, *, meta_mask: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield indices of training rows and of trusted rows to score on.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,)
            Labels; those of trusted rows are stratified by.
        groups : array-like of bool of shape (n_samples,), optional
            ``meta_mask`` by the name that scikit-learn passes without metadata routing.
        meta_mask : array-like of bool of shape (n_samples,), optional
            True for trusted rows.

        Yields
        ------
        train : ndarray of int
        test : ndarray of int

        Raises
        ------
        ValueError
            If there is no mask, or too few trusted rows.
        """
        X, y = indexable(X, y)
        if y is None:
            raise ValueError("TrustedKFold stratifies by class: y is missing.")
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise ValueError(f"n_splits must be a whole number from 2, got {self.n_splits!r}.")
        y = check_y(y)
        _, trusted = split_by_mask(_given_mask(groups, meta_mask), len(y))
        labels, sizes = np.unique(y[trusted], return_counts=True)
        if sizes.max() < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} needs as many trusted rows of a class, got "
                f"{listed(sizes)} of the classes {listed(labels)}: check more labels, or "
                "lower n_splits."
            )
        everything, folds = np.arange(len(y)), self._folds_of(y[trusted])
        for fold in range(self.n_splits):
            test = trusted[folds == fold]
            yield np.setdiff1d(everything, test), test

    def _folds_of(self, y: NDArray[Any]) -> NDArray[np.intp]:
        """Deal rows out as StratifiedKFold does, which warns of classes with fewer rows."""
        settings = {"shuffle": self.shuffle, "random_state": self.random_state}
        StratifiedKFold(self.n_splits, **settings)  # raises if they do not go together
        rng = check_random_state(self.random_state)
        _, first, codes = np.unique(y, return_index=True, return_inverse=True)
        dealt = np.arange(len(y)) % self.n_splits
        folds, start = np.empty_like(dealt), 0
        for label in np.argsort(first):  # each class goes on where the one before ended
            members = np.flatnonzero(codes == label)
            share = np.sort(dealt[start : start + len(members)])
            if self.shuffle:
                rng.shuffle(share)
            folds[members] = share
            start += len(members)
        return folds

    def get_n_splits(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any = None, y: Any = None, groups: Any = None, *, meta_mask: Any = None
    ) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups, meta_mask : object
            Not used.

        Returns
        -------
        n_splits : int
        """
        del X, y, groups, meta_mask
        return self.n_splits


def _given_mask(groups: Any, meta_mask: Any) -> Any:
    if meta_mask is not None and groups is not None and not np.array_equal(groups, meta_mask):
        raise ValueError("groups and meta_mask differ: TrustedKFold takes either as the mask.")
    mask = groups if meta_mask is None else meta_mask
    if mask is None:
        raise ValueError(
            "TrustedKFold does not know the trusted rows: pass meta_mask=mask with metadata "
            "routing enabled, and groups=mask as well without."
        )
    return mask
