"""A skorch classifier of rows that live on the device: it places, runs and judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skmetaweight._bilevel.certainties import certainties
from skmetaweight._bilevel.forward import outputs_of
from skmetaweight._bilevel.objective import Batch
from skmetaweight._bilevel.ranks import ALONE, Ranks
from skmetaweight._data.batches import RowBatches, Rows
from skmetaweight._data.dataset_rows import DatasetRows
from skmetaweight._messages import explained
from skmetaweight._training.building import (
    TRAINABLE,
    check_trainable,
    refuse_loader,
    refuse_unknown_callbacks,
)
from skmetaweight._training.loading import (
    OF_WORKERS,
    READ_AT_ONCE,
    DrawnOrder,
    LoadedBatches,
    ReadByWorkers,
)

EVALUATION_ROWS = 1024
"""Most rows in a forward pass that keeps no graph."""


class SkorchLosses(nn.Module):
    """Per-sample losses with skorch's convention that NLLLoss takes probabilities."""

    def __init__(self, criterion: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, y_pred: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.criterion, nn.NLLLoss):
            y_pred = torch.log(y_pred + torch.finfo(y_pred.dtype).eps)
        return self.criterion(y_pred, y)


def summing_to_one(probabilities: Tensor) -> Tensor:
    """Return probabilities of float32 with the sums that float64 expects."""
    return probabilities / probabilities.sum(dim=-1, keepdim=True)


class Judgement(NamedTuple):
    """What the fitted classifier makes of labelled rows; each of shape (n,)."""

    losses: Tensor
    predicted: Tensor
    p_given: Tensor


