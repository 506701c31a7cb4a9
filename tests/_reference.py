"""The methods as their equations say: slow, obvious, one gradient at a time.

Nothing here shares code with the package, and no line is clever. Every class has the ``step`` of a
reweighter: it leaves the gradient of the parameters in ``.grad`` and returns the weights. Virtual
steps run on deep copies of the module, so that batch statistics move once, in the training pass.
"""

import copy
import math

import torch
from torch.func import functional_call


def cross_entropy(logits, y):
    return -torch.log_softmax(logits, dim=1)[torch.arange(len(y)), y]


def outputs(module, params, X):
    return functional_call(module, params, *(((), X) if isinstance(X, dict) else ((X,),)))


def stacked(first, second):
    if isinstance(first, dict):
        return {key: torch.cat([first[key], second[key]]) for key in first}
    return torch.cat([first, second])


def trainable(module):
    return {name: param for name, param in module.named_parameters() if param.requires_grad}


def gradients(loss, params, **options):
    options = {"retain_graph": True, "materialize_grads": True, **options}
    return dict(
        zip(params, torch.autograd.grad(loss, list(params.values()), **options), strict=True)
    )


def inner(direction, grads):
    return sum((direction[name] * grads[name]).sum() for name in grads)


def per_sample_alignments(losses, params, direction):
    return torch.stack([inner(direction, gradients(loss, params)) for loss in losses]).detach()


def one_hot(y, n_classes):
    return (y[:, None] == torch.arange(n_classes)).double()


class Reference:
    """What all methods share: the losses of both levels and the training loss."""

    def __init__(
        self,
        network=None,
        optimizer=None,
        *,
        meta_share=0.0,
        meta_class_weight=None,
        meta_robustness=0.0,
        learned_loss=0.0,
        taught=None,
        n_classes=3,
    ):
        self.network = network
        self.optimizer = optimizer
        self.meta_share = meta_share
        self.meta_class_weight = meta_class_weight
        self.meta_robustness = meta_robustness
        self.learned_loss = learned_loss
        self.taught = taught
        self.n_classes = n_classes

    def forward(self, module, params, batch, meta_batch):
        """Losses of the batch and, with a meta share, meta loss, by one pass over both."""
        if not self.meta_share:
            self.logits = outputs(module, params, batch.X)
            return cross_entropy(self.logits, batch.y), None
        self.logits = outputs(module, params, stacked(batch.X, meta_batch.X))
        losses = cross_entropy(self.logits, torch.cat([batch.y, meta_batch.y]))
        n = len(batch.y)
        self.left = self.left_to_learn(losses[n:], meta_batch)
        return losses[:n], self.meta_mean(losses[n:], meta_batch)

    def meta_mean(self, losses, meta_batch, weights=1.0):
        if self.meta_robustness:
            losses = (1 - torch.exp(-self.meta_robustness * losses)) / self.meta_robustness
        losses = weights * losses
        if self.meta_class_weight is not None:
            losses = losses * self.meta_class_weight[meta_batch.y]
        return losses.sum() / len(losses)

    def left_to_learn(self, losses, meta_batch):
        """What trusted rows have in the training loss; as in the meta loss if none is learned."""
        if not self.learned_loss:
            assert self.taught is None
            return self.meta_mean(losses, meta_batch)
        total = 0.0
        for loss, label, place in zip(losses, meta_batch.y, meta_batch.index, strict=True):
            weight = 1.0 if self.meta_class_weight is None else self.meta_class_weight[label]
            if self.taught is not None:
                weight = weight * self.taught[place]
            total = total + (weight * (loss - self.learned_loss) if loss > self.learned_loss else 0)
        return total / len(losses)

    def meta_loss(self, module, params, meta_batch):
        """The meta loss by a pass of its own, on a copy."""
        logits = outputs(copy.deepcopy(module), params, meta_batch.X)
        return self.meta_mean(cross_entropy(logits, meta_batch.y), meta_batch)

    def weighted_mean(self, values, batch):
        s = torch.ones_like(values) if batch.sample_weight is None else batch.sample_weight
        return (s * values).sum() / len(values)

    def mean_one(self, weights, batch):
        s = torch.ones_like(weights) if batch.sample_weight is None else batch.sample_weight
        mean = (s * weights).sum() / s.sum()
        return weights / mean if mean > 0 else torch.zeros_like(weights)

    def training_loss(self, losses, meta_loss, weights, batch):
        loss = self.weighted_mean(weights * losses, batch)
        if meta_loss is None:
            return loss
        return (1 - self.meta_share) * loss + self.meta_share * self.left

    def meta_direction(self, module, params, meta_loss, meta_batch):
        r""":math:`\nabla L_{meta}(\theta)`; of the training pass if the trusted rows were in it."""
        if meta_loss is None:
            meta_loss = self.meta_loss(module, params, meta_batch)
        return gradients(meta_loss, params)


