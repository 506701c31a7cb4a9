"""Pictures that need no library."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skmetaweight._estimator.svg import HEIGHT, WIDTH, Plot, ticks

NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(NUMBERS, st.floats(1e-6, 1e9))
def test_ticks_are_few_even_and_inside(low, width):
    high = low + width
    if width < 1e-5 * max(abs(low), abs(high)):
        return  # numbers of six digits cannot tell them apart
    found = np.array(ticks(low, high))
    assert 1 <= len(found) <= 6
    slack = 1e-5 * max(abs(low), abs(high))
    assert (found >= low - slack).all()
    assert (found <= high + slack).all()


def test_ticks_are_round():
    assert ticks(0, 0.93) == [0, 0.2, 0.4, 0.6, 0.8]
    assert ticks(0, 25) == [0, 5, 10, 15, 20, 25]
    assert ticks(-1.2, 1.2) == [-1, -0.5, 0, 0.5, 1]
    assert ticks(3, 3) == [3]


def numbers_in(path):
    return np.array([float(number) for number in re.findall(r"-?\d+\.\d+", path)])


def test_a_line_has_gaps_where_a_value_is_missing_and_dots_between_gaps():
    plot = Plot((0, 5), (0, 1), ("x", "y"))
    y = np.array([0, 1, np.nan, 0.5, np.inf, 0])
    path = re.search(r' d="([^"]*)"', plot.line(np.arange(6.0), y, "red"))[1]
    assert path.count("M") == 3
    assert path.count("h0") == 2
    assert len(numbers_in(path)) == 8
    nothing = plot.line(np.arange(2.0), np.full(2, np.nan), "red")
    assert ' d=""' in nothing


@pytest.mark.parametrize("x", [(0, 1), (-3, 1e9), (2, 2)])
@pytest.mark.parametrize("y", [(0, 1), (0, 0), (-5, 0)])
def test_all_is_within_the_picture_and_the_text_is_escaped(x, y):
    plot = Plot(x, y, ("<a>", "&b"))
    line = plot.line(np.linspace(*x, 9), np.linspace(*y, 9), "red", title="<c>")
    edges = np.linspace(*x, 4)
    bars = plot.bars(edges, np.full(3, y[0]), np.full(3, y[1]), "blue")
    svg = plot.svg([line, bars, plot.rug(edges)], 'the "label"')
    tree = ElementTree.fromstring(svg)
    assert tree.get("aria-label") == 'the "label"'
    assert {"<a>", "&b", "<c>"} <= set(tree.itertext())
    for part in (line, bars):
        ends = numbers_in(re.search(r' d="([^"]*)"', part)[1])
        assert (ends >= 0).all()
        assert (ends <= max(WIDTH, HEIGHT)).all()
