"""Settings as texts: the same for the same, in any process, and others for others."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skmetaweight._estimator.settings_text import text_of


@dataclass
class Config:
    width: Any
    depth: int = 1


class Net(nn.Module):
    def __init__(self, rate: float, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.layer = nn.Linear(2, 2)
        self.dropout = nn.Dropout(rate)
        self.register_buffer("shift", torch.zeros(2))
        with torch.no_grad():
            self.layer.weight.fill_(1)
            self.layer.bias.fill_(0)


class Makes:
    """An optimiser's factory."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum

    def __call__(self, params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=lr, momentum=self.momentum)

    def make(self, params: Any) -> torch.optim.Optimizer:
        return self(params, 0.1)


def closure(momentum: Any) -> Callable[..., Any]:
    return lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=momentum)


def with_default(momentum: float) -> Callable[..., Any]:
    def make(params: Any, momentum: float = momentum, *, names: Any = ("a", "b")) -> Any:
        return [params, momentum] if names in {"a", "b", "c"} else None

    return make


def local_loss(gamma: float, method: str = "power") -> type:
    class Loss(nn.CrossEntropyLoss):
        def __init__(self) -> None:
            super().__init__(reduction="none")

        def forward(self, y_pred: Any, y: Any) -> Any:
            return super().forward(y_pred, y) ** gamma

    return type("Loss", (Loss,), {"method": method})


def of_code(source: str) -> Any:
    return eval(source, {"__name__": "__main__"})


def module_with(attribute: str, value: Any) -> nn.Module:
    net = Net(0.5)
    with torch.no_grad():
        net.get_buffer(attribute).fill_(value)
    return net


def inside_itself(value: int) -> list[Any]:
    held: list[Any] = [value]
    held.append({"held": held})
    return held


MADE: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "numbers": (lambda v: v, 1, 2),
    "numbers and booleans": (lambda v: v, 1, True),
    "kinds of numbers": (lambda v: v, 1, 1.0),
    "dictionaries": (lambda v: {"a": 1, "step": v}, 1, 100),
    "lists": (lambda v: [0, [v]], 1, 2),
    "lists and tuples": (lambda v: v, [1], (1,)),
    "sets": (lambda v: {"a", "b", "c", v}, "d", "e"),
    "arrays": (lambda v: np.array([0.0, v]), 1, 2),
    "arrays of objects": (lambda v: np.array(["a", v], dtype=object), "b", "c"),
    "shapes": (lambda v: np.zeros(v), (2, 3), (3, 2)),
    "series": (lambda v: pd.Series([0, v]), 1, 2),
    "tensors": (lambda v: torch.tensor([0.0, v]), 1, 2),
    "dtypes": (lambda v: torch.zeros(2, dtype=v), torch.float32, torch.int32),
    "devices": (torch.device, "cpu", "meta"),
    "paths": (Path, "a", "b"),
    "dropout": (Net, 0.9, 0.0),
    "attributes of modules": (lambda v: Net(0.5, scale=v), 1.0, 2.0),
    "buffers": (lambda v: module_with("shift", v), 0, 1),
    "layers": (lambda v: nn.Sequential(Net(0.5), v()), nn.ReLU, nn.Tanh),
    "frozen layers": (lambda v: Net(0.5).requires_grad_(v), True, False),
    "closures": (closure, 0.9, 0.0),
    "closures over tensors": (lambda v: closure(torch.tensor(v)), 0.9, 0.0),
    "closures over closures": (lambda v: closure(closure(v)), 0.9, 0.0),
    "defaults": (with_default, 0.9, 0.0),
    "code": (of_code, "lambda x: x + 1", "lambda x: x + 2"),
    "names in code": (of_code, "lambda x: abs(x)", "lambda x: round(x)"),
    "inner code": (of_code, "lambda x: lambda: x + 1", "lambda x: lambda: x + 2"),
    "functions": (lambda v: v, closure, with_default),
    "functions of torch's": (lambda v: v, torch.softmax, torch.log_softmax),
    "ufuncs": (lambda v: v, np.exp, np.tanh),
    "partials": (lambda v: functools.partial(closure(0), momentum=v), 0.9, 0.0),
    "partials of other functions": (lambda v: functools.partial(closure(v)), 0.9, 0.0),
    "factories": (Makes, 0.9, 0.0),
    "bound methods": (lambda v: Makes(v).make, 0.9, 0.0),
    "configurations": (lambda v: Config([v]), 8, 9),
    "classes of one name": (local_loss, 1.0, 2.0),
    "their attributes": (lambda v: local_loss(1.0, v), "power", "root"),
    "their instances": (lambda v: local_loss(v)(), 1.0, 2.0),
    "classes": (lambda v: v, nn.CrossEntropyLoss, nn.NLLLoss),
    "what holds itself": (inside_itself, 1, 2),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("only_called", [False, True])
def test_other_settings_have_other_texts(name: str, only_called: bool) -> None:
    make, one, other = MADE[name]
    texts = [text_of(make(each), only_called=only_called) for each in (one, one, other)]
    assert texts[0] == texts[1]
    assert (texts[0] == texts[2]) == (only_called and name == "configurations")
    assert "0x" not in texts[0]


def test_texts_are_those_of_another_process() -> None:
    script = f"from {__name__} import *; print([text_of(make(v)) for make, v, _ in MADE.values()])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str([text_of(make(v)) for make, v, _ in MADE.values()])


@pytest.mark.parametrize(
    "opaque", [object(), iter([]), np.random.RandomState(0), torch.Generator()]
)
def test_what_cannot_be_looked_into_is_written_by_its_class(opaque: Any) -> None:
    assert text_of([opaque]) == f"[{type(opaque).__module__}.{type(opaque).__qualname__}]"


def test_what_can_be_imported_is_written_by_its_name() -> None:
    assert text_of([Net, closure]) == f"[{__name__}.Net, {__name__}.closure]"
