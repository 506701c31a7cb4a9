"""What a method is, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from benchmarks.accuracy.tasks import IMBALANCED, Problem


class Fitted(NamedTuple):
    """A fitted classifier, and what it makes of each training row: higher, more trusted."""

    classifier: Any
    weights: NDArray | None = None


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

    def applies_to(self, noise: str) -> bool:
        return noise in IMBALANCED or not self.imbalanced_only

    def expected_seconds(self, n_rows: int, n_features: int, n_classes: int) -> float:
        n_trees = 1 if n_classes == 2 else n_classes
        boosting = n_trees * (0.05 + 0.008 * n_features)
        return 0.05 + self.seconds * n_rows / 4_000 + self.boostings * boosting
