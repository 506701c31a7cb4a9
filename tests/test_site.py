"""The built pages in a browser; needs playwright, Chromium and SKMETAWEIGHT_SITE, their folder."""

import os
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from skmetaweight.inspection import audit_report
from skmetaweight.reweighting import METHODS
from tests._site_scripts import BEYOND_THE_EDGE, FAINT, NAMELESS, TOO_WIDE

if "SKMETAWEIGHT_SITE" not in os.environ:
    pytest.skip("needs SKMETAWEIGHT_SITE, the folder of a built site", allow_module_level=True)
SITE = Path(os.environ["SKMETAWEIGHT_SITE"]).resolve()
PAGES = sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html"))
PAGES = [page for page in PAGES if not page.startswith("_static/")]
WIDTHS = 380, 768, 1300
HEADER = (
    ".navbar-brand",
    ".navbar-header-items .bd-navbar-elements",
    ".navbar-header-items__end",
    ".navbar-persistent--mobile",
)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with playwright() as engines:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = engines.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def overlap(one, other):
    sides = ("x", "width"), ("y", "height")
    return all(
        min(one[at] + one[size], other[at] + other[size]) - max(one[at], other[at]) > 1
        for at, size in sides
    )


def visible_boxes(tab, selectors):
    parts = [part for selector in selectors for part in tab.locator(selector).all()]
    return [part.bounding_box() for part in parts if part.is_visible()]


def faults(tab, width):
    boxes = visible_boxes(tab, HEADER)
    if len(boxes) < 2 or any(overlap(*pair) for pair in combinations(boxes, 2)):
        yield "header and menu overlap, or are not there"
    if tab.evaluate(BEYOND_THE_EDGE) > 0:
        yield "wider than the window"
    if width == max(WIDTHS):
        yield from (f"cut off: {code}" for code in tab.evaluate(TOO_WIDE))


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_load_and_nothing_is_covered_or_cut_off(browser, width):
    tab = browser.new_page(viewport={"width": width, "height": 900})
    found = []
    tab.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: found.append(str(error)))
    tab.on("requestfailed", lambda request: found.append(request.url))
    for page in PAGES:
        tab.goto(f"{SITE.as_uri()}/{page}")
        found += [f"{page}: {fault}" for fault in faults(tab, width)]
    assert not found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_and_pictures_say_what_they_show(browser, scheme):
    tab = browser.new_page(color_scheme=scheme, viewport={"width": 1300, "height": 900})
    found = []
    for page in PAGES:
        tab.goto(f"{SITE.as_uri()}/{page}")
        assert tab.evaluate("document.documentElement.dataset.theme") == scheme
        found += [f"{page}: {fault}" for fault in (*tab.evaluate(FAINT), *tab.evaluate(NAMELESS))]
    assert not found


def test_these_checks_find_what_they_look_for(browser):
    tab = browser.new_page()
    tab.set_content("""<p style="color: #888">grey</p><p style="color: #000c">black</p>
        <div style="background: #222"><b style="color: #fff8">white</b> <i>black</i></div>
        <img src="sphx_glr_plot_x_001.png" alt="plot x"><img src="x.png" alt="Weights">
        <svg role="img"><text>!</text></svg>""")
    assert [fault.split(": ")[1] for fault in tab.evaluate(FAINT)] == ["grey", "black"]
    assert [fault[:4] for fault in tab.evaluate(NAMELESS)] == ["<img", "<svg"]


class Anchors(HTMLParser):
    """What a page can be entered at, and where it leads."""

    def __init__(self, page):
        super().__init__()
        self.names, self.links = {"", "top"}, []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.names |= {values.get("id"), values.get("name") if tag == "a" else None}
        self.links += [values[name] for name in ("href", "src") if values.get(name)]


def test_links_within_the_site_lead_somewhere():
    pages = {SITE / page: Anchors(SITE / page) for page in PAGES}
    found = []
    for page, anchors in pages.items():
        for link in map(urlsplit, anchors.links):
            if link.scheme or link.netloc:
                continue
            target = (page.parent / unquote(link.path)).resolve() if link.path else page
            is_there = target.is_file()
            if target in pages:
                is_there = unquote(link.fragment) in pages[target].names
            if not is_there:
                found.append(f"{page.relative_to(SITE)}: {link.geturl()}")
    assert sum(len(anchors.links) for anchors in pages.values()) > 1000
    assert not found


@pytest.mark.parametrize("name", ["sample_weights_", "class_smoothing", "MetaWeightClassifier"])
def test_search_finds_a_name(browser, name):
    tab = browser.new_page()
    tab.goto(f"{SITE.as_uri()}/search.html?q={name}")
    tab.wait_for_selector("#search-results li a")
    found = [link.get_attribute("href") for link in tab.locator("#search-results li a").all()]
    assert any("MetaWeightClassifier" in link for link in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("method", METHODS)
def test_an_audit_report_opens_from_disk(browser, scheme, method, fitted, tmp_path):
    clf = fitted(method=method)
    evil = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style>" + "long" * 99]
    clf._label_quality = replace(clf._label_quality, classes=np.array(evil, dtype=object))
    audit_report(clf, tmp_path / "audit.html")
    tab = browser.new_page(color_scheme=scheme, viewport={"width": min(WIDTHS), "height": 900})
    found, asked = [], []
    tab.on("console", lambda said: found.append(said.text))
    tab.on("pageerror", lambda error: found.append(str(error)))
    tab.on("dialog", lambda dialog: found.append(dialog.message))
    tab.on("request", lambda request: asked.append(request.url))
    address = (tmp_path / "audit.html").as_uri()
    tab.goto(address)
    assert found + tab.evaluate(FAINT) + tab.evaluate(NAMELESS) == []
    assert asked == [address]
    assert tab.evaluate(BEYOND_THE_EDGE) <= 0
    assert evil[0] in tab.inner_text("main")
