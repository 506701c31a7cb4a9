"""The training around the published methods, as their papers and released scripts have it."""

from __future__ import annotations

from typing import Any

import torch

PAPER_TRAINING: dict[str, Any] = {
    "optimizer": torch.optim.SGD,
    "optimizer__momentum": 0.9,
    "optimizer__weight_decay": 5e-4,
    "lr": 0.1,
    "lr_schedule": (80, 100),
    "max_epochs": 120,
    "batch_size": 100,
    "meta_batch_size": 100,
    "meta_share": 0.0,
    "robust_meta_loss": False,
    "confirm_weights": False,
    "early_stopping": False,
}
"""What the Meta-Weight-Net paper's CIFAR experiments with label noise set in the training.

Parameters of :class:`~skmetaweight.MetaWeightClassifier`, to be unpacked beside a published method:
``MetaWeightClassifier(module, method=MetaWeightNet.paper(), **PAPER_TRAINING)``. SGD at 0.1 with
momentum 0.9 and weight decay 5e-4, divided by ten after 80 and after 100 of 120 epochs, batches of
100 and as many trusted rows, which take no part in the training loss; the last epoch counts. Where
the other experiments differ:

- Meta-Weight-Net for imbalance: ``optimizer__nesterov=True``, ``lr_schedule=(80, 90)``,
  ``max_epochs=100``;
- FMW-Net: ``batch_size=256``, ``meta_batch_size=256``; for imbalance 200 epochs, with the rate
  divided by a hundred after 160 and 180.
"""

SETTINGS = ("noise", "imbalance")


def check_setting(setting: str) -> str:
    """Return the name of a published setting.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if setting not in SETTINGS:
        raise ValueError(f"setting must be one of {', '.join(SETTINGS)}; got {setting!r}.")
    return setting
