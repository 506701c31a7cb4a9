"""
====================================
Which score picks the right model?
====================================

Cross-validation on noisy labels rewards whatever reproduces the noise. Here an annotator has taken
five digits for others more often than not. The same candidates are scored twice, on all labels and
on the checked ones only, and the two scores choose different models.
"""

# %%
# The task
# --------
# 800 of scikit-learn's digits, 100 of them checked. Of the others, 60% of the 2s were labelled 0,
# of the 3s 8, of the 4s 9, of the 5s 6 and of the 7s 1: 30% of all labels. The 997 test rows are
# clean, and serve only to tell which score was right.

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels
from skmetaweight.model_selection import TrustedKFold

SEEDS = range(3)
TAKEN_FOR = {2: 0, 3: 8, 4: 9, 5: 6, 7: 1}


def make_task(seed):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, train_size=800, stratify=y, random_state=seed)
    rows = np.arange(len(y))
    checked, _ = train_test_split(rows, train_size=100, stratify=y, random_state=seed)
    meta_mask = np.isin(rows, checked)
    transitions = np.eye(10)
    for label, other in TAKEN_FOR.items():
        transitions[label, [label, other]] = 0.4, 0.6
    noisy, _ = corrupt_labels(
        y, noise="class-conditional", transition_matrix=transitions, random_state=seed
    )
    noisy[meta_mask] = y[meta_mask]
    return X, noisy, meta_mask, X_test, y_test


# %%
# Two ways to score
# -----------------
# Both searches get the mask of the checked rows, and train on checked and unchecked ones. The first
# stratifies its folds by label and mask, and scores on all labels of a test fold. The second uses
# :class:`~skmetaweight.model_selection.TrustedKFold`, whose test folds hold checked rows only. It
# takes the mask as ``groups``; with metadata routing enabled, ``meta_mask`` alone would do. With
# ``meta_share=0`` the checked rows are not trained on, and ``uniform`` is an ordinary network.

CANDIDATES = {
    "uniform, meta_share=0": {"method": ["uniform"], "meta_share": [0]},
    "uniform": {"method": ["uniform"]},
    "mw-net": {"method": ["mw-net"]},
    "fmw-net": {"method": ["fmw-net"]},
    "l2rw": {"method": ["l2rw"]},
}


def cross_validate(clf, X, y, meta_mask, *, on_trusted_rows):
    if on_trusted_rows:
        cv = TrustedKFold(3, shuffle=True, random_state=0)
    else:
        both = [f"{label} {trusted}" for label, trusted in zip(y, meta_mask, strict=True)]
        cv = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, both))
    search = GridSearchCV(clf, list(CANDIDATES.values()), cv=cv, refit=False)
    search.fit(X, y, meta_mask=meta_mask, groups=meta_mask)
    return 100 * search.cv_results_["mean_test_score"]


scores = {"all labels": [], "checked labels": []}
accuracy = []
for seed in SEEDS:
    X, y, meta_mask, X_test, y_test = make_task(seed)
    clf = MetaWeightClassifier(max_epochs=10, random_state=seed)
    for name in scores:
        on_trusted_rows = name == "checked labels"
        scores[name].append(cross_validate(clf, X, y, meta_mask, on_trusted_rows=on_trusted_rows))
    accuracy.append([])
    for grid in CANDIDATES.values():
        params = {name: values[0] for name, values in grid.items()}
        fitted = MetaWeightClassifier(max_epochs=10, random_state=seed, **params)
        fitted.fit(X, y, meta_mask=meta_mask)
        accuracy[-1].append(100 * fitted.score(X_test, y_test))

scores = {name: np.array(values) for name, values in scores.items()}
accuracy = np.array(accuracy)

# %%
# The result
# ----------
# What counts are the lines below the table: the clean accuracy of the candidates that each score
# chose.


def show(values):
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def print_table():
    print(f"Accuracy (%), mean ± standard deviation over {len(SEEDS)} seeds\n")
    print("| candidate | score on all labels | score on checked labels | clean test rows |")
    print("|---|---|---|---|")
    for i, name in enumerate(CANDIDATES):
        columns = [show(values[:, i]) for values in (*scores.values(), accuracy)]
        print(f"| {name} | {' | '.join(columns)} |")
    print()
    for name, values in scores.items():
        chosen = accuracy[np.arange(len(SEEDS)), values.argmax(axis=1)]
        print(f"Chosen by {name}: {show(chosen)} on clean test rows")
    print(f"Best candidate of each seed: {show(accuracy.max(axis=1))}")


print_table()

# %%
# Each score against the truth
# ----------------------------
# A score is worth something if the points rise. That on all labels does not: it sees how well the
# annotator is imitated. That on checked labels is noisy in its own way, since each of its values
# rests on 100 rows, with a standard error of three to five points; it tells the good from the bad,
# not the good from the good.


def draw():
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "legend.fontsize": 8})
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
    for ax, (name, values), letter in zip(axes, scores.items(), "ab", strict=True):
        for i, (candidate, marker) in enumerate(zip(CANDIDATES, "osD^v", strict=True)):
            ax.plot(values[:, i], accuracy[:, i], marker, label=candidate, alpha=0.8)
        for row, truth in zip(values, accuracy, strict=True):
            best = row.argmax()
            ax.plot(row[best], truth[best], "o", color="black", markersize=13, fillstyle="none")
        ax.set_title(rf"$\bf{{{letter}}}$  Scored on {name}", loc="left")
        ax.set_xlabel("Cross-validated accuracy (%)")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("Accuracy on clean test rows (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    (ring,) = axes[0].plot([], [], "o", color="black", markersize=10, fillstyle="none")
    figure.legend(
        [*handles, ring], [*labels, "chosen, by seed"], loc="outside lower center", ncols=3
    )
    return figure


figure = draw()
if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "cross_validation.png"
    figure.savefig(path, dpi=150)
    print(f"Figure written to {path}")
