"""What a notebook shows: scikit-learn's diagram, and below it the learned function."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

import numpy as np
from sklearn.utils import estimator_html_repr

from skmetaweight._estimator.svg import Plot, color_of
from skmetaweight.reweighting._weighting import WeightingFunction

NETWORK_PAGE = "https://skorch.readthedocs.io/en/stable/user/neuralnet.html"
"""Where the prefixed parameters are documented that pass through to the network."""

MAX_CURVES = 12
"""More classes than these get one curve, of their mean."""


class DocLinkMixin:
    """Links scikit-learn's HTML representation to the page of the class, if there is a site."""

    _doc_link_module = "skmetaweight"

    @property
    def _doc_link_template(self) -> str:
        site = documentation_site()
        return f"{site}/generated/{{estimator_module}}.{{estimator_name}}.html" if site else ""


class HTMLReprMixin(DocLinkMixin):
    """Adds a picture of a fitted classifier to scikit-learn's HTML representation.

    Whatever comes from data or parameters is escaped; there is no script of its own.
    """

    def _html_repr(self) -> str:
        return estimator_html_repr(self) + picture(self)

    def _repr_html_inner(self) -> str:
        return self._html_repr()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        if "text/html" in bundle:
            bundle["text/html"] = self._html_repr()
        return bundle


@cache
def documentation_site() -> str:
    """Return the address that the package's metadata give for its documentation, or nothing."""
    try:
        urls = metadata("skmetaweight").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pages = dict(url.split(", ", 1) for url in urls if ", " in url)
    address = pages.get("Documentation", "")
    return address.rstrip("/") if address.startswith("https://") else ""


def picture(estimator: Any) -> str:
    """Return an SVG of the learned function and a line of numbers; nothing before a fit."""
    if not hasattr(estimator, "net_"):
        return ""
    try:
        function = estimator.weighting_function_
    except AttributeError:
        function = None
    svg = curves(function) if isinstance(function, WeightingFunction) else ""
    style = "font:12px sans-serif;margin:.5em 0"
    paper = link(estimator.net_.reweighter_.paper_url, "Paper of the method")
    network = link(NETWORK_PAGE, "Parameters of the network")
    line = escape(summary(estimator)) + paper + network
    return f'<div style="{style}">{svg}<div>{line}</div></div>'


def summary(estimator: Any) -> str:
    """Return how long a classifier trained and what it made of the rows."""
    quality = estimator._label_quality
    n_rows = int((~quality.trusted).sum())
    return (
        f"{type(estimator.net_.reweighter_).__name__}: epoch {estimator.best_epoch_} of "
        f"{estimator.n_iter_} kept; {len(quality.issues())} of {n_rows} untrusted labels suspected."
    )


def link(address: str, text: str) -> str:
    """Return a link to a page; nothing without an https address."""
    if not address.startswith("https://"):
        return ""
    look = 'rel="noopener noreferrer" target="_blank"'
    return f' <a href="{escape(address)}" {look}>{text}</a>'


def curves(function: WeightingFunction) -> str:
    """Draw the weight against the loss, a curve for each class of a class-aware function."""
    losses = np.linspace(*function.loss_range_, 61)
    names: list[Any] = [None] if function.classes_ is None else list(function.classes_)
    weights = [function(losses, None if name is None else np.full(61, name)) for name in names]
    if len(names) > MAX_CURVES:
        names, weights = [None], [np.mean(weights, axis=0)]
    plot = Plot(
        function.loss_range_, (0, float(np.max(weights))), ("training loss (nats)", "weight")
    )
    parts = [plot.rug(function.loss_percentiles_)]
    for place, (name, values) in enumerate(zip(names, weights, strict=True)):
        title = "" if name is None else str(name)
        parts.append(plot.line(losses, values, color_of(place, len(names)), title))
    return plot.svg(parts, "Learned weight of a row against its loss")
