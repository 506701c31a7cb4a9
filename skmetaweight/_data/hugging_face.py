"""Rows of a ``datasets.Dataset`` of Hugging Face's, which is no Dataset of torch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from skmetaweight._messages import listed

LABEL_NAMES = ("label", "labels")
"""What columns of labels are called there."""


def is_hugging_face(X: Any) -> bool:
    return hasattr(X, "with_format") and hasattr(X, "select_columns")


class ColumnItems(Dataset[Any]):
    """Items are dicts of all columns but that of labels, as tensors unless it has another format.

    Parameters
    ----------
    dataset : datasets.Dataset

    Raises
    ------
    ValueError
        If several columns look like labels.
    """

    def __init__(self, dataset: Any) -> None:
        features = dataset.features
        labels = [name for name in features if name in LABEL_NAMES or _is_class(features[name])]
        if len(labels) > 1:
            raise ValueError(
                f"The columns {listed(labels)} of the Dataset may all be its labels: leave one, "
                "e.g. with remove_columns."
            )
        self._dataset = dataset
        self._label = labels[0] if labels else None
        has_format = dataset.format["type"] is not None
        self._formatted = dataset if has_format else dataset.with_format("torch")

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, i: int) -> Any:
        return self.__getitems__([i])[0]

    def __getitems__(self, index: Sequence[int]) -> list[Any]:
        items = self._formatted.__getitems__(list(index))
        return [{k: v for k, v in item.items() if k != self._label} for item in items]

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes, in the order of their numbers; None if the labels have none."""
        return getattr(self._dataset.features.get(self._label), "names", None)

    @property
    def evaluation_view(self) -> Any:
        return getattr(self._dataset, "evaluation_view", None)

    @property
    def targets(self) -> Any:
        """The column of labels, as it is before any transform."""
        if self._label is None:
            raise ValueError(
                f"y is None, and none of the columns {listed(self._dataset.column_names)} of the "
                "Dataset is its labels: name one 'label', e.g. with rename_column, or pass y."
            )
        column = self._dataset.select_columns([self._label]).with_format("numpy")
        return column[:][self._label]


def _is_class(feature: Any) -> bool:
    return hasattr(feature, "str2int")  # as a ClassLabel has
