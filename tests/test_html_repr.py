"""The HTML representation: a picture once there is something to show, and nothing unescaped."""

import numpy as np
import pytest

from tests.conftest import quick

EVIL = "<script>alert(1)</script>"


def test_picture_appears_with_the_fit(method, fitted):
    assert "untrusted labels suspected" not in quick()._repr_html_()
    shown = fitted(method=method)._repr_html_()
    assert ("Learned weight of a row against" in shown) == (method in ("mw-net", "fmw-net"))
    assert "untrusted labels suspected" in shown


@pytest.mark.parametrize("weighting", [None, "class-aware"])
def test_names_from_data_are_escaped(weighting, data):
    labels = np.array([EVIL, "a&b", '"c"'])[data.y]
    clf = quick(weighting=weighting).fit(data.X, labels, meta_mask=data.mask)
    bundle = clf._repr_mimebundle_()
    assert EVIL not in bundle["text/html"]
