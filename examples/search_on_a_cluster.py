"""
=====================
A search on a cluster
=====================

scikit-learn hands the fits of a search to joblib, and joblib to a cluster::

    pip install distributed
    python examples/search_on_a_cluster.py

Here Dask starts two workers on this machine; with ``Client("tcp://scheduler:8786")`` in place of
``LocalCluster`` they are elsewhere. One thread for each, as a fit of few rows gains nothing by a
second. A worker that dies does not lose the search: Dask gives its fits to another.
"""

# sphinx_gallery_thumbnail_path = '_static/thumb_cluster.svg'

from __future__ import annotations

import joblib
from distributed import Client, LocalCluster
from scipy.stats import loguniform
from sklearn.datasets import load_digits
from sklearn.model_selection import RandomizedSearchCV, train_test_split

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels


def main():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    X, X_meta, y, y_meta = train_test_split(X, y, test_size=100, stratify=y, random_state=0)
    y, _ = corrupt_labels(y, noise_rate=0.4, random_state=0)

    clf = MetaWeightClassifier(max_epochs=10, random_state=0)
    settings = {"lr": loguniform(3e-4, 3e-2), "method": ["mw-net", "l2rw"]}
    search = RandomizedSearchCV(clf, settings, n_iter=4, cv=2, random_state=0, verbose=1)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config("dask", scatter=[X, X_meta]),
    ):
        search.fit(X, y, X_meta=X_meta, y_meta=y_meta)
    print(search.best_params_)
    print(f"test accuracy {search.score(X_test, y_test):.3f}")


if __name__ == "__main__":
    main()
