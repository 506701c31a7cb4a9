"""What a net cannot be built of, or trained with, is said in one sentence of ours."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from torch import nn
from torch.utils.data import DataLoader

from skmetaweight import LearningToReweight, MetaWeightNet
from skmetaweight.reweighting import METHODS
from tests.conftest import Data, Linear, Softmax, make_data, quick

DATA = make_data()


class Normed(nn.Module):
    """Needs two rows for its batch statistics."""

    def __init__(self, n_classes: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, n_classes))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


class Broken(Linear):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such layer")


class Complex(Linear):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return super().forward(X) * (1 + 0j)


class NoNumbers(Linear):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return super().forward(X) * torch.nan


class OfLastClass(nn.CrossEntropyLoss):
    """Shows its weights on no label before training."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight=weight, reduction="none")

    def forward(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(y_pred, y, reduction="none")


CALLBACKS = r"callbacks must be a list of skorch's callbacks, or of pairs .* got "
BAD = {
    # callbacks
    **{
        f"callbacks {callbacks!r:.20}": ({"callbacks": callbacks}, CALLBACKS)
        for callbacks in ("auto", 3, True, {"stop": EarlyStopping()}, [3], [("a", 3)], [[1]], {1})
    },
    "callbacks of one name": (
        {"callbacks": [("stop", EarlyStopping()), ("stop", EarlyStopping())]},
        "callbacks=.* cannot be built: Found duplicate user-set callback name 'stop'",
    ),
    "unknown callback": (
        {"callbacks__stop__patience": 3},
        r"callbacks__stop names no callback: those of this net are \['epoch_timer', 'print_log'\]",
    ),
    # devices
    **{
        f"device {device!r}": ({"device": device}, f"device='{device}' is no device of torch's: p")
        for device in ("gpu", "nonsense", "", "CPU", "cuda:x")
    },
    **{
        f"absent device {device!r}": ({"device": device}, f"device='{device}' is not available he")
        for device in ("meta", "cuda:99", torch.device("cuda:99"), "hpu", "xla")
    },
    # criteria
    **{
        f"{criterion.__name__} of {kind}": (
            {"criterion": make(criterion)},
            rf"criterion={criterion.__name__}.* gives no loss for outputs of shape \(2, 3\) and a "
            r"label .*: pass a criterion for classes, such as torch\.nn\.CrossEntropyLoss",
        )
        for criterion in (
            *(nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.KLDivLoss),
            *(nn.BCEWithLogitsLoss, nn.PoissonNLLLoss, nn.GaussianNLLLoss, nn.CTCLoss),
            *(nn.MultiLabelMarginLoss, nn.MultiLabelSoftMarginLoss, nn.SoftMarginLoss),
            *(nn.HingeEmbeddingLoss, nn.CosineEmbeddingLoss, nn.MarginRankingLoss),
            *(nn.TripletMarginLoss,),
        )
        for kind, make in {"class": lambda c: c, "instance": lambda c: c(reduction="none")}.items()
    },
    "weights of other classes": (
        {"criterion": nn.CrossEntropyLoss(torch.ones(2), reduction="none")},
        r"CrossEntropyLoss\(\) gives no loss for outputs of shape \(2, 3\) .* Check its crit",
    ),
    **{
        f"criterion__{name}={value}": (
            {f"criterion__{name}": value},
            f"criterion=CrossEntropyLoss {said}.*heck .*its criterion__\\* parameters",
        )
        for name, value, said in (
            *(("weight", torch.ones(n), "gives no loss") for n in (1, 2, 4)),
            ("weight", torch.ones(3).double(), "gives no loss"),
            (
                "weight",
                torch.full((3,), torch.nan),
                r"gives losses \[nan, nan\] before",
            ),
            ("weight", [1.0, 1.0, 1.0], "cannot be built"),
            ("weight", "x", "cannot be built"),
            ("label_smoothing", 3, "gives no loss"),
            ("reduction", "x", "gives no loss"),
        )
    },
    **{
        f"criterion {kind} of weights {value}": (
            params | {"module": Linear},
            r"criterion=.* has weight=\[.*\]: what classes count must be finite and not negative",
        )
        for value in ([-1.0, 1, 1], [-1.0, -1, -1], [0.0, 0, 0], [1, 1, np.nan])
        for kind, params in {
            "class": {"criterion__weight": torch.tensor(value)},
            "instance": {"criterion": OfLastClass(weight=torch.tensor(value))},
        }.items()
    },
    **{
        f"ignore_index={label} of {kind}": (
            params,
            f"criterion=.* has ignore_index={label}, but labels reach it as their places in classe",
        )
        for label in (0, -1, 2, 5)
        for kind, params in {
            "class": {"criterion__ignore_index": label},
            "instance": {"criterion": nn.CrossEntropyLoss(reduction="none", ignore_index=label)},
        }.items()
    },
    **{
        f"{name} of {part} instance": (
            {part: made, name: value},
            rf"^{name}={value} is for a class, but {part} is an instance of {type(made).__name__}, "
            rf"which .*: pass {part}={type(made).__name__}, or leave out \['{name}'\]",
        )
        for part, made, name, value in (
            ("module", Linear(), "module__n_classes", 3),
            ("module", nn.Linear(4, 3), "module__out_features", 3),
            ("criterion", nn.CrossEntropyLoss(reduction="none"), "criterion__label_smoothing", 0.1),
            ("criterion", nn.CrossEntropyLoss(), "criterion__reduction", 0),
        )
    },
    "sigmoids for NLLLoss": (
        {"criterion": nn.NLLLoss, "module": nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())},
        "criterion=NLLLoss takes probabilities, .* outputs do not sum to one: pass",
    ),
    "logits for NLLLoss": (
        {"criterion": nn.NLLLoss},
        r"criterion=NLLLoss takes probabilities, as in skorch, but the module's outputs are negat",
    ),
    **{
        f"criterion {criterion!r:.20}": (
            {"criterion": criterion},
            "^criterion=.* cannot be built: ",
        )
        for criterion in ("cross-entropy", None, 3, nn.Linear, nn.functional.cross_entropy, dict)
    },
    "argument of the criterion": ({"criterion__x": 3}, "criterion=CrossEntropyLoss cannot be buil"),
    # modules
    **{
        f"module {module!r:.20}": (
            {"module": module},
            f"^(module=.*cannot be built: .*|The module .*){said}",
        )
        for module, said in {
            3: "not callable",
            "mlp": "not callable",
            nn.Linear: "missing 2 required",
            nn.Module: "no parameters",
            nn.ReLU: "no parameters",
            nn.Sequential(): "no parameters",
            dict: "is no torch.nn.Module",
        }.items()
    },
    **{
        f"module {module!r:.20}, a method": (
            {"module": module},
            r"^module=.* is a reweighting method: pass it as method=, or let module be a Module cl",
        )
        for module in (*METHODS, LearningToReweight, MetaWeightNet())
    },
    "module that fails": (
        {"module": Broken},
        "module=Broken cannot take rows of X, .*: 'no such layer",
    ),
    "module of other columns": (
        {"module": nn.Linear(5, 3)},
        "cannot take rows of X, .*: .* shapes",
    ),
    **{
        f"hidden_dims={value!r}": (
            {"module__hidden_dims": value},
            "module=TabularMLP cannot be built: hidden_dims must be (a sequence of )?whole numbers",
        )
        for value in ("wide", 3, (0,), (-1,), (0.5,))
    },
    **{
        f"dropout={value!r}": ({"module__dropout": value}, "module=TabularMLP cannot be built: ")
        for value in (2, -1, "half")
    },
    "complex parameters": (
        {"module": Linear, "module__dtype": torch.complex64},
        "The module Linear has parameters of torch.complex64: those that are trained must be of",
    ),
    "half precision": (
        {"module": Linear, "module__dtype": torch.bfloat16},
        "parameters of torch.bfloat16: .* pass mixed_precision='bfloat16'",
    ),
    "complex outputs": (
        {"module": Complex},
        "must return real floating-point numbers, got t",
    ),
    "outputs that are NaN": (
        {"module": NoNumbers},
        "returns NaN or infinite numbers before any",
    ),
    **{
        f"module__{name}={value!r}": (
            {f"module__{name}": value},
            f"^module__{name}=.* is worked out from X and y for the default network: leave it out",
        )
        for name, value in {"n_features": 3, "n_classes": 3, "cardinalities": (3,)}.items()
    },
    **{
        f"module__{name}={value!r:.20}": (
            {f"module__{name}": value},
            f"^module=TabularMLP cannot be built: .*{said}",
        )
        for name, value, said in (
            ("bin_edges", [1, 2], "bin_edges must hold the rising edges of each column, got 1.0"),
            ("bin_edges", [[0, 1, 1]], r"rising edges of each column, got \[0.0, 1.0, 1.0\] for"),
            ("bin_edges", [[0.0, 1.0, 2.0]] * 5, "bin_edges are of 5 columns, but X has 4"),
            ("bin_edges", ["abc"], "'abc'"),
            ("bin_edges", 3, "not iterable"),
            ("batch_norm", "no", "batch_norm must be True or False, got 'no'"),
            ("dropout", True, "dropout must be a number, got True"),
            ("dropout", [], r"dropout must be a number, got \[\] and"),
            ("dropout", None, "dropout must be a number, got None and"),
            ("input_dropout", (), r"dropout must be a number, got 0.4 and \(\)"),
            ("input_dropout", True, "dropout must be a number, got 0.4 and True"),
        )
    },
    # optimisers
    **{
        f"optimizer {optimizer!r:.20}": (
            {"optimizer": optimizer},
            "^optimizer=.* cannot be built: it is no class of an optimiser, such as torch.optim.Ad",
        )
        for optimizer in ("adam", None, 3, torch.optim.SGD([torch.ones(1)], lr=0.1))
    },
    "sparse gradients only": (
        {"optimizer": torch.optim.SparseAdam},
        "^optimizer=SparseAdam cannot take a step: SparseAdam does not support dense gradients",
    ),
    **{
        f"optimizer {optimizer!r:.20}": ({"optimizer": optimizer}, "^optimizer=.*cannot be built: ")
        for optimizer in (nn.Linear, dict, torch.optim.Optimizer, lambda params: None)
    },
    "no optimiser": (
        {"optimizer": lambda params, lr: None},
        r"optimizer=<lambda> makes no optimiser of torch's, but NoneType: pass a class such as",
    ),
    **{
        f"optimizer__{name}": ({f"optimizer__{name}": value}, "^optimizer=AdamW cannot be built: ")
        for name, value in {"x": 3, "weight_decay": -1, "betas": 3, "param_groups": 3}.items()
    },
    # loaders
    **{
        f"iterator_train {iterator!r:.20}": (
            {"iterator_train": iterator},
            "iterator_train=.*cannot",
        )
        for iterator in (3, None, "loader")
    },
    **{
        f"iterator_train__{name}={value}": (
            {f"iterator_train__{name}": value},
            "iterator_train=DataLoader cannot be built: .* Check iterator_train and its iterator_t",
        )
        for name, value in {"batch_size": 0, "num_workers": -1, "x": 3}.items()
    },
    **{
        f"predict_nonlinearity={value}": (
            {"predict_nonlinearity": value},
            f"predict_nonlinearity must be a callable, 'auto' or None, got {value!r}",
        )
        for value in (3, "softmax")
    },
    **{
        f"predict_nonlinearity of {name}": (
            {"predict_nonlinearity": function},
            r"^predict_nonlinearity=<lambda> must turn outputs of shape \(2, 3\) .*, got "
            + f"{got}: pass e.g.",
        )
        for name, function, got in (
            ("fewer", lambda y: y[:, :2], r"\(2, 2\)"),
            ("more", lambda y: torch.cat([y, y], dim=1), r"\(2, 6\)"),
            ("one", lambda y: y.sum(dim=1), r"\(2,\)"),
            ("one row", lambda y: y[:1], r"\(1, 3\)"),
            ("None", lambda y: None, "NoneType"),
            ("an array", lambda y: y.numpy(), "ndarray"),
            ("NaN", lambda y: y * np.nan, "NaN"),
        )
    },
    **{
        f"label_smoothing={value}": (
            {"criterion__label_smoothing": value},
            f"^criterion=CrossEntropyLoss has label_smoothing={value}: pass a number from 0 to 1",
        )
        for value in (-1, float("nan"), -0.1)
    },
    **{
        f"{name} of {type(value).__name__}, {np.ndim(value)}": (
            {name: value},
            f"{name}.* must be .*[gG]ot ",
        )
        for name in ("lr_schedule", "warm_start", "callbacks", "predict_nonlinearity")
        for value in (pd.DataFrame({"a": [0.5, 1.5]}), np.eye(2), torch.eye(2), torch.tensor(0.1))
    },
    "predict_nonlinearity that fails": (
        {"predict_nonlinearity": lambda y: y @ y},
        "^predict_nonlinearity=<lambda> cannot take the outputs of the module: .* shapes",
    ),
}


