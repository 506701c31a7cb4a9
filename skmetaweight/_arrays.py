"""How all wings read an array that is not X: labels, weights, masks, numbers of any container."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skmetaweight._messages import first_line, shortened

OF_NUMPY = (torch.float16, torch.float32, torch.float64)
"""Dtypes of floats that NumPy has too."""


def read_array(values: Any, name: str) -> NDArray[Any]:
    """Return an argument as an array of real values, of the dtype that NumPy finds for them.

    Raises
    ------
    ValueError
        If it has masked values, is ragged or complex, mixes text with others, or is no array.
    """
    refuse_masked(values, name)
    array = open_tensor(values, name) if isinstance(values, Tensor) else _as_array(values, name)
    refuse_complex_dtypes([array.dtype], name)
    is_list = isinstance(values, list | tuple) and array.ndim == 1
    if is_list and array.dtype.kind == "U" and not all(isinstance(each, str) for each in values):
        raise ValueError(
            f"{name} must hold values of one kind, got text and others, {shortened(values)}: make "
            "all of it text, or none."
        )
    return array


def _as_array(values: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        if "inhomogeneous" in str(error):
            raise ValueError(
                f"Input {name} is ragged, e.g. {shortened(values)}: give all of its parts the same "
                "length."
            ) from error
        raise ValueError(f"Input {name} cannot be read: {first_line(error)}.") from error


def read_numbers(values: Any, name: str) -> NDArray[np.float64]:
    """Return an argument as a new array of numbers, NaN and infinity among them.

    Raises
    ------
    ValueError
        As :func:`read_array`, and for dates, text and other objects.
    """
    array = read_array(values, name)
    is_text = array.dtype == object and any(isinstance(each, str) for each in array.flat)
    if array.dtype.kind in "biufO" and not is_text:
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            pass
    raise ValueError(f"{name} must be numbers, got {shortened(values)}.")


def open_tensor(values: Tensor, name: str) -> NDArray[Any]:
    """Return the values of a tensor, wherever they are, whatever has been recorded of them.

    Raises
    ------
    ValueError
        If no array can hold them.
    """
    try:
        is_other_float = values.is_floating_point() and values.dtype not in OF_NUMPY
        return (values.float() if is_other_float else values).numpy(force=True)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"Input {name} is a tensor that no array can hold, of {values.dtype} and "
            f"{values.layout}: {first_line(error)}. Pass a dense one, e.g. by to_dense, "
            "to_padded_tensor or dequantize."
        ) from error


def refuse_masked(values: Any, name: str) -> None:
    """Raise a ValueError if an array has masked values, which others would read as they are."""
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise ValueError(
            f"Input {name} has masked values: fill them, e.g. with {name}.filled(...), or drop "
            "their rows."
        )


def refuse_complex_dtypes(dtypes: Iterable[Any], name: str) -> None:
    """Raise a ValueError if one of the dtypes is of complex numbers."""
    if any("complex" in str(dtype) for dtype in dtypes):
        raise ValueError(
            f"Complex data not supported: Input {name} has complex numbers. Pass real ones, "
            "such as their real and imaginary parts."
        )
