"""What the tests of the classifier assert of two of them."""

from typing import Any

import numpy as np

from skmetaweight import MetaWeightClassifier


def assert_same_predictions(
    clf: MetaWeightClassifier, other: MetaWeightClassifier, X: Any, X_other: Any = None
) -> None:
    given = X if X_other is None else X_other
    np.testing.assert_array_equal(clf.predict_proba(X), other.predict_proba(given))