class UniformReference(Reference):
    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        losses, meta_loss = self.forward(module, trainable(module), batch, meta_batch)
        weights = torch.ones_like(losses)
        self.training_loss(losses, meta_loss, weights, batch).backward()
        return weights


class OfTheLossReference(Reference):
    """Weights by a function of the loss and, if it is class-aware, of the label.

    Or of two probabilities, that of the label and the largest one, if these are what it sees.
    """

    def __init__(
        self, *args, normalize=True, class_aware=False, sees_probabilities=False, **options
    ):
        super().__init__(*args, **options)
        self.normalize = normalize
        self.class_aware = class_aware
        self.sees_probabilities = sees_probabilities

    def weights(self, losses, batch):
        inputs = losses.detach()[:, None]
        if self.sees_probabilities:
            inputs = torch.stack(two_probabilities(self.logits.detach(), batch.y), dim=1)
        if self.class_aware:
            inputs = torch.cat([inputs, one_hot(batch.y, self.n_classes)], dim=1)
        weights = self.network(inputs)
        return self.mean_one(weights, batch) if self.normalize else weights


def two_probabilities(logits, y):
    """Of the first rows, as many as there are labels: that of the label, and the largest one."""
    of_label, largest = [], []
    for row, label in zip(logits, y.tolist(), strict=False):
        exponentials = torch.exp(row - row.detach().max())
        of_label.append(exponentials[label] / exponentials.sum())
        largest.append(exponentials[int(row.argmax())] / exponentials.sum())
    return torch.stack(of_label), torch.stack(largest)


def lilaw_weights(numbers, logits, y):
    alpha, beta, delta = numbers
    s, m = two_probabilities(logits, y)
    easy = 1 / (1 + torch.exp(-(alpha * s - m)))
    hard = 1 / (1 + torch.exp(beta * s - m))
    return easy + hard + torch.exp(-((delta * s - m) ** 2) / 2)


class LiLAWReference(Reference):
    """A step of the three numbers by autograd; then a loss whose weights are differentiated too."""

    def __init__(self, *args, numbers=(10.0, 2.0, 6.0), lr=0.005, decay=1e-4, **options):
        super().__init__(*args, **options)
        self.numbers, self.lr, self.decay = numbers, lr, decay

    def meta_step(self, logits, meta_batch):
        numbers = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in self.numbers]
        weights = lilaw_weights(numbers, logits.detach(), meta_batch.y)
        losses = cross_entropy(logits.detach(), meta_batch.y)
        self.meta_mean(losses, meta_batch, weights).backward()
        alpha, beta, delta = (
            p.item() - self.lr * (p.grad.item() + self.decay * p.item()) for p in numbers
        )
        self.numbers = max(alpha, 1.0), beta, max(delta, beta)

    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        losses, meta_loss = self.forward(module, trainable(module), batch, meta_batch)
        logits = self.logits
        if update:
            n = len(batch.y)
            own = outputs(copy.deepcopy(module), {}, meta_batch.X) if not self.meta_share else None
            self.meta_step(logits[n:] if own is None else own, meta_batch)
        weights = lilaw_weights(self.numbers, logits, batch.y)
        self.training_loss(losses, meta_loss, weights, batch).backward()
        return weights.detach()


def paper_lilaw_step(module, optimizer, numbers, batch, meta_batch, *, is_warm):
    """The loop of the LiLAW paper: a batch, then a meta batch; returns the three numbers."""
    logits = module(batch.X)
    losses = cross_entropy(logits, batch.y)
    optimizer.zero_grad()
    (lilaw_weights(numbers, logits, batch.y) * losses if is_warm else losses).mean().backward()
    optimizer.step()
    if not is_warm:
        return numbers
    reference = LiLAWReference(numbers=numbers)
    reference.meta_step(module(meta_batch.X), meta_batch)
    return reference.numbers


