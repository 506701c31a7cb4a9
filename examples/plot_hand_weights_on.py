"""
=======================================
Weights for forests and other learners
=======================================

A network learns the weights, another estimator uses them: whatever takes ``sample_weight``. The
digits again, with 40% wrong labels and 100 checked rows. A forest, a gradient boosting and a
logistic regression are fit to the same rows with and without the learned weights.
"""

# %%
# The task
# --------
# Each class has two other classes for which its rows are taken, with probability 0.2 each: the
# "flip-two" noise of the Meta-Weight-Net paper.

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels

SEEDS = range(3)


def make_task(seed):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
    rows = np.arange(len(y))
    checked, _ = train_test_split(rows, train_size=100, stratify=y, random_state=seed)
    meta_mask = np.isin(rows, checked)
    noisy, _ = corrupt_labels(y, noise="flip-two", noise_rate=0.4, random_state=seed)
    noisy[meta_mask] = y[meta_mask]
    return X, noisy, meta_mask, X_test, y_test


# %%
# Handing the weights on
# ----------------------
# One weight per row of X comes with the fit, as ``sample_weights_``; a checked row has weight one.
# The plain ways to use the checked rows are compared as well: on their own, and with their weights
# raised so that they make up a fifth of the total, which is the share that the network gives them.
# Rows that were not in the fit get their weights from ``clf.compute_sample_weight(X, y)``. For a
# single estimator, :class:`~skmetaweight.MetaWeightedEstimator` does it all in one fit, and sees
# that weights next to zero do no harm.

ESTIMATORS = {
    "random forest": RandomForestClassifier(min_samples_leaf=3, random_state=0),
    "hist. gradient boosting": HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "logistic regression": LogisticRegression(max_iter=500),
}


def ways_to_weigh(clf, meta_mask):
    ones = np.ones(len(meta_mask))
    learned = clf.sample_weights_
    raised = np.where(meta_mask, 0.25 * (~meta_mask).sum() / meta_mask.sum(), 1)
    return {
        "no weights": ones,
        "checked rows only": meta_mask.astype(float),
        "checked rows raised": raised,
        "learned weights": learned,
        "learned, checked rows raised": learned * raised,
    }


accuracy = {name: {} for name in ESTIMATORS}
networks = {"uniform": [], "mw-net": []}
for seed in SEEDS:
    X, y, meta_mask, X_test, y_test = make_task(seed)
    for method, scores in networks.items():
        clf = MetaWeightClassifier(method=method, random_state=seed)
        clf.fit(X, y, meta_mask=meta_mask)
        scores.append(100 * clf.score(X_test, y_test))
    for name, estimator in ESTIMATORS.items():
        for way, weights in ways_to_weigh(clf, meta_mask).items():
            used = weights > 0
            other = clone(estimator).fit(X[used], y[used], sample_weight=weights[used])
            accuracy[name].setdefault(way, []).append(100 * other.score(X_test, y_test))

# %%
# The result
# ----------


def show(values):
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def print_table():
    ways = list(accuracy["random forest"])
    print(f"Accuracy on clean test rows (%), mean ± standard deviation over {len(SEEDS)} seeds\n")
    print(f"| estimator | {' | '.join(ways)} |")
    print("|---" * (len(ways) + 1) + "|")
    for name, by_way in accuracy.items():
        print(f"| {name} | {' | '.join(show(by_way[way]) for way in ways)} |")
    print()
    for method, scores in networks.items():
        print(f"The network itself, {method}: {show(scores)}")


print_table()

# %%
# A tree grown until its leaves are pure fits a wrong label even at a small weight, since the leaf
# may hold no other row: ``min_samples_leaf`` makes rows share leaves, so that the weights decide.
# A linear model suffers most from wrong labels at equal weights; a hundred checked rows alone take
# it to within about five points of what the learned weights do.


def draw():
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10})
    figure, axes = plt.subplots(
        1, len(accuracy), figsize=(9, 2.8), sharex=True, sharey=True, layout="constrained"
    )
    for ax, (name, by_way), letter in zip(axes, accuracy.items(), "abc", strict=True):
        places = np.arange(len(by_way))[::-1]
        for place, (way, scores) in zip(places, by_way.items(), strict=True):
            color = "C0" if way.startswith("learned") else "0.6"
            ax.plot(scores, [place] * len(scores), "o", color=color, markersize=4)
            ax.plot(np.mean(scores), place, "|", color="black", markersize=14, markeredgewidth=2)
        ax.set_yticks(places, list(by_way))
        ax.set_ylim(-0.6, len(by_way) - 0.4)
        ax.set_title(rf"$\bf{{{letter}}}$  {name.capitalize()}", loc="left")
        ax.set_xlabel("Test accuracy (%)")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


figure = draw()
if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "hand_weights_on.png"
    figure.savefig(path, dpi=150)
    print(f"Figure written to {path}")
