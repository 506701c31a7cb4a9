"""Parameters by prefix: the method's (``method__*``) and skorch's (``module__*`` and so on)."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, InvalidParameterError

from skmetaweight._messages import listed, shortened

METHOD = "method__"
PREFIXES = (
    "method",
    "module",
    "criterion",
    "optimizer",
    "iterator_train",
    "iterator_valid",
    "callbacks",
    "compile",
)
MOVED = {
    "alignment_memory": "memory",
    "alignment_layers": "alignment_layers",
    "meta_interval": "meta_interval",
    "meta_lr": "meta_lr",
    "lookahead_lr": "lookahead_lr",
    "weighting": "weighting",
}
"""Settings of the method, by names that they had as parameters of the classifier."""

PLAIN = ("iterator_train", "iterator_valid", "predict_nonlinearity", "compile")


class NetParamsMixin(BaseEstimator):
    """Takes the settings of its method and of its skorch net as keyword arguments by prefix.

    They are attributes like any other parameter: ``get_params``, ``set_params`` and ``clone`` know
    them, and grid search can vary one that was never set.
    """

    @classmethod
    @cache  # of a signature, which scikit-learn reads at every call
    def _get_param_names(cls) -> list[str]:  # pyright: ignore
        return super()._get_param_names()

    def _prefixed_params(self) -> dict[str, Any]:
        """Return the keyword arguments beyond the signature."""
        named = set(self._get_param_names())
        return {
            name: value
            for name, value in vars(self).items()
            if name not in named
            and (_has_prefix(name) or not (name.startswith("_") or name.endswith("_")))
        }

    def _net_params(self) -> dict[str, Any]:
        """Return those of the net, with their prefixes."""
        prefixed = self._prefixed_params()
        return {k: value for k, value in prefixed.items() if not k.startswith(METHOD)}

    def _method_params(self) -> dict[str, Any]:
        """Return those of the method, without the prefix."""
        prefixed = self._prefixed_params()
        return {k[len(METHOD) :]: value for k, value in prefixed.items() if k.startswith(METHOD)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all parameters, prefixed ones among them.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parameters that are estimators.

        Returns
        -------
        params : dict
        """
        return {**super().get_params(deep=deep), **self._prefixed_params()}

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
        TypeError
            If a parameter has become a setting of the method.
        """
        refuse_moved_params(params)
        stored = self._prefixed_params()
        known = super().get_params(deep=True)
        has_object = isinstance(params.get("method", getattr(self, "method", None)), BaseEstimator)

        def is_nested(name: str) -> bool:
            if name in stored:
                return False
            return has_object if name.startswith(METHOD) else name in known

        nested = {name: value for name, value in params.items() if is_nested(name)}
        others = {name: value for name, value in params.items() if name not in nested}
        unknown = [name for name in others if name not in stored and not _has_prefix(name)]
        if unknown:
            raise ValueError(self._unknown_message(unknown))
        super().set_params(**nested)
        for name, value in others.items():
            setattr(self, name, value)
        return self

    def _check_net_params(self) -> None:
        unknown = [name for name in self._prefixed_params() if not _has_prefix(name)]
        if unknown:
            raise TypeError(self._unknown_message(unknown))

    def _unknown_message(self, unknown: list[str]) -> str:
        bases = [base for base in type(self).__mro__[1:] if issubclass(base, BaseEstimator)]
        lost = [name for name in unknown if any(name in base._get_param_names() for base in bases)]
        if lost:
            return (
                f"{type(self).__name__}.__init__ does not name {listed(lost)}, parameters of the "
                "class that it derives from: scikit-learn reads them in its signature. Write them "
                "there, or derive without an __init__."
            )
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
            "Those of the method and of the net start with one of "
            f"{', '.join(p + '__' for p in PREFIXES)}."
        )


def _has_prefix(name: str) -> bool:
    return name in PLAIN or any(name.startswith(f"{prefix}__") for prefix in PREFIXES)


def check_params(owner: Any) -> None:
    """Validate the parameters of an estimator or a method, as scikit-learn does but more briefly.

    Raises
    ------
    InvalidParameterError
        If one is out of its range, or a boolean where a number is expected.
    """
    params = owner.get_params(deep=False)
    try:
        owner._validate_params()
    except InvalidParameterError as error:
        message = str(error)
        for value in params.values():
            message = message.replace(f"Got {value!r} instead", f"Got {shortened(value)} instead")
        raise InvalidParameterError(message) from None
    for name, constraints in owner._parameter_constraints.items():
        is_number = any(isinstance(constraint, Interval) for constraint in constraints)
        if is_number and isinstance(params.get(name), bool):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(owner).__name__} must be a number, not a "
                f"boolean. Got {params[name]} instead."
            )


def refuse_moved_params(params: dict[str, Any]) -> None:
    """Raise a TypeError that names the new place of parameters that are the method's now."""
    moved = [f"{name!r} is {METHOD + MOVED[name]!r} now" for name in params if name in MOVED]
    if moved:
        raise TypeError(
            f"{', '.join(moved)}: what belongs to a method is set by prefix, or in a method object "
            "such as MetaWeightNet(memory=0)."
        )
