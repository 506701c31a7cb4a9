"""How sure predictions are, and how often each class is one: as far as trusted rows can tell."""

from __future__ import annotations

import math
import zlib

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from skmetaweight._data.batches import Rows

ROWS_FOR_ONE = 5
"""Of so many trusted rows one is kept out of the training loss."""

ROWS_AT_ONCE = 64
"""Trusted rows that are made dense at once: of a wide table they would not all fit into memory."""

HOTTEST = 20.0
"""Largest temperature."""

RIGHT, WRONG, SPREAD = 0.2, 1.0, 0.5
"""Mean logarithms of temperatures where labels are right and wrong, and a standard deviation."""

PSEUDO_ROWS = 5.0
"""Trusted rows that each class is taken to have besides."""


def kept_out(rows: Rows, seed: int) -> Tensor:
    """Draw the places of a fifth of the trusted rows.

    By what the rows hold, so that trainings which go on with them in another order, or with more or
    fewer, keep nearly the same out.
    """
    n, drawn = len(rows), []
    for batch in rows.evaluation.dense().chunks(ROWS_AT_ONCE):
        X, sums = batch.X, [seed % 2**32] * batch.n_rows
        for part in [X[key] for key in sorted(X)] if isinstance(X, dict) else [X]:
            values = part.cpu().double().numpy()
            sums = [zlib.crc32(x.tobytes(), so_far) for x, so_far in zip(values, sums, strict=True)]
        drawn += sums
    return torch.as_tensor(sorted(range(n), key=drawn.__getitem__)[: n // ROWS_FOR_ONE]).long()


def taught_but(untaught: Tensor, ones: Tensor) -> Tensor | None:
    """Return what each trusted row counts in the training loss, one on average; None for ones."""
    if not len(untaught):
        return None
    ones[untaught.to(ones.device)] = 0
    return ones / ones.mean()


def fit_temperature(log_probabilities: Tensor, y: Tensor, strength: float) -> float:
    r"""Return the temperature [1]_ that suits labelled rows best.

    It minimises

    .. math::

        -\sum_j \log \frac{p_{jy_j}^{1/T}}{\sum_k p_{jk}^{1/T}} + 2 (\log T - \mu)^2,
        \qquad \mu = 0.2 + 0.8 s

    over :math:`T \ge 1`: a few rows, all predicted rightly by chance, make no network surer. The
    last term is a normal prior of :math:`\log T` with a standard deviation of 1/2, which counts as
    long as few rows speak: networks were by so much too sure on our data, where labels are right
    and where they are wrong.

    Parameters
    ----------
    log_probabilities : Tensor of shape (n, n_classes)
    y : Tensor of shape (n,)
    strength : float
        :math:`s`, from 0 to 1, how far trusted rows have confirmed that labels are wrong.

    References
    ----------
    .. [1] Guo et al. On Calibration of Modern Neural Networks. ICML, 2017.
    """
    likely = RIGHT + (WRONG - RIGHT) * strength

    def objective(log_t: float) -> float:
        tempered = torch.log_softmax(log_probabilities * math.exp(-log_t), dim=1)
        unlikely = 0.5 * ((log_t - likely) / SPREAD) ** 2
        return unlikely - tempered.gather(1, y[:, None]).sum().item()

    found = minimize_scalar(objective, bounds=(0, math.log(HOTTEST)), method="bounded").x
    return math.exp(found) if objective(found) < objective(0.0) else 1.0


def smoothed(
    proportions: Tensor, counts: Tensor, n_trusted: int, pseudo_rows: float
) -> tuple[float, ...]:
    r"""Return what the probability of each class is multiplied by, before they sum to one again.

    If :math:`\pi_c` are the proportions of :math:`K` classes in the predictions for the training
    rows, :math:`m` trusted rows tell them as far as :math:`a` more rows of each class allow,

    .. math:: \pi'_c = \frac{m \pi_c + a}{m + aK},

    their mean under a symmetric Dirichlet prior. Predictions for data with the proportions
    :math:`\pi'` are those for :math:`\pi` times :math:`\pi'_c / \pi_c` [1]_, a logit adjustment
    [2]_ that is the weaker, the more trusted rows there are.

    Parameters
    ----------
    proportions : Tensor of shape (n_classes,)
        Less than one row's share is taken as that.
    counts : Tensor of shape (n_classes,)
        Rows with each label, trusted or not. A class of none has no pseudo rows either.
    n_trusted : int
    pseudo_rows : float

    References
    ----------
    .. [1] Saerens, Latinne and Decaestecker. Adjusting the Outputs of a Classifier to New a Priori
       Probabilities: A Simple Procedure. Neural Computation, 14, 2002.
    .. [2] Menon et al. Long-Tail Learning via Logit Adjustment. ICLR, 2021.
    """
    shares = proportions.clamp(min=1 / counts.sum().item())
    added = pseudo_rows * (counts > 0)
    expected = (n_trusted * shares + added) / (n_trusted + added.sum())
    return tuple((expected / shares).tolist())
