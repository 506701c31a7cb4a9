"""Small pictures as SVG text: they need no library, and take the colour of the text around them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 160
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 36  # room around the axes, for their numbers and names


@dataclass(frozen=True)
class Plot:
    """A pair of axes, to draw in and to be put together by :meth:`svg`.

    Attributes
    ----------
    x, y : tuple of float
        Ends of the axes.
    names : tuple of str
        Of the axes.
    whole : bool, default=False
        Whether only whole numbers stand at the horizontal axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    names: tuple[str, str]
    whole: bool = False

    def line(self, x: NDArray, y: NDArray, color: str, title: str = "", dashed: str = "") -> str:
        """Draw a line with gaps where a value is missing, and dots where both sides are gaps."""
        is_there = np.isfinite(x) & np.isfinite(y)
        pieces = np.split(np.arange(len(x)), np.flatnonzero(np.diff(is_there)) + 1)
        drawn = [self._points(x[piece], y[piece]) for piece in pieces if is_there[piece].all()]
        path = "".join(f"M{' L'.join(points)}{'h0' * (len(points) == 1)}" for points in drawn)
        look = f'fill="none" stroke="{color}" stroke-width="2" stroke-linecap="round"'
        dashes = f' stroke-dasharray="{dashed}"' if dashed else ""
        hover = f"<title>{escape(title)}</title>" if title else ""
        return f'<path d="{path}" {look}{dashes}>{hover}</path>'

    def bars(self, edges: NDArray, low: NDArray, high: NDArray, color: str) -> str:
        """Draw a bar between each pair of edges, from one height to another."""
        corners = zip(edges[:-1], edges[1:], low, high, strict=True)
        path = "".join(
            f"M{self._x(a):.1f},{self._y(b):.1f}V{self._y(t):.1f}H{self._x(z):.1f}V{self._y(b):.1f}Z"
            for a, z, b, t in corners
            if t > b
        )
        return f'<path d="{path}" fill="{color}"/>'

    def rug(self, values: NDArray) -> str:
        """Mark values at the horizontal axis."""
        bottom = HEIGHT - BOTTOM
        path = "".join(f"M{self._x(value):.1f},{bottom}v-5" for value in values)
        return f'<path d="{path}" stroke="currentColor" stroke-width=".6" opacity=".5"/>'

    def svg(self, parts: list[str], label: str) -> str:
        """Put what was drawn between axes, and say for readers who cannot see it what it is."""
        size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"'
        return f'{head} aria-label="{escape(label)}">{self._frame()}{"".join(parts)}</svg>'

    def _points(self, x: NDArray, y: NDArray) -> list[str]:
        return [f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in zip(x, y, strict=True)]

    def _x(self, value: float) -> float:
        return LEFT + _share(value, self.x) * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - _share(value, self.y) * (HEIGHT - TOP - BOTTOM)

    def _frame(self) -> str:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        numbers = [value for value in ticks(*self.x) if not self.whole or value == round(value)]
        texts = [(self._x(value), bottom + 14, "middle", f"{value:g}") for value in numbers]
        texts += [(LEFT - 5, self._y(value) + 4, "end", f"{value:g}") for value in ticks(*self.y)]
        texts.append(((LEFT + right) / 2, bottom + 30, "middle", escape(self.names[0])))
        labels = "".join(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
            for x, y, anchor, text in texts
        )
        turned = f'transform="translate(11,{(TOP + bottom) / 2:.1f}) rotate(-90)"'
        labels += f'<text {turned} text-anchor="middle">{escape(self.names[1])}</text>'
        axes = f'<path d="M{LEFT},{TOP}V{bottom}H{right}" fill="none" stroke="currentColor"/>'
        return f'<g font-size="10" fill="currentColor">{labels}</g>{axes}'


def ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers between two numbers, or the one that both are.

    >>> ticks(0, 3.7)
    [0.0, 1.0, 2.0, 3.0]
    >>> ticks(2, 2)
    [2.0]
    """
    if not high > low:
        return [float(low)]
    unit = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if (high - low) / unit <= 5 * factor)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{step * number:.6g}") for number in range(first, last + 1)]


def color_of(place: int, n_colors: int) -> str:
    """Return one of several colours that stand out from black and from white."""
    return f"hsl({205 + 360 * place // n_colors},70%,45%)"


def _share(value: float, ends: tuple[float, float]) -> float:
    return (value - ends[0]) / max(ends[1] - ends[0], 1e-12)
