"""A table as people have them: numbers, categories, missing values and dates."""

import numpy as np
import pandas as pd

from tests.conftest import make_data


def make_frame() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return rows of three classes, noisy labels, and the mask of trusted rows."""
    data = make_data()
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(1_000 + 300 * data.X, columns=["income", "rent", "age", "height"])
    frame.loc[rng.random(len(frame)) < 0.2, "rent"] = np.nan
    frame["colour"] = rng.choice(["red", "green", "blue"], len(frame))
    frame.loc[rng.random(len(frame)) < 0.1, "colour"] = np.nan
    frame["seen"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        rng.integers(0, 500, len(frame)), "D"
    )
    return frame, np.array(["ant", "bee", "cow"])[data.y], data.mask
