"""What holds for every method."""

import copy

import pytest
import torch
from sklearn.base import clone
from torch import nn

from skmetaweight._bilevel.objective import Batch
from skmetaweight.reweighting import (
    METHODS,
    Evaluation,
    LearningToReweight,
    MetaWeightNet,
    Uniform,
    make_reweighter,
)
from skmetaweight.reweighting._weighting import WeightingFunction
from tests._reference import stacked
from tests.reweighting._cases import (
    METHOD_CASES,
    MODULE_CASES,
    N_CLASSES,
    N_META,
    N_ROWS,
    every_method,
    every_share,
    flat,
    grads_of,
    make_batch,
    make_meta_batch,
    make_module,
    ready,
)

BOTH = MODULE_CASES["both"]


def trained(case, module_case=BOTH, *, n_steps=4, meta_share=0.0, dtype=torch.float64):
    """A reweighter and a module after some steps, for what needs a history."""
    module = make_module(module_case, dtype=dtype)
    reweighter = ready(case.make(), module, meta_share=meta_share)
    continue_training(reweighter, module, module_case, range(n_steps), dtype=dtype)
    return reweighter, module


def continue_training(reweighter, module, module_case, steps, dtype=torch.float64):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    weights = []
    for t in steps:
        rows, meta_rows = make_batch(module_case, seed=t), make_meta_batch(module_case, seed=t)
        if dtype == torch.float32:
            rows, meta_rows = to_float32(rows), to_float32(meta_rows)
        optimizer.zero_grad()
        torch.manual_seed(t)
        update = t % reweighter.meta_interval_ == 0
        weights.append(reweighter.step(module, rows, meta_rows, 0.1, update=update).weights)
        optimizer.step()
    return weights


def to_float32(rows):
    return Batch(rows.X.float(), rows.y, rows.index)


def evaluation(n=N_ROWS, *, of_training_rows=True, dtype=torch.float64):
    torch.manual_seed(5)
    alignments = torch.randn(n, dtype=dtype)
    probabilities = torch.rand(n, 2, dtype=dtype).sort().values
    return Evaluation(
        torch.rand(n, dtype=dtype) * 3,
        torch.randint(N_CLASSES, (n,)),
        torch.arange(n) if of_training_rows else None,
        lambda: alignments,
        lambda: probabilities,
    )


# ------------------------------------------------------------------ weights


@every_share
@every_method
def test_weights_are_nonnegative_and_normalised(case, meta_share):
    reweighter, module = trained(case, meta_share=meta_share)
    batch = make_batch(BOTH, seed=9, weighted=True)
    for update in (True, False):
        weights = reweighter.step(module, batch, make_meta_batch(BOTH), 0.1, update=update).weights
        assert weights.min() >= 0
        assert weights.isfinite().all()
        assert reweighter.normalize == (case.normalized and not isinstance(reweighter, Uniform))
        if case.normalized and weights.any():
            mean = (batch.sample_weight * weights).sum() / batch.sample_weight.sum()
            torch.testing.assert_close(mean.item(), 1.0)


@every_share
@every_method
def test_order_of_the_rows_does_not_matter(case, meta_share):
    module_case = MODULE_CASES["batch norm"]
    reweighter, module = trained(case, module_case, meta_share=meta_share)
    other, other_module = trained(case, module_case, meta_share=meta_share)
    batch, meta_batch = make_batch(module_case, seed=9, weighted=True), make_meta_batch(module_case)
    order = torch.randperm(N_ROWS)
    permuted = Batch(batch.X[order], batch.y[order], batch.index[order], batch.sample_weight[order])
    module.zero_grad()
    other_module.zero_grad()
    first = reweighter.step(module, batch, meta_batch, 0.1)
    second = other.step(other_module, permuted, meta_batch, 0.1)
    torch.testing.assert_close(second.weights, first.weights[order])
    torch.testing.assert_close(second.sample_losses, first.sample_losses[order])
    torch.testing.assert_close(second.loss, first.loss)
    for got, expected in zip(grads_of(other_module), grads_of(module), strict=True):
        torch.testing.assert_close(got, expected)


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_dtypes_and_devices(case, dtype):
    reweighter, module = trained(case, dtype=dtype, meta_share=0.3)
    rows, meta_rows = make_batch(BOTH), make_meta_batch(BOTH)
    if dtype == torch.float32:
        rows, meta_rows = to_float32(rows), to_float32(meta_rows)
    result = reweighter.step(module, rows, meta_rows, 0.1)
    assert result.loss.shape == ()
    assert result.y_pred.shape == (N_ROWS, N_CLASSES)
    assert result.sample_losses.shape == result.weights.shape == (N_ROWS,)
    assert result.meta_loss.shape == ()
    for tensor in (result.loss, result.y_pred, result.sample_losses, result.weights):
        assert tensor.dtype == dtype
        assert tensor.device == rows.y.device
        assert not tensor.requires_grad
    assert not result.meta_loss.requires_grad
    assert all(grad.dtype == dtype for grad in grads_of(module))


