"""
=====================================
What weights do where classes overlap
=====================================

Where two classes overlap, right labels can look wrong. Here the truth is known: rows of two normal
classes, of which the best of all classifiers gets 16% wrong. With right labels, weights should stay
at one. With 30% wrong labels they should fall, and fall for whom?
"""

# %%
# The task
# --------
# The first column tells the classes apart, with a mean of -1 or 1; the second is noise. Of 600
# rows, 100 are checked. The data are generated, the labels of the 4,000 test rows are right, and
# the true probability of each class is known.

from __future__ import annotations

import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.metrics import log_loss

from skmetaweight import MetaWeightClassifier

SEEDS = range(3)
METHODS = ("uniform", "mw-net")
SETTINGS = {"right labels": 0.0, "30% wrong labels": 0.3}


def make_rows(n_rows, rng):
    y = rng.integers(0, 2, n_rows)
    X = rng.normal(size=(n_rows, 2))
    X[:, 0] += 2 * y - 1
    return X, y


def true_probability(X):
    return expit(2 * X[:, 0])


def make_task(noise_rate, seed):
    rng = np.random.default_rng(seed)
    X, y = make_rows(600, rng)
    checked = np.arange(len(y)) < 100
    is_wrong = (rng.random(len(y)) < noise_rate) & ~checked
    return X, y, is_wrong, checked, *make_rows(4000, rng)


# %%
# The fits
# --------
# All at their defaults. With right labels ``fit`` warns that the checked rows do not confirm that
# labels are wrong, as it should; that warning is left out here.

warnings.filterwarnings("ignore", message="The trusted rows do not confirm")
results = {}
fitted = {}
for setting, noise_rate in SETTINGS.items():
    for method in METHODS:
        for seed in SEEDS:
            X, y, is_wrong, checked, X_test, y_test = make_task(noise_rate, seed)
            clf = MetaWeightClassifier(method=method, random_state=seed)
            clf.fit(X, np.where(is_wrong, 1 - y, y), meta_mask=checked)
            p, truth = clf.predict_proba(X_test)[:, 1], true_probability(X_test)
            scores = 100 * clf.score(X_test, y_test), log_loss(y_test, p), np.abs(p - truth).mean()
            results.setdefault((setting, method), []).append(scores)
            fitted.setdefault((setting, method), clf)

# %%
# The result
# ----------
# The last column is the mean distance from the true probability.


def print_table():
    print(f"Mean ± standard deviation over {len(SEEDS)} seeds\n")
    print("| labels | method | test accuracy (%) | log loss | off the truth by |")
    print("|---|---|---|---|---|")
    for (setting, method), scores in results.items():
        means, spreads = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
        shown = [f"{means[0]:.1f} ± {spreads[0]:.1f}"]
        shown += [f"{m:.3f} ± {s:.3f}" for m, s in zip(means[1:], spreads[1:], strict=True)]
        print(f"| {setting} | {method} | {' | '.join(shown)} |")


print_table()

# %%
# Whose weight falls
# ------------------
# A weight says how well a label fits the row, and not whether it is right. Here a label is
# *plausible* if it is the more probable one of its row. Wrong labels that the noise made plausible
# keep their weight: nobody could tell them from right ones. Right labels on the far side of the
# overlap lose most of theirs, and are suspected as well. The probabilities stay nearer the truth
# than without weights all the same.


def groups_of(seed):
    X, y, is_wrong, checked, *_ = make_task(SETTINGS["30% wrong labels"], seed)
    given = np.where(is_wrong, 1 - y, y)
    is_plausible = (true_probability(X) > 0.5) == (given == 1)
    groups = {
        "right, plausible": ~is_wrong & is_plausible,
        "right, not plausible": ~is_wrong & ~is_plausible,
        "wrong, plausible": is_wrong & is_plausible,
        "wrong, not plausible": is_wrong & ~is_plausible,
    }
    return X, {name: rows & ~checked for name, rows in groups.items()}


X, groups = groups_of(SEEDS[0])
weights = fitted["30% wrong labels", "mw-net"].sample_weights_
print("30% wrong labels, mw-net, the first seed\n")
print("| given label | rows | mean weight |")
print("|---|---|---|")
for name, rows in groups.items():
    print(f"| {name} | {rows.sum()} | {weights[rows].mean():.2f} |")

# %%
# Both in one picture
# -------------------
# On the left, the weights of the rows; on the right, the probability that is predicted along the
# first column. With all weights at one, the wrong labels pull it towards one half.


def draw():
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "legend.fontsize": 8})
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for (name, rows), look in zip(groups.items(), ("C0.", "C9.", "C1x", "C3x"), strict=True):
        axes[0].plot(X[rows, 0], weights[rows], look, markersize=5, label=name.capitalize())
    axes[0].set(xlabel="First column", ylabel="Learned weight")
    axes[0].set_title(r"$\bf{a}$  Weights of the rows, 30% wrong", loc="left")
    axes[0].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    grid = np.column_stack([np.linspace(-3, 3, 121), np.zeros(121)])
    axes[1].plot(grid[:, 0], true_probability(grid), "k:", label="Truth")
    for (setting, method), clf in fitted.items():
        color = "C0" if method == "mw-net" else "0.5"
        line = "-" if setting == "30% wrong labels" else "--"
        axes[1].plot(
            grid[:, 0],
            clf.predict_proba(grid)[:, 1],
            line,
            color=color,
            label=f"{method}, {setting}",
        )
    axes[1].set(xlabel="First column", ylabel="Probability of the second class", ylim=(0, 1))
    axes[1].set_title(r"$\bf{b}$  Predicted probability", loc="left")
    axes[1].legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


figure = draw()
if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "overlap.png"
    figure.savefig(path, dpi=150)
    print(f"Figure written to {path}")
