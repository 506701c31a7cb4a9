"""What the audit report draws: the function, weights of rows, and the course of a training."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from skmetaweight._estimator.html import MAX_CURVES, curves
from skmetaweight._estimator.label_quality import LabelQuality
from skmetaweight._estimator.svg import Plot, color_of
from skmetaweight.inspection._audit_page import figure, legend, short_text
from skmetaweight.inspection._training_history import LOSSES, history_columns

N_BINS = 30
SHARES = {"effective_share": "Effective sample size", "share_distrusted": "Below half the mean"}


def weighting_function(classifier: Any) -> str:
    """Draw what was learned of the loss, or say why there is nothing."""
    try:
        function = classifier.weighting_function_
    except AttributeError as reason:
        return f"<p>{escape(str(reason))}</p>"
    caption = "Weight of a row against its loss; ticks are percentiles of the losses. "
    classes = () if function.classes_ is None else function.classes_
    if len(classes) <= MAX_CURVES:
        colors = (color_of(place, len(classes)) for place in range(len(classes)))
        caption += legend(dict(zip(colors, map(short_text, classes), strict=True)))
    return figure(curves(function), caption)


def weight_histogram(quality: LabelQuality) -> str:
    """Draw the weights of the rows that are not trusted, suspected ones on top of the others."""
    suspected, weights = quality.is_issue[~quality.trusted], quality.weights[~quality.trusted]
    edges = np.linspace(0, max(float(weights.max()), 1e-12), N_BINS + 1)
    others, both = (np.histogram(w, edges)[0] for w in (weights[~suspected], weights))
    plot = Plot((0, edges[-1]), (0, float(both.max())), ("weight", "rows"))
    blue, orange = (color_of(place, 2) for place in range(2))
    parts = [plot.bars(edges, 0 * others, others, blue), plot.bars(edges, others, both, orange)]
    names = {blue: "not suspected", orange: "suspected"}
    return figure(plot.svg(parts, "Histogram of the learned weights"), legend(names))


def history(classifier: Any) -> str:
    """Draw losses and weights over the epochs, and mark the epoch that was kept."""
    columns = history_columns(classifier)
    return "".join(
        _over_epochs(columns, classifier.best_epoch_, *panel)
        for panel in ((LOSSES, "loss (nats)"), (SHARES, "share of the rows"))
    )


def _over_epochs(columns: dict[str, Any], best_epoch: int, names: dict[str, str], axis: str) -> str:
    epochs = columns["epoch"]
    values = np.concatenate([columns[name] for name in names])
    values = values[np.isfinite(values)]
    ends = min(0.0, values.min(initial=0)), float(values.max(initial=1e-12))
    plot = Plot((epochs[0] - 0.5, epochs[-1] + 0.5), ends, ("epoch", axis), whole=True)
    marked = np.full(2, float(best_epoch)), np.array(ends)
    parts = [plot.line(*marked, "hsl(0,0%,55%)", "kept epoch", dashed="1 5")]
    shown = {color_of(place, 2): name for place, name in enumerate(names)}
    parts += [plot.line(epochs, columns[name], color) for color, name in shown.items()]
    label = f"{' and '.join(names.values())} over the epochs"
    caption = legend({color: names[name] for color, name in shown.items()})
    return figure(plot.svg(parts, label), f"{caption} Dotted: the epoch that was kept.")