class MetaWeightNetReference(OfTheLossReference):
    """MW-Net by a double backward through the virtual step, which stays in the graph."""

    def meta_loss_after_lookahead(self, module, batch, meta_batch, lookahead_lr):
        r""":math:`L_{meta}(\hat\theta(\psi))`, differentiable in :math:`\psi`."""
        virtual = copy.deepcopy(module)
        params = trainable(virtual)
        losses, meta_loss = self.forward(virtual, params, batch, meta_batch)
        weights = self.weights(losses, batch)
        loss = self.training_loss(losses, meta_loss, weights, batch)
        grads = gradients(loss, params, create_graph=True)
        moved = {name: param - lookahead_lr * grads[name] for name, param in params.items()}
        return self.meta_loss(virtual, moved, meta_batch)

    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        before = torch.get_rng_state()
        if update:
            self.optimizer.zero_grad()
            self.meta_loss_after_lookahead(module, batch, meta_batch, lookahead_lr).backward()
            self.optimizer.step()
        torch.set_rng_state(before)
        losses, meta_loss = self.forward(module, trainable(module), batch, meta_batch)
        weights = self.weights(losses, batch).detach()
        self.training_loss(losses, meta_loss, weights, batch).backward()
        return weights


def paper_meta_weight_net_step(
    module, optimizer, network, network_optimizer, batch, meta_batch, lr, setting="noise"
):
    """The loop of the MW-Net paper, with its deep copy and its two forward passes."""

    def divided(weights):
        return weights / (len(weights) if setting == "noise" else weights.sum())

    copied = copy.deepcopy(module)
    params = dict(copied.named_parameters())
    cost = cross_entropy(outputs(copied, params, batch.X), batch.y)
    loss = (divided(network(cost.detach()[:, None])) * cost).sum()
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    moved = {n: p - lr * g for (n, p), g in zip(params.items(), grads, strict=True)}
    meta_loss = cross_entropy(outputs(copied, moved, meta_batch.X), meta_batch.y).mean()
    network_optimizer.zero_grad()
    meta_loss.backward()
    network_optimizer.step()

    cost = cross_entropy(module(batch.X), batch.y)
    with torch.no_grad():
        weights = network(cost[:, None])
    optimizer.zero_grad()
    (divided(weights) * cost).sum().backward()
    optimizer.step()


class ClassMeansReference:
    """Means by class with every past batch kept: each counts nine tenths of the next."""

    def __init__(self):
        self.past = []

    def follow(self, values, labels):
        self.past.append((values.tolist(), labels.tolist()))

    def mean(self, label=None):
        total = number = 0.0
        for age, (values, labels) in enumerate(reversed(self.past)):
            seen = [v for v, c in zip(values, labels, strict=True) if label in (None, c)]
            total += 0.9**age * sum(seen)
            number += 0.9**age * len(seen)
        return total / number


class MemoryReference:
    r"""Running means of :math:`\tilde a_i`, with every past mean square kept."""

    def __init__(self, n_rows, decay=0.9, n_trusted=(math.inf,) * 3):
        self.decay = decay
        self.values = [0.0] * n_rows
        self.mean_squares = []
        self.n_trusted = n_trusted
        self.classes = ClassMeansReference()

    def read(self, batch):
        return torch.tensor([self.values[i] for i in batch.index], dtype=torch.float64)

    def centred(self, alignments, labels):
        self.classes.follow(alignments, labels)
        result = alignments.clone()
        for i, label in enumerate(labels.tolist()):
            result[i] -= 4 / (4 + self.n_trusted[label]) * self.classes.mean(label)
        return result

    def scale(self, alignments, labels):
        alignments = self.centred(alignments, labels)
        self.mean_squares.append(float((alignments**2).mean()))
        ages = range(len(self.mean_squares) - 1, -1, -1)
        total = sum(0.99**age * square for age, square in zip(ages, self.mean_squares, strict=True))
        rms = math.sqrt(total / sum(0.99**age for age in ages))
        return torch.clamp(alignments / rms, -3, 3)

    def remember(self, batch, scaled):
        for i, value in zip(batch.index.tolist(), scaled.tolist(), strict=True):
            self.values[i] = self.decay * self.values[i] + (1 - self.decay) * value


