"""The net between trainings: its settings, what it has learned, and what a training needs."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback, EpochTimer, LRScheduler
from torch import Tensor, nn

from skmetaweight._bilevel.last_layer import find_head
from skmetaweight._bilevel.objective import Objective
from skmetaweight._bilevel.randomness import Generators, default_generators, draw_from
from skmetaweight._bilevel.ranks import ALONE
from skmetaweight._bilevel.stage import Stage
from skmetaweight._data.batches import Rows
from skmetaweight._data.meta_set import MetaBatches
from skmetaweight._training.best_epoch import BestEpoch
from skmetaweight._training.building import parts_of
from skmetaweight._training.calibration import taught_but
from skmetaweight._training.checkpoint import FitCheckpoint
from skmetaweight._training.confirmation import Confirmation
from skmetaweight._training.epoch import EpochLog
from skmetaweight._training.on_screen import EpochBar, EpochTable
from skmetaweight._training.recorded_net import RecordedNet
from skmetaweight._training.rows_net import RowsNet
from skmetaweight._training.schedule import Schedule
from skmetaweight.reweighting import Reweighter
from skmetaweight.reweighting._weighting import WeightingFunction

KEPT_EPOCHS = 100
"""Epochs of earlier trainings of which a training that goes on keeps a record."""

LEARNED = math.log(2)
"""Loss below which a trusted row is learned: its label is more likely than not."""


class PreparedNet(RecordedNet):
    """A net with a :class:`Reweighter`, which is made ready for a training and put to rest.

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
        unprinted = ["valid_loss", "learning_rate", "weight_change", "train_row_count"]
        callbacks: list[tuple[str, Callback]] = [
            ("epoch_timer", EpochTimer()),
            ("print_log", EpochTable(keys_ignored=unprinted)),
        ]
        return [*callbacks, ("epoch_bar", EpochBar())] if self.show_progress else callbacks

    def _initialize_callbacks(self) -> Self:
        """Build the callbacks; a checkpoint comes last, when the others know of the epoch."""
        super()._initialize_callbacks()
        self.callbacks_.sort(key=lambda named: isinstance(named[1], FitCheckpoint))
        if self.checkpoint is not None:
            checkpoint = FitCheckpoint(self.checkpoint).initialize()
            self.callbacks_.append(("fit_checkpoint", checkpoint))
        return self

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
            vars(net)["meta_rows_"] = self.meta_rows_.evaluation.in_memory()
        on_cpu = torch.device(self.device).type == "cpu"
        return vars(net) if on_cpu else RowsNet.__getstate__(net)

    def without_training_state(self) -> Self:
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
        n_trusted, class_sizes = (
            torch.bincount(each.y, minlength=self.reweighter_.n_classes_)
            for each in (meta_rows, rows)
        )
        self.reweighter_.bind(self.objective_, len(rows), n_trusted, class_sizes)
        read = self.reader(meta_rows, "iterator_train")
        self.meta_batches_ = MetaBatches(
            meta_rows, self.meta_batch_size, self.generator_, self.ranks_, read
        )
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
        self.stage_.generators, self.stage_.ranks = None, ALONE
        vars(self).pop("ranks_", None)
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
        self.stage_ = Stage(share, self._drawn_from(), self.ranks_)
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
            self._get_predict_nonlinearity(),
        )

    def _drawn_from(self) -> Generators:
        """Give dropout a generator of this training's; torch's own are others' if it suffices.

        Each rank draws other numbers for its rows.
        """
        device, rank = self.parameter.device, self.ranks_.rank
        seed = int(torch.randint(2**62, (), generator=self.generator_))
        generator = torch.Generator(device).manual_seed(seed + rank)
        draw_from(generator, self.module_)
        if self.draws_alone_:
            return (generator,)
        if rank:
            for shared in default_generators(device):
                shared.manual_seed(seed + rank)
        return (generator, *default_generators(device))

    def _schedule(self, epochs: int) -> Schedule:
        """Schedule the learning rate, unless a callback does."""
        has_callback = any(isinstance(callback, LRScheduler) for _, callback in self.callbacks_)
        kind = "constant" if has_callback else self.lr_schedule
        return Schedule(kind, epochs, self.optimizer_, self.n_epochs_)
