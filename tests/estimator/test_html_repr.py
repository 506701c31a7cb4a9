"""The HTML representation: a picture once there is something to show, and nothing unescaped."""

import html
import re
from email.message import Message

import numpy as np
import pandas as pd
import pytest

from skmetaweight import MetaWeightNet
from skmetaweight._estimator import html as html_of_estimator
from skmetaweight.pipeline import make_meta_pipeline
from skmetaweight.reweighting import METHODS
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
    clf = quick(method__weighting=weighting).fit(data.X, labels, meta_mask=data.mask)
    bundle = clf._repr_mimebundle_()
    assert EVIL not in bundle["text/html"]


@pytest.mark.filterwarnings("ignore:No category is known")
def test_names_of_columns_and_parameters_are_escaped(data):
    X = pd.DataFrame(data.X.round(), columns=[EVIL, "b", "c", "d"])
    labels = np.array([EVIL, "b", "c"])[data.y]
    clf = quick(categorical_features=[EVIL], class_weight={EVIL: 2.0, "b": 1.0, "c": 1.0})
    assert EVIL not in clf._repr_html_()
    assert EVIL not in clf.fit(X, labels, meta_mask=data.mask)._repr_html_()
    assert EVIL not in make_meta_pipeline(clf)._repr_html_()


def pages_linked_to(estimator):
    links = re.findall(r'href="(https?:[^"#]*)', estimator._repr_html_())
    return {link for link in links if "scikit-learn.org" not in link}


@pytest.fixture
def site(monkeypatch):
    """Stand in for the address that the package's metadata may give."""
    html_of_estimator.documentation_site.cache_clear()

    def publish(url):
        about = Message()
        about["Project-URL"] = "Source, https://example.org/source"
        about["Project-URL"] = f"Documentation, {url}"
        monkeypatch.setattr(html_of_estimator, "metadata", {"skmetaweight": about}.__getitem__)

    yield publish
    html_of_estimator.documentation_site.cache_clear()


def test_link_to_the_documentation_if_there_is_a_site(site, data):
    site("https://docs.example.org/stable/")
    generated = "https://docs.example.org/stable/generated/skmetaweight"
    clf = quick()
    pipe = make_meta_pipeline(clf)
    assert pages_linked_to(clf) == {f"{generated}.MetaWeightClassifier.html"}
    assert f"{generated}.pipeline.MetaPipeline.html" in pages_linked_to(pipe)
    clf.fit(data.X, data.y, meta_mask=data.mask)
    assert f"{generated}.MetaWeightClassifier.html" in pages_linked_to(clf)
    own = type("Own", (type(clf),), {"__module__": "elsewhere"})
    assert not pages_linked_to(own())


def test_no_link_without_a_site(site):
    site("javascript:alert(1)")
    assert not pages_linked_to(quick())


def links_called(text, estimator):
    look = 'rel="noopener noreferrer" target="_blank"'
    return re.findall(f'<a href="([^"]*)" {look}>{text}</a>', estimator._repr_html_())


def papers_linked_to(estimator):
    return links_called("Paper of the method", estimator)


def test_link_to_what_prefixed_parameters_do(fitted):
    assert links_called("Parameters of the network", fitted()) == [html_of_estimator.NETWORK_PAGE]


def test_link_to_the_paper_of_the_method_that_ran(method, fitted):
    paper = METHODS[method].paper_url
    assert paper.startswith("https://") or not paper
    assert not papers_linked_to(quick(method=method))
    assert papers_linked_to(fitted(method=method)) == ([paper] if paper else [])


def with_paper(address):
    return type("Own", (MetaWeightNet,), {"paper_url": address})()


def test_address_of_a_paper_is_escaped(fitted):
    clf = fitted(method=with_paper(f'https://example.org/"&{EVIL}'))
    assert EVIL not in clf._repr_html_()
    assert papers_linked_to(clf) == [f"https://example.org/&quot;&amp;{html.escape(EVIL)}"]


@pytest.mark.parametrize("address", ["", "http://example.org", "javascript:alert(1)"])
def test_no_link_to_a_paper_without_https(address, fitted):
    assert not papers_linked_to(fitted(method=with_paper(address)))