class RowsNet(NeuralNetClassifier):
    """A skorch classifier that works on :class:`Rows`, all of them validated.

    While it trains, ``generator_`` draws the order of the rows, and each of ``ranks_`` runs some.
    Its probabilities are those of ``temperature_``, times ``class_factors_`` and made to sum to one
    again; training sets both. Without factors they stay as they are.

    Parameters
    ----------
    autocast_dtype : torch.dtype or None
        As in :func:`outputs_of`, for all passes.
    """

    def __init__(
        self, module: Any, criterion: Any, *, autocast_dtype: torch.dtype | None, **kwargs: Any
    ) -> None:
        super().__init__(module, criterion=criterion, **kwargs)  # pyright: ignore[reportArgumentType]
        self.autocast_dtype = autocast_dtype

    generator_: torch.Generator
    ranks_: Ranks = ALONE
    temperature_: float = 1.0
    class_factors_: tuple[float, ...] = ()

    def initialize_callbacks(self) -> RowsNet:
        """Build the callbacks, or say what is wrong with them."""
        refuse_unknown_callbacks(self)
        defaults = dict(self._default_callbacks)
        given = [name for name, *_ in self._yield_callbacks() if name not in defaults]
        with explained("callbacks", given):
            return super().initialize_callbacks()

    def initialize_module(self) -> RowsNet:
        """Build the module, or say what is wrong with it."""
        with explained("module", self.module):
            super().initialize_module()
        check_trainable(self.module_)
        return self

    def initialize_criterion(self) -> RowsNet:
        """Build the criterion, or say what is wrong with it."""
        with explained("criterion", self.criterion):
            super().initialize_criterion()
            if not isinstance(self.criterion_, nn.Module):
                raise TypeError(f"it makes a {type(self.criterion_).__name__}, no torch.nn.Module")
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> RowsNet:
        """Build the optimiser, or say what is wrong with it."""
        with explained("optimizer", self.optimizer):
            if not callable(self.optimizer):
                raise TypeError("it is no class of an optimiser, such as torch.optim.AdamW")
            return super().initialize_optimizer(*args, **kwargs)

    def check_data(self, X: Any, y: Any = None) -> None:
        """Accept anything: the classifier has validated it."""

    @property
    def parameter(self) -> Tensor:
        """One parameter that was made to be trained, for its device and dtype."""
        return next(p for p in self.module_.parameters() if p.dtype in TRAINABLE)

    @property
    def embeds(self) -> bool:
        """Whether the module looks rows of an embedding up, by integers."""
        return any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in self.module_.modules())

    @property
    def takes_sparse(self) -> bool:
        """Whether the module takes sparse rows, where torch has products of them."""
        takes_them = getattr(self.module_, "takes_sparse", False)
        return takes_them and self.parameter.device.type in ("cpu", "cuda")

    def make_rows(self, X: Any, y: Any, sample_weight: Any = None) -> Rows:
        """Place rows where the module is, in its dtype.

        Integers are numbers, unless the module has an embedding or they come in a dict; there
        bytes are.
        """
        is_dict = isinstance(X.example if isinstance(X, DatasetRows) else X, dict)
        return Rows(
            X,
            y,
            sample_weight,
            device=self.parameter.device,
            dtype=self.parameter.dtype,
            cast_integers=not is_dict and not self.embeds,
            bytes_are_numbers=is_dict or not self.embeds,
            keeps_sparse=self.takes_sparse,
        )

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Slice rows by index; a loader of the user's own is used as it is."""
        name = "iterator_train" if training else "iterator_valid"
        iterator, options = getattr(self, name), self.get_params_for(name)
        is_plain = iterator is DataLoader
        in_tensors = is_plain and isinstance(dataset, Rows) and options.keys() <= {"shuffle"}
        if training:
            self.batching_ = "tensors" if in_tensors else "loader"
        size = len(dataset) if self.batch_size == -1 else self.batch_size
        if in_tensors:
            shuffle = training and options.get("shuffle", True)
            return RowBatches(dataset, size, self.generator_, shuffle=shuffle, ranks=self.ranks_)
        refuse_loader(self.ranks_, iterator, name)
        if training and is_plain and not options.keys() & {"sampler", "batch_sampler"}:
            shuffle = options.pop("shuffle", True)  # skorch's default is the order of the rows
            has_order = isinstance(dataset, Rows) and dataset.has_order
            drawn = DrawnOrder(dataset, self.generator_) if has_order else None
            options |= {"sampler": drawn} if shuffle and drawn else {"shuffle": shuffle}
        if "batch_sampler" not in options:
            options.setdefault("batch_size", size)
        with explained(name, iterator):
            given = dataset.for_loader() if isinstance(dataset, Rows) else dataset
            loader = iterator(given, **options)
        return LoadedBatches(loader, iterator, dataset, len(self.classes_)) if training else loader

    def reader(self, rows: Rows, name: str) -> ReadByWorkers | None:
        """Return what reads rows with the workers of a loader, if it has some and items are read.

        Parameters
        ----------
        rows : Rows
        name : {"iterator_train", "iterator_valid"}
        """
        given = self.get_params_for(name)
        if not rows.are_items or not given.get("num_workers"):
            return None
        options = {option: given[option] for option in OF_WORKERS if option in given}
        with explained(name, DataLoader):
            return ReadByWorkers(rows, **options)

    def chunks(self, rows: Rows, size: int) -> Iterator[Batch]:
        """Yield all rows in order as they are judged, by workers of ``iterator_valid`` if any."""
        rows = rows.evaluation
        reader = self.reader(rows, "iterator_valid") if len(rows) > READ_AT_ONCE else None
        return reader.chunks(len(rows), size) if reader else rows.chunks(size)

    @property
    def losses_(self) -> nn.Module:
        return SkorchLosses(self.criterion_)

    def evaluate(self, rows: Rows) -> Judgement:
        """Judge labelled rows in evaluation mode, in one pass over them."""
        to_probabilities = self.to_probabilities()

        def judged(outputs: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            probabilities = to_probabilities(outputs.double())
            p_given = probabilities.gather(1, y[:, None]).squeeze(1)
            return self.losses_(outputs, y), probabilities.argmax(dim=1), p_given

        return Judgement(*self._made_of_all(rows, judged))

    def certainties(self, rows: Rows) -> Tensor:
        """Return the probability of each label and the largest one, at no temperature."""
        to_probabilities = self._get_predict_nonlinearity()
        return self._made_of_all(
            rows, lambda outputs, y: (certainties(to_probabilities(outputs), y),)
        )[0]

    @torch.no_grad()
    def _made_of_all(
        self,
        rows: Rows,
        make: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
        size: int = EVALUATION_ROWS,
    ) -> list[Tensor]:
        """Return what is made of outputs and labels, for all rows, in evaluation mode.

        Each part goes where it stays: if parts were kept, one after the other, between outputs that
        are given up, a heap would grow by all of these.
        """
        self.module_.eval()
        made: list[Tensor] = []
        start = 0
        for batch in self.chunks(rows, size):
            parts = make(self.outputs(batch.X), batch.y)
            made = made or [part.new_empty(len(rows), *part.shape[1:]) for part in parts]
            for whole, part in zip(made, parts, strict=True):
                whole[start : start + batch.n_rows] = part
            start += batch.n_rows
        return made

    def probabilities(self, rows: Rows) -> np.ndarray:
        """Return class probabilities of shape (n, n_classes), in float64."""
        return self._predicted(rows, self.to_probabilities())

    def log_probabilities(self, rows: Rows) -> np.ndarray:
        """Return their logarithms, finite also where a probability is zero by rounding."""
        return self._predicted(rows, self._to_log_probabilities)

    @torch.no_grad()
    def class_proportions(self, rows: Rows) -> Tensor:
        """Return the mean probability of each class over rows, by their weights, at no factors."""
        self.module_.eval()
        sums = torch.zeros((), dtype=torch.float64, device=rows.device)
        for batch in self.chunks(rows, EVALUATION_ROWS):
            outputs = self.outputs(batch.X).double()
            probabilities = self._tempered(outputs, self.temperature_).exp()
            if batch.sample_weight is not None:
                probabilities = batch.sample_weight[:, None] * probabilities
            sums = sums + probabilities.sum(dim=0)
        return sums.cpu() / sums.sum().item()

    def to_probabilities(self) -> Callable[[Tensor], Tensor]:
        """Return what turns outputs into class probabilities."""
        if self.temperature_ == 1 and not self.class_factors_:
            return self._get_predict_nonlinearity()
        return lambda outputs: self._to_log_probabilities(outputs).exp()

    def _to_log_probabilities(self, outputs: Tensor) -> Tensor:
        logs = self._tempered(outputs, self.temperature_)
        if not self.class_factors_:
            return logs
        return torch.log_softmax(logs + logs.new_tensor(self.class_factors_).log(), dim=-1)

    def _tempered(self, outputs: Tensor, temperature: float) -> Tensor:
        nonlinearity = self._get_predict_nonlinearity()
        if isinstance(nonlinearity, nn.Softmax):
            return torch.log_softmax(outputs / temperature, dim=-1)
        logs = nonlinearity(outputs).clamp(min=torch.finfo(torch.float64).tiny).log()
        return logs if temperature == 1 else torch.log_softmax(logs / temperature, -1)

    def _predicted(self, rows: Rows, nonlinearity: Callable[[Tensor], Tensor]) -> np.ndarray:
        size = max(self.batch_size, EVALUATION_ROWS)
        return self._made_of_all(
            rows, lambda outputs, y: (nonlinearity(outputs.cpu().double()),), size
        )[0].numpy()

    def _get_predict_nonlinearity(self) -> Any:
        """Take outputs as logits, except those of NLLLoss, which skorch takes as probabilities."""
        if self.predict_nonlinearity != "auto":
            return super()._get_predict_nonlinearity()
        is_nll = isinstance(self.criterion_, nn.NLLLoss)
        return summing_to_one if is_nll else nn.Softmax(dim=-1)

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        """Run the module on a batch of any loader."""
        with torch.set_grad_enabled(training):
            self._set_training(training)
            X = batch.X if isinstance(batch, Batch) else to_tensor(batch[0], self.device)
            return self.outputs(X)

    def outputs(self, X: Any) -> Tensor:
        """Run the module on the X of a batch."""
        return outputs_of(self.module_, X, self.autocast_dtype)
