"""Pictures of what was learned, after scikit-learn's Display API, and a report of it all.

Matplotlib is needed to plot, and nothing for the report. It may import ``_estimator``, and nothing
imports it. Read ``_weighting_function`` first; ``_sample_weight`` and ``_training_history`` are
built alike, on ``_common``. ``_audit_report`` is what the report says, ``_audit_pictures`` what it
draws, and ``_audit_page`` how it looks.
"""

from skmetaweight.inspection._audit_report import audit_report
from skmetaweight.inspection._sample_weight import SampleWeightDisplay
from skmetaweight.inspection._training_history import TrainingHistoryDisplay
from skmetaweight.inspection._weighting_function import WeightingFunctionDisplay

__all__ = [
    "SampleWeightDisplay",
    "TrainingHistoryDisplay",
    "WeightingFunctionDisplay",
    "audit_report",
]
