"""A fitted classifier as an ONNX file, for runtimes without Python or torch."""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skmetaweight._bilevel.forward import outputs_of
from skmetaweight._estimator.classifier import MetaWeightClassifier
from skmetaweight._estimator.fitted_state import snapshot, twin
from skmetaweight._messages import explained, import_for, shortened
from skmetaweight._tabular.description import described
from skmetaweight._training.archive import path_to_write
from skmetaweight._training.net import ReweightedNet

TOLERANCE = 1e-5
"""Most that a probability of the file may differ by."""

BATCH_SIZES = (1, 2, 33)
"""Rows at a time with which the file is tried."""

CURE = "Let its forward do the same for any number of rows, without a choice by their values."

Inputs = Tensor | dict[str, Tensor]


def export_onnx(clf: Any, path: str | os.PathLike[str], X: Any = None) -> None:
    """Write a fitted classifier as an ONNX file, from rows to class probabilities.

    The file takes any number of rows and has one output, ``probabilities``, that of
    ``predict_proba``. It is run with onnxruntime and compared before it replaces a file of that
    name. Needs the extra ``onnx``.

    Parameters
    ----------
    clf : MetaWeightClassifier
        Fitted.
    path : path-like
    X : like the X of ``fit``, optional
        Rows to compare on. None for the trusted rows of the fit, which a loaded classifier has not.

    Raises
    ------
    TypeError
        If it is no MetaWeightClassifier, or path no path.
    ValueError
        If the module cannot be exported, or the file does not compute what it does.
    OSError
        If there is no folder to write the file in, or a folder in its place.
    ImportError
        If a package of the extra is missing.

    Notes
    -----
    The input is called ``X``, or by the keys of a dict. It is what the module takes: with one of
    your own, X; with the default network, its encoded numbers and codes of categories, which are
    plain numbers themselves where nothing is missing. The metadata hold, each as JSON, ``classes``,
    ``feature_names`` and ``encoding``, how a row is encoded; see the guide on saving.

    With ``mixed_precision`` the file computes in full precision all the same.
    """
    if not isinstance(clf, MetaWeightClassifier):
        raise TypeError(
            f"export_onnx takes a MetaWeightClassifier, got {shortened(clf)}: pass the fitted one "
            "in it, and do with rows yourself what other steps do with them."
        )
    check_is_fitted(clf)
    runtime = _onnxruntime()
    path = path_to_write(path)
    fitted = snapshot(clf)
    net, rows = (fitted.net_, fitted.net_.meta_rows_) if X is None else fitted._net_and_rows(X)
    if rows is None:
        raise ValueError(
            "export_onnx has no rows to compare the file on, since this classifier was loaded from "
            "a file without: pass some as X=."
        )
    metadata = _metadata(fitted)
    places = [torch.arange(n, device=rows.device) % len(rows) for n in BATCH_SIZES]
    batches = [_on_cpu(rows.dense().take(some).X) for some in places]
    module = Probabilities(net)
    with _quietly():
        program = _exported(module, batches[1])
    program.model.metadata_props.update(metadata)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        program.save(unfinished, external_data=False)
        for inputs in batches:
            _compare(runtime, unfinished, module, inputs)
        unfinished.replace(path)


class Probabilities(nn.Module):
    """The module of a net on the CPU, and what makes probabilities of its outputs."""

    def __init__(self, net: ReweightedNet) -> None:
        super().__init__()
        self.module = twin(net).module_.cpu().eval()
        self.to_probabilities = net.to_probabilities()

    def forward(self, X: Inputs) -> Tensor:
        return self.to_probabilities(outputs_of(self.module, X))


def _onnxruntime() -> Any:
    return import_for("export_onnx needs", "onnx", "onnxscript", "onnxruntime", extra="onnx")


def _metadata(fitted: Any) -> dict[str, str]:
    names, encoding = getattr(fitted, "feature_names_in_", None), None
    if fitted._table is not None:
        encoding = described(fitted._table, fitted.net_.module_.standardize.mean.cpu().numpy())
    content = {
        "classes": fitted.classes_.tolist(),
        "feature_names": None if names is None else names.tolist(),
        "encoding": encoding,
    }
    return {key: _as_json(key, value) for key, value in content.items()}


def _as_json(key: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"export_onnx cannot write {key} as JSON: {error}. Use numbers, text or booleans for "
            "labels and categories."
        ) from error


def _on_cpu(X: Inputs) -> Inputs:
    return {name: x.cpu() for name, x in X.items()} if isinstance(X, dict) else X.cpu()


def _named(X: Inputs) -> dict[str, Tensor]:
    return X if isinstance(X, dict) else {"X": X}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep to itself what the exporter says of its own making and of packages it could use."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.fx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _exported(module: Probabilities, inputs: Inputs) -> Any:
    every = {0: torch.export.Dim("rows")}
    shapes = {name: every for name in inputs} if isinstance(inputs, dict) else every
    with explained("module", type(module.module), "cannot be exported to ONNX", CURE):
        try:
            return torch.onnx.export(
                module,
                kwargs={"X": inputs},
                dynamic_shapes={"X": shapes},
                input_names=list(_named(inputs)),
                output_names=["probabilities"],
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise error.__cause__ or error from None


def _compare(runtime: Any, path: Path, module: Probabilities, inputs: Inputs) -> None:
    """Raise a ValueError unless a file gives the probabilities of a module."""
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    given = {name: x.numpy() for name, x in _named(inputs).items()}
    with torch.no_grad():
        expected = module(inputs).numpy()
    what = f"does not run in onnxruntime with batches of {len(expected)}"
    with explained("module", type(module.module), what, CURE):
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, given)
    difference = np.abs(found - expected).max()
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The ONNX file of {type(module.module).__name__} was not kept: its probabilities "
            f"differ from those of torch by {difference:.2g} in a batch of {len(found)}. Check "
            "that the module in evaluation mode always gives the same for the same row, and update "
            "onnxscript."
        )
