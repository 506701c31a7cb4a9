"""Messages stay short, however much they are about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import skmetaweight
from skmetaweight._data.class_weight import weigh_by_class
from skmetaweight._data.meta_set import warn_of_missing_classes
from skmetaweight._data.validation import LabelledRows, encode
from skmetaweight._estimator.diagnosis import warn_of_suppressed_classes
from skmetaweight._messages import import_for, listed, shortened
from tests.conftest import Data, quick

CLASSES = np.arange(2000)
TEXT = np.array([f"{'long' * 30}{i:04}" for i in CLASSES])


@pytest.mark.parametrize("n", [0, 1, 9, 10])
def test_short_lists_are_written_as_python_does(n: int) -> None:
    for values in (np.arange(n), list("abcdefghij")[:n], np.linspace(0, 1, n).round(3)):
        assert listed(values) == str(list(values.tolist() if hasattr(values, "tolist") else values))


@pytest.mark.parametrize("n", [11, 100, 2000])
def test_long_lists_are_counted(n: int) -> None:
    assert listed(np.arange(n)) == f"[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...] ({n} in all)"
    assert len(listed(TEXT[:n])) < 800


def test_values_are_written_on_one_line() -> None:
    assert "\n" not in shortened(np.eye(3))
    assert len(shortened("x" * 1000)) == 60


def says(call: Callable[[], Any]) -> str:
    """Return what a call warns of or raises."""
    with pytest.raises((ValueError, UserWarning)) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("classes", [CLASSES, TEXT], ids=["numbers", "text"])
def test_messages_about_many_classes(classes: np.ndarray) -> None:
    rows = LabelledRows(np.empty((2000, 1)), CLASSES)
    weights = np.where(CLASSES < 500, 1e-6, 1.0)
    messages = [
        says(lambda: encode(np.append(classes, classes[::-1])[:2001], classes[:900], "y_meta")),
        says(lambda: encode(classes, classes[:2], "y")),
        says(lambda: warn_of_missing_classes(np.array([3]), classes)),
        says(lambda: warn_of_suppressed_classes(weights, CLASSES, classes, set())),
        says(lambda: weigh_by_class({"other": 1.0}, classes, rows)),
        says(lambda: weigh_by_class(dict.fromkeys(classes.tolist(), -1.0), classes, rows)),
        says(lambda: weigh_by_class(dict.fromkeys(classes.tolist(), 0.0), classes, rows)),
    ]
    assert max(map(len, messages)) < 1800
    assert all("in all" in message for message in messages[:4])


def test_messages_of_a_class_aware_function_and_of_a_stream(data: Data) -> None:
    clf = quick(method__weighting="class-aware").fit(data.X, data.y, meta_mask=data.mask)
    function = clf.weighting_function_
    assert len(says(lambda: function(np.ones(3000), np.arange(3000)))) < 200
    stream = quick().partial_fit(data.X, data.y, meta_mask=data.mask)
    again: Any = {"X": data.X, "y": data.y, "meta_mask": data.mask}
    assert len(says(lambda: stream.partial_fit(**again, classes=CLASSES))) < 200


# ------------------------------------------------------------------ what to install


@pytest.mark.parametrize("extra", ["io", "onnx", "parquet", "plot", None])
def test_hints_can_be_pasted_into_any_shell(extra: str | None) -> None:
    wanted = f"'skmetaweight\\[{extra}\\]'" if extra else "nowhere other"
    with pytest.raises(ImportError, match=rf"^It needs nowhere, other: .*`pip install {wanted}`"):
        import_for("It needs", "nowhere.at_all", "other", extra=extra)


def test_hints_are_written_in_one_place() -> None:
    package = Path(skmetaweight.__file__).parent
    written = [path.name for path in package.rglob("*.py") if "pip install" in path.read_text()]
    assert written == ["_messages.py"]
