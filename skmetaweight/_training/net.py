"""The skorch network whose train step asks a reweighter for gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from skorch.callbacks import EarlyStopping
from torch import Tensor

from skmetaweight._bilevel.objective import Batch
from skmetaweight._data.batches import Rows
from skmetaweight._messages import explained
from skmetaweight._training.agreement import refuse_drift, refuse_what_needs_one
from skmetaweight._training.building import refuse_changed_parts, refuse_lone_row
from skmetaweight._training.calibration import fit_temperature, kept_out, smoothed
from skmetaweight._training.confirmation import strength_of
from skmetaweight._training.prepared_net import PreparedNet
from skmetaweight._training.rows_net import EVALUATION_ROWS
from skmetaweight._training.tasks import FitTasks, StopFit
from skmetaweight.reweighting import Evaluation, StepResult

SENSITIVE = ("train_loss", "effective_sample_size")
"""Columns of the history by which processes know that they train the same."""


class ReweightedNet(PreparedNet):
    """A skorch classifier that is trained through a :class:`Reweighter`.

    The meta set takes the place of skorch's validation set: callbacks that score or monitor it see
    trusted rows, and ``valid_loss`` is another name of ``meta_loss``. Parameters are those of
    :class:`PreparedNet`.
    """

    # Training ----------------------------------------------------------------------------------

    def train(
        self,
        rows: Rows,
        meta_rows: Rows,
        epochs: int,
        tasks: FitTasks,
        *,
        confirm: bool,
        temperature: float | None,
        class_smoothing: float | None,
        **objective: Any,
    ) -> ReweightedNet:
        """Train for some epochs; then put back the epoch that is kept, and calibrate it.

        Trusted rows are withheld from the training loss at first if they are to confirm weights,
        and some of them always if they are to tell the temperature. Classes stay as they were
        calibrated before if nothing says how. Further keywords say what the losses are.
        """
        untaught = torch.empty(0).long() if temperature else kept_out(meta_rows, self.first_seed_)
        self._begin(rows, meta_rows, epochs, untaught, confirm=confirm, **objective)
        self.tasks_ = tasks
        if self.ranks_.size > 1:
            refuse_what_needs_one(self, rows)
        self.notify("on_train_begin", X=rows, y=rows.y)
        try:
            self.fit_loop(rows, epochs=epochs - self.schedule_.n_begun)
        except StopFit:
            pass
        except KeyboardInterrupt:
            if not self._stopped_early():
                raise
        except ValueError as error:
            refuse_lone_row(self, error)
            raise
        self.best_epoch_ = self.best_.epoch
        self.best_.put_back(self.module_, self.reweighter_)
        self.temperature_ = temperature or self._calibrated(untaught)
        if class_smoothing is not None:
            self._smooth_classes(rows, class_smoothing)
        self.notify("on_train_end", X=rows, y=rows.y)
        self._end()
        return self

    def _calibrated(self, untaught: Tensor) -> float:
        """Return the temperature by the trusted rows that were not taught: all without a share.

        Where there are none, that of the training before, or one.
        """
        judges = untaught if self.meta_share else torch.arange(len(self.meta_rows_))
        if not len(judges):
            return self.temperature_
        untempered = partial(self._tempered, temperature=1.0)
        log_probabilities = torch.from_numpy(self._predicted(self.meta_rows_, untempered))
        was_asked = not math.isnan(self.noise_evidence_)
        strength = self.reweighter_.strength_ if was_asked else 0.5
        return fit_temperature(log_probabilities[judges], self.meta_rows_.y.cpu()[judges], strength)

    def _smooth_classes(self, rows: Rows, pseudo_rows: float) -> None:
        self.class_factors_ = ()
        if pseudo_rows:
            labels = torch.cat([rows.y, self.meta_rows_.y]).cpu()
            counts = torch.bincount(labels, minlength=self.reweighter_.n_classes_)
            self.class_factors_ = smoothed(
                self.class_proportions(rows), counts, len(self.meta_rows_), pseudo_rows
            )

    def _stopped_early(self) -> bool:
        """Whether an EarlyStopping interrupted the fit: it does so as a user does."""
        return any(
            isinstance(callback, EarlyStopping) and callback.misses_ == callback.patience
            for _, callback in self.callbacks_
        )

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Return the training rows and the trusted rows."""
        return X, self.meta_rows_

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Train for one epoch, or evaluate the meta set; the history is written once."""
        hooked = self._has_batch_hooks()
        if not training:
            self._record_meta_loss()
            if hooked:
                self._show_meta_batches()
            return
        refuse_changed_parts(self, self.parts_)
        self.module_.train()
        self.criterion_.train()
        log = self.log_
        log.begin()
        for batch in iterator:
            if hooked:
                self.notify("on_batch_begin", batch=(batch.X, batch.y), training=True)
            result = self.train_step(batch)
            if hooked:
                self._record_batch("train", batch, result.loss, result.y_pred)
            log.add(result, batch)
        if not hooked:
            log.write_batches(self.history)
        self._check_finite("training loss", log.write_epoch(self.history))
        self.snapshots_.append(log.snapshot(self.reweighter_))
        for i, group in enumerate(self.optimizer_.param_groups):
            self.history.record(f"learning_rate_{i}" if i else "learning_rate", float(group["lr"]))

    def train_step(self, batch: Batch, **fit_params: Any) -> StepResult:
        """Let the reweighter fill the gradients, then step the parameters."""
        update = bool(self.n_batches_ % self.reweighter_.meta_interval_ == 0)
        self.n_batches_ += 1
        if self.confirmation_ is not None:
            batch = self.confirmation_.withheld(batch)
        self.optimizer_.zero_grad(set_to_none=True)
        lr = float(self.optimizer_.param_groups[0]["lr"])
        result = self.reweighter_.step(
            self.module_, batch, next(self.meta_batches_), lr, update=update
        )
        if self._has_hook("on_grad_computed"):
            named = list(self.get_all_learnable_params())
            pair = (batch.X, batch.y)
            self.notify("on_grad_computed", named_parameters=named, batch=pair, training=True)
        with explained("optimizer", self.optimizer, "cannot take a step"):
            self.optimizer_.step()
        return result

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Start a row of the history and set the learning rate of the epoch."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self.n_epochs_ += 1
        self.history.record("epoch", self.n_epochs_)
        self.schedule_.step()
        self.tasks_.begin_epoch()

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Tell scikit-learn's callbacks; those of skorch come next."""
        super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)
        if self.ranks_.everyones(self.tasks_.end_epoch(self))[0]:
            raise StopFit

    def _record_meta_loss(self) -> None:
        losses = self.evaluate(self.meta_rows_).losses
        meta_loss = self.objective_.meta_loss(losses, self.meta_rows_.y).item()
        if self.ranks_.size > 1:
            epoch: Any = self.history[-1]
            numbers = {name: epoch[name] for name in SENSITIVE}
            refuse_drift(self.ranks_, {"meta_loss": meta_loss, **numbers})
            meta_loss = self.ranks_.everyones(meta_loss)[0]
        self._check_finite("meta loss", meta_loss)
        self._confirm()
        is_best = self.best_.compare(self.n_epochs_, meta_loss, self.module_, self.reweighter_)
        for name in ("meta_loss", "valid_loss"):
            self.history.record(name, meta_loss)
            self.history.record(f"{name}_best", is_best)

    def _confirm(self) -> None:
        """Let withheld trusted rows take part once they have told how far weights may count."""
        confirmation = self.confirmation_
        if confirmation is None:
            return
        # All ranks compare all of the rows.
        confirmation.compare(replace(self.objective_, stage=None), self.module_.eval())
        confirmation.evidence = self.ranks_.everyones(confirmation.evidence)[0]
        if confirmation.is_settled(self.n_epochs_):
            self.noise_evidence_ = confirmation.evidence
            self.reweighter_.strength_ = strength_of(confirmation.evidence)
            self.stage_.share = self.meta_share
            self.confirmation_ = None

    # Evaluation --------------------------------------------------------------------------------

    def evaluation(self, rows: Rows, losses: Tensor, *, is_training_set: bool) -> Evaluation:
        """Describe labelled rows, with their losses, to the reweighter."""
        index = torch.arange(len(rows), device=losses.device) if is_training_set else None
        return Evaluation(
            losses, rows.y, index, lambda: self._alignments(rows), lambda: self.certainties(rows)
        )

    def weights_of_new(self, rows: Rows) -> Tensor:
        """Weigh labelled rows that have no weight of the training."""
        evaluation = self.evaluation(rows, self.evaluate(rows).losses, is_training_set=False)
        return self.reweighter_.weigh(evaluation)

    def _alignments(self, rows: Rows) -> Tensor:
        """Alignments of rows with the meta set, in evaluation mode."""
        if self.meta_rows_ is None:
            raise ValueError(
                "New rows are weighed by their alignments with the trusted rows, and the file that "
                "this classifier was loaded from lacks them: save it with rows=True."
            )
        self.module_.eval()
        n_trusted = len(self.meta_rows_)
        n_taken = min(n_trusted, EVALUATION_ROWS)  # the pass keeps a graph, which must fit
        spread = torch.arange(n_taken, device=rows.device) * n_trusted // n_taken
        meta_batch = self.meta_rows_.evaluation.take(spread)
        objective = replace(self.objective_, meta_share=0.0)
        parts = []
        for batch in self.chunks(rows, EVALUATION_ROWS):
            forward = objective.training_pass(self.module_, batch, meta_batch)
            parts.append(self.reweighter_.align(self.module_, forward, meta_batch)[0])
        return torch.cat(parts)
