r"""One computation on several processes: what they share, and what each of them has of its own.

A value is *shared* if all ranks hold the same: parameters, losses and weights of a batch, what a
method learns. It is a rank's *own* if each holds the part that belongs to its rows: X, and what the
layers make of it. Only the module turns one into the other,

.. math:: \theta \;\text{(shared)} \to f_\theta(x_i) \;\text{(own)} \to f_\theta(x_1), \dots,
          f_\theta(x_n) \;\text{(shared)},

so that everything computed from its outputs is computed by all ranks alike. The derivative of
handing a shared value out is a sum over ranks, that of gathering own ones is to take one's own;
with these rules gradients of any order are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from skmetaweight._bilevel.forward import Params


class LostRankError(ConnectionError):
    """Another process of a fit has failed, or cannot be reached."""


class Ranks:
    """The processes of a fit, each of which sees the same batches and runs its own rows of them.

    Parameters
    ----------
    rank : int, default=0
    size : int, default=1
        With one there is nothing to send: all methods return what they are given.
    device : torch.device, default=torch.device("cpu")
        Where the group can sum.
    why_lost : callable, optional
        Returns what other ranks told of a failure.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        why_lost: Callable[[], str] | None = None,
    ) -> None:
        self.rank = rank
        self.size = size
        self.device = device
        self._why_lost = why_lost

    def __reduce__(self) -> tuple[type[Ranks], tuple[()]]:
        """Elsewhere it is one process again."""
        return type(self), ()

    def own(self, n_rows: int) -> slice:
        """Return the places of this rank's rows among those of a batch."""
        return slice(self.rank * n_rows // self.size, (self.rank + 1) * n_rows // self.size)

    def total(self, own: Tensor) -> Tensor:
        """Return the sum over the ranks, detached."""
        return self.totals([own])[0]

    def totals(self, own: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the sums over the ranks of tensors of one dtype, all in one message."""
        if self.size == 1:
            return own
        flat = torch.cat([part.detach().flatten() for part in own])
        with self._reached():
            dist.all_reduce(flat)
        parts = flat.split([part.numel() for part in own])
        return [total.view(part.shape) for total, part in zip(parts, own, strict=True)]

    def everyones(self, value: Any) -> list[Any]:
        """Return what all ranks have, in their order."""
        if self.size == 1:
            return [value]
        values = [value] * self.size
        with self._reached():
            dist.all_gather_object(values, value)
        return values

    def first_ones(self, find: Callable[[], Any]) -> Any:
        """Return, to all ranks, what the first one finds; or raise there what it raises."""
        if self.size == 1:
            return find()
        found: list[Any] = [None, None]
        if self.rank == 0:
            try:
                found[0] = find()
            except Exception as error:
                found[1] = error
        with self._reached():
            dist.broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        return found[0]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        on_device = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        try:
            with on_device:
                yield
        except RuntimeError as error:
            told = self._why_lost() if self._why_lost else ""
            raise LostRankError(
                f"Process {self.rank} of a fit on {self.size} cannot reach the others. "
                + (told or f"The first error is likely among theirs; here it is: {error}")
            ) from error

    def whole(self, own: Tensor, n_rows: Sequence[int]) -> Tensor:
        """Put the own rows of all ranks together.

        Parameters
        ----------
        own : Tensor
            A value for each own row: of the first batch, then of the second, and so on.
        n_rows : sequence of int
            Rows of each batch in all.
        """
        if self.size == 1:
            return own
        places, before = [], 0
        for n in n_rows:
            places.append(torch.arange(before, before + n, device=own.device)[self.own(n)])
            before += n
        return _Whole.apply(own, torch.cat(places), before, self)  # pyright: ignore

    def handed_out(self, params: Params) -> Params:
        """Return parameters whose gradients are summed over the ranks, all in one message."""
        if self.size == 1 or not torch.is_grad_enabled():
            return params
        names = [name for name, param in params.items() if param.requires_grad]
        shared: Any = _HandedOut.apply(self, *(params[name] for name in names))
        return {**params, **dict(zip(names, shared, strict=True))}

    def batch_statistics(self) -> AbstractContextManager[Any]:
        """Return a block in which batch normalisation is over the rows of all ranks."""
        return nullcontext() if self.size == 1 else _BatchStatistics(self)


ALONE = Ranks()
"""The one process that most fits run in."""


class _HandedOut(Function):
    """From shared to own: the parameters as they are; backward, a sum over ranks."""

    @staticmethod
    def forward(ctx: Any, ranks: Ranks, *params: Tensor) -> tuple[Tensor, ...]:
        ctx.ranks, ctx.params = ranks, params
        ctx.set_materialize_grads(False)
        return tuple(param.view_as(param) for param in params)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        params, is_used = ctx.params, [grad is not None for grad in grad_outputs]
        grads = [
            torch.zeros_like(param) if grad is None else grad
            for grad, param in zip(grad_outputs, params, strict=True)
        ]
        flat = torch.cat([*(grad.flatten() for grad in grads), grads[0].new_tensor(is_used)])
        total: Any = _Total.apply(flat, ctx.ranks)
        *totals, n_uses = total.split([*(param.numel() for param in params), len(params)])
        grads = [t.view_as(param).to(param.dtype) for t, param in zip(totals, params, strict=True)]
        # A parameter that no rank used has no gradient, and the optimiser leaves it as it is.
        return None, *(g if is_used[i] or n_uses[i] else None for i, g in enumerate(grads))


class _Total(Function):
    """From own to shared: a sum over ranks; backward, the gradient as it is."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, ranks: Ranks) -> Tensor:
        return ranks.total(own)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0], None


class _Everywhere(Function):
    """From own to own: a sum over ranks, which all of them use; so is its derivative."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.total(own)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _Everywhere.apply(*grad_outputs, ctx.ranks), None  # pyright: ignore

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        return ctx.ranks.total(grad_inputs[0])


class _Whole(Function):
    """From own rows to shared ones."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, places: Tensor, n: int, ranks: Ranks) -> Tensor:
        ctx.places, ctx.n, ctx.ranks = places, n, ranks
        return _put_together(own, places, n, ranks)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        return _Own.apply(*grad_outputs, ctx.places, ctx.n, ctx.ranks), None, None, None  # pyright: ignore

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        return _put_together(grad_inputs[0], ctx.places, ctx.n, ctx.ranks)


class _Own(Function):
    """From shared rows to own ones."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, places: Tensor, n: int, ranks: Ranks) -> Tensor:
        ctx.places, ctx.n, ctx.ranks = places, n, ranks
        return whole[places]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        return _Whole.apply(*grad_outputs, ctx.places, ctx.n, ctx.ranks), None, None, None  # pyright: ignore


def _put_together(own: Tensor, places: Tensor, n: int, ranks: Ranks) -> Tensor:
    whole = own.new_zeros(n, *own.shape[1:])
    whole[places] = own
    return ranks.total(whole)


class _BatchStatistics(TorchFunctionMode):
    """Lets batch normalisation, of whatever layer, be over the rows of all ranks."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch's, or :func:`_batch_norm` in its place."""
        kwargs = kwargs or {}
        if func is nn.functional.batch_norm and kwargs.get("training"):
            options = {name: value for name, value in kwargs.items() if name != "training"}
            return _batch_norm(self.ranks, *args, **options)
        return func(*args, **kwargs)


def _batch_norm(
    ranks: Ranks,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do as ``torch.nn.functional.batch_norm`` in training, with one message forward, one back."""
    rows_and_places = [0, *range(2, x.dim())]
    by_channel = [1, -1] + [1] * (x.dim() - 2)
    values = x if x.element_size() >= 4 else x.float()
    n_own = x.numel() // x.shape[1]
    mean = values.sum(rows_and_places) / max(n_own, 1)
    squares = (values - mean.view(by_channel)).square().sum(rows_and_places)
    own = torch.cat([mean, squares, mean.new_tensor([n_own])])
    is_own = torch.arange(ranks.size, device=x.device) == ranks.rank
    everyones: Any = _Everywhere.apply(own * is_own[:, None], ranks)
    means, squares, n_rows = everyones.split([len(mean), len(mean), 1], dim=1)
    n = n_rows.sum(0).detach()
    if n_own <= 1 and n.max() <= 1:
        raise ValueError("Expected more than 1 value per channel when training, of all processes")
    mean = (n_rows * means).sum(0) / n
    squares = (squares + n_rows * (means - mean).square()).sum(0)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((squares / (n - 1)).to(running_var.dtype), momentum)
    scale = (squares / n + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    normalised = (values - mean.view(by_channel)) * scale.view(by_channel)
    normalised = normalised if bias is None else normalised + bias.view(by_channel)
    return normalised.to(x.dtype)
