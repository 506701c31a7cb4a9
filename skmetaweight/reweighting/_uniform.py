"""The baseline: every row counts the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.objective import Batch
from skmetaweight.reweighting._base import Reweighter
from skmetaweight.reweighting._exchange import Evaluation, StepResult


class Uniform(Reweighter):
    r"""Give every row the weight :math:`w_i = 1`.

    The same code path, meta share and early stopping as the other methods: the honest thing to
    compare with.
    """

    why_no_function = "every row has weight one."

    def step(
        self,
        module: nn.Module,
        batch: Batch,
        meta_batch: Batch,
        lr: float,
        *,
        update: bool = True,
    ) -> StepResult:
        """Leave the gradient of the unweighted training loss in ``.grad``."""
        del lr, update
        forward = self.objective_.training_pass(module, batch, meta_batch, repeatable=False)
        losses = forward.losses.detach()
        weights = torch.ones_like(losses)
        loss = self._fill_gradients(forward, weights)
        meta_loss = None if forward.meta_loss is None else forward.meta_loss.detach()
        return StepResult(loss, forward.y_pred, losses, weights, meta_loss)

    def raw_weights(self, rows: Evaluation) -> Tensor:
        """Return ones."""
        return torch.ones_like(rows.losses)
