"""
========================
One fit on two processes
========================

A launcher that starts processes is all that it takes::

    torchrun --nproc-per-node 2 examples/train_on_two_processes.py

``fit`` notices that it is one of several. Each of them has all rows, runs its share of every batch,
and ends with the same classifier. Nothing in this script is about processes, but that only the
first prints; ``python examples/train_on_two_processes.py`` runs it in one, which differs from two
by what dropout draws.
"""

from __future__ import annotations

import os
import time

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels


def main():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    X, X_meta, y, y_meta = train_test_split(X, y, test_size=100, stratify=y, random_state=0)
    y, is_wrong = corrupt_labels(y, noise_rate=0.4, random_state=0)

    start = time.perf_counter()
    clf = MetaWeightClassifier(random_state=0).fit(X, y, X_meta=X_meta, y_meta=y_meta)
    seconds = time.perf_counter() - start

    if os.environ.get("RANK", "0") == "0":
        print(f"{os.environ.get('WORLD_SIZE', 1)} processes, {seconds:.1f} s")
        print(f"test accuracy {clf.score(X_test, y_test):.3f}")
        print(f"mean weight of wrong labels {clf.sample_weights_[is_wrong].mean():.2f}")
        print(f"mean weight of right labels {clf.sample_weights_[~is_wrong].mean():.2f}")


if __name__ == "__main__":
    main()

# sphinx_gallery_thumbnail_path = '_static/thumb_processes.svg'
