"""Values as JSON and tensors: what comes back, and what is refused by its path."""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from datetime import timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from skmetaweight._tabular.modules import TabularMLP
from skmetaweight._tabular.ranges import Ranges
from skmetaweight._training.values import (
    UnwritableError,
    ValueReader,
    ValueWriter,
    classes_of_torch,
)

CLASSES: dict[str, type] = {
    **classes_of_torch(),
    "functools.partial": partial,
    "Ranges": Ranges,
    "numpy.float32": np.float32,
}


def back(value: Any) -> Any:
    writer = ValueWriter(CLASSES)
    text = json.dumps([writer.write(value, "value"), writer.objects], allow_nan=False)
    written, objects = json.loads(text)
    return ValueReader(CLASSES, writer.tensors, objects).read(written)


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
    assert repr(one) == repr(other)


keys = st.text(max_size=3) | st.integers() | st.booleans() | st.none() | st.just("~tuple")
dtypes = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="=")
    | arrays.unsigned_integer_dtypes(endianness="=")
    | arrays.floating_dtypes(endianness="=", sizes=(16, 32, 64))
    | arrays.complex_number_dtypes(endianness="=", sizes=(64,))
    | arrays.unicode_string_dtypes(endianness="=", max_len=5)
    | arrays.datetime64_dtypes(endianness="=")
)
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_side=3, min_side=0))
    | arrays.from_dtype(np.dtype("f4"))
    | st.sampled_from([torch.device("cpu"), torch.bfloat16, np.dtype("<f4"), np.float32, nn.ReLU])
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_what_is_written_comes_back(value: Any) -> None:
    assert_equal(value, back(value))


@given(st.sets(keys))
def test_sets(value: set[Any]) -> None:
    assert back(value) == value


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint16, torch.bool],
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_tensors(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape).to(dtype)
    for given_ in (tensor, tensor[None].expand(2, *shape), nn.Parameter(torch.ones(shape))):
        came = back({"a": given_})["a"]
        assert came.dtype == given_.dtype
        assert torch.equal(came, given_.detach())


def test_what_was_one_object_is_one_again() -> None:
    layer, tensor = nn.Linear(1, 1), torch.ones(2)
    step = partial(torch.optim.SGD, momentum=0.5)
    first, second = back([[layer, tensor, step], {"again": (layer, tensor, step)}])
    assert all(map(lambda a, b: a is b, first, second["again"]))
    assert isinstance(back(OrderedDict(a=Ranges(*np.ones((4, 2)))))["a"], Ranges)


SCALARS: list[Any] = [
    *(b"", b"\0a\xff", Decimal("1.10"), Decimal("NaN"), pd.NaT, pd.NA),
    *(pd.Timestamp("2026-01-01 00:00:00.123456789"), pd.Timestamp("2026-10-25").as_unit("s")),
    *(pd.Timestamp("2026-10-25 02:30:00+01:00").tz_convert(z) for z in ("UTC", "Europe/Berlin")),
    pd.Timestamp("2026-01-01", tz=timezone(timedelta(hours=-3))),
    *(pd.Timedelta("-1 days 00:00:00.000000001"), pd.Timedelta("3s").as_unit("s")),
    *(pd.Period("2026-01", freq="M"), pd.Period("2026", freq="Y-MAR")),
    *(pd.Interval(0.1, 2, closed="left"), pd.Interval(pd.Timestamp(0), pd.Timestamp(1))),
]


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_times_and_intervals(value: Any) -> None:
    for holder in ([value, 1], {value: "a"}, np.array([value, None], dtype=object)):
        assert_equal(holder, back(holder))
    assert getattr(back(value), "unit", None) == getattr(value, "unit", None)


def test_arrays_of_bytes() -> None:
    for values in (np.array([b"a", b"bc"]), np.array([[b"\xff"]], dtype="S3")):
        assert_equal(values, back(values))


COLLIDING: list[Any] = [
    {"a.b": torch.ones(2), "a": {"b": torch.zeros(2)}},
    {"a": {"b": torch.zeros(2)}, "a.b": torch.ones(2), "a.b~": torch.full((2,), 2.0)},
    {"a.b~": torch.zeros(2), "a.b": torch.ones(2), "a": {"b": torch.full((2,), 2.0)}},
    {"a.0": np.ones(2), "a": [np.zeros(2), torch.full((2,), 2.0)]},
    [{"0.1": np.ones(2), "0": (np.zeros(2), np.full(2, 2.0))}],
]


@pytest.mark.parametrize("value", COLLIDING)
def test_values_by_the_same_path_are_not_mixed_up(value: Any) -> None:
    assert_equal(value, back(value))


MODULES = [
    nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2)),
    nn.Sequential(nn.Linear(3, 2, bias=False).double()),
    nn.ModuleList([nn.Linear(3, 2).requires_grad_(False)]),
    nn.CrossEntropyLoss(weight=torch.ones(3), label_smoothing=0.1, reduction="none"),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
@pytest.mark.parametrize("training", [False, True])
def test_modules(module: nn.Module, training: bool) -> None:
    module = copy.deepcopy(module).train(training)
    other = back(module)
    assert repr(other) == repr(module)
    assert [p.training for p in other.modules()] == [p.training for p in module.modules()]
    for (name, one), (others, came) in zip(
        module.named_parameters(), other.named_parameters(), strict=True
    ):
        assert (name, one.requires_grad) == (others, came.requires_grad)
    torch.testing.assert_close(other.state_dict(), module.state_dict(), rtol=0, atol=0)
    vars(other)["training"] = training
    assert vars(other).keys() == vars(module).keys()


def hooked() -> nn.Module:
    layer = nn.Linear(1, 1)
    layer.register_forward_hook(print)
    return layer


REFUSED: dict[str, Any] = {
    "a function": lambda: None,
    "a object": object(),
    "a TabularMLP": TabularMLP(1, 2),
    "hooks": hooked(),
    "TabularMLP": TabularMLP,
    "a tensor of torch.complex128": torch.ones(1, dtype=torch.complex128),
    "sparse_coo": torch.ones(1).to_sparse(),
    "an array of [('a', '<f8')]": np.zeros(1, dtype=[("a", "f8")]),
    "an array of longdouble": np.zeros(1, dtype=np.longdouble),
    "the Timestamp": pd.Timestamp("2026-01-01", tz=timezone(timedelta(seconds=1))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_kinds_are_refused_by_their_path(name: str) -> None:
    for holder, path in (([1, REFUSED[name]], "value.1"), ({"k": [REFUSED[name]]}, "value.k.0")):
        with pytest.raises(UnwritableError) as error:
            back(holder)
        assert str(error.value).startswith(f"{path} ")
        if name != "an array of longdouble":
            assert name in str(error.value)