def message_of(data: Data, **params: Any) -> str:
    with pytest.raises((ValueError, TypeError)) as error:
        quick(**params).fit(data.X, data.y, meta_mask=data.mask)
    return str(error.value)


@pytest.mark.parametrize("name", BAD)
def test_one_sentence_of_ours(name: str) -> None:
    params, said = BAD[name]
    with pytest.raises((ValueError, TypeError), match=said) as error:
        quick(**params).fit(DATA.X, DATA.y, meta_mask=DATA.mask)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 500
    assert message.endswith((".", "]."))


@pytest.mark.parametrize("criterion", [nn.MSELoss, nn.L1Loss, nn.BCEWithLogitsLoss, nn.HuberLoss])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_a_loss_of_each_output_is_none_of_each_row(criterion: Any, n_classes: int) -> None:
    y = np.arange(96) % n_classes
    with pytest.raises(ValueError, match=f"criterion={criterion.__name__} gives no loss"):
        quick(criterion=criterion).fit(DATA.X, y, meta_mask=DATA.mask)


@pytest.mark.parametrize(
    "callbacks",
    [
        EarlyStopping("meta_loss"),
        EarlyStopping,
        ("stop", EarlyStopping()),
        (EarlyStopping("meta_loss"), EpochScoring("accuracy", name="trusted")),
        [("stop", EarlyStopping())],
        [],
        "disable",
    ],
    ids=["one", "class", "pair", "tuple", "named", "empty", "disable"],
)
def test_callbacks_of_every_form(callbacks: Any, data: Data) -> None:
    quick(callbacks=callbacks).fit(data.X, data.y, meta_mask=data.mask)


