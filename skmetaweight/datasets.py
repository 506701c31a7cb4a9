"""Rows in files, and controlled damage to clean data: label noise and long-tailed classes."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.sparse import issparse
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing, check_array, check_random_state, indexable
from sklearn.utils.validation import FLOAT_DTYPES

from skmetaweight._arrays import read_array, read_numbers
from skmetaweight._data.parquet import ParquetRows
from skmetaweight._messages import explained

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ParquetRows", "corrupt_labels", "make_long_tailed"]

Noise = Literal["uniform", "pair", "flip-one", "flip-two", "class-conditional", "feature-dependent"]
LARGEST_FEATURE = 1e150
"""Beyond it, the squares of a column have no finite sum."""

_FLIPS = {"flip-one": 1, "flip-two": 2}
_ARGUMENT_USERS = {"X": "feature-dependent", "transition_matrix": "class-conditional"}


def corrupt_labels(
    y: ArrayLike,
    *,
    noise: Noise = "uniform",
    noise_rate: float = 0.4,
    X: Any = None,
    transition_matrix: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    r"""Replace some labels by wrong ones, each row drawn independently.

    With :math:`K` classes in the order of ``np.unique(y)`` and :math:`r` the noise rate:

    - ``"uniform"`` [1]_: with probability :math:`r`, one of the :math:`K-1` *other* classes.
    - ``"pair"`` [1]_: with probability :math:`r`, class :math:`k` becomes :math:`k+1 \bmod K`.
    - ``"flip-one"`` [2]_: each class has one other class, drawn once from `random_state`, which a
      label becomes with probability :math:`r`. The released code calls it ``flip``, or ``flip1``.
    - ``"flip-two"`` [2]_: each class has two other classes, drawn once from `random_state`; with
      probability :math:`r` a label becomes one of its two, with equal chances.
    - ``"class-conditional"`` [3]_: class :math:`k` becomes :math:`j` with probability
      :math:`T_{kj}`, given as `transition_matrix`.
    - ``"feature-dependent"`` [4]_: rows that are hard to tell apart are mislabelled more often, as
      the class they resemble. With :math:`p` the out-of-fold probabilities of a logistic regression
      on standardised `X`, rows are ranked from the largest margin :math:`p_y - \max_{j \ne y} p_j`
      (:math:`i = 0`) to the smallest (:math:`i = n-1`), and become :math:`\arg\max_{j \ne y} p_j`
      with the probability

      .. math:: n \int_{i/n}^{(i+1)/n} q^{(1-r)/r} \, dq
                = n r \left[ ((i+1)/n)^{1/r} - (i/n)^{1/r} \right]

      where :math:`q` is a quantile of ambiguity. The sum telescopes: its mean is exactly :math:`r`.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of at least two classes, of any sortable type, none missing.
    noise : {"uniform", "pair", "flip-one", "flip-two", "class-conditional", "feature-dependent"}
        The kind of noise.
    noise_rate : float in [0, 1], default=0.4
        Expected share of wrong labels. The rates of ``"class-conditional"`` noise are in
        `transition_matrix` instead, and `noise_rate` has no part in it.
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features), default=None
        Numeric, NaN allowed. Required by ``"feature-dependent"`` noise, refused by the others.
    transition_matrix : array-like of shape (n_classes, n_classes), default=None
        Non-negative, each row (true class) summing to one. Required by ``"class-conditional"``
        noise, refused by the others.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same noise on every call.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        A new array with the dtype of ``np.asarray(y)``.
    changed : ndarray of bool of shape (n_samples,)
        Exactly ``y_noisy != y``.

    Raises
    ------
    ValueError
        If `noise` is unknown, `noise_rate` lies outside [0, 1], `y` is not one column of at least
        two classes (three for ``"flip-two"``, two rows of each for ``"feature-dependent"``), or `X`
        or `transition_matrix` is missing, malformed or not used by this noise.

    Notes
    -----
    NOTE[DIFF]: some papers, [2]_ among them, draw uniform noise from all :math:`K` classes, so that
    only :math:`r (K-1)/K` of the labels become wrong: pass that as `noise_rate` to repeat them.

    NOTE[DIFF]: in [4]_ the probability is a polynomial of the margin, so that the rate of noise is
    known only afterwards; ranks fix it. Either way a label becomes the most probable other class.

    References
    ----------
    .. [1] Han et al. Co-teaching. NeurIPS, 2018.
    .. [2] Shu et al. Meta-Weight-Net. NeurIPS, 2019.
    .. [3] Patrini et al. Making deep neural networks robust to label noise. CVPR, 2017.
    .. [4] Zhang et al. Learning with feature-dependent label noise. ICLR, 2021.

    Examples
    --------
    >>> from skmetaweight.datasets import corrupt_labels
    >>> y_noisy, changed = corrupt_labels(["a", "b", "c", "a"], noise="pair", random_state=0)
    >>> y_noisy
    array(['a', 'c', 'c', 'b'], dtype='<U1')
    >>> changed
    array([False,  True, False,  True])
    """
    _check_noise(noise, noise_rate, X=X, transition_matrix=transition_matrix)
    labels, classes, codes = _encode(y)
    rng = _generator(random_state)

    if noise == "feature-dependent":
        noisy_codes = _flip_ambiguous(X, codes, noise_rate, rng)
    else:
        if noise == "class-conditional":
            transitions = _check_transitions(transition_matrix, len(classes))
        else:
            transitions = _make_transitions(noise, len(classes), noise_rate, rng)
        noisy_codes = np.empty_like(codes)
        for label, probabilities in enumerate(transitions):
            rows = np.flatnonzero(codes == label)
            noisy_codes[rows] = rng.choice(len(classes), size=len(rows), p=probabilities)

    changed = noisy_codes != codes
    noisy = labels.copy()
    noisy[changed] = classes[noisy_codes[changed]]
    return noisy, changed


def make_long_tailed(
    X: Any,
    y: Any,
    *,
    imbalance_ratio: float = 50,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Any, Any, NDArray[np.intp]]:
    r"""Subsample the classes to the exponential profile of [1]_.

    .. math:: n_k = \max(1, \min(N_k, \lfloor N_0 \, \rho^{-k / (K-1)} \rfloor))

    where :math:`N_0 \ge \dots \ge N_{K-1}` are the class sizes of `y` (equal ones in the order of
    ``np.unique(y)``) and :math:`\rho` is `imbalance_ratio`. The largest class keeps all its rows,
    and so does every class too small for its place: natural imbalance is deepened, never inverted
    or undone.

    Parameters
    ----------
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, ...)
        Features.
    y : array-like of shape (n_samples,)
        Labels of at least two classes, of any sortable type, none missing.
    imbalance_ratio : float >= 1, default=50
        Size of the largest class over that of the smallest; 1 keeps every row.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same rows on every call.

    Returns
    -------
    X : same type as `X` (CSR if sparse), of shape (n_kept, ...)
        The rows kept, in their original order.
    y : same type as `y`, of shape (n_kept,)
        Their labels.
    indices : ndarray of int of shape (n_kept,)
        Their increasing positions in the input.

    Raises
    ------
    ValueError
        If `imbalance_ratio` is less than 1 or not finite, `X` and `y` differ in length, or `y` is
        not one column of at least two classes.

    References
    ----------
    .. [1] Cui et al. Class-balanced loss based on effective number of samples. CVPR, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaweight.datasets import make_long_tailed
    >>> X, y = np.arange(300).reshape(-1, 1), np.repeat([0, 1, 2], 100)
    >>> X_tailed, y_tailed, indices = make_long_tailed(X, y, imbalance_ratio=25, random_state=0)
    >>> np.bincount(y_tailed)
    array([100,  20,   4])
    """
    if not (isinstance(imbalance_ratio, Real) and 1 <= imbalance_ratio < np.inf):
        raise ValueError(f"imbalance_ratio must be a finite number >= 1, got {imbalance_ratio!r}.")
    if X is None:
        raise ValueError("X must be rows, got None.")
    _, classes, codes = _encode(y)
    X, y = indexable(X, y)
    rng = _generator(random_state)

    available = np.bincount(codes)
    by_size = np.argsort(-available, kind="stable")
    decay = float(imbalance_ratio) ** (np.arange(len(classes)) / (len(classes) - 1))
    # Floor, as published data sets do; the factor keeps 9.999999999999998 from becoming 9.
    profile = np.floor(available.max() / decay * (1 + 1e-12)).astype(int)
    sizes = np.clip(profile, 1, available[by_size])
    kept = [
        rng.choice(np.flatnonzero(codes == label), size=size, replace=False)
        for label, size in zip(by_size, sizes, strict=True)
    ]
    indices = np.sort(np.concatenate(kept))
    return _safe_indexing(X, indices), _safe_indexing(y, indices), indices


def _check_noise(noise: str, noise_rate: float, **arguments: Any) -> None:
    if noise not in get_args(Noise):
        raise ValueError(f"noise must be one of {', '.join(get_args(Noise))}; got {noise!r}.")
    if isinstance(noise_rate, bool) or not (isinstance(noise_rate, Real) and 0 <= noise_rate <= 1):
        raise ValueError(f"noise_rate must be a number in [0, 1], got {noise_rate!r}.")
    for name, value in arguments.items():
        user = _ARGUMENT_USERS[name]
        if value is None and noise == user:
            raise ValueError(f"noise={noise!r} needs {name}, got {name}=None.")
        if value is not None and noise != user:
            raise ValueError(f"noise={noise!r} does not use {name}, which is for {user!r} only.")


def _generator(random_state: Any) -> np.random.RandomState:
    cure = "Pass an int from 0 to 2**32 - 1, a RandomState or None."
    with explained("random_state", random_state, "gives no random numbers", cure):
        return check_random_state(random_state)


def _encode(y: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    labels = read_array(y, "y")
    if labels.ndim != 1:
        raise ValueError(f"y must be one-dimensional, got shape {labels.shape}.")
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"y must hold sortable labels, none missing: {error}.") from error
    if np.any(classes != classes):
        raise ValueError(f"y must not have missing labels, got the classes {classes}.")
    if classes.dtype.kind == "f" and np.any(classes != np.trunc(classes)):
        raise ValueError(f"y must hold class labels, got continuous values like {classes[:3]}.")
    if len(classes) < 2:
        raise ValueError(f"y must have at least 2 classes, got {len(classes)}: {classes}.")
    return labels, classes, codes


def _check_transitions(transition_matrix: Any, n_classes: int) -> NDArray[np.float64]:
    transitions = read_numbers(transition_matrix, "transition_matrix")
    shape = transitions.shape
    if shape != (n_classes, n_classes):
        raise ValueError(f"transition_matrix must be {n_classes} x {n_classes}, got shape {shape}.")
    sums = transitions.sum(axis=1, keepdims=True)
    if not (np.all(transitions >= 0) and np.allclose(sums, 1, rtol=0, atol=1e-6)):
        raise ValueError(
            "transition_matrix must be non-negative with rows that sum to 1, "
            f"got a minimum of {transitions.min()} and the sums {sums.ravel()}."
        )
    return transitions / sums


def _make_transitions(
    noise: str, n_classes: int, rate: float, rng: np.random.RandomState
) -> NDArray[np.float64]:
    stay = np.eye(n_classes)
    if noise == "uniform":
        leave = (1 - stay) / (n_classes - 1)
    elif noise == "pair":
        leave = np.roll(stay, 1, axis=1)
    else:
        n_others = _FLIPS[noise]
        if n_classes <= n_others:
            raise ValueError(
                f"noise={noise!r} needs at least {n_others + 1} classes, got {n_classes}."
            )
        leave = np.zeros_like(stay)
        for label, row in enumerate(leave):
            others = np.delete(np.arange(n_classes), label)
            row[rng.choice(others, size=n_others, replace=False)] = 1 / n_others
    return (1 - rate) * stay + rate * leave


def _flip_ambiguous(
    X: Any, codes: NDArray[np.intp], rate: float, rng: np.random.RandomState
) -> NDArray[np.intp]:
    n_samples = len(codes)
    probabilities = _out_of_fold_probabilities(X, codes, rng)
    own = probabilities[np.arange(n_samples), codes]
    probabilities[np.arange(n_samples), codes] = -1.0
    margins = own - probabilities.max(axis=1)

    # Ties (duplicate rows, a constant X) fall in random order, or the row order would decide.
    by_ambiguity = np.lexsort((rng.uniform(size=n_samples), -margins))
    flip = np.zeros(n_samples)
    if rate > 0:
        quantiles = np.linspace(0, 1, n_samples + 1)
        flip[by_ambiguity] = n_samples * rate * np.diff(quantiles ** (1 / rate))
    flipped = rng.uniform(size=n_samples) < flip
    return np.where(flipped, probabilities.argmax(axis=1), codes)


def _check_features(X: Any) -> Any:
    """Return rows as numbers that can be standardised."""
    checks: Any = {"accept_sparse": "csr", "dtype": FLOAT_DTYPES, "ensure_all_finite": "allow-nan"}
    with explained("X", X, "is no table of numbers", "Pass numbers, NaN where one is missing."):
        X = check_array(X, **checks)
    largest = np.nanmax(np.abs(X.data if issparse(X) else X), initial=0)
    if float(largest) > LARGEST_FEATURE:
        raise ValueError(
            f"X has numbers as large as {largest:g}, whose squares are infinite: divide them "
            "by the largest."
        )
    return X


def _out_of_fold_probabilities(
    X: Any, codes: NDArray[np.intp], rng: np.random.RandomState
) -> NDArray[np.float64]:
    X = _check_features(X)
    indexable(X, codes)
    sizes = np.bincount(codes)
    if sizes.min() < 2:
        raise ValueError(
            f"noise='feature-dependent' needs at least 2 rows of each class, got {sizes}."
        )
    # Shuffled rows dealt out class by class: every training fold has every class, however rare.
    shuffled = rng.permutation(len(codes))
    folds = np.empty_like(codes)
    folds[shuffled[np.argsort(codes[shuffled], kind="stable")]] = np.arange(len(codes)) % 5
    model = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(with_mean=not issparse(X)),
        LogisticRegression(max_iter=1000),
    )
    cv = PredefinedSplit(folds)
    return np.array(cross_val_predict(model, X, codes, cv=cv, method="predict_proba"))
