"""What of the losses a fit changes as it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from skmetaweight._bilevel.randomness import Generators
from skmetaweight._bilevel.ranks import ALONE, Ranks


@dataclass(slots=True)
class Stage:
    r"""How far a fit has come; the fit moves it on.

    Attributes
    ----------
    share : float
        What trusted rows carry of the training loss now: the meta share, or nothing as long as
        they are withheld.
    generators : tuple of Generator or None
        What the module draws random numbers from; None for torch's own.
    ranks : Ranks
        The processes that the fit runs on.
    """

    share: float
    generators: Generators | None = None
    ranks: Ranks = ALONE
