"""
==================================
Sentences that carry a wrong label
==================================

First sentences of the documentation of five libraries, found in their installed docstrings: which
library is each of? 30% of the labels were replaced at random, and 100 rows are checked. Which
sentences are distrusted most, and what does the network suggest for them?
"""

# %%
# The sentences
# -------------
# They depend a little on the versions that are installed.

from __future__ import annotations

import importlib
import inspect
import re
import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels

MODULES = {
    "matplotlib": ["axes", "axis", "collections", "figure", "lines", "patches", "text", "ticker"],
    "numpy": ["fft", "linalg", "ma", "polynomial", "random"],
    "scipy": ["interpolate", "linalg", "ndimage", "optimize", "signal", "special", "stats"],
    "sklearn": ["cluster", "datasets", "ensemble", "linear_model", "metrics", "preprocessing"],
    "torch": ["autograd", "distributions", "nn", "nn.functional", "optim", "utils.data"],
}


def is_public(name, part):
    return not name.startswith("_") and (inspect.isclass(part) or inspect.isroutine(part))


def first_sentences(library):
    """Return how classes, functions and methods of a library are introduced, each once."""
    found = {}
    for name in [library, *(f"{library}.{module}" for module in MODULES[library])]:
        module = importlib.import_module(name)
        parts = [part for key, part in vars(module).items() if is_public(key, part)]
        parts += [
            method
            for part in parts
            if inspect.isclass(part)
            for key, method in vars(part).items()
            if is_public(key, method)
        ]
        for part in parts:
            introduction = " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
            sentence = re.split(r"(?<=\.)\s", introduction)[0]
            is_sentence = sentence[:1].isupper() and sentence.endswith(".")
            is_own = str(getattr(part, "__module__", "")).startswith(library)
            if is_own and is_sentence and 30 < len(sentence) < 160:
                found[sentence] = library
    return found


sentences = {text: library for name in MODULES for text, library in first_sentences(name).items()}
texts, y = np.array(list(sentences)), np.array(list(sentences.values()))
print({str(name): int((y == name).sum()) for name in np.unique(y)})

# %%
# The fits
# --------
# Words become columns of a sparse matrix, which the default network takes as it is. One seed: the
# differences are an illustration, not a measurement.

texts, texts_test, y, y_test = train_test_split(texts, y, test_size=0.3, stratify=y, random_state=0)
words = TfidfVectorizer(min_df=2, sublinear_tf=True)
X, X_test = words.fit_transform(texts), words.transform(texts_test)
rows = np.arange(len(y))
checked = np.isin(rows, train_test_split(rows, train_size=100, stratify=y, random_state=0)[0])
given, is_wrong = corrupt_labels(y, noise_rate=0.3, random_state=0)
given[checked] = y[checked]
is_wrong &= ~checked

print(f"\n{X.shape[0]} rows, {X.shape[1]} words\n")
print("| method | accuracy (%) | suspected | wrong of these (%) | found of all wrong (%) |")
print("|---|---|---|---|---|")
for method in ("uniform", "mw-net"):
    clf = MetaWeightClassifier(method=method, random_state=0)
    clf.fit(X, given, meta_mask=checked)
    issues = clf.find_label_issues()
    found = np.isin(np.flatnonzero(is_wrong), issues)
    print(
        f"| {method} | {100 * clf.score(X_test, y_test):.1f} | {len(issues)} "
        f"| {100 * is_wrong[issues].mean():.1f} | {100 * found.mean():.1f} |"
    )

# %%
# The most distrusted
# -------------------
# The first of ``find_label_issues``: the label that a sentence carries, the one that the network
# suggests, and the sentence.


def tell(places):
    for place, suggested in zip(places, clf.predict(X[places]), strict=True):
        verdict = "right" if suggested == y[place] else f"it is {y[place]}"
        print(f"{given[place]} → {suggested} ({verdict}): {texts[place]}")


tell(issues[:12])

# %%
# Suspected, and right
# --------------------
# Labels that are right, and were suspected all the same: a sentence without a word of its library
# does not tell which one it is of.

unjustly = issues[~is_wrong[issues]]
print(f"{len(unjustly)} of {len(issues)} suspected labels are right")
tell(unjustly[:6])

# %%
# The weights
# -----------

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
weights = clf.sample_weights_
bins = np.linspace(0, weights.max(), 40)
ax.hist(weights[~is_wrong], bins, alpha=0.7, color="#0072B2", label="right labels")
ax.hist(weights[is_wrong], bins, alpha=0.7, color="#D55E00", label="wrong labels")
ax.set(xlabel="Learned weight", ylabel="Sentences", title="Weights of right and of wrong labels")
ax.legend(frameon=False)

if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "text.png"
    figure.savefig(path, dpi=150)
    print(f"Figure written to {path}")