@pytest.mark.parametrize(
    "name", [n for n, c in METHOD_CASES.items() if c.method not in ("fmw-net", "lilaw")]
)
@every_share
def test_loss_is_the_one_whose_gradient_is_left(name, meta_share):
    """But for FMW-Net, whose meta steps leave a sum of gradients, and LiLAW's moving weights."""
    case = METHOD_CASES[name]
    module_case = MODULE_CASES["batch norm"]
    reweighter, module = trained(case, module_case, meta_share=meta_share)
    batch, meta_batch = make_batch(module_case, seed=9), make_meta_batch(module_case)
    copied = copy.deepcopy(module)
    module.zero_grad()
    result = reweighter.step(module, batch, meta_batch, 0.1)
    forward = reweighter.objective_.training_pass(copied, batch, meta_batch)
    loss = reweighter.objective_.training_loss(forward, result.weights)
    torch.testing.assert_close(result.loss, loss.detach())
    copied.zero_grad()
    loss.backward()
    for got, expected in zip(grads_of(module), grads_of(copied), strict=True):
        torch.testing.assert_close(got, expected)


# ------------------------------------------------------------------ statistics and random numbers


@every_share
@every_method
@pytest.mark.parametrize("update", [True, False])
def test_batch_statistics_move_once_by_the_training_pass(case, meta_share, update):
    module_case = MODULE_CASES["batch norm"]
    module = make_module(module_case)
    plain = copy.deepcopy(module)
    batch, meta_batch = make_batch(module_case), make_meta_batch(module_case)
    reweighter = ready(case.make(), module, meta_share=meta_share)
    reweighter.step(module, batch, meta_batch, 0.1, update=update)
    with torch.no_grad():
        plain(stacked(batch.X, meta_batch.X) if meta_share else batch.X)
    assert module[1].num_batches_tracked == 1
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(dict(module.named_buffers())[name], buffer)


@every_share
@every_method
@pytest.mark.parametrize("update", [True, False])
def test_generator_moves_by_the_training_pass_and_a_meta_pass(case, meta_share, update):
    """Replayed masks are not drawn again: only a meta pass of its own adds to plain training."""
    module_case = MODULE_CASES["dropout"]
    module = make_module(module_case)
    plain = copy.deepcopy(module)
    batch, meta_batch = make_batch(module_case), make_meta_batch(module_case)
    reweighter = ready(case.make(), module, meta_share=meta_share)
    torch.manual_seed(0)
    reweighter.step(module, batch, meta_batch, 0.1, update=update)
    ours = torch.get_rng_state()
    torch.manual_seed(0)
    plain(stacked(batch.X, meta_batch.X) if meta_share else batch.X)
    every_batch = case.method == "l2rw" and not reweighter.memory
    triggers = ("always",) if meta_share else ("always", "without share")
    if (update or every_batch) and case.own_meta_pass in triggers:
        plain(meta_batch.X)
    assert torch.equal(ours, torch.get_rng_state())


# ------------------------------------------------------------------ state


@every_share
@every_method
def test_state_goes_on_identically(case, meta_share):
    reweighter, module = trained(case, meta_share=meta_share)
    state = reweighter.state_dict()
    kept = copy.deepcopy(state)
    other_module = copy.deepcopy(module)
    weights = continue_training(reweighter, module, BOTH, range(4, 8))
    assert equal_states(state, kept), "training changed a state that was given away"

    other = ready(case.make(), other_module, meta_share=meta_share)
    other.load_state_dict(state)
    other_weights = continue_training(other, other_module, BOTH, range(4, 8))
    assert all(map(torch.equal, weights, other_weights))
    assert torch.equal(flat(module.parameters()), flat(other_module.parameters()))
    assert equal_states(reweighter.state_dict(), other.state_dict())
    assert equal_states(state, kept), "loading a state tied it to the reweighter"


@pytest.mark.parametrize("make", [MetaWeightNet, LearningToReweight])
def test_state_with_last_layer_alignments_goes_on_identically(make):
    case = MODULE_CASES["batch norm"]
    module = make_module(case)
    reweighter = ready(make(meta_interval=1), module, head=module[-1])
    continue_training(reweighter, module, case, range(4))
    other_module = copy.deepcopy(module)
    other = ready(make(meta_interval=1), other_module, head=other_module[-1])
    other.load_state_dict(reweighter.state_dict())
    continue_training(reweighter, module, case, range(4, 8))
    continue_training(other, other_module, case, range(4, 8))
    assert torch.equal(reweighter.memory_.values, other.memory_.values)


