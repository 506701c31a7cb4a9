"""
==================================
Pictures that carry a wrong label
==================================

A small convolutional network on scikit-learn's digits, of whose labels 30% were replaced at random.
100 rows are checked. Which pictures are distrusted most, what does the network suggest for them,
and is it right?
"""

# %%
# The task
# --------
# Any torch module from X to logits takes the place of the default network.

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels


class SmallConvNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 10),
        )


digits = load_digits()
images = (digits.images[:, None] / 16).astype(np.float32)
X, X_test, y, y_test = train_test_split(
    images, digits.target, test_size=0.3, stratify=digits.target, random_state=0
)
rows = np.arange(len(y))
checked = np.isin(rows, train_test_split(rows, train_size=100, stratify=y, random_state=0)[0])
given, is_wrong = corrupt_labels(y, noise_rate=0.3, random_state=0)
given[checked] = y[checked]
is_wrong &= ~checked

# %%
# The fits
# --------
# ``uniform`` trains the same network on the same rows, with all weights at one. It suspects labels
# as well, wherever its prediction differs. One seed: the differences are an illustration, not a
# measurement.

print("| method | accuracy (%) | suspected | wrong of these (%) | found of all wrong (%) |")
print("|---|---|---|---|---|")
for method in ("uniform", "mw-net"):
    clf = MetaWeightClassifier(SmallConvNet, method=method, max_epochs=15, random_state=0)
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
# The first of ``find_label_issues``, with the label that they carry and the one that the network
# suggests; blue where that is the truth.


def show_pictures(places, n_columns=8):
    suggested = clf.predict(X[places])
    n_rows = -(-len(places) // n_columns)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(9, 1.4 * n_rows), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, place, label in zip(axes.flat, places, suggested, strict=False):
        ax.imshow(X[place, 0], cmap="gray_r")
        color = "#0072B2" if label == y[place] else "#B34700"
        ax.set_title(f"{given[place]} → {label}", color=color, fontsize=11)
    return figure


figure = show_pictures(issues[:24])

# %%
# Suspected, and right
# --------------------
# No such list is without error. These labels are right, and were suspected all the same: a person
# who looks at them decides in a second.

unjustly = issues[~is_wrong[issues]]
print(f"{len(unjustly)} of {len(issues)} suspected labels are right")
if len(unjustly):
    show_pictures(unjustly[:8])

if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "images.png"
    figure.savefig(path, dpi=150)
    print(f"Figure written to {path}")