class MemoryMetaWeightNetReference(Reference):
    """MW-Net with memory: no lookahead, mean-one weights of losses and remembered alignments."""

    def __init__(self, *args, n_rows, n_trusted, prior=0.2, class_aware=False, **options):
        super().__init__(*args, **options)
        self.memory = MemoryReference(n_rows, n_trusted=n_trusted)
        self.n_trusted = n_trusted
        self.class_weights = ClassMeansReference()
        self.prior = prior
        self.class_aware = class_aware

    def drawn_together(self, raw, labels):
        means = self.class_weights
        means.follow(raw, labels)
        factors = [
            (means.mean() / means.mean(c)) ** (8 / (8 + self.n_trusted[c])) for c in labels.tolist()
        ]
        return raw * torch.tensor(factors, dtype=torch.float64)

    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        params = trainable(module)
        losses, meta_loss = self.forward(module, params, batch, meta_batch)
        columns = [losses.detach() / math.log(self.n_classes), self.memory.read(batch)]
        inputs = torch.stack(columns, dim=1)
        if self.class_aware:
            inputs = torch.cat([inputs, one_hot(batch.y, self.n_classes)], dim=1)
        raw = self.network(inputs)
        weights = self.mean_one(self.drawn_together(raw, batch.y), batch)
        if update:
            direction = self.meta_direction(module, params, meta_loss, meta_batch)
            scaled = self.memory.scale(per_sample_alignments(losses, params, direction), batch.y)
            objective = -self.weighted_mean(scaled * weights, batch)
            objective = objective + self.prior * self.weighted_mean((raw - 1) ** 2, batch)
            self.optimizer.zero_grad()
            objective.backward()
            self.optimizer.step()
            self.memory.remember(batch, scaled)
        weights = weights.detach()
        self.training_loss(losses, meta_loss, weights, batch).backward()
        return weights


class LearningToReweightReference(Reference):
    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        params = trainable(module)
        losses, meta_loss = self.forward(module, params, batch, meta_batch)
        direction = self.meta_direction(module, params, meta_loss, meta_batch)
        alignments = per_sample_alignments(losses, params, direction)
        weights = self.mean_one(torch.clamp(alignments, min=0), batch)
        self.training_loss(losses, meta_loss, weights, batch).backward()
        return weights


class MemoryLearningToReweightReference(Reference):
    def __init__(self, *args, n_rows, n_trusted, sharpness=12.0, bias=1.0, **options):
        super().__init__(*args, **options)
        self.memory = MemoryReference(n_rows, n_trusted=n_trusted)
        self.sharpness = sharpness
        self.bias = bias

    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        params = trainable(module)
        losses, meta_loss = self.forward(module, params, batch, meta_batch)
        gates = 2 / (1 + torch.exp(-self.sharpness * self.memory.read(batch) - self.bias))
        weights = self.mean_one(gates, batch)
        if update:
            direction = self.meta_direction(module, params, meta_loss, meta_batch)
            scaled = self.memory.scale(per_sample_alignments(losses, params, direction), batch.y)
            self.memory.remember(batch, scaled)
        self.training_loss(losses, meta_loss, weights, batch).backward()
        return weights


class FirstOrderMetaWeightNetReference(OfTheLossReference):
    r"""FMW-Net: :math:`q` is one expression, differentiated on both levels."""

    def __init__(self, *args, eta=0.5, **options):
        super().__init__(*args, **options)
        self.eta = eta

    def step(self, module, batch, meta_batch, lookahead_lr, *, update=True):
        params = trainable(module)
        untouched = copy.deepcopy(module)
        before = torch.get_rng_state()
        losses, meta_loss = self.forward(module, params, batch, meta_batch)
        after = torch.get_rng_state()
        weights = self.weights(losses, batch)
        if not update:
            self.training_loss(losses, meta_loss, weights.detach(), batch).backward()
            return weights.detach()

        frozen = self.weighted_mean(weights.detach() * losses, batch)
        step = gradients(frozen, params)
        p = {name: (param - lookahead_lr * step[name]).detach() for name, param in params.items()}
        torch.set_rng_state(before)
        losses_p = self.forward(untouched, p, batch, meta_batch)[0].detach()
        torch.set_rng_state(after)

        q = self.weighted_mean(weights * losses, batch)
        q = q - self.weighted_mean(self.weights(losses_p, batch) * losses_p, batch)
        psi = dict(self.network.named_parameters())
        q_theta, q_psi = gradients(q, params), gradients(q, psi)
        meta_grads = self.meta_direction(module, params, meta_loss, meta_batch)
        squares = sum((g**2).sum() for g in [*q_theta.values(), *q_psi.values()])
        multiplier = max(self.eta - inner(meta_grads, q_theta) / (squares + 1e-8), 0)
        for name, param in params.items():
            param.grad = meta_grads[name] + multiplier * q_theta[name]
        for name, param in psi.items():
            param.grad = multiplier * q_psi[name]
        self.optimizer.step()
        return weights.detach()
