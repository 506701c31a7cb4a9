"""Python values as JSON and tensors, and back, by names of a fixed table of classes only."""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skmetaweight._messages import shortened
from skmetaweight._training.scalars import parts_of, scalar_of

Classes = Mapping[str, type]
"""What a file may name."""

PLAIN = (type(None), bool, int, str)
"""What JSON holds as it is."""

LARGEST_TEXT = 2**28
"""Most bytes of an array of text: a few of JSON can declare any number of them."""

OF_EVERY_MODULE = vars(nn.Module())
"""Attributes that all modules have, as they are at first."""

PARTS_OF_MODULES = {
    *("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"),
}
"""Those of them that are written."""


class UnwritableError(TypeError):
    """A value that a file cannot hold."""


def classes_of_torch() -> dict[str, type]:
    """Return layers, losses and optimisers, by name."""
    found = [("torch.nn", nn, nn.Module), ("torch.optim", torch.optim, torch.optim.Optimizer)]
    return {
        f"{package}.{name}": kind
        for package, module, base in found
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, base)
    }


class ValueWriter:
    """Makes JSON of values, with their tensors and arrays beside it.

    A tensor is named by the path to it, or a longer name if that is taken. Objects are written
    once, so that what was one object is one again.

    Parameters
    ----------
    classes : dict of str to type
        Those whose objects can be written.

    Attributes
    ----------
    tensors : dict of str to Tensor
    objects : list of dict
        Class and state of each object, as JSON.
    """

    def __init__(self, classes: Classes) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.objects: list[Any] = []
        self._names = {kind: name for name, kind in classes.items()}
        self._known: dict[int, tuple[Any, Any]] = {}  # holds the values, so that no id recurs

    def write(self, value: Any, path: str) -> Any:
        """Return the JSON of a value.

        Raises
        ------
        UnwritableError
            If it is, or holds, anything of another kind; the message has the path to it.
        """
        if type(value) in PLAIN:
            return value
        if id(value) not in self._known:
            self._known[id(value)] = value, self._written(value, path)
        return self._known[id(value)][1]

    def _written(self, value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(np.asarray(value), path, is_scalar=isinstance(value, np.generic))
        if isinstance(value, torch.device | np.dtype):
            return {"~device" if isinstance(value, torch.device) else "~dtype": str(value)}
        write = {
            float: self._float,
            list: self._list,
            tuple: lambda items, path: {"~tuple": self._list(items, path)},
            set: lambda items, path: {"~set": self._list(sorted(items, key=repr), path)},
            dict: self._dict,
            OrderedDict: self._dict,
            torch.dtype: lambda dtype, path: {"~torch": str(dtype).removeprefix("torch.")},
        }.get(type(value))
        if write is not None:
            return write(value, path)
        if inspect.isclass(value) and value in self._names:
            return {"~class": self._names[value]}
        parts = parts_of(value)
        return self._object(value, path) if parts is None else self._scalar(value, parts, path)

    def _scalar(self, value: Any, parts: list[Any], path: str) -> Any:
        try:
            comes_back = repr(scalar_of(*parts)) == repr(value)
        except Exception:  # a zone without a name, say
            comes_back = False
        if not comes_back:
            raise UnwritableError(f"{path} is the {type(value).__name__} {shortened(value)}")
        return {"~scalar": self._list(parts, path)}

    def _float(self, value: float, path: str) -> Any:
        return value if math.isfinite(value) else {"~float": repr(value)}

    def _list(self, items: Any, path: str) -> list[Any]:
        return [self.write(item, f"{path}.{i}") for i, item in enumerate(items)]

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        if all(type(key) is str and not key.startswith("~") for key in value):
            return {key: self.write(item, f"{path}.{key}") for key, item in value.items()}
        return {"~dict": self._list(list(value.items()), path)}

    def _tensor(self, value: Tensor, path: str) -> Any:
        if value.layout != torch.strided or value.dtype == torch.complex128 or value.is_quantized:
            raise UnwritableError(f"{path} is a tensor of {value.dtype}, {value.layout}")
        while path in self.tensors:  # a key with a dot, say
            path = f"{path}~"
        self.tensors[path] = value.detach().to("cpu", copy=True).contiguous()
        return {"~tensor": path}

    def _array(self, values: NDArray[Any], path: str, *, is_scalar: bool) -> Any:
        kind, shape = values.dtype.kind, list(values.shape)
        content: dict[str, Any] = {"dtype": values.dtype.str, "scalar": is_scalar}
        if kind in "OUS":
            content |= {"shape": shape, "items": self._list(values.ravel().tolist(), path)}
        elif kind in "biufc" or kind in "mM":
            plain = values.astype(values.dtype.newbyteorder("="), order="C")
            content["dtype"] = plain.dtype.str
            plain = plain.view(np.int64) if kind in "mM" else plain
            try:
                tensor = torch.from_numpy(plain.reshape(shape))
            except TypeError as error:  # a number that torch does not have
                raise UnwritableError(f"{path} is an array of {values.dtype}") from error
            content |= self._tensor(tensor, path)
        else:
            raise UnwritableError(f"{path} is an array of {values.dtype}")
        return {"~array": content}

    def _object(self, value: Any, path: str) -> Any:
        if type(value) not in self._names:
            name = value.__name__ if inspect.isclass(value) else f"a {type(value).__name__}"
            raise UnwritableError(f"{path} is {name}")
        if isinstance(value, nn.Module):
            state = self._module(value, path)
        elif isinstance(value, tuple):
            state = self._list(value, path)
        elif isinstance(value, partial):
            state = self._list([value.func, value.args, value.keywords], path)
        else:
            state = self._dict(value.__getstate__() or {}, path)
        self.objects.append({"class": self._names[type(value)], "state": state})
        return {"~object": len(self.objects) - 1}

    def _module(self, module: nn.Module, path: str) -> Any:
        own = {name: v for name, v in vars(module).items() if name not in OF_EVERY_MODULE}
        hooks = [
            name
            for name, at_first in OF_EVERY_MODULE.items()
            if name not in PARTS_OF_MODULES and vars(module).get(name) != at_first
        ]
        if hooks:
            raise UnwritableError(f"{path} has hooks ({hooks[0]})")
        state = {
            "own": own,
            "training": module.training,
            "trained": [n for n, p in module.named_parameters(recurse=False) if p.requires_grad],
            "transient": sorted(module._non_persistent_buffers_set),
            "parameters": dict(module._parameters),
            "buffers": dict(module._buffers),
            "modules": dict(module._modules),
        }
        return self._dict(state, path)


class ValueReader:
    """Makes values of what a :class:`ValueWriter` wrote.

    Parameters
    ----------
    classes : dict of str to type
    tensors, objects
        As in :class:`ValueWriter`.
    """

    def __init__(self, classes: Classes, tensors: Mapping[str, Tensor], objects: Any) -> None:
        self._classes = classes
        self._tensors = tensors
        self._objects = objects
        self._made: dict[int | str, Any] = {}
        self._readers = {
            "~float": float,
            "~tuple": lambda items: tuple(map(self.read, items)),
            "~set": lambda items: set(map(self.read, items)),
            "~dict": lambda items: dict(map(self.read, items)),
            "~device": torch.device,
            "~dtype": np.dtype,
            "~torch": _dtype_of_torch,
            "~class": classes.__getitem__,
            "~tensor": self._tensor,
            "~array": self._array,
            "~scalar": lambda parts: scalar_of(*map(self.read, parts)),
            "~object": self._object,
        }

    def read(self, node: Any) -> Any:
        """Return the value of some JSON.

        Raises
        ------
        Exception
            Of whatever kind, if it is no JSON of a :class:`ValueWriter`'s.
        """
        if isinstance(node, list):
            return [self.read(item) for item in node]
        if not isinstance(node, dict):
            return node
        tag = next(iter(node), "")
        if not tag.startswith("~"):
            return {key: self.read(item) for key, item in node.items()}
        (content,) = node.values()
        return self._readers[tag](content)

    def _tensor(self, name: str) -> Tensor:
        if name not in self._made:
            self._made[name] = self._tensors[name].clone()
        return self._made[name]

    def _array(self, content: Any) -> Any:
        dtype = np.dtype(content["dtype"])
        if "items" in content:
            if dtype.itemsize * len(content["items"]) > LARGEST_TEXT:
                raise ValueError(f"an array of {dtype} is too large")
            values = np.empty(len(content["items"]), dtype=dtype)
            values[:] = [self.read(item) for item in content["items"]]
            values = values.reshape(content["shape"])
        else:
            values = self._tensor(content["~tensor"]).numpy()
            values = values.view(dtype) if dtype.kind in "mM" else values
        return values[()] if content["scalar"] else values

    def _object(self, place: int) -> Any:
        if place not in self._made:
            kind = self._classes[self._objects[place]["class"]]
            self._made[place] = _built(kind, self.read(self._objects[place]["state"]))
        return self._made[place]


def _built(kind: Any, state: Any) -> Any:
    if issubclass(kind, tuple):
        return kind(*state)
    if issubclass(kind, partial):
        function, args, keywords = state
        return kind(function, *args, **keywords)
    made: Any = kind.__new__(kind)
    if isinstance(made, nn.Module):
        _fill_module(made, state)
    elif hasattr(made, "__setstate__"):
        made.__setstate__(state)  # scikit-learn's, which compares versions
    else:
        vars(made).update(state)
    return made


def _fill_module(module: nn.Module, state: dict[str, Any]) -> None:
    nn.Module.__init__(module)
    module.training = state["training"]
    for name, tensor in state["parameters"].items():
        trained = name in state["trained"]
        parameter = None if tensor is None else nn.Parameter(tensor, requires_grad=trained)
        module.register_parameter(name, parameter)
    for name, tensor in state["buffers"].items():
        module.register_buffer(name, tensor, persistent=name not in state["transient"])
    for name, part in state["modules"].items():
        module.add_module(name, part)
    vars(module).update(state["own"])


def _dtype_of_torch(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is no dtype of torch's")
    return dtype
