"""Figures are drawn without a screen, and closed after each test."""

import pytest


@pytest.fixture(autouse=True)
def close_figures():
    pytest.importorskip("matplotlib").use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    yield
    plt.close("all")
