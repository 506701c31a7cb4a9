"""Pictures of what was learned, after scikit-learn's Display API; matplotlib is needed to plot."""

from skmetaweight.inspection._sample_weight import SampleWeightDisplay
from skmetaweight.inspection._training_history import TrainingHistoryDisplay
from skmetaweight.inspection._weighting_function import WeightingFunctionDisplay

__all__ = ["SampleWeightDisplay", "TrainingHistoryDisplay", "WeightingFunctionDisplay"]