@pytest.mark.filterwarnings("ignore:skorch's Checkpoint saves")
@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping("valid_acc"),
        EarlyStopping("val_loss"),
        EarlyStopping(3),
        EarlyStopping(None),
        EarlyStopping([]),
        EarlyStopping("batches"),
        Checkpoint("valid_acc_best", dirname="nowhere"),
        LRScheduler("ReduceLROnPlateau", monitor="valid_acc"),
        LRScheduler("ReduceLROnPlateau", monitor=None),
    ],
    ids=lambda callback: f"{type(callback).__name__} {callback.monitor}",
)
def test_monitors_that_nobody_records(callback: Any, data: Data, tmp_path: Any) -> None:
    if isinstance(callback, Checkpoint):
        callback.dirname = str(tmp_path)
    message = message_of(data, callbacks=[callback])
    assert f"{type(callback).__name__}(monitor={callback.monitor!r}) watches what the" in message
    assert "pass e.g. monitor='meta_loss', or one of 'train_batch_count', 'train_loss'" in message
    accuracy = EpochScoring("accuracy", lower_is_better=False, name="valid_acc")
    if callback.monitor in ("valid_acc", "valid_acc_best"):
        quick(callbacks=[accuracy, callback]).fit(data.X, data.y, meta_mask=data.mask)


