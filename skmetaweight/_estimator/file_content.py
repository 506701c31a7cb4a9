"""What a file of a fitted classifier holds, and by which names its classes are known."""

from __future__ import annotations

import copy
import sys
from functools import partial
from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer

from skmetaweight._bilevel.randomness import Dropout
from skmetaweight._estimator.label_quality import OF_EACH_ROW, LabelQuality
from skmetaweight._tabular.modules import Embeddings, PiecewiseLinear, TabularMLP
from skmetaweight._tabular.ranges import Ranges
from skmetaweight._tabular.sparse import SparseLinear
from skmetaweight._tabular.standardize import Standardize
from skmetaweight._tabular.tables import Table
from skmetaweight._tabular.units import Units
from skmetaweight._training.learned_state import arguments_of, learned_state
from skmetaweight._training.values import UnwritableError, ValueWriter, classes_of_torch
from skmetaweight.reweighting import METHODS
from skmetaweight.reweighting._cluster_network import ClusterNetwork
from skmetaweight.reweighting._weighting import WeightingFunction, WeightingNetwork

PARTS = {"fitted", "module", "weighting", "rows", "training"}
"""Members of a file, one of tensors for each."""

OURS = (
    *METHODS.values(),
    *(WeightingFunction, WeightingNetwork, ClusterNetwork, LabelQuality, Table, Ranges, Units),
    *(TabularMLP, Standardize, PiecewiseLinear, Embeddings, SparseLinear, Dropout),
)
OF_SKLEARN = (MissingIndicator, OrdinalEncoder, QuantileTransformer, SimpleImputer)
OF_NUMPY = (np.float32, np.float64)
CLASSES: dict[str, type] = {
    **classes_of_torch(),
    **{kind.__name__: kind for kind in OURS},
    **{f"sklearn.{kind.__name__}": kind for kind in OF_SKLEARN},
    "functools.partial": partial,
    **{f"numpy.{kind.__name__}": kind for kind in OF_NUMPY},
}
"""All that a file may name; nothing is imported by a name in it."""

WRITTEN_APART = ("net_", "history_", "_weighting_function", *OF_EACH_ROW)

OF_THE_SESSION = ("_metadata_request", "_skl_callbacks")
"""What scikit-learn keeps of requests and callbacks, which are no result of a fit."""

NEEDED = {"criterion", "method", "reweighter", "predict_nonlinearity"}
"""Parameters, with those of their prefix, without which predictions or weights would differ."""


def writable(values: dict[str, Any], needed: set[str]) -> dict[str, Any]:
    """Return those of the parameters that a file can hold; a module is never one of them.

    Raises
    ------
    UnwritableError
        If it cannot hold one that is needed.
    """
    kept = {}
    for name, value in values.items():
        try:
            ValueWriter(CLASSES).write(value, name)
        except UnwritableError as error:
            if name.partition("__")[0] in needed:
                raise UnwritableError(
                    f"{error}, which save cannot write, and predictions or weights depend on it. "
                    "Use a class of torch's or of skmetaweight's, or pickle the classifier."
                ) from error
        else:
            kept[name] = value
    return kept


def content_of(
    estimator: Any, *, training: bool, rows: bool, snapshots: bool
) -> tuple[dict[str, Any], list[str]]:
    """Return what a file is to hold of a fitted classifier, and the parameters that it cannot.

    Raises
    ------
    UnwritableError
        If it cannot hold one that is needed.
    """
    _refuse_categories(estimator)
    net, needed = estimator.net_, NEEDED | ({"optimizer"} if training else set())
    parts = learned_state(net, rows=rows, training=training)
    given = estimator.get_params(deep=False)
    session = {name: v for name, v in vars(estimator).items() if name in OF_THE_SESSION}
    trained = net.settings_["module"]
    lost = session.keys() if given.pop("module") is trained else session.keys() | {"module"}
    parameters = writable(given, needed)
    arguments = writable(arguments_of(net, training=training), needed)
    settings = writable(net.settings_, needed)
    settings.pop("module", None)
    if trained is not None:
        arguments.pop("module", None)
    else:
        parts["fitted"]["network"] = net.module_
    parts["fitted"] |= {
        "attributes": {
            name: value
            for name, value in vars(estimator).items()
            if name not in {*given, "module", *WRITTEN_APART, *OF_THE_SESSION}
        },
        "parameters": parameters,
        "arguments": arguments,
        "settings": settings,
    }
    parts["weighting"] |= _functions_of(estimator, snapshots=snapshots)
    if rows:
        parts.setdefault("rows", {})["attributes"] = _rows_of(estimator)
    return parts, sorted(given.keys() - parameters.keys() | lost)


def _refuse_categories(estimator: Any) -> None:
    """Raise an UnwritableError that names a column whose categories a file cannot hold."""
    table = estimator._table
    if table is None or table.encoder is None:
        return
    names = getattr(estimator, "feature_names_in_", None)
    for place, categories in zip(table.categorical, table.encoder.categories_, strict=True):
        if reason := _unwritable_in(categories):
            name, column = place, f"X[:, {place}]"
            if names is not None:
                name, column = names[place], f"X[{names[place]!r}]"
            raise UnwritableError(
                f"A category of the column {name!r} {reason}, which save cannot write. Fit with "
                f"{column}.astype(str) in its place, or pickle the classifier."
            )


def _unwritable_in(value: Any) -> str:
    """Return what kind of value a file cannot hold, as the end of a sentence, or nothing."""
    try:
        ValueWriter(CLASSES).write(value, "")
    except UnwritableError as error:
        return str(error).partition(" ")[2]
    return ""


def _functions_of(estimator: Any, *, snapshots: bool) -> dict[str, Any]:
    """Return the weighting function, and what it was after each epoch."""
    function = estimator._weighting_function
    if snapshots:
        return {"function": function, "snapshots": estimator.net_.snapshots_}
    if not isinstance(function, str):
        function = copy.copy(function).remember_epochs((), last=0)
    return {"function": function, "snapshots": []}


def _rows_of(estimator: Any) -> dict[str, Any]:
    """Return what is known of the rows of X: nothing, if it was loaded without."""
    known = {name: v for name, v in vars(estimator).items() if name in OF_EACH_ROW}
    if "_label_quality" in known:
        quality = known["_label_quality"] = known["_label_quality"].with_plain_index()
        if reason := _unwritable_in(quality.index):
            raise UnwritableError(
                f"An entry of the index of the rows {reason}, which save cannot write. Leave what "
                "is of single rows out with rows=False, or pickle the classifier."
            )
    return known


def versions() -> dict[str, str]:
    """Return those of the packages that a file may depend on."""
    packages = ("skmetaweight", "torch", "sklearn", "skorch", "numpy")
    return {"python": sys.version.split()[0]} | {
        name: str(sys.modules[name].__version__) for name in packages
    }
