"""One page on a fit, for those who decide what becomes of its labels."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmetaweight._estimator.diagnosis import SUFFICIENT
from skmetaweight._estimator.file_content import versions
from skmetaweight._estimator.fitted_state import snapshot
from skmetaweight._estimator.label_quality import LabelQuality
from skmetaweight._messages import written
from skmetaweight.inspection._audit_page import page, section, short_text, table, tiles
from skmetaweight.inspection._audit_pictures import history, weight_histogram, weighting_function
from skmetaweight.inspection._common import classifier_of

MOST_CLASSES = 40
"""Classes whose worst labels are listed: those with the most suspected rows."""

MOST_ROWS = 10
"""Worst labels listed of each."""

LARGEST_MATRIX = 12
"""Classes up to which all pairs of a given and a predicted label are counted."""

MOST_PAIRS = 30
"""Pairs listed of more classes, the most frequent first."""


def audit_report(estimator: Any, path: str | os.PathLike[str] | None = None) -> str:
    """Report on a fit as one HTML page: its evidence, weights, course and suspected labels.

    The page needs no network, runs no script, and is below a megabyte however many rows and
    classes there are. Labels and settings stand in it as text, whatever they hold.

    Parameters
    ----------
    estimator : MetaWeightClassifier, or Pipeline or search that ends in one
    path : path-like, optional
        Where to write the page; a file of that name is replaced.

    Returns
    -------
    html : str
        The page. A notebook shows its file with ``IPython.display.IFrame``.

    Raises
    ------
    AttributeError
        If the classifier was loaded from a file that was saved with ``rows=False``.

    Notes
    -----
    Rows are judged by the network that was trained on them, as in
    :meth:`~skmetaweight.MetaWeightClassifier.label_quality`; trusted rows are not judged.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmetaweight import MetaWeightClassifier
    >>> from skmetaweight.inspection import audit_report
    >>> X, y = load_iris(return_X_y=True)
    >>> checked = [i % 5 == 0 for i in range(150)]
    >>> clf = MetaWeightClassifier(max_epochs=5, random_state=0).fit(X, y, meta_mask=checked)
    >>> "noise evidence" in audit_report(clf)
    True
    """
    classifier = snapshot(classifier_of(estimator))
    quality = classifier._known_quality().with_plain_index()
    method = type(classifier.net_.reweighter_).__name__
    sections = [
        section("In short", _summary(classifier, quality)),
        section("Learned weights", weighting_function(classifier) + weight_histogram(quality)),
        section("Suspected labels, the worst first", _worst_labels(quality)),
        section("Given and predicted labels", _confusion(quality)),
        section("Course of the training", history(classifier)),
        section("Settings and versions", _settings(classifier)),
    ]
    html = page("Audit of labels", f"One fit of {method}, and what it says of its rows.", sections)
    if path is not None:
        Path(path).write_text(html, encoding="utf-8")
    return html


def _summary(classifier: Any, quality: LabelQuality) -> str:
    n_judged, n_suspected = int((~quality.trusted).sum()), int(quality.is_issue.sum())
    evidence = classifier.noise_evidence_
    numbers = {
        "rows judged": f"{n_judged:,}",
        "trusted rows of X, not judged": f"{int(quality.trusted.sum()):,}",
        f"labels suspected, {quality.noise_estimate:.1%}": f"{n_suspected:,}",
        "noise evidence, in standard errors": "none" if math.isnan(evidence) else f"{evidence:.1f}",
        "effect of the weights": f"{classifier.weight_strength_:.0%}",
        "epoch kept": f"{classifier.best_epoch_} of {classifier.n_iter_}",
    }
    return tiles(numbers) + f"<p>{_verdict(evidence)}</p>"


def _verdict(evidence: float) -> str:
    if math.isnan(evidence):
        return (
            "No trusted rows were withheld in this fit to confirm that labels are wrong, so that "
            "it holds no evidence of that beyond the suspected labels."
        )
    differed = f"the withheld trusted rows differed from the others by {evidence:.1f} standard"
    if evidence >= SUFFICIENT:
        return (
            f"The trusted rows confirm that labels are wrong: {differed} errors, as wrong labels "
            "make them do. With right labels, one fit in about ten exceeds two."
        )
    return (
        f"It is not confirmed that labels are wrong: {differed} errors, which is no more "
        "than with right labels. Read the suspected labels as rows that are hard to predict."
    )


def _worst_labels(quality: LabelQuality) -> str:
    issues = quality.issues()
    if not len(issues):
        return "<p>No label is suspected.</p>"
    counts = np.bincount(quality.given[issues], minlength=len(quality.classes))
    shown = [label for label in np.argsort(-counts, kind="stable") if counts[label]]
    parts = ["<p>The quality is the probability of the given label, lowered by a small weight.</p>"]
    for label in shown[:MOST_CLASSES]:
        places = issues[quality.given[issues] == label]
        n_rows = int((~quality.trusted & (quality.given == label)).sum())
        title, note = short_text(quality.classes[label]), f"{len(places):,} of {n_rows:,} suspected"
        parts.append(table(*_rows_of(quality, places[:MOST_ROWS]), title, note))
    if len(shown) > MOST_CLASSES:
        parts.append(f"<p>{len(shown) - MOST_CLASSES:,} classes with fewer are left out.</p>")
    return "".join(parts)


def _rows_of(quality: LabelQuality, places: NDArray[np.intp]) -> tuple[list[str], list[list[str]]]:
    columns = [
        ("row", [f"{place}" for place in places]),
        *_index_of(quality, places),
        ("suggested", [short_text(quality.classes[i]) for i in quality.predicted[places]]),
        ("quality", [_small(value) for value in quality.scores[places]]),
        ("weight", [_small(value) for value in quality.weights[places]]),
    ]
    head, cells = zip(*columns, strict=True)
    return list(head), [list(row) for row in zip(*cells, strict=True)]


def _index_of(quality: LabelQuality, places: NDArray[np.intp]) -> list[tuple[str, list[str]]]:
    if quality.index is None:
        return []
    values, name = quality.index
    levels, names = (values, name) if isinstance(values, list) else ([values], [name])
    return [
        ("index" if name is None else short_text(name), [short_text(level[i]) for i in places])
        for level, name in zip(levels, names, strict=True)
    ]


def _confusion(quality: LabelQuality) -> str:
    given, predicted = quality.given[~quality.trusted], quality.predicted[~quality.trusted]
    n_classes = len(quality.classes)
    if n_classes > LARGEST_MATRIX:
        return _pairs(quality, given, predicted)
    counts = np.zeros((n_classes, n_classes), dtype=int)
    np.add.at(counts, (given, predicted), 1)
    names = [short_text(label) for label in quality.classes]
    rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, counts, strict=True)]
    note = "by given label (down) and predicted label (across)"
    return table(["", *names], rows, "Rows", note, counts / max(counts.max(), 1))


def _pairs(quality: LabelQuality, given: NDArray[Any], predicted: NDArray[Any]) -> str:
    differing = np.stack([given, predicted])[:, given != predicted]
    pairs, counts = np.unique(differing, axis=1, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    names = quality.classes[pairs.T]
    rows = [[*map(short_text, names[place]), f"{counts[place]:,}"] for place in most]
    note = f"of the {counts.sum():,} rows, of {len(given):,}, that are predicted otherwise"
    return table(["given", "predicted", "rows"], rows, "The most frequent pairs", note)


def _settings(classifier: Any) -> str:
    settings = [[k, short_text(written(v))] for k, v in classifier.net_.settings_.items()]
    packages = [[name, version] for name, version in versions().items()]
    of_fit = table(["setting", "value"], settings, "Of the fit")
    return of_fit + table(["package", "version"], packages, "Of this report")


def _small(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 or value == 0 else "< 0.001"