def test_other_errors_of_callbacks_are_their_own(data: Data) -> None:
    class Failing(EarlyStopping):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        quick(callbacks=[Failing("valid_acc")]).fit(data.X, data.y, meta_mask=data.mask)


LONE = r"BatchNorm cannot learn from a batch of one row: raise batch_size or meta_batch_size, now "


@pytest.mark.parametrize("module", [None, Normed])
@pytest.mark.parametrize("method", ["mw-net", "uniform"])
def test_batches_of_one_row(module: Any, method: str, data: Data) -> None:
    fit: dict[str, Any] = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    quick(module=module, method=method, batch_size=1).fit(**fit)
    clf = quick(module=module, method=method, meta_share=0).fit(**fit)
    expected = clf.predict_proba(data.X)
    with pytest.raises(ValueError, match=f"{LONE}1 and "):
        clf.set_params(batch_size=1).fit(**fit)
    np.testing.assert_array_equal(clf.predict_proba(data.X), expected)
    quick(module=Linear, method=method, batch_size=1, meta_share=0).fit(**fit)


def test_batches_of_one_row_that_only_training_meets(data: Data) -> None:
    fit: dict[str, Any] = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    with pytest.raises(ValueError, match=f"{LONE}32 and 1,"):
        quick(module=Normed, meta_share=0, meta_batch_size=1).fit(**fit)
    loader = {"iterator_train": DataLoader, "iterator_train__batch_size": 77}
    with pytest.raises(ValueError, match=LONE):
        quick(module=Normed, meta_share=0, **loader).fit(**fit)


def test_softmax_goes_with_nll_loss(data: Data) -> None:
    quick(module=Softmax, criterion=nn.NLLLoss, method="uniform").fit(
        data.X, data.y, meta_mask=data.mask
    )
