"""The skorch network whose train step asks a reweighter for gradients."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, LRScheduler, PrintLog
from torch import Tensor, nn

from skmetaweight._bilevel.last_layer import find_head
from skmetaweight._bilevel.objective import Batch, Objective, Stage
from skmetaweight._bilevel.randomness import Generators, default_generators, draw_from
from skmetaweight._data.batches import Rows
from skmetaweight._data.meta_set import MetaBatches
from skmetaweight._messages import explained
from skmetaweight._training.best_epoch import BestEpoch
from skmetaweight._training.building import (
    parts_of,
    refuse_changed_parts,
    refuse_lone_row,
)
from skmetaweight._training.calibration import fit_temperature, kept_out, taught_but
from skmetaweight._training.checkpoint import FitCheckpoint
from skmetaweight._training.confirmation import Confirmation, strength_of
from skmetaweight._training.epoch import EpochLog
from skmetaweight._training.epoch_bar import EpochBar
from skmetaweight._training.recorded_net import RecordedNet
from skmetaweight._training.rows_net import EVALUATION_ROWS, RowsNet
from skmetaweight._training.schedule import Schedule
from skmetaweight._training.tasks import FitTasks, StopFit
from skmetaweight.reweighting import Evaluation, Reweighter, StepResult
from skmetaweight.reweighting._weighting import WeightingFunction

KEPT_EPOCHS = 100
"""Epochs of earlier trainings of which a training that goes on keeps a record."""

LEARNED = math.log(2)
"""Loss below which a trusted row is learned: its label is more likely than not."""


class ReweightedNet(RecordedNet):
    """A skorch classifier that is trained through a :class:`Reweighter`.

    The meta set takes the place of skorch's validation set: callbacks that score or monitor it see
    trusted rows, and ``valid_loss`` is another name of ``meta_loss``.

    Parameters
    ----------
    reweighter : Reweighter
        Not a module of skorch's: its own optimiser steps what it learns.
    meta_share, meta_batch_size, lr_schedule, show_progress, checkpoint
        As in :class:`MetaWeightClassifier`.
    keep_best : bool
        Whether the epoch with the lowest meta loss is put back at the end.
    seed : int
        Seeds the order of the rows and of the meta batches.
    **kwargs
        As in :class:`RowsNet` and skorch's NeuralNetClassifier.
    """

    def __init__(
        self,
        module: Any,
        criterion: Any,
        *,
        reweighter: Reweighter,
        meta_share: float,
        meta_batch_size: int,
        lr_schedule: str | Sequence[int],
        keep_best: bool,
        show_progress: bool,
        seed: int,
        checkpoint: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, criterion, **kwargs, train_split=None)
        self.reweighter = reweighter
        self.meta_share = meta_share
        self.meta_batch_size = meta_batch_size
        self.lr_schedule = lr_schedule
        self.keep_best = keep_best
        self.show_progress = show_progress
        self.seed = seed
        self.checkpoint = checkpoint

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        log = PrintLog(keys_ignored=["valid_loss", "learning_rate", "weight_change"])
        callbacks: list[tuple[str, Callback]] = [("epoch_timer", EpochTimer()), ("print_log", log)]
        return [*callbacks, ("epoch_bar", EpochBar())] if self.show_progress else callbacks

    def _initialize_callbacks(self) -> ReweightedNet:
        """Build the callbacks; a checkpoint comes last, when the others know of the epoch."""
        super()._initialize_callbacks()
        self.callbacks_.sort(key=lambda named: isinstance(named[1], FitCheckpoint))
        if self.checkpoint is not None:
            checkpoint = FitCheckpoint(self.checkpoint).initialize()
            self.callbacks_.append(("fit_checkpoint", checkpoint))
        return self

    # Set up ------------------------------------------------------------------------------------

    def build(self, n_classes: int) -> None:
        """Create the reweighter's learned state, once the module exists."""
        self.is_stream_ = False
        self.draws_alone_ = False
        self.can_go_on_ = True
        self.n_epochs_ = 0
        self.first_seed_ = self.seed
        self.reweighter_ = copy.deepcopy(self.reweighter)
        self.reweighter_.build(n_classes, self.parameter)
        self.n_batches_ = 0
        self.diagnostics_: set[str] = set()
        self.noise_evidence_ = math.nan
        self.snapshots_: list[WeightingFunction | None] = []
        own = ["reweighter_", "objective_", "meta_rows_"]
        self.cuda_dependent_attributes_ = [*self.cuda_dependent_attributes_, *own]

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes as they are, or skorch's portable form if they are on a GPU.

        The latter pickles on its own, which cloudpickle's classes of a notebook do not survive.
        Of a Dataset, only the trusted rows go along.
        """
        net = object.__new__(type(self))
        vars(net).update(vars(self))
        if getattr(self, "meta_rows_", None) is not None:
            vars(net)["meta_rows_"] = self.meta_rows_.in_memory()
        on_cpu = torch.device(self.device).type == "cpu"
        return vars(net) if on_cpu else RowsNet.__getstate__(net)

    def without_training_state(self) -> ReweightedNet:
        """Return a net for predictions, which shares all but the state of the optimiser."""
        optimizer: Any = object.__new__(type(self.optimizer_))
        vars(optimizer).update(vars(self.optimizer_), state=defaultdict(dict))
        net = object.__new__(type(self))
        vars(net).update(vars(self), optimizer_=optimizer, can_go_on_=False)
        return net

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "__cuda_dependent_attributes__" in state:
            super().__setstate__(state)
        else:
            self.__dict__.update(state)

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
        **objective: Any,
    ) -> ReweightedNet:
        """Train for some epochs; then put back the epoch that is kept, and calibrate it.

        Trusted rows are withheld from the training loss at first if they are to confirm weights,
        and some of them always if they are to tell the temperature. Further keywords say what the
        losses are.
        """
        untaught = torch.empty(0).long() if temperature else kept_out(meta_rows, self.first_seed_)
        self._begin(rows, meta_rows, epochs, untaught, confirm=confirm, **objective)
        self.tasks_ = tasks
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
        self.notify("on_train_end", X=rows, y=rows.y)
        self._end()
        return self

    def _begin(
        self,
        rows: Rows,
        meta_rows: Rows,
        epochs: int,
        untaught: Tensor,
        *,
        confirm: bool,
        **objective: Any,
    ) -> None:
        """Create what a training needs while it runs."""
        del self.history[:-KEPT_EPOCHS], self.snapshots_[:-KEPT_EPOCHS]
        self.generator_ = torch.Generator().manual_seed(self.seed + self.n_batches_)
        self.meta_rows_ = meta_rows
        self._make_objective(rows, 0.0 if confirm else self.meta_share, untaught, **objective)
        n_trusted = torch.bincount(meta_rows.y, minlength=self.reweighter_.n_classes_)
        self.reweighter_.bind(self.objective_, len(rows), n_trusted)
        self.meta_batches_ = MetaBatches(meta_rows, self.meta_batch_size, self.generator_)
        self.confirmation_ = (
            Confirmation(rows, meta_rows, epochs, self.generator_) if confirm else None
        )
        self.best_ = BestEpoch(keep=self.keep_best)
        self.schedule_ = self._schedule(epochs)
        self.log_ = EpochLog(len(rows), self.diagnostics_)
        self.parts_ = parts_of(self)

    def _end(self) -> None:
        """Put the learning rate back, and leave nothing that only a training needs."""
        self.schedule_.end()
        self.module_.eval()
        del self.best_, self.schedule_, self.meta_batches_, self.generator_, self.log_, self.tasks_
        draw_from(None, self.module_)
        self.stage_.generators = None
        del self.stage_, self.confirmation_, self.parts_

    def _make_objective(
        self,
        rows: Rows,
        share: float,
        untaught: Tensor,
        *,
        meta_class_weight: NDArray[Any] | None,
        meta_robustness: float,
        meta_is_trusted: bool,
    ) -> None:
        """Set the losses of both levels, and the stage that the epochs move on."""
        head = find_head(
            self.module_.eval(), rows.take(torch.arange(min(2, len(rows)), device=rows.device)).X
        )
        weight = None if meta_class_weight is None else self.parameter.new_tensor(meta_class_weight)
        has_log_loss = isinstance(self.criterion_, nn.CrossEntropyLoss | nn.NLLLoss)
        self.stage_ = Stage(share, self._drawn_from())
        self.objective_ = Objective(
            self.losses_,
            self.meta_share,
            weight,
            meta_robustness,
            LEARNED if meta_is_trusted and has_log_loss else 0.0,
            taught_but(untaught, self.parameter.new_ones(len(self.meta_rows_))),
            self.stage_,
            head,
            self.autocast_dtype,
        )

    def _calibrated(self, untaught: Tensor) -> float:
        """Return the temperature by the trusted rows that were not taught: all without a share.

        Where there are none, that of the training before, or one.
        """
        judges = untaught if self.meta_share else torch.arange(len(self.meta_rows_))
        if not len(judges):
            return self.temperature_
        self.temperature_ = 1.0
        log_probabilities = torch.from_numpy(self.log_probabilities(self.meta_rows_))
        return fit_temperature(log_probabilities[judges], self.meta_rows_.y.cpu()[judges])

    def _drawn_from(self) -> Generators:
        """Give dropout a generator of this training's; torch's own are others' if it suffices."""
        device = self.parameter.device
        seed = int(torch.randint(2**62, (), generator=self.generator_))
        generator = torch.Generator(device).manual_seed(seed)
        draw_from(generator, self.module_)
        return (generator,) if self.draws_alone_ else (generator, *default_generators(device))

    def _schedule(self, epochs: int) -> Schedule:
        """Schedule the learning rate, unless a callback does."""
        has_callback = any(isinstance(callback, LRScheduler) for _, callback in self.callbacks_)
        kind = "constant" if has_callback else self.lr_schedule
        return Schedule(kind, epochs, self.optimizer_, self.n_epochs_)

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
        self.tasks_.end_epoch(self)

    def _record_meta_loss(self) -> None:
        losses = self.evaluate(self.meta_rows_).losses
        meta_loss = self.objective_.meta_loss(losses, self.meta_rows_.y).item()
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
        confirmation.compare(self.objective_, self.module_.eval())
        if confirmation.is_settled(self.n_epochs_):
            self.noise_evidence_ = confirmation.evidence
            self.reweighter_.strength_ = strength_of(confirmation.evidence)
            self.stage_.share = self.meta_share
            self.confirmation_ = None

    # Evaluation --------------------------------------------------------------------------------

    def evaluation(self, rows: Rows, losses: Tensor, *, is_training_set: bool) -> Evaluation:
        """Describe labelled rows, with their losses, to the reweighter."""
        index = torch.arange(len(rows), device=losses.device) if is_training_set else None
        return Evaluation(losses, rows.y, index, lambda: self._alignments(rows))

    def _alignments(self, rows: Rows) -> Tensor:
        """Alignments of rows with the whole meta set, in evaluation mode."""
        if self.meta_rows_ is None:
            raise ValueError(
                "New rows are weighed by their alignments with the trusted rows, and the file that "
                "this classifier was loaded from lacks them: save it with rows=True."
            )
        self.module_.eval()
        everything = torch.arange(len(self.meta_rows_), device=rows.device)
        meta_batch = self.meta_rows_.take(everything)
        objective = replace(self.objective_, meta_share=0.0)
        parts = []
        for batch in rows.chunks(EVALUATION_ROWS):
            forward = objective.training_pass(self.module_, batch, meta_batch)
            parts.append(self.reweighter_.align(self.module_, forward, meta_batch)[0])
        return torch.cat(parts)
