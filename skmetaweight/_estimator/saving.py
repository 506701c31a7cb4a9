"""A fitted classifier as one file that runs no code: ``save`` and ``load``."""

from __future__ import annotations

import copy
import os
from contextlib import nullcontext
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skmetaweight._estimator.build import is_there, resolve_device
from skmetaweight._estimator.file_content import CLASSES, PARTS, content_of, versions
from skmetaweight._estimator.fitted_state import snapshot
from skmetaweight._estimator.seeding import drawing
from skmetaweight._messages import listed, shortened, warn, written
from skmetaweight._training.archive import FileError, read_archive, reading, write_archive
from skmetaweight._training.learned_state import restored_net
from skmetaweight._training.net import ReweightedNet
from skmetaweight._training.values import UnwritableError, ValueReader, ValueWriter


class SavingMixin(BaseEstimator):
    """Writes a fitted classifier to a file, and reads it."""

    module: Any
    device: Any
    net_: ReweightedNet

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        training_state: bool = False,
        rows: bool = True,
        snapshots: bool = True,
    ) -> None:
        """Write the fitted classifier to a file that runs no code when it is loaded.

        The file is a zip of JSON and safetensors, and is there only once it is whole. Of a module
        of your own it has what was learned, but not the module; if another one was set since the
        fit, it is of the one that was trained. Callbacks, and other parameters
        that are no plain values, are left out; a warning names them.

        Parameters
        ----------
        path : path-like
            A file of that name is replaced.
        training_state : bool, default=False
            Whether ``warm_start`` and ``partial_fit`` go on from the file as if nothing had
            happened. The state of the optimiser is often twice as large as the network.
        rows : bool, default=True
            Whether to keep ``sample_weights_``, ``meta_indices_`` and what :meth:`label_quality`
            tells; and the trusted rows themselves if new rows are compared with them (l2rw).
        snapshots : bool, default=True
            Whether to keep what the weighting function was after each epoch.

        Raises
        ------
        TypeError
            If something that predictions or weights depend on is no plain value, or an argument is
            of another type.
        ValueError
            If the training state is wanted of a classifier that was saved or pickled without it.
        """
        check_is_fitted(self)
        chosen = {"training_state": training_state, "rows": rows, "snapshots": snapshots}
        for name, value in chosen.items():
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"{name} must be True or False, got {shortened(value)}.")
        if training_state and not self.net_.can_go_on_:
            raise ValueError(
                "training_state=True needs the state of a training, and this classifier was saved "
                "or pickled without: leave it False, or save the one that was fitted."
            )
        fitted = snapshot(self)
        parts, left_out = content_of(
            fitted, training=training_state, rows=rows, snapshots=snapshots
        )
        module = fitted.net_.settings_["module"]  # which was trained, whatever was set since
        writer = ValueWriter(CLASSES)
        try:
            values = {part: writer.write(content, part) for part, content in parts.items()}
        except UnwritableError as error:
            raise UnwritableError(
                f"{error}, which save cannot write: pickle the classifier."
            ) from error
        document = {
            "versions": versions(),
            "class": type(self).__name__,
            "module": None if module is None else written(module),
            "left_out": left_out,
            "values": values,
            "objects": writer.objects,
        }
        if left_out:
            warn(
                f"The file lacks {listed(left_out)}, which no file holds. Predictions do not need "
                "them; to fit once more, set them again after load."
            )
        write_archive(path, document, writer.tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str], module: Any = None) -> Self:
        """Return the classifier of a file that :meth:`save` wrote; no code in it is run.

        Parameters
        ----------
        path : path-like
        module : Module class or instance, optional
            The classifier's ``module``, if it had one. A class is built with the saved
            ``module__*`` parameters, an instance is copied.

        Returns
        -------
        clf : MetaWeightClassifier
            On the CPU if it was trained on a device that is not there.

        Raises
        ------
        ValueError
            If the file is damaged, of a newer version, or of another module.
        """
        with reading(path):
            document, tensors = read_archive(path, PARTS)
            _check_header(path, document, cls, module)
            reader = ValueReader(CLASSES, tensors, document["objects"])
            parts = {part: reader.read(node) for part, node in document["values"].items()}
            loaded = cls(**parts["fitted"]["parameters"])
            loaded.module = module
            for part in ("fitted", "rows"):
                vars(loaded).update(parts.get(part, {}).get("attributes", {}))
        with reading(path) if module is None else nullcontext():
            _take_net(loaded, parts)
        return loaded


def _check_header(path: Any, document: Any, cls: type, module: Any) -> None:
    """Raise a FileError if a file is of another class or module."""
    if document["class"] != cls.__name__:
        raise FileError(f"{path} holds a {document['class']}: load it with {document['class']}.")
    had = document["module"]
    if had is not None and module is None:
        raise FileError(
            f"{path} is of a module of your own, {had}, which no file holds: pass it as module=."
        )
    if had is None and module is not None:
        raise FileError(f"{path} is of the default network: leave out module={written(module)}.")


def _take_net(estimator: Any, parts: dict[str, Any]) -> None:
    """Give an estimator, with its parameters and attributes, the net of a file."""
    fitted, weighting, module = parts["fitted"], parts["weighting"], estimator.module
    arguments, described = fitted["arguments"], {}
    if not isinstance(module, type):  # skorch would build anew what it has options for
        described = {name: v for name, v in arguments.items() if name.startswith("module")}
        arguments = {k: v for k, v in arguments.items() if k not in described}
    arguments["module"] = fitted["network"] if module is None else copy.deepcopy(module)
    is_here = estimator.device == "auto" or is_there(torch.device(estimator.device))
    device = resolve_device(estimator.device if is_here else "cpu")
    with drawing(estimator, arguments["reweighter"], device, 0):
        net = restored_net(arguments, parts, len(estimator.classes_), device)
    vars(net).update(described)
    if module is None:
        _check_network(net, len(estimator.classes_))
    net.settings_ = {**fitted["settings"], "module": module, "device": device}
    net.snapshots_ = weighting["snapshots"]
    estimator.net_ = net
    estimator.history_ = net.history
    estimator._weighting_function = weighting["function"]


def _check_network(net: ReweightedNet, n_classes: int) -> None:
    """Raise a ValueError if the parts of the default network do not fit together."""
    row = net.parameter.new_zeros(1, vars(net)["module__n_features"])
    with torch.no_grad():
        shape = tuple(net.outputs(row).shape)
    if shape != (1, n_classes):
        raise ValueError(f"the network's output for {n_classes} classes has the shape {shape}")
