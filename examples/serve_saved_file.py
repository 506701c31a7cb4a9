"""
============================
A saved file in production
============================

A classifier is trained and saved; then a process of its own opens the file and answers 1,000 single
rows. Nothing of the training is needed there: no rows, no callbacks, no pictures, no tables. Beside
it, the same is done with an ONNX file of the classifier, where torch is not needed either, and with
a pickled random forest. Needs the extras ``io`` and ``onnx``.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FILES = {"saved file": "clf.smw", "ONNX": "clf.onnx", "pickled random forest": "forest.pickle"}
N_ROWS = 1_000


# %%
# The process that answers
# ------------------------
# What a service would hold: one function from a row to probabilities, for each kind of file.


def opened(path):
    if path.suffix == ".smw":
        from skmetaweight import MetaWeightClassifier

        return MetaWeightClassifier.load(path).predict_proba
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return lambda row: session.run(["probabilities"], {"X": row})[0]
    return pickle.loads(path.read_bytes()).predict_proba  # runs what the file says


def answer(path, begun):
    """Answer rows one by one; print when the first answer came, and how long the others took."""
    rows = np.load(path.with_name("rows.npy"))
    predict_proba = opened(path)
    predict_proba(rows[:1])
    started, seconds = time.time() - begun, []
    for i in range(N_ROWS):
        start = time.perf_counter()
        predict_proba(rows[[i % len(rows)]])
        seconds.append(time.perf_counter() - start)
    median, late = 1e3 * np.percentile(seconds, [50, 99])
    print(f"{started:.1f} | {median:.2f} | {late:.2f}")


# %%
# The process that trains
# -----------------------


def train(folder):
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    from skmetaweight import MetaWeightClassifier, export_onnx
    from skmetaweight.datasets import corrupt_labels

    X, y = load_digits(return_X_y=True)
    checked = np.arange(len(y)) < 200
    noisy, _ = corrupt_labels(y, noise_rate=0.3, random_state=0)
    noisy[checked] = y[checked]
    clf = MetaWeightClassifier(random_state=0).fit(X, noisy, meta_mask=checked)
    clf.save(folder / "clf.smw")
    export_onnx(clf, folder / "clf.onnx")
    forest = RandomForestClassifier(random_state=0).fit(X, noisy)
    (folder / "forest.pickle").write_bytes(pickle.dumps(forest))
    np.save(folder / "rows.npy", X.astype(np.float32))


def compare(folder):
    """Open each file in a process of its own."""
    print("| file | KiB | seconds to the first answer | ms a row, median | 99th percentile |")
    print("|---|---|---|---|---|")
    for name, file in FILES.items():
        command = [sys.executable, __file__, "--answer", str(folder / file), str(time.time())]
        size = (folder / file).stat().st_size / 1024
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        print(f"| {name} | {size:,.0f} | {said.strip()} |")


# %%
# Most of the time until the first answer goes into importing torch and scikit-learn.

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer", nargs=2, metavar=("FILE", "BEGUN"))
    arguments = parser.parse_args()
    if arguments.answer:
        answer(Path(arguments.answer[0]), float(arguments.answer[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            train(Path(temporary))
            compare(Path(temporary))

# sphinx_gallery_thumbnail_path = '_static/thumb_saved_file.svg'
