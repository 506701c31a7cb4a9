"""What the default network takes from the training rows before it is trained."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from torch import Tensor, nn
from torch.nn import functional

from skmetaweight._data.fit_data import FitData
from skmetaweight._data.validation import LabelledRows, n_rows
from skmetaweight._messages import explained, shortened
from skmetaweight._tabular.modules import Embeddings, PiecewiseLinear, TabularMLP
from skmetaweight._tabular.ranges import Ranges
from skmetaweight._tabular.standardize import Standardize
from skmetaweight._tabular.tables import Table

MAX_BINS = 8
"""Most bins of a column of numbers."""

MAX_ENCODED = 512
"""Most bins of all columns: a table of many columns gets fewer each, down to none."""

ROWS_FOR_BINS = 10_000
"""Rows whose quantiles stand for those of all; of a sparse matrix these are made dense."""

WORKED_OUT = ("n_features", "n_classes", "cardinalities")
"""Settings of the default network that only X and y can tell."""

ROWS_PER_INPUT = 10
"""With fewer training rows for each input of the first layer, inputs are dropped at random."""

INPUT_DROPOUT = 0.2

MAX_DENSITY = 0.01
"""Share of numbers other than zero up to which zeros are worth leaving out.

A step on 100,000 columns of a density of 0.001 takes an eleventh of the time of one on dense rows.
The noise that zeros would have of input dropout is about this share of that of other numbers.
"""


def default_network_options(
    data: FitData, table: Table, seed: int, given: dict[str, Any]
) -> dict[str, Any]:
    """Return the given options, and others for a :class:`TabularMLP` that suits the rows.

    Raises
    ------
    ValueError
        If one is given that is not the user's to choose.
    """
    _refuse_worked_out(given)
    n_features = data.train.X.shape[1]
    n_numbers = n_features if table.n_numbers is None else table.n_numbers
    bin_edges = given.get("module__bin_edges")
    if bin_edges is None:
        bin_edges = _bin_edges(data.train, n_numbers, table.bounds, seed)
    with explained("module", TabularMLP):
        n_encoded = PiecewiseLinear(bin_edges).n_outputs
    n_inputs = n_features - len(table.cardinalities) + n_encoded
    n_inputs += sum(map(Embeddings.width_of, table.cardinalities))
    # The last layer, whose gradients are compared, must be torch's.
    has_hidden = np.size(given.get("module__hidden_dims", 1)) > 0
    can_be_sparse = has_hidden and not n_encoded and not table.cardinalities
    is_wide = n_rows(data.train.X) < ROWS_PER_INPUT * n_inputs
    return {
        "module": TabularMLP,
        "module__n_features": n_features,
        "module__n_classes": len(data.classes),
        "module__cardinalities": table.cardinalities,
        "module__bin_edges": bin_edges,
        "module__input_dropout": INPUT_DROPOUT if is_wide else 0.0,
        "module__sparse": can_be_sparse and _density(data.train.X) <= MAX_DENSITY,
        **given,
    }


def _refuse_worked_out(given: dict[str, Any]) -> None:
    names = [name for name in WORKED_OUT if f"module__{name}" in given]
    if names:
        name = f"module__{names[0]}"
        raise ValueError(
            f"{name}={shortened(given[name])} is worked out from X and y for the default network: "
            "leave it out, or pass module=TabularMLP, which takes all of its settings from you."
        )


def _density(X: Any) -> float:
    n_numbers = int(X.count_nonzero() if issparse(X) else np.count_nonzero(X))
    return n_numbers / max(1, X.shape[0] * X.shape[1])


def _bin_edges(
    rows: LabelledRows, n_numbers: int, bounds: Ranges | None, seed: int
) -> list[NDArray[Any]]:
    """Return quantiles of the first columns over the training rows."""
    n_bins = min(MAX_BINS, MAX_ENCODED // max(1, n_numbers))
    if not n_numbers or n_bins < 2:
        return []
    drawn = np.arange(n_rows(rows.X))
    if len(drawn) > ROWS_FOR_BINS:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, ROWS_FOR_BINS, replace=False))
    weight = None if rows.sample_weight is None else rows.sample_weight[drawn]
    X = rows.X[drawn]
    X = (X.toarray() if issparse(X) else X)[:, :n_numbers]
    edges = np.quantile(
        X if bounds is None else bounds.clip(X),
        np.linspace(0, 1, n_bins + 1),
        axis=0,
        weights=weight,
        method="inverted_cdf",
    )
    return [np.unique(column) for column in edges.T]


def set_statistics(module: TabularMLP, rows: LabelledRows, table: Table) -> None:
    """Standardise the first columns, or all, within their bounds."""
    if table.n_numbers != 0:
        _standardize(module.standardize, rows, table)
        _set_bounds(module.standardize, table)


def follow_ranges(module: nn.Module, rows: LabelledRows, table: Table | None) -> None:
    """Take the bounds of ranges that have widened, before a fit goes on.

    A column that varies or lies elsewhere only now is standardised by these rows.
    """
    if not isinstance(module, TabularMLP) or table is None or table.bounds is None:
        return
    known, renewed = module.standardize, table.renewed
    _set_bounds(known, table)
    if renewed is None:
        return
    renewed = np.flatnonzero(renewed if table.observed is None else renewed[table.observed])
    if len(renewed):
        fresh = copy.deepcopy(known)
        _standardize(fresh, rows, table)
        known.mean[renewed] = fresh.mean[renewed]
        known.scale[renewed] = fresh.scale[renewed]


def _set_bounds(standardize: Standardize, table: Table) -> None:
    if table.bounds is not None:
        lower, upper = torch.as_tensor(table.bounds.lower), torch.as_tensor(table.bounds.upper)
        standardize.set_bounds(lower, upper)


def _standardize(standardize: Standardize, rows: LabelledRows, table: Table) -> None:
    """Learn means and variances; indicators of missing numbers stay 0 and 1.

    Other columns of zeros and ones are scaled as if both were as frequent.
    """
    mean, variance = _moments(rows, table)
    # With a variance of one, the ones of a rare category would stand far out.
    is_indicator = (variance > 0) & torch.isclose(variance, mean * (1 - mean), atol=0)
    variance = torch.where(is_indicator, 0.25, variance)
    indicators = (0, len(standardize.mean) - len(mean))
    mean, variance = functional.pad(mean, indicators), functional.pad(variance, indicators, value=1)
    standardize.set_statistics(mean, variance)


def _moments(rows: LabelledRows, table: Table) -> tuple[Tensor, Tensor]:
    """Return the means and variances of the first columns, or of all, within their bounds."""
    scaler = StandardScaler(with_mean=False)
    for part in gen_batches(n_rows(rows.X), 65_536):
        weight = None if rows.sample_weight is None else rows.sample_weight[part]
        X = rows.X[part] if table.n_numbers is None else rows.X[part, : table.n_numbers]
        X = X if table.bounds is None else table.bounds.clip(X)
        scaler.partial_fit(X, sample_weight=weight)
    return torch.as_tensor(scaler.mean_), torch.as_tensor(scaler.var_)
