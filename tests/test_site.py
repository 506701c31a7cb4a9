"""The built pages in a browser; needs playwright, Chromium and SKMETAWEIGHT_SITE, their folder."""

import os
import shutil
from itertools import combinations
from pathlib import Path

import pytest

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
TOO_WIDE = """() => [...document.querySelectorAll("article pre")]
    .filter(code => code.scrollWidth > code.clientWidth).map(code => code.textContent)"""
BEYOND_THE_EDGE = "() => document.documentElement.scrollWidth - window.innerWidth"


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
