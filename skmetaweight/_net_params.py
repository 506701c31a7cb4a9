"""skorch's prefixed parameters (``module__*``, ``optimizer__*``, ...) in an estimator."""

from __future__ import annotations

import difflib
from typing import Any

from sklearn.base import BaseEstimator

PREFIXES = (
    "module",
    "criterion",
    "optimizer",
    "iterator_train",
    "iterator_valid",
    "callbacks",
    "compile",
)
PLAIN = ("iterator_train", "iterator_valid", "predict_nonlinearity", "compile")


class NetParamsMixin(BaseEstimator):
    """Takes the parameters of a skorch net as keyword arguments of its own.

    They are attributes like any other parameter: ``get_params``, ``set_params`` and ``clone`` know
    them, and grid search can vary one that was never set.
    """

    def _net_params(self) -> dict[str, Any]:
        """Return the keyword arguments beyond the signature."""
        named = set(self._get_param_names())
        return {
            name: value
            for name, value in vars(self).items()
            if name not in named and not name.startswith("_") and not name.endswith("_")
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all parameters, skorch's prefixed ones among them.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parameters that are estimators.

        Returns
        -------
        params : dict
        """
        return {**super().get_params(deep=deep), **self._net_params()}

    def set_params(self, **params: Any) -> NetParamsMixin:
        """Set parameters by name.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        known = self.get_params(deep=True)
        own = {name: value for name, value in params.items() if name in known}
        new = {name: value for name, value in params.items() if name not in known}
        unknown = [name for name in new if not _is_net_param(name)]
        if unknown:
            raise ValueError(self._unknown_message(unknown))
        nested = {name: value for name, value in own.items() if name not in self._net_params()}
        super().set_params(**nested)
        for name in params.keys() - nested.keys():
            setattr(self, name, params[name])
        return self

    def _check_net_params(self) -> None:
        unknown = [name for name in self._net_params() if not _is_net_param(name)]
        if unknown:
            raise TypeError(self._unknown_message(unknown))

    def _unknown_message(self, unknown: list[str]) -> str:
        candidates = [*self._get_param_names(), *PLAIN, *(f"{prefix}__" for prefix in PREFIXES)]
        parts = []
        for name in unknown:
            head, separator, tail = name.partition("__")
            matches = [
                match + tail if match.endswith("__") else match
                for match in difflib.get_close_matches(head + separator, candidates, cutoff=0.6)
            ]
            hint = " or ".join(map(repr, matches))
            parts.append(f"{name!r}: did you mean {hint}?" if hint else f"{name!r}.")
        return (
            f"{type(self).__name__} got unknown parameters: {' '.join(parts)} "
            f"Parameters of the net start with one of {', '.join(p + '__' for p in PREFIXES)}."
        )


def _is_net_param(name: str) -> bool:
    return name in PLAIN or any(name.startswith(f"{prefix}__") for prefix in PREFIXES)
