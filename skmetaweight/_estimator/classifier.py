"""The scikit-learn shell around the net."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from skmetaweight._bilevel.forward import differentiating
from skmetaweight._data.batches import Rows
from skmetaweight._data.dataset_labels import labels_of
from skmetaweight._data.dataset_rows import open_dataset
from skmetaweight._data.fit_data import GivenData
from skmetaweight._data.labels import refuse_other_labels
from skmetaweight._data.validation import (
    check_lengths,
    check_sample_weight,
    check_X,
    check_y,
    encode,
    n_rows,
)
from skmetaweight._estimator.fitted_state import PortableMixin, snapshot, twin, working_copy
from skmetaweight._estimator.fitting import run_fit
from skmetaweight._estimator.html import HTMLReprMixin
from skmetaweight._estimator.label_quality import LabelQualityMixin
from skmetaweight._estimator.net_params import NetParamsMixin, refuse_moved_params
from skmetaweight._estimator.saving import SavingMixin
from skmetaweight._training.net import ReweightedNet
from skmetaweight._training.tasks import CallbackSupportMixin
from skmetaweight.reweighting import METHODS, Reweighter
from skmetaweight.reweighting._weighting import WeightingFunction


class MetaWeightClassifier(  # pyright: ignore[reportIncompatibleMethodOverride]
    HTMLReprMixin,
    LabelQualityMixin,
    SavingMixin,
    PortableMixin,
    CallbackSupportMixin,
    ClassifierMixin,
    NetParamsMixin,
):
    r"""A neural network that learns from a few trusted rows how much every other row counts.

    Each batch of training rows is weighted by what is known of its effect on the loss of the
    *meta set*, the trusted rows. The default method is Meta-Weight-Net [1]_ with a memory of
    alignments; FMW-Net [2]_, Learning to Reweight [3]_ and unweighted training share
    all other settings.

    Parameters
    ----------
    module : Module class or instance, or None, default=None
        The network, from a batch of X to logits of shape (n, n_classes). A class is built with the
        ``module__*`` parameters, an instance is copied. None for :class:`TabularMLP`, which
        standardises and encodes numbers, embeds categories, takes missing values and is sized from
        X and y.
    method : {"mw-net", "fmw-net", "l2rw", "lilaw", "uniform"} or Reweighter, default="mw-net"
        The reweighting method: a name, or an object such as ``MetaWeightNet.paper()``. Its settings
        are those of the object, or come by prefix, as in ``method__memory=0``; see
        :class:`MetaWeightNet`, :class:`FirstOrderMetaWeightNet`, :class:`LearningToReweight` and
        :class:`LiLAW`.
    meta_size : float or int, default=0.1
        Used only when ``fit`` gets no trusted rows: the share or number of rows of X that are
        split off in their place.
    meta_share : float, default=0.2
        Share of the training loss that the meta rows carry, in [0, 1). 0 as published. A trusted
        row takes part until its label is more likely than not, by the loss of log-likelihoods.
    meta_batch_size : int or None, default=None
        Trusted rows per batch; None for 32 with a meta share, and for as many as there are
        training rows without.
    class_weight : dict, "balanced" or None, default=None
        What rows of a class count: in the training loss, beside ``sample_weight`` and the learned
        weights, and in the meta loss. "balanced" gives the classes of each loss equal shares.
    robust_meta_loss : bool or "auto", default="auto"
        Whether a loss :math:`\ell` of a meta row becomes :math:`(1 - e^{-q\ell}) / q`, bounded as
        generalized cross-entropy [4]_: :math:`q = 1 / (2 \log K)`, or 0.7 if ``fit`` gets no
        trusted rows. Rows on the wrong side of an overlap, and wrong labels, then lead the others
        less. "auto" does so with a ``meta_share``, or when ``fit`` gets no trusted rows, unless a
        class is over twenty times as frequent as another: rare classes have large losses too.
    confirm_weights : bool or "auto", default="auto"
        Whether weights count only as far as trusted rows confirm that labels are wrong. These, and
        twice as many training rows (at most a quarter), are then withheld from the training loss
        for up to a fifth of the epochs. If the losses or gradients of the two differ, among rows
        with the same label, by two standard errors, as wrong labels make them do, learned weights
        count in full; if not at all, every row counts the same from then on; between, in
        proportion. Needs trusted rows, ten epochs or more, and mw-net or l2rw with a memory. "auto"
        does so where all of it is given, and a ``meta_share``, with fewer than 500 trusted rows.
        See the user guide.
    temperature : float or "auto", default="auto"
        What logits are divided by before they become probabilities, or probabilities' logarithms
        likewise [5]_, from 1e-6 to 1e6. "auto" fits it at the end of training to trusted rows: to
        all of them without a ``meta_share``, else to a fifth of them, drawn at random, that is kept
        out of the training loss. Without any, or with a ``predict_nonlinearity`` of one's own, it
        is 1, or what it was before in a fit that goes on.
    class_smoothing : float or "auto", default="auto"
        How many trusted rows, up to 1e6, each class is taken to have besides. So far as these weigh
        against the real ones, probabilities are those for data whose classes are equally frequent
        [6]_: rare classes are predicted more often. 0 leaves probabilities as they are. "auto" is 5
        for methods whose weights have mean one (mw-net, fmw-net and l2rw as they come), trusted
        rows and neither a ``class_weight`` nor a ``predict_nonlinearity`` of one's own, else 0;
        ``partial_fit`` keeps what ``fit`` has found.
    early_stopping : bool, default=True
        Whether the epoch with the lowest meta loss is kept. All epochs are run; add skorch's
        ``EarlyStopping(monitor="meta_loss")`` to the callbacks to stop before.
    criterion : Module class or instance, default=torch.nn.CrossEntropyLoss
        Maps outputs and labels to one loss per row: an instance needs ``reduction="none"``. As in
        skorch, NLLLoss takes probabilities.
    optimizer : Optimizer class, default=torch.optim.AdamW
    lr : float, default=3e-3
    lr_schedule : {"cosine", "constant"} or sequence of int, default="cosine"
        Cosine decay to zero over ``max_epochs``, or the epochs after which the rate is divided by
        ten, those of fits that this one goes on from included. An LRScheduler among the callbacks
        replaces it, and ``partial_fit`` keeps the rate constant.
    max_epochs : int, default=25
    batch_size : int or "auto", default="auto"
        Rows per batch, -1 for all. "auto" is 256, 128 below 3,500 rows, 64 below 1,200. In a fit on
        several processes, a number is for each of them.
    callbacks : list of skorch callbacks, a single one, or None, default=None
        The meta set takes the place of skorch's validation set.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit, weighting function and optimisers included. It
        takes ``lr``, ``batch_size``, ``callbacks`` and other settings of a training as they are
        now; a changed method, module, criterion or optimiser is refused.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Columns that hold categories, for the default network: a mask, indices or names.
        "from_dtype" takes the columns of a DataFrame that hold categories, or text unless all of it
        is numbers; None takes none.
    numeric_scaling : {"standardize", "quantile"}, default="standardize"
        What the default network does to numbers first. "quantile" makes each column normal by
        scikit-learn's QuantileTransformer, for long tails and outliers.
    device : str or torch.device, default="auto"
        "auto" takes CUDA, then MPS, then the CPU. Of several processes, each takes its own GPU.
    mixed_precision : "bfloat16" or None, default=None
        What torch's autocast computes the layers of the network in, on a CPU or a CUDA GPU. Its
        parameters, the losses, the weights and all that is learned of them keep their precision.
    random_state : int, RandomState or None, default=None
        Makes a fit on the CPU bit-identical. Global random states are neither read nor changed.
    checkpoint : str, path-like or None, default=None
        A folder in which ``fit`` keeps, after each epoch, all that it needs to go on: the same
        ``fit``, run again after it was cut off, ends as if it had not been, on the CPU to the bit.
        Needs a ``random_state`` and the extra ``io``; see :class:`FitCheckpoint`.
    verbose : int, default=0
        1 prints skorch's table.
    show_progress : bool, default=False
        Whether a training of more than two seconds shows a bar over its epochs.
    **net_params
        Parameters by prefix: those of the method, ``method__*``, and skorch's, ``module__*``,
        ``criterion__*``, ``optimizer__*``, ``iterator_train__*``, ``callbacks__*``. What is set
        after a fit takes effect in the next one: unlike in skorch, ``predict_nonlinearity`` too.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    weighting_function_ : WeightingFunction
        From losses to weights. AttributeError for methods that learn none.
    sample_weights_ : ndarray of shape (n_samples,)
        The learned weight of each row of the X of ``fit``; 1 for trusted rows, and what
        :meth:`compute_sample_weight` gives for rows that ``fit`` split off itself. Many can be next
        to zero, which ruins boostings: :class:`MetaWeightedEstimator` hands them on safely.
    label_noise_estimate_ : float
        Share of the labels, trusted ones left aside, that look wrong: those that
        :meth:`find_label_issues` names. Near the noise rate only where classes hardly overlap and
        labels are wrong at random; see the user guide.
    noise_evidence_ : float
        By how many standard errors withheld trusted rows differed from training rows as wrong
        labels make them do, the largest of several comparisons: right labels exceed 2 in about one
        fit of six. NaN if none were withheld (see ``confirm_weights``). A fit that goes on keeps
        what the first has found, also if other labels come.
    weight_strength_ : float
        How far weights depart from one, from 0 to 1: half of ``noise_evidence_``, cut at both ends;
        1 where that is NaN, since weights that were not tested count in full.
    meta_indices_ : ndarray of int
        Places in X of the trusted rows, or of those that ``fit`` split off in their place; empty if
        they came as ``X_meta``.
    n_features_in_ : int
        For tables and arrays only.
    feature_names_in_ : ndarray of shape (n_features,)
    net_ : ReweightedNet
        The skorch net.
    history_ : skorch.history.History
        Per epoch: train_loss, meta_loss, mean_weight, effective_sample_size, share_distrusted
        (weights below half the mean), fmw_lambda for FMW-Net, and learning_rate; learning_rate_1
        and so on if ``optimizer__param_groups`` adds parameter groups. Of fits that the last one
        went on from, the last hundred epochs.
    n_iter_ : int
        Epochs run in all.
    best_epoch_ : int
        The epoch, from 1, whose parameters were kept.
    temperature_ : float
        Above one if the network was too sure of its predictions.
    class_factors_ : ndarray of shape (n_classes,)
        What ``class_smoothing`` multiplies probabilities by, before they sum to one again.

    References
    ----------
    .. [1] Shu et al. Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting.
       NeurIPS, 2019.
    .. [2] Zhou, Shu, Liu and Meng. FMW-Net: A First-Order Meta-Weight-Net Approach for Sample
       Weighting. International Journal of Machine Learning and Cybernetics, 16, 2025.
    .. [3] Ren et al. Learning to Reweight Examples for Robust Deep Learning. ICML, 2018.
    .. [4] Zhang and Sabuncu. Generalized Cross Entropy Loss for Training Deep Neural Networks with
       Noisy Labels. NeurIPS, 2018.
    .. [5] Guo et al. On Calibration of Modern Neural Networks. ICML, 2017.
    .. [6] Menon et al. Long-Tail Learning via Logit Adjustment. ICLR, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skmetaweight import MetaWeightClassifier
    >>> from skmetaweight.datasets import corrupt_labels
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> checked = np.arange(len(y)) < 60
    >>> y_noisy, _ = corrupt_labels(y, noise_rate=0.3, random_state=0)
    >>> y_noisy[checked] = y[checked]
    >>> clf = MetaWeightClassifier(random_state=0).fit(X, y_noisy, meta_mask=checked)
    >>> clf.predict_proba(X[:2]).shape
    (2, 2)
    >>> clf.noise_evidence_ > 2
    True
    """

    classes_: NDArray[Any]
    sample_weights_: NDArray[np.float64]
    noise_evidence_: float
    weight_strength_: float
    meta_indices_: NDArray[np.intp]
    net_: ReweightedNet
    history_: Any
    n_iter_: int
    best_epoch_: int
    temperature_: float
    class_factors_: NDArray[np.float64]
    _weighting_function: WeightingFunction | str
    _told: set[str]
    _columns: Sequence[str] = ()
    _class_names: list[str] | None = None

    # Nobody else takes these, so that routing needs no request; sample_weight needs one, as always.
    __metadata_request__fit: ClassVar = {"X_meta": True, "y_meta": True, "meta_mask": True}
    __metadata_request__partial_fit: ClassVar = __metadata_request__fit

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "module": "no_validation",
        "method": [StrOptions(set(METHODS)), Reweighter],
        "meta_size": [
            Interval(Real, 0, 1, closed="neither"),
            Interval(Integral, 2, None, closed="left"),
        ],
        "meta_share": [Interval(Real, 0, 1, closed="left")],
        "meta_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "robust_meta_loss": ["boolean", StrOptions({"auto"})],
        "confirm_weights": ["boolean", StrOptions({"auto"})],
        "temperature": [Interval(Real, 1e-6, 1e6, closed="both"), StrOptions({"auto"})],
        "class_smoothing": [Interval(Real, 0, 1e6, closed="both"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "criterion": "no_validation",
        "optimizer": "no_validation",
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"cosine", "constant"}), "array-like"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            Options(Integral, {-1}),
        ],
        "callbacks": "no_validation",
        "warm_start": ["boolean"],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "numeric_scaling": [StrOptions({"standardize", "quantile"})],
        "device": [str, torch.device],
        "mixed_precision": [StrOptions({"bfloat16"}), None],
        "random_state": ["random_state"],
        "checkpoint": [str, os.PathLike, None],
        "verbose": ["verbose"],
        "show_progress": ["boolean"],
    }

    def __init__(
        self,
        module: Any = None,
        *,
        method: str | Reweighter = "mw-net",
        meta_size: float = 0.1,
        meta_share: float = 0.2,
        meta_batch_size: int | None = None,
        class_weight: dict[Any, float] | str | None = None,
        robust_meta_loss: bool | str = "auto",
        confirm_weights: bool | str = "auto",
        temperature: float | str = "auto",
        class_smoothing: float | str = "auto",
        early_stopping: bool = True,
        criterion: Any = torch.nn.CrossEntropyLoss,
        optimizer: Any = torch.optim.AdamW,
        lr: float = 3e-3,
        lr_schedule: str | Sequence[int] = "cosine",
        max_epochs: int = 25,
        batch_size: int | str = "auto",
        callbacks: Any = None,
        warm_start: bool = False,
        categorical_features: Any = "from_dtype",
        numeric_scaling: str = "standardize",
        device: str | torch.device = "auto",
        mixed_precision: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: int = 0,
        show_progress: bool = False,
        **net_params: Any,
    ) -> None:
        self.module = module
        self.method = method
        self.meta_size = meta_size
        self.meta_share = meta_share
        self.meta_batch_size = meta_batch_size
        self.class_weight = class_weight
        self.robust_meta_loss = robust_meta_loss
        self.confirm_weights = confirm_weights
        self.temperature = temperature
        self.class_smoothing = class_smoothing
        self.early_stopping = early_stopping
        self.criterion = criterion
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.categorical_features = categorical_features
        self.numeric_scaling = numeric_scaling
        self.device = device
        self.mixed_precision = mixed_precision
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.show_progress = show_progress
        refuse_moved_params(net_params)
        vars(self).update(net_params)

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        X_meta: Any = None,
        y_meta: ArrayLike | None = None,
        meta_mask: ArrayLike | None = None,
    ) -> MetaWeightClassifier:
        """Train the network and learn the weights of the rows.

        Trusted rows come from one source: ``X_meta`` and ``y_meta``, or ``meta_mask``, or else
        ``meta_size`` of the rows are split off, stratified.

        Parameters
        ----------
        X : array-like, DataFrame or CSR matrix of shape (n_samples, n_features)
            NaN, None and NA are missing values, unless X is sparse. With a module of your own X
            has no missing values and no categories, and may be an array of more dimensions, a
            mapping to arrays, or a map-style torch Dataset whose items are X or (X, y), or one of
            Hugging Face's.
        y : array-like of shape (n_samples,), optional
            Labels of any kind, some of them wrong. None for those in the items of a Dataset.
        sample_weight : array-like of shape (n_samples,), optional
            Multiplies the learned weights, divided by its mean over the rows of the call: it says
            how rows count beside one another, not how a call counts beside others. Trusted rows
            all count alike: those of rows that ``meta_mask`` marks are not used.
        X_meta : like X, of shape (n_meta, n_features), optional
            Trusted rows, preprocessed as X.
        y_meta : array-like of shape (n_meta,), optional
            Their labels; None for those in the items of a Dataset.
        meta_mask : array-like of bool of shape (n_samples,), optional
            True for the rows of X whose labels are trusted.

        Returns
        -------
        self : MetaWeightClassifier

        Raises
        ------
        ValueError
            If the data are unfit, or the loss becomes NaN or infinite.
        TypeError
            If a parameter of the method or of the net has an unknown name.
        """
        given = GivenData(X, y, sample_weight, X_meta, y_meta, meta_mask)
        with working_copy(self) as work, differentiating():
            run_fit(work, given, resume=hasattr(work, "net_") and work.warm_start)
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        X_meta: Any = None,
        y_meta: ArrayLike | None = None,
        meta_mask: ArrayLike | None = None,
    ) -> MetaWeightClassifier:
        """Train for one more epoch, on these rows.

        The weighting function and both optimisers go on; the alignment memory begins anew when the
        number of rows differs from that of the call before.

        Parameters
        ----------
        X, y, sample_weight, X_meta, y_meta, meta_mask
            As in :meth:`fit`.
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come, at the first call; the labels of y if None.

        Returns
        -------
        self : MetaWeightClassifier
        """
        given = GivenData(X, y, sample_weight, X_meta, y_meta, meta_mask)
        with working_copy(self) as work, differentiating():
            run_fit(work, given, resume=hasattr(work, "net_"), classes=classes, epochs=1)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    @property
    def weighting_function_(self) -> WeightingFunction:
        """The learned function from losses to weights."""
        check_is_fitted(self)
        function = self._weighting_function
        if isinstance(function, str):
            raise AttributeError(function)
        return function

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities.

        Parameters
        ----------
        X : like the X of ``fit``, of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        net, rows = self._net_and_rows(X)
        return net.probabilities(rows)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return logarithms of class probabilities, all of them finite.

        Parameters
        ----------
        X : like the X of ``fit``, of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        net, rows = self._net_and_rows(X)
        return net.log_probabilities(rows)

    def _net_and_rows(self, X: Any) -> tuple[ReweightedNet, Rows]:
        """Return the net of one moment, and validated rows for it."""
        check_is_fitted(self)
        fitted = snapshot(self)
        X = check_X(fitted, X)
        return fitted.net_, fitted.net_.make_rows(X, np.zeros(n_rows(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each row.

        Parameters
        ----------
        X : like the X of ``fit``, of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        fitted = snapshot(self)
        probabilities = fitted.predict_proba(X)
        return fitted.classes_[probabilities.argmax(axis=1)]

    def score(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the mean accuracy on labelled rows.

        Parameters
        ----------
        X : like the X of ``fit``, of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            None for the labels in the items of a Dataset.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        accuracy : float
        """
        X = open_dataset(self, X)
        labels, predicted = check_y(labels_of(self, X, y)), self.predict(X)
        check_lengths(predicted, labels, "X", "y")
        refuse_other_labels(labels, self.classes_)
        weight = check_sample_weight(sample_weight, predicted)
        return float(np.average(predicted == labels, weights=weight))

    def compute_sample_weight(self, X: Any, y: ArrayLike | None = None) -> NDArray[Any]:
        """Return learned weights for any labelled rows.

        A function of the loss is applied to the rows' losses. A method without one (l2rw) compares
        their gradients with those of the meta set. For the rows of ``fit``, ``sample_weights_``
        knows more: what was remembered of each.

        Parameters
        ----------
        X : like the X of ``fit``, of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            None for the labels in the items of a Dataset.

        Returns
        -------
        weights : ndarray of shape (n_samples,)
            On the scale of ``sample_weights_``.
        """
        check_is_fitted(self)
        fitted = snapshot(self)
        X = open_dataset(fitted, X)
        labels = encode(check_y(labels_of(fitted, X, y)), fitted.classes_, "y")
        X = check_X(fitted, X)
        check_lengths(X, labels, "X", "y")
        with differentiating():
            net = twin(fitted.net_)
            rows = net.make_rows(X, labels)
            return net.weights_of_new(rows).cpu().numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.numeric_scaling == "standardize"
        tags.input_tags.allow_nan = self.module is None
        tags.input_tags.categorical = self.module is None and self.categorical_features is not None
        return tags
