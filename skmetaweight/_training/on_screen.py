"""What a screen shows of the epochs: a bar, and a table if it is asked for."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import Callback, PrintLog
from tqdm.auto import tqdm

BAR_DELAY = 2.0
"""Seconds of training after which a bar is worth showing."""

PRINTED = PrintLog().sink
"""Where skorch's table goes by default: the ``print`` of when skorch was imported."""


class EpochTable(PrintLog):
    """The table of epochs, not made where nobody reads it.

    skorch makes it in any case, and shows it where ``print`` is another than at first, as in the
    processes of Ray.
    """

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Write a line, if the net is verbose or the table has a place of its own."""
        if net.verbose or self.sink is not PRINTED:
            super().on_epoch_end(net, **kwargs)


class EpochBar(Callback):
    """Shows a bar over the epochs of a training that takes a while."""

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Begin at nothing."""
        n_epochs = net.schedule_.epochs
        self.bar_ = tqdm(total=n_epochs, unit="epoch", delay=BAR_DELAY, leave=False)

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Go on to the epoch that ends, and tell its meta loss."""
        self.bar_.set_postfix(meta_loss=f"{net.history[-1, 'meta_loss']:.3f}", refresh=False)
        self.bar_.update(net.schedule_.n_begun - self.bar_.n)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take the bar away."""
        self.bar_.close()
        del self.bar_
