"""What ours is compared with: loops as one would write them by hand, skorch, and betty."""

from __future__ import annotations

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from benchmarks.cost.measure import synchronize
from benchmarks.cost.tasks import LEARNING_RATE, LOOKAHEAD_LR, Task

Rows = tuple[Tensor, Tensor]


def time_epochs(task: Task, epochs: int, run_epoch: Callable[[], None]) -> list[float]:
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        run_epoch()
        synchronize(task.device)
        seconds.append(time.perf_counter() - start)
    return seconds


def batches(X: Tensor, y: Tensor, batch_size: int) -> Iterator[Rows]:
    """Shuffled batches, indexed from tensors that live on the device."""
    order = torch.randperm(len(y)).to(X.device)
    for index in order.split(batch_size):
        yield X[index], y[index]


def endless_batches(X: Tensor, y: Tensor, batch_size: int) -> Iterator[Rows]:
    return itertools.chain.from_iterable(batches(X, y, batch_size) for _ in itertools.count())


def skorch_net(task: Task, epochs: int, **options):
    from skorch import NeuralNetClassifier

    return NeuralNetClassifier(
        task.new_module(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=LEARNING_RATE,
        batch_size=task.batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        device=task.device,
        verbose=0,
        **options,
    )


def skorch_fit(task: Task, epochs: int) -> list[float]:
    """skorch's NeuralNetClassifier as it comes, without its validation split."""
    net = skorch_net(task, epochs, train_split=None).fit(task.X, task.y)
    return net.history[:, "dur"]


def plain_loop(task: Task, epochs: int) -> list[float]:
    """The least that training can cost: the same batches, one forward, one backward."""
    X, y, _, _ = task.tensors()
    module = task.new_module().to(task.device).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE)

    def run_epoch() -> None:
        for X_batch, y_batch in batches(X, y, task.batch_size):
            optimizer.zero_grad()
            cross_entropy(module(X_batch), y_batch).backward()
            optimizer.step()

    return time_epochs(task, epochs, run_epoch)


def weighting_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 1), nn.Sigmoid())


def weigh(network: nn.Module, losses: Tensor) -> Tensor:
    return network(losses.detach().unsqueeze(1)).squeeze(1)


class Learners(NamedTuple):
    """What one batch trains: the network and the weighting network."""

    module: nn.Module
    network: nn.Module
    optimizer: torch.optim.Optimizer
    network_optimizer: torch.optim.Optimizer

    def train(self, losses: Tensor) -> None:
        """Step the network by its losses, weighed by what the weighting network is now."""
        with torch.no_grad():
            weights = weigh(self.network, losses)
        self.optimizer.zero_grad()
        (weights * losses).mean().backward()
        self.optimizer.step()


def virtual_step(params: dict[str, Tensor], grads: Iterable[Tensor]) -> dict[str, Tensor]:
    return {
        name: param - LOOKAHEAD_LR * grad
        for (name, param), grad in zip(params.items(), grads, strict=True)
    }


@sdpa_kernel(SDPBackend.MATH)  # fused attention has no second derivative
def backward_to_weighting(
    module: nn.Module, network: nn.Module, batch: Rows, meta_batch: Rows
) -> None:
    """MW-Net's double backward as published: a copy of the model, a virtual step, backward."""
    meta_model = copy.deepcopy(module)
    X, y = batch
    losses = cross_entropy(meta_model(X), y, reduction="none")
    loss = (weigh(network, losses) * losses).mean()
    params = dict(meta_model.named_parameters())
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    moved = virtual_step(params, grads)
    X_meta, y_meta = meta_batch
    cross_entropy(functional_call(meta_model, moved, (X_meta,)), y_meta).backward()


def published_step(learners: Learners, batch: Rows, meta_batch: Rows) -> None:
    """One batch of MW-Net's released scripts."""
    learners.network_optimizer.zero_grad()
    backward_to_weighting(learners.module, learners.network, batch, meta_batch)
    learners.network_optimizer.step()
    X, y = batch
    learners.train(cross_entropy(learners.module(X), y, reduction="none"))


@sdpa_kernel(SDPBackend.MATH)
def lean_step(learners: Learners, batch: Rows, meta_batch: Rows) -> None:
    """The best we know of double backward: no copy, one training pass, nothing but ψ reached."""
    module, network = learners.module, learners.network
    X, y = batch
    losses = cross_entropy(module(X), y, reduction="none")
    params = dict(module.named_parameters())
    loss = (weigh(network, losses) * losses).mean()
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    moved = virtual_step(params, grads)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    X_meta, y_meta = meta_batch
    meta_loss = cross_entropy(functional_call(module, {**moved, **buffers}, (X_meta,)), y_meta)
    psi = list(network.parameters())
    for param, grad in zip(
        psi, torch.autograd.grad(meta_loss, psi, retain_graph=True), strict=True
    ):
        param.grad = grad
    learners.network_optimizer.step()
    learners.train(losses)


def double_backward(
    task: Task, epochs: int, step: Callable[..., None] = published_step
) -> list[float]:
    """MW-Net by double backward, every batch."""
    X, y, X_meta, y_meta = task.tensors()
    module = task.new_module().to(task.device).train()
    network = weighting_network().to(task.device)
    learners = Learners(
        module,
        network,
        torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE),
        torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4),
    )
    meta_batches = endless_batches(X_meta, y_meta, task.batch_size)

    def run_epoch() -> None:
        for batch in batches(X, y, task.batch_size):
            step(learners, batch, next(meta_batches))

    return time_epochs(task, epochs, run_epoch)


def has_betty() -> bool:
    try:
        from betty.problems import ImplicitProblem
    except Exception as error:  # a dormant package may break in ways of its own
        print(f"betty-ml is left out: {type(error).__name__}: {error}")
        return False
    del ImplicitProblem
    return True


def betty(task: Task, epochs: int) -> list[float]:
    """MW-Net by betty-ml, as in its example: finite differences (type "darts")."""
    logging.disable(logging.INFO)
    engine = _betty_engine(task)
    engine.train_iters = task.n_steps
    return time_epochs(task, epochs, engine.run)


def _betty_engine(task: Task):
    from betty.configs import Config, EngineConfig
    from betty.engine import Engine
    from betty.problems import ImplicitProblem

    X, y, X_meta, y_meta = task.tensors()
    stream = endless_batches(X, y, task.batch_size)
    meta_stream = endless_batches(X_meta, y_meta, task.batch_size)
    module, network = task.new_module(), weighting_network()

    class Weighting(ImplicitProblem):
        def get_batch(self) -> Rows:
            return next(meta_stream)

        def training_step(self, batch: Rows) -> Tensor:
            return cross_entropy(self.classifier(batch[0]), batch[1])

    class Classifier(ImplicitProblem):
        def get_batch(self) -> Rows:
            return next(stream)

        def training_step(self, batch: Rows) -> Tensor:
            losses = cross_entropy(self.module(batch[0]), batch[1], reduction="none")
            return (self.weighting(losses.detach().unsqueeze(1)).squeeze(1) * losses).mean()

    weighting = Weighting(
        name="weighting",
        config=Config(type="darts", log_step=-1, retain_graph=True),
        module=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4),
        device=task.device,
    )
    classifier = Classifier(
        name="classifier",
        config=Config(type="darts", log_step=-1, unroll_steps=1),
        module=module,
        optimizer=torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE),
        device=task.device,
    )
    dependencies = {"u2l": {weighting: [classifier]}, "l2u": {classifier: [weighting]}}
    return Engine([weighting, classifier], EngineConfig(valid_step=10**9), dependencies)
