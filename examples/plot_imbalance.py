"""
============================================
Rare classes: the weights rise with the loss
============================================

A large loss can mean a wrong label, or a row of a rare class that the network has not yet learned.
No rule fixed in advance serves both. A weighting function that is learned from trusted rows does:
with wrong labels it falls with the loss, with rare classes it rises.
"""

# %%
# Two tasks
# ---------
# Scikit-learn's digits, with the same 50 checked rows, five of each class, in both tasks. In one,
# the other rows are thinned out to a long tail: the largest class has 100 times the rows of the
# smallest, and all labels are right. In the other, all rows are there and 40% of the labels are
# wrong.

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels, make_long_tailed
from skmetaweight.inspection import WeightingFunctionDisplay

SEEDS = range(3)


def make_tasks(seed):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
    X, X_meta, y, y_meta = train_test_split(X, y, test_size=50, stratify=y, random_state=seed)
    X_tailed, y_tailed, _ = make_long_tailed(X, y, imbalance_ratio=100, random_state=seed)
    y_noisy, _ = corrupt_labels(y, noise_rate=0.4, random_state=seed)
    checked = {"X_meta": X_meta, "y_meta": y_meta}
    return (X_tailed, y_tailed), (X, y_noisy), checked, (X_test, y_test)


# %%
# The methods
# -----------
# Everything is at its default but for the second method, as published: its weights depend on the
# loss alone (``method__memory=0``), and classes are not smoothed. With the memory, which is the
# default, most of what is learned of a row is in its alignment with the checked rows, and the
# function of the loss is nearly flat. The checked rows are even, so that the meta loss cares for
# all classes alike. ``mw-net`` and ``fmw-net`` smooth the classes, predict them as often as 50
# checked rows can tell; the fourth method does without. The last two have
# ``class_weight="balanced"``, which gives the classes equal shares of the training loss too.

METHODS = {
    "uniform": {"method": "uniform"},
    "mw-net, loss only": {"method__memory": 0, "class_smoothing": 0},
    "mw-net": {"method": "mw-net"},
    "mw-net, not smoothed": {"class_smoothing": 0},
    "fmw-net": {"method": "fmw-net"},
    "uniform, balanced": {"method": "uniform", "class_weight": "balanced"},
    "mw-net, balanced": {"class_weight": "balanced"},
}

accuracy = {name: [] for name in METHODS}
class_weights = {name: [] for name in METHODS}
functions = {}

for seed in SEEDS:
    tailed, noisy, checked, (X_test, y_test) = make_tasks(seed)
    sizes = np.bincount(tailed[1])
    for name, params in METHODS.items():
        clf = MetaWeightClassifier(**params, random_state=seed)
        clf.fit(*tailed, **checked)
        score = balanced_accuracy_score(y_test, clf.predict(X_test))
        accuracy[name].append(100 * score)
        weights = [clf.sample_weights_[tailed[1] == label].mean() for label in np.argsort(-sizes)]
        class_weights[name].append(weights)
        if seed == SEEDS[0] and "loss only" in name:
            functions["rare classes"] = clf
            functions["wrong labels"] = MetaWeightClassifier(**params, random_state=seed)
            functions["wrong labels"].fit(*noisy, **checked)

# %%
# The result
# ----------
# Balanced accuracy on test rows of all classes, in percent, and the mean weight of the rows of the
# largest and of the smallest class. Mean and standard deviation over three seeds.


def print_table():
    print("| method | balanced accuracy | against uniform | largest class | smallest class |")
    print("|---|---|---|---|---|")
    baseline = np.array(accuracy["uniform"])
    for name, scores in accuracy.items():
        gain = np.array(scores) - baseline
        against = "—" if name == "uniform" else f"{gain.mean():+.1f} ± {gain.std(ddof=1):.1f}"
        weights = np.mean(class_weights[name], axis=0)
        print(
            f"| {name} | {np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f} | {against} "
            f"| {weights[0]:.2f} | {weights[-1]:.2f} |"
        )


print_table()

# %%
# The function of the loss alone rises for rare classes and falls for wrong labels. By itself it
# gains nothing over ``uniform``, which trains on the checked rows as well: in the end the network
# fits the rare rows too, all losses are near zero and the weights nearly equal. The remembered
# alignments of ``mw-net`` still raise the rare classes, and alone gain nothing either. ``fmw-net``
# learns the opposite: its weight of the smallest class falls. What gains is to smooth the classes,
# here more than ``class_weight="balanced"``, beside which they are not smoothed.

NAMES = {
    "uniform": "uniform",
    "mw-net, loss only": "MW-Net, loss only",
    "mw-net": "MW-Net",
    "mw-net, not smoothed": "MW-Net, not smoothed",
    "fmw-net": "FMW-Net",
    "uniform, balanced": "uniform, balanced",
    "mw-net, balanced": "MW-Net, balanced",
}


def draw():
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "legend.fontsize": 8})
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
    for (task, clf), color in zip(functions.items(), ("C0", "C3"), strict=True):
        look = {"loss_range": (0, 4), "name": task.capitalize(), "color": color}
        display = WeightingFunctionDisplay.from_estimator(clf, ax=axes[0], **look)
        for mark in (display.rug_, *display.outside_):  # each task has losses of its own
            mark.remove()
    axes[0].set_xlim(0, 4)
    axes[0].set_title("MW-Net: weight of a loss")
    ranks = np.arange(1, 11)
    for name in ("mw-net, loss only", "mw-net", "fmw-net", "mw-net, balanced"):
        weights = np.mean(class_weights[name], axis=0)
        axes[1].plot(ranks, weights, "o-", markersize=3, label=NAMES[name])
    axes[1].axhline(1, color="0.6", linewidth=0.8)
    axes[1].set(xlabel="Class, largest to smallest", ylabel="Mean weight", ylim=(0, None))
    axes[1].set_title("Weights under a long tail")
    axes[1].legend(frameon=False)
    draw_accuracies(axes[2])
    for ax, letter in zip(axes, "abc", strict=True):
        title = ax.get_title()
        ax.set_title("")
        ax.set_title(rf"$\bf{{{letter}}}$  {title}", loc="left")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw_accuracies(ax):
    places = np.arange(len(METHODS))[::-1]
    for place, scores in zip(places, accuracy.values(), strict=True):
        ax.plot(scores, [place] * len(scores), "o", color="0.6", markersize=4)
        ax.plot(np.mean(scores), place, "|", color="black", markersize=14, markeredgewidth=2)
    ax.set_yticks(places, [NAMES[name] for name in METHODS])
    ax.set(xlabel="Balanced accuracy (%)", title="Each seed, and the mean")
    ax.margins(y=0.12)


figure = draw()
if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "imbalance.png"
    figure.savefig(path, dpi=150)
    print(f"Figure written to {path}")
