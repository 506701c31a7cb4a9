"""Which data sets go with which kinds of noise: the sets of tasks, by name.

``development`` and ``confirmation`` are all data sets of the folder, one part or the other, with
all kinds of noise that make sense. The others are short lists of settings, on which defaults are
judged. Their data sets have been looked at often, also those of ``confirmation``.
"""

from __future__ import annotations

from benchmarks.accuracy.data_sets import data_folder, read_index
from benchmarks.accuracy.tasks import LONG_TAILED, MILD, SIMULATED

DEVELOPMENT = (
    "adult",
    "letter",
    "satimage",
    "phoneme",
    "dry_bean",
    "forest_cover",
    "music_genre",
    "weak_hausa",
    "wrench_trec",
    "crowdsourced_mapping",
    "cifar10n_features",
)
NATURALLY_IMBALANCED = ("mammography", "ai4i2020", "page_blocks", "shuttle", "nursery", "sick")
MAX_TRAINING_ROWS = {"cifar10n_features": 10_000}

Noises = dict[str, list[str]]
"""Kinds of noise by task."""

GROUPS: dict[str, Noises] = {
    "noisy": {
        "letter": ["uniform", "pair"],
        "satimage": ["uniform", "feature-dependent"],
        "phoneme": ["uniform"],
        "dry_bean": ["pair"],
        "forest_cover": ["uniform"],
        "adult": ["uniform"],
        "music_genre": ["real"],
        "weak_hausa": ["real"],
        "wrench_trec": ["real"],
        "crowdsourced_mapping": ["real"],
        "cifar10n_features": ["real"],
    },
    "clean": {
        "letter": ["none"],
        "satimage": ["none"],
        "adult": ["none"],
        "phoneme": ["none"],
        "dry_bean": ["none"],
        "credit_default": ["none"],
        "churn_modelling": ["none"],
    },
    "tails": {
        "letter": ["uniform-tail", "pair-tail"],
        "dry_bean": ["uniform-tail", "pair-tail"],
        "forest_cover": ["uniform-tail"],
        "satimage": ["uniform-tail"],
    },
    "overlapping": {
        "adult": ["feature-dependent"],
        "phoneme": ["feature-dependent"],
        "magic": ["feature-dependent"],
        "credit_default": ["feature-dependent", "uniform"],
        "bank_marketing": ["uniform"],
        "churn_modelling": ["uniform"],
    },
}
SETS = ("development", "confirmation", *GROUPS)


def noises_by_task(which: str) -> Noises:
    """Return the tasks of a set that are in the folder, each with its kinds of noise."""
    names = read_index(data_folder())
    if which in GROUPS:
        return {name: noises for name, noises in GROUPS[which].items() if name in names}
    is_development = which == "development"
    return {name: noises_of(name) for name in names if (name in DEVELOPMENT) == is_development}


def noises_of(task: str) -> list[str]:
    """Return the kinds of noise that make sense for a task."""
    row = read_index(data_folder())[task]
    is_real = row["real_noise"] == "True"
    noises = ["real"] if is_real else [*SIMULATED, *MILD]
    if task == "cifar10n_features":
        noises.append("real-mild")
    if int(row["n_classes"]) == 2 and not is_real:
        noises.remove("pair")  # the same as uniform
    if float(row["imbalance_ratio"]) < 1.5 and int(row["n"]) >= 3_000:
        noises += LONG_TAILED
    if task in NATURALLY_IMBALANCED:
        noises.append("natural-imbalance")
    return noises


def max_rows_of(task: str) -> int:
    return MAX_TRAINING_ROWS.get(task, 4_000)
