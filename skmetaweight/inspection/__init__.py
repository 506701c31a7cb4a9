"""Pictures of what was learned, after scikit-learn's Display API; matplotlib is needed to plot.

It may import ``_estimator``, and nothing imports it. Read ``_weighting_function`` first;
``_sample_weight`` and ``_training_history`` are built alike, on ``_common``.
"""

from skmetaweight.inspection._sample_weight import SampleWeightDisplay
from skmetaweight.inspection._training_history import TrainingHistoryDisplay
from skmetaweight.inspection._weighting_function import WeightingFunctionDisplay

__all__ = ["SampleWeightDisplay", "TrainingHistoryDisplay", "WeightingFunctionDisplay"]
