"""A net whose callbacks are told of batches and trusted rows, and whose losses must be finite."""

from __future__ import annotations

import math
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor

from skmetaweight._bilevel.objective import Batch, Objective
from skmetaweight._data.batches import Rows
from skmetaweight._training.building import only_tells, refuse_missing_monitor
from skmetaweight._training.rows_net import EVALUATION_ROWS, RowsNet


class NonFiniteLossError(ValueError):
    """The training loss or the meta loss became NaN or infinite."""


class RecordedNet(RowsNet):
    """A classifier of rows whose callbacks see trusted rows in place of skorch's validation set.

    Attributes
    ----------
    objective_ : Objective
    meta_rows_ : Rows
    n_epochs_ : int
        Epochs of this training and of those that it goes on from.
    """

    objective_: Objective
    meta_rows_: Rows
    n_epochs_: int

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell the callbacks; an error of one is told with its name, unless it is ours.

        Of several ranks, only the first runs those that write or show something.
        """
        getattr(self, method_name)(self, **cb_kwargs)
        for name, callback in self.callbacks_:
            if self.ranks_.rank and only_tells(callback):
                continue
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except Exception as error:
                refuse_missing_monitor(self, callback, error)
                if not type(callback).__module__.startswith("skmetaweight."):
                    error.add_note(
                        f"Raised by the callback {name!r} ({type(callback).__name__}) in "
                        f"{method_name}: check its settings."
                    )
                raise

    def _has_hook(self, name: str) -> bool:
        return any(
            getattr(type(callback), name) is not getattr(Callback, name)
            for _, callback in self.callbacks_
        )

    def _has_batch_hooks(self) -> bool:
        return self._has_hook("on_batch_begin") or self._has_hook("on_batch_end")

    def _record_batch(self, prefix: str, batch: Batch, loss: Tensor, y_pred: Tensor) -> None:
        self.history.record_batch(f"{prefix}_loss", loss.item())
        self.history.record_batch(f"{prefix}_batch_size", batch.n_rows)
        pair, training = (batch.X, batch.y), prefix == "train"
        self.notify("on_batch_end", batch=pair, training=training, loss=loss, y_pred=y_pred)

    @torch.no_grad()
    def _show_meta_batches(self) -> None:
        """Pass the meta set to the batch hooks, as skorch does with its validation set."""
        for batch in self.chunks(self.meta_rows_, EVALUATION_ROWS):
            self.notify("on_batch_begin", batch=(batch.X, batch.y), training=False)
            y_pred = self.outputs(batch.X)
            loss = self.objective_.meta_loss(self.losses_(y_pred, batch.y), batch.y)
            self._record_batch("valid", batch, loss, y_pred)

    def _check_finite(self, name: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"The {name} became {loss} in epoch {self.n_epochs_} with "
                f"lr={self.optimizer_.param_groups[0]['lr']:g}. Lower lr, and check X for values "
                "that are very large."
            )
