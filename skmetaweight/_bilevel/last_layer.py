"""The part of the alignments that belongs to the last layer, which costs next to nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skmetaweight._bilevel.forward import outputs_of
from skmetaweight._bilevel.objective import Batch, Objective, TrainingPass

Pair = tuple[Tensor, Tensor]
"""Something for the weight of the last layer, and for its bias."""


def find_head(module: nn.Module, X: Tensor | dict[str, Tensor]) -> nn.Linear | None:
    """Return the linear layer that makes the module's output, or None.

    A softmax or a logarithm of one may follow it, and nothing else.

    Parameters
    ----------
    module : Module
        In evaluation mode.
    X : Tensor or dict of str to Tensor
        A few rows.
    """
    outputs: list[tuple[nn.Module, Tensor]] = []

    def keep(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append((layer, output))

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        with torch.no_grad():
            result = outputs_of(module, X)
    finally:
        for hook in hooks:
            hook.remove()
    calls = [layer for layer, _ in outputs]
    for layer, output in outputs:
        if isinstance(layer, nn.Linear) and calls.count(layer) == 1 and _follows(result, output):
            return layer
    return None


def _follows(result: Tensor, output: Tensor) -> bool:
    if output.dim() != 2 or result.shape != output.shape:
        return False
    return result is output or any(
        torch.allclose(result, function(output, dim=-1))
        for function in (torch.softmax, torch.log_softmax)
    )


class LastLayerAlignments:
    r"""Computes the part of the alignments that belongs to the last layer.

    With :math:`h_i` the input of the last linear layer and :math:`\delta_i` the gradient of
    :math:`\ell_i` with respect to its output, the gradients of its parameters are
    :math:`\delta_i h_i^\top` and :math:`\delta_i`. Hence, with :math:`G` and :math:`g` those of the
    meta loss,

    .. math:: a_i = \delta_i^\top (G h_i + g).

    All of it is known from the training pass: no backward pass through the network is needed.
    As the meta batch is small, :math:`G` and :math:`g` are running means over meta batches.

    Parameters
    ----------
    decay : float, default=0.9
        Decay of the running means; 0 for the meta batch alone.

    References
    ----------
    FSR [1]_ takes its virtual step on the last layer alone, FaMUS [2]_ learns which layers count,
    and GREATS [3]_ computes such products for all layers, row by row, in one backward pass.

    .. [1] Zhang and Pfister. Learning Fast Sample Re-weighting Without Reward Data. ICCV, 2021.
    .. [2] Xu et al. Faster Meta Update Strategy for Noise-Robust Deep Learning. CVPR, 2021.
    .. [3] Wang et al. GREATS: Online Selection of High-Quality Data for LLM Training in Every
       Iteration. NeurIPS, 2024.
    """

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = decay
        self._running: Pair | None = None

    def __call__(
        self, objective: Objective, module: nn.Module, forward: TrainingPass, meta_batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Return the detached alignments, of shape (n,), and the detached meta loss."""
        ranks, n = objective.ranks, forward.rows[0].n_rows
        n_own = len(range(n)[ranks.own(n)])
        features, logits = forward.last_layer
        counts = torch.ones_like(forward.all_losses)
        if forward.meta_loss is None:
            meta = objective.meta_pass(module, meta_batch)
            assert meta.meta_loss is not None
            meta_loss = meta.meta_loss.detach()
            meta_features, meta_logits = meta.last_layer
            (meta_deltas,) = torch.autograd.grad(meta.meta_loss, meta_logits)
            (deltas,) = torch.autograd.grad(forward.all_losses, logits, counts, retain_graph=True)
        else:
            # A row's loss depends on its own output only, so one gradient holds them all.
            counts[n:] = objective.meta_slopes(forward)
            (both,) = torch.autograd.grad(forward.all_losses, logits, counts, retain_graph=True)
            deltas, meta_deltas = both[:n_own], both[n_own:]
            features, meta_features = features[:n_own], features[n_own:]
            meta_loss = forward.meta_loss.detach()
        pair = ranks.totals([meta_deltas.T @ meta_features, meta_deltas.sum(dim=0)])
        weight, bias = self._averaged((pair[0], pair[1]), module)
        products = features @ weight.T
        if objective.head is not None and objective.head.bias is not None:
            products += bias
        return ranks.whole((products * deltas).sum(dim=1), [n]), meta_loss

    def state_dict(self) -> dict[str, Tensor]:
        """Return the running means, once there are any."""
        if self._running is None:
            return {}
        return dict(zip(("weight", "bias"), map(torch.clone, self._running), strict=True))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._running = (state["weight"].clone(), state["bias"].clone()) if state else None

    def _averaged(self, meta_gradient: Pair, module: nn.Module) -> Pair:
        if not module.training:
            return meta_gradient
        if self._running is None:
            self._running = meta_gradient
        else:
            for mean, now in zip(self._running, meta_gradient, strict=True):
                mean.lerp_(now, 1 - self.decay)
        return self._running