def equal_states(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            equal_states(first[key], second[key]) for key in first
        )
    if isinstance(first, list):
        return all(map(equal_states, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


@every_method
def test_steps_are_deterministic(case):
    (first, first_module), (second, second_module) = trained(case), trained(case)
    assert torch.equal(flat(first_module.parameters()), flat(second_module.parameters()))
    assert equal_states(first.state_dict(), second.state_dict())


@every_method
def test_next_fit_goes_on_with_as_many_rows_and_else_forgets(case):
    reweighter, _ = trained(case)
    before = reweighter.state_dict()
    reweighter.bind(reweighter.objective_, N_ROWS)
    assert equal_states(reweighter.state_dict(), before)
    reweighter.bind(reweighter.objective_, N_ROWS + 1)
    state = reweighter.state_dict()
    for key in state.keys() & {"memory", "weight_sums"}:
        values = state[key]["values"] if key == "memory" else state[key]
        assert len(values) == N_ROWS + 1
        assert not values.any()
    for key in state.keys() & {"network", "optimizer"}:
        assert equal_states(state[key], before[key])


# ------------------------------------------------------------------ fitted weights


@every_method
def test_fitted_weights_have_mean_one_over_the_training_rows(case):
    reweighter, _ = trained(case)
    rows = evaluation()
    weights = reweighter.calibrate(rows)
    assert weights.shape == (N_ROWS,)
    assert not weights.requires_grad
    assert weights.min() >= 0
    if case.normalized:
        torch.testing.assert_close(weights.mean().item(), 1.0)
    torch.testing.assert_close(reweighter.weigh(rows), weights)


@every_method
def test_rows_that_were_not_trained_on_are_weighed(case):
    reweighter, _ = trained(case)
    reweighter.calibrate(evaluation())
    weights = reweighter.weigh(evaluation(50, of_training_rows=False))
    assert weights.shape == (50,)
    assert weights.isfinite().all()
    assert weights.min() >= 0


@every_method
def test_function_or_the_reason_why_there_is_none(case):
    reweighter, _ = trained(case)
    rows = evaluation()
    reweighter.calibrate(rows)
    if not case.has_function:
        name = type(reweighter).__name__
        with pytest.raises(AttributeError, match=f"{name} learns no weighting function: .*weight"):
            reweighter.weighting_function(rows, None)
        return
    labels = torch.tensor([0, 1, 2]).numpy()
    function = reweighter.weighting_function(rows, labels)
    assert isinstance(function, WeightingFunction)
    unseen = evaluation(20, of_training_rows=False)
    classes = unseen.labels.numpy() if function.classes_ is not None else None
    torch.testing.assert_close(
        torch.as_tensor(function(unseen.losses.numpy(), classes)), reweighter.weigh(unseen)
    )


def test_table_of_methods():
    for name, method in METHODS.items():
        assert type(make_reweighter(name)) is method
    assert make_reweighter("mw-net", memory=0.5).memory == 0.5
    given = MetaWeightNet(prior=0.1)
    made = make_reweighter(given, memory=0)
    assert (made.prior, made.memory, given.memory) == (0.1, 0, 0.9)
    with pytest.raises(TypeError, match=r"MetaWeightNet has no setting 'eta'; it has .*, memory,"):
        make_reweighter(given, eta=1.0)
    with pytest.raises(TypeError, match="Uniform has no setting 'memory'; it has none"):
        make_reweighter("uniform", memory=0)


@every_method
def test_settings_are_those_of_a_scikit_learn_object(case):
    reweighter = case.make()
    trained(case)
    params = reweighter.get_params()
    copied = clone(reweighter)
    assert type(copied) is type(reweighter)
    assert repr(copied.get_params()) == repr(params)  # functools.partial knows no equality
    assert vars(copied).keys() == params.keys(), "a constructor sets parameters and nothing else"
    assert repr(type(reweighter)()) == f"{type(reweighter).__name__}()"
    for name, value in params.items():
        assert copied.set_params(**{name: value}) is copied
    with pytest.raises(ValueError, match="Invalid parameter 'unknown'"):
        copied.set_params(unknown=1)
    for attribute in vars(ready(case.make(), make_module())):
        assert attribute in params or attribute.endswith("_"), attribute


def test_repr_shows_what_differs_from_the_default():
    assert repr(MetaWeightNet(memory=0, prior=0.2)) == "MetaWeightNet(memory=0)"
    assert repr(LearningToReweight.paper()) == "LearningToReweight(memory=0.0)"


@every_method
def test_small_and_large_batches(case):
    for n in (2, 200):
        module = make_module(BOTH)
        reweighter = ready(case.make(), module, n_rows=n)
        weights = reweighter.step(module, make_batch(BOTH, n=n), make_meta_batch(BOTH), 0.1).weights
        assert weights.shape == (n,)
        assert weights.isfinite().all()


@every_method
def test_parameters_that_no_row_reaches_do_not_disturb(case):
    class WithSpare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(5, N_CLASSES), nn.Linear(5, N_CLASSES)

        def forward(self, X):
            return self.used(X)

    module = WithSpare().double()
    reweighter = ready(case.make(), module, meta_share=0.3)
    reweighter.step(module, make_batch(), make_meta_batch(), 0.1)
    assert module.used.weight.grad.any()
    assert module.spare.weight.grad is None or not module.spare.weight.grad.any()


@every_method
def test_meta_batch_may_be_larger_than_the_batch(case):
    module, n = make_module(BOTH), N_META // 2
    reweighter = ready(case.make(), module, meta_share=0.3)
    result = reweighter.step(module, make_batch(BOTH, n=n), make_meta_batch(BOTH), 0.1)
    assert result.y_pred.shape == (n, N_CLASSES)
