"""What ``fit`` does: check what was given, build the net, train it, keep what was learned."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from skmetaweight._data.batches import Rows
from skmetaweight._data.class_weight import meta_class_weight, weigh_by_class
from skmetaweight._data.fit_data import FitData, GivenData, check_fit_data
from skmetaweight._estimator.build import build_net, resolve_device
from skmetaweight._estimator.components import check_components, check_smallest_batch
from skmetaweight._estimator.default_network import follow_ranges
from skmetaweight._estimator.diagnosis import diagnose
from skmetaweight._estimator.fingerprint import common_to_ranks, repeatable_fit
from skmetaweight._estimator.label_quality import judge
from skmetaweight._estimator.net_params import check_params
from skmetaweight._estimator.resumption import check_goes_on, continued, settings_of
from skmetaweight._estimator.seeding import drawing, draws_alone, fresh_or_given
from skmetaweight._training.agreement import refuse_differences
from skmetaweight._training.calibration import PSEUDO_ROWS
from skmetaweight._training.checkpoint import resumable
from skmetaweight._training.confirmation import FEWEST_EPOCHS, MANY_TRUSTED_ROWS
from skmetaweight._training.net import ReweightedNet
from skmetaweight._training.processes import ranks_of_fit
from skmetaweight._training.tasks import FitTasks, run_as_task
from skmetaweight.reweighting import Reweighter, make_reweighter
from skmetaweight.reweighting._weighting import WeightingFunction


def run_fit(
    estimator: Any,
    given: GivenData,
    *,
    resume: bool,
    classes: Any = None,
    epochs: int | None = None,
) -> None:
    """Fit an estimator to what it was given.

    Parameters
    ----------
    estimator : MetaWeightClassifier
        A working copy: a fit that fails leaves it half done.
    given : GivenData
    resume : bool
        Whether the fit goes on from the last one.
    classes : array-like of shape (n_classes,), optional
        As in ``partial_fit``.
    epochs : int, optional
        None for the estimator's ``max_epochs``; ``partial_fit`` gives a number.
    """
    device = resolve_device(estimator.device)
    with ranks_of_fit(device) as ranks, ExitStack() as seeding:
        check_params(estimator)
        estimator._check_net_params()
        reweighter = make_reweighter(estimator.method, **estimator._method_params())
        check_params(reweighter)
        estimator._told = set(estimator._told) if resume else set()
        n_epochs = epochs or estimator.max_epochs
        random_state = fresh_or_given(estimator.random_state, ranks)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        # A fit that goes on draws other numbers than the fits before it.
        start = seed + (estimator.net_.n_batches_ if resume else 0)
        seeding.enter_context(drawing(estimator, reweighter, device, start))
        changed = check_goes_on(estimator, given.X) if resume else []
        data = check_fit_data(
            estimator, given, resume=resume, classes=classes, random_state=random_state
        )
        constant_lr = epochs is not None
        if resume:
            n_train = len(data.train.y)
            net = continued(estimator, changed, n_train, seed, ranks, constant_lr=constant_lr)
        else:
            net = build_net(
                estimator, data, reweighter, device, seed, ranks, constant_lr=constant_lr
            )
            net.settings_ = settings_of(estimator)
        net.is_stream_ = constant_lr
        net.draws_alone_, net.ranks_ = draws_alone(estimator, reweighter), ranks
        rows = net.make_rows(*weigh_by_class(estimator.class_weight, data.classes, data.train))
        check_components(net, rows, len(data.classes))
        check_smallest_batch(net, rows)
        follow_ranges(net.module_, data.train, estimator._table)
        options = _training_options(estimator, data, net, n_epochs, resume=resume)
        if net.draws_alone_:
            seeding.close()

        def run(tasks: FitTasks) -> None:
            net.train(rows, _meta_rows(net, data), n_epochs, tasks=tasks, **options)
            _keep_results(estimator, net, data, rows)

        if ranks.size > 1:
            refuse_differences(ranks, common_to_ranks(estimator, data, seed, net))
        is_whole_fit = epochs is None
        with ExitStack() as kept:
            if is_whole_fit:
                described = partial(repeatable_fit, estimator, data, seed, ranks)
                kept.enter_context(resumable(net, described))
            if is_whole_fit and ranks.rank == 0:
                run_as_task(run, estimator, data.classes, n_epochs, given)
            else:
                run(FitTasks())
        diagnose(estimator, data)


def _meta_rows(net: ReweightedNet, data: FitData) -> Rows:
    """Place the trusted rows; those that are slow to read one by one stay in memory."""
    rows = net.make_rows(*data.meta)
    return rows.in_memory() if rows.has_order else rows


def _training_options(
    estimator: Any, data: FitData, net: ReweightedNet, n_epochs: int, *, resume: bool
) -> dict[str, Any]:
    """Return what the training loop is told of the objective."""
    return {
        "meta_class_weight": meta_class_weight(estimator.class_weight, data.classes, data.meta),
        "meta_robustness": _meta_robustness(estimator, data),
        "meta_is_trusted": data.meta_is_trusted,
        "temperature": _temperature(estimator, data, net),
        "class_smoothing": _class_smoothing(estimator, data, net),
        "confirm": not resume and _confirms(estimator, data, net.reweighter_, n_epochs),
    }


def _temperature(estimator: Any, data: FitData, net: ReweightedNet) -> float | None:
    """Return the temperature that is given or known; None if trusted rows are to tell it."""
    if estimator.temperature != "auto":
        return float(estimator.temperature)
    return None if data.meta_is_trusted and _is_usual(estimator) else net.temperature_


def _class_smoothing(estimator: Any, data: FitData, net: ReweightedNet) -> float | None:
    """Return how many rows each class is taken to have besides; None to keep the factors."""
    if estimator.class_smoothing != "auto":
        return float(estimator.class_smoothing)
    if net.is_stream_:  # rows of one call tell no proportions
        return None
    applies = data.meta_is_trusted and _is_usual(estimator) and estimator.class_weight is None
    return PSEUDO_ROWS if applies and net.reweighter_.normalize else 0.0


def _is_usual(estimator: Any) -> bool:
    return getattr(estimator, "predict_nonlinearity", "auto") == "auto"


def _meta_robustness(estimator: Any, data: FitData) -> float:
    if estimator.robust_meta_loss != "auto":
        return data.meta_robustness if estimator.robust_meta_loss else 0.0
    can_mislead = estimator.meta_share > 0 or not data.meta_is_trusted
    return data.meta_robustness if can_mislead and not data.is_imbalanced else 0.0


def _confirms(estimator: Any, data: FitData, reweighter: Reweighter, n_epochs: int) -> bool:
    needed = {
        "a method with an alignment memory": reweighter.normalize and reweighter.memory,
        "trusted rows": data.meta_is_trusted,
        f"max_epochs of at least {FEWEST_EPOCHS}": n_epochs >= FEWEST_EPOCHS,
    }
    lacking = [what for what, is_given in needed.items() if not is_given]
    if estimator.confirm_weights == "auto":
        return not lacking and estimator.meta_share > 0 and len(data.meta.y) < MANY_TRUSTED_ROWS
    if estimator.confirm_weights and lacking:
        raise ValueError(f"confirm_weights=True needs {' and '.join(lacking)}.")
    return bool(estimator.confirm_weights)


def _keep_results(estimator: Any, net: ReweightedNet, data: FitData, rows: Rows) -> None:
    """Give the estimator its fitted attributes."""
    judged = net.evaluate(rows)
    evaluation = net.evaluation(rows, judged.losses, is_training_set=True)
    reweighter = net.reweighter_
    weights = reweighter.calibrate(evaluation)
    try:
        function = reweighter.weighting_function(evaluation, data.classes)
        if isinstance(function, WeightingFunction):
            function.remember_epochs(net.snapshots_, last=net.n_epochs_)
        estimator._weighting_function = function
    except AttributeError as error:
        estimator._weighting_function = str(error)
    estimator.classes_ = data.classes
    estimator.net_ = net
    estimator.history_ = net.history
    estimator.n_iter_ = net.n_epochs_
    estimator.temperature_ = net.temperature_
    estimator.class_factors_ = np.array(net.class_factors_ or [1.0] * len(data.classes))
    estimator.best_epoch_ = net.best_epoch_
    estimator.noise_evidence_ = net.noise_evidence_
    estimator.weight_strength_ = reweighter.strength_
    estimator.meta_indices_ = data.meta_indices
    estimator.sample_weights_ = np.ones(len(data.train_indices) + len(data.meta_indices))
    estimator.sample_weights_[data.train_indices] = weights.cpu().numpy()
    if not data.meta_is_trusted:  # nobody checked them: they are weighed as any other row
        unchecked = net.weights_of_new(net.meta_rows_)
        estimator.sample_weights_[data.meta_indices] = unchecked.cpu().numpy()
    estimator._label_quality = judge(net, data, judged, estimator.sample_weights_)
