"""What all methods of a run share, and the sets of fits by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.papers.networks import build_network
from benchmarks.papers.tasks import TASKS
from benchmarks.papers.texts import TextTransformer
from skmetaweight import PAPER_TRAINING

PAPER_EPOCHS = 120
TRANSFORMER = "transformer"
"""The network of texts."""
SGD = {name: PAPER_TRAINING[name] for name in PAPER_TRAINING if name.startswith("optimizer")}
OF_TAILS = {"optimizer__nesterov": True}
"""The released script for imbalance has it, with 100 epochs and milestones at 80 and 90."""


@dataclass(frozen=True)
class Recipe:
    """Images or texts, network and training; of a tail, five sixths of the epochs.

    Parameters
    ----------
    n_train : int or None
        Training rows before a tail is cut; None for all that are not trusted.
    n_trusted : int
        For noise; a long tail has ten of each class.
    optimizer : {"sgd", "adamw"}
        As published, with its milestones; or AdamW with a cosine.
    """

    images: str = "cifar10n_images"
    side: int = 32
    n_train: int | None = None
    n_trusted: int = 1000
    network: str = "resnet32"
    width: int = 16
    augment: bool = True
    epochs: int = PAPER_EPOCHS
    batch_size: int = 100
    optimizer: str = "sgd"
    lr: float = 0.1

    def training(self, n_classes: int, setting: str) -> dict[str, Any]:
        """Return parameters of a MetaWeightClassifier, its method left open."""
        of_images = {
            "module": build_network,
            "module__name": self.network,
            "module__augment": self.augment,
        }
        shared = {
            **({"module": TextTransformer} if self.network == TRANSFORMER else of_images),
            "module__n_classes": n_classes,
            "module__width": self.width,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "max_epochs": self.epochs,
        }
        if self.optimizer == "adamw":
            return {**shared, "optimizer": torch.optim.AdamW}
        if setting == "imbalance":
            epochs = max(1, self.epochs * 5 // 6)
            milestones = milestones_of(epochs, 0.8, 0.9)
            return {
                **shared,
                **SGD,
                **OF_TAILS,
                "max_epochs": epochs,
                "lr_schedule": milestones,
            }
        return {**shared, **SGD, "lr_schedule": milestones_of(self.epochs, 2 / 3, 5 / 6)}


def milestones_of(epochs: int, *shares: float) -> tuple[int, ...]:
    """Return the epochs, from 1, after which the learning rate is divided by ten."""
    return tuple(max(1, round(share * epochs)) for share in shares)


@dataclass(frozen=True)
class Plan:
    recipe: Recipe
    tasks: tuple[str, ...]
    methods: tuple[str, ...]


PUBLISHED = ("base", "meta-only", "fine-tuned", "mw-net-paper", "fmw-net-paper", "l2rw-paper")
OURS = ("uniform", "mw-net", "fmw-net", "l2rw")
WEIGHTINGS = ("mw-net-paper", "mw-net-paper-50-50", "mw-net-paper-20-20-20")
SMALL = Recipe(
    side=16, n_train=4000, n_trusted=500, network="resnet20", width=8, epochs=30, batch_size=100
)
HUMAN = Recipe(
    n_train=5000,
    n_trusted=500,
    network="cnn",
    width=32,
    augment=False,
    epochs=12,
    batch_size=128,
    optimizer="adamw",
    lr=2e-3,
)
TEXT = Recipe(
    images="wrench_trec_text",
    n_trusted=100,
    network=TRANSFORMER,
    width=64,
    epochs=10,
    batch_size=128,
    optimizer="adamw",
    lr=1e-3,
)

SETS: dict[str, Plan] = {
    "small": Plan(
        SMALL,
        ("tail-100", "tail-10", "uniform-40", "flip1-40", "flip2-40", "pair-40", "human"),
        (*PUBLISHED, *OURS),
    ),
    "human-small": Plan(
        HUMAN, ("human",), ("uniform", "mw-net", "mw-net-all-layers", "l2rw", "mw-net-paper")
    ),
    "text": Plan(TEXT, ("weak",), ("uniform", "meta-only", "fine-tuned", "mw-net", "l2rw")),
    "ablation": Plan(SMALL, ("tail-10", "flip2-40"), WEIGHTINGS),
    "full": Plan(Recipe(images="cifar10"), tuple(TASKS), (*PUBLISHED, *OURS, *WEIGHTINGS[1:])),
}
