"""What a method is, and what it returns."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from benchmarks.accuracy.tasks import IMBALANCED, NOISY_TAILS, Problem


class Fitted(NamedTuple):
    """A fitted classifier, and what it makes of each training row: higher, more trusted."""

    classifier: Any
    weights: NDArray | None = None


def import_rival(name: str) -> Any:
    """Import a module of a package that only some methods need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        message = (
            f"{package} cannot be imported ({error}): pip install -c constraints.txt -e "
            "'.[test,rivals]', or leave its methods out."
        )
        raise ImportError(message) from error


@dataclass(frozen=True)
class Method:
    """How to fit, and about how long it takes: for planning only."""

    fit: Callable[[Problem, int], Fitted]
    seconds: float
    """On 4,000 rows, without boosting."""
    boostings: int = 0
    """Fits of HGB, whose cost goes by classes and features."""
    imbalanced_only: bool = False
    """Whether it is left out where classes are not imbalanced, unless it is named."""

    is_slow: bool = False
    """Whether it is left out unless it is named."""

    def is_default_for(self, noise: str) -> bool:
        if self.is_slow:
            return False
        return not self.imbalanced_only or noise in IMBALANCED or noise in NOISY_TAILS

    def expected_seconds(self, n_rows: int, n_features: int, n_classes: int) -> float:
        n_trees = 1 if n_classes == 2 else n_classes
        boosting = n_trees * (0.05 + 0.008 * n_features)
        return 0.05 + self.seconds * n_rows / 4_000 + self.boostings * boosting
