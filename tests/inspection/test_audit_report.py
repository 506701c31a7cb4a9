"""The audit report: right numbers, nothing unescaped, small, and there for every kind of fit."""

import copy
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaweight import MetaWeightClassifier
from skmetaweight.inspection import audit_report
from tests.conftest import make_data, quick

WITHOUT_END = {"meta"}
SECTIONS = 6


class Page(HTMLParser):
    """Elements and text of a page, whose elements must end in the order in which they begin."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def cells_of(html, caption):
    """Return the text of the cells in the body of the table with a caption."""
    table = next(part for part in html.split("<table")[1:] if f"<bdi>{caption}</bdi>" in part)
    body = table.split("<tbody>")[1].split("</tbody>")[0]
    return [[text for text in Page(row).texts if text.strip()] for row in body.split("\n")[:-1]]


def report_of(clf, **changes):
    """Report on a classifier that is said to have judged rows otherwise than it did."""
    other = copy.copy(clf)
    other._label_quality = replace(clf._label_quality, **changes)
    return audit_report(other)


@pytest.fixture(scope="module")
def fit():
    data = make_data()
    return quick(max_epochs=8, lr=0.02).fit(data.X, data.y, meta_mask=data.mask)


def check(html):
    page = Page(html)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "a", "base"}
    assert [tag for tag, _ in page.tags].count("section") == SECTIONS
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert len(html.encode()) < 1e6
    assert "nan" not in "".join(page.texts)
    return page


def test_numbers_are_those_of_the_fit(fit):
    html = audit_report(fit)
    text = " ".join(check(html).texts)
    issues, quality = fit.find_label_issues(), fit.label_quality()
    assert f"labels suspected, {fit.label_noise_estimate_:.1%} {len(issues)}" in text
    assert f"epoch kept {fit.best_epoch_} of {fit.n_iter_}" in text
    assert "rows judged 78 trusted rows of X, not judged 18" in text
    assert len(issues) > 9
    for label in np.unique(quality["given_label"].to_numpy()[issues]):
        worst = [place for place in issues if quality["given_label"][place] == label]
        listed = cells_of(html, label)
        assert [int(row[0]) for row in listed] == worst[:10]
        suggested = quality["predicted_label"].to_numpy()[worst[:10]]
        assert [int(row[1]) for row in listed] == suggested.tolist()
    judged = quality.drop(index=fit.meta_indices_)
    expected = confusion_matrix(judged["given_label"], judged["predicted_label"])
    counted = [[int(cell) for cell in row[1:]] for row in cells_of(html, "Rows")]
    np.testing.assert_array_equal(counted, expected)
    assert ["max_epochs", "8"] in cells_of(html, "Of the fit")


def test_every_method(method, fitted):
    clf = fitted(method=method, max_epochs=3)
    html = audit_report(clf)
    check(html)
    has_function = method in ("mw-net", "fmw-net")
    assert ("Learned weight of a row against its loss" in html) == has_function
    assert ("no weighting function" in html) == (not has_function)
    assert audit_report(clf) == html


def test_class_aware_functions_name_their_curves(data):
    labels = np.array(["one", "<two>", "three"])[data.y]
    clf = quick(method__weighting="class-aware").fit(data.X, labels, meta_mask=data.mask)
    html = audit_report(clf)
    check(html)
    assert html.count("<path") > 6
    assert "</i><bdi>&lt;two&gt;</bdi>" in html


@pytest.mark.parametrize(
    ("evidence", "said"),
    [(8.14, "confirm that labels are wrong"), (0.3, "not confirmed"), (np.nan, "were withheld")],
)
def test_verdict_on_the_evidence(fit, evidence, said):
    other = copy.copy(fit)
    other.noise_evidence_ = evidence
    html = audit_report(other)
    assert said in html
    assert (f"{evidence:.1f} standard errors" in html) == (evidence == evidence)


LABELS = {
    "numbers": [3, -1, 10**12],
    "booleans": [False, True, False],
    "markup": ["<script>alert(1)</script>", "</td></table><img src=x onerror=alert(1)>", "&lt;"],
    "quotes": ['" onload="alert(1)', "' style='", "`${a}`"],
    "ends": ["</style>", "</title>", "-->"],
    "mathematics": ["$\\frac{", "\\bad", "{braces} %s"],
    "languages": ["שלום", "بله", "日本語"],
    "directions": ["\u202ereversed", "\u2066isolate", "zero\u200bwidth"],
    "controls": ["\x00", "\x1b[31m", "a\nb"],
    "blank": ["", " ", "\t"],
    "halves": ["\ud800", "a\udc00", "b"],
    "long": ["x" * 10**5, "<" * 10**5, "y z " * 10**4],
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_stand_in_it_as_text(fit, kind, tmp_path):
    classes = np.array(LABELS[kind], dtype=object)
    html = report_of(fit, classes=classes)
    text = "".join(check(html).texts)
    for label in LABELS[kind]:
        shown = str(label)[:50] if str(label).strip() else repr(label)
        assert shown.encode("utf-8", "replace").decode().replace("?", "") in text.replace(
            "\ufffd", ""
        )
    other = copy.copy(fit)
    other._label_quality = replace(fit._label_quality, classes=classes)
    audit_report(other, tmp_path / "audit.html")
    assert (tmp_path / "audit.html").read_bytes().decode("utf-8").splitlines() == html.splitlines()
    if kind == "blank":  # as text that numpy holds, too
        html = report_of(fit, classes=np.array(LABELS[kind]))
        assert "&#x27; &#x27;" in html
        assert "str_" not in html


EVIL = "<script>alert(1)</script>"


@pytest.mark.filterwarnings("ignore:No category is known")
@pytest.mark.parametrize("levels", [1, 2])
def test_names_of_columns_rows_and_settings_stand_in_it_as_text(data, levels):
    index = pd.Index([f"{EVIL}{row}" for row in range(len(data.y))], name="row")
    if levels > 1:
        index = pd.MultiIndex.from_arrays([index, index], names=[EVIL, None])
    X = pd.DataFrame(data.X.round(), columns=[EVIL, "b", "c", "d"], index=index)
    labels = np.array([EVIL, "b", "c"])[data.y]
    clf = quick(categorical_features=[EVIL], class_weight={EVIL: 2.0, "b": 1.0, "c": 1.0})
    html = audit_report(clf.fit(X, labels, meta_mask=data.mask))
    text = "".join(check(html).texts)
    assert f"['{EVIL}']" in text
    worst = clf.find_label_issues()[0]
    listed = cells_of(html, escape(str(labels[worst])))[0]
    assert listed[: 1 + levels] == [f"{worst}", *[f"{EVIL}{worst}"] * levels]


def test_many_rows_and_classes_stay_below_a_megabyte(fit):
    n_rows, n_classes = 40_000, 2_000
    rng = np.random.default_rng(0)
    given, predicted = rng.integers(0, n_classes, (2, n_rows), dtype=np.int32)
    html = report_of(
        fit,
        classes=np.array([f"{'<&>' * 30}{i}" for i in range(n_classes)], dtype=object),
        given=given,
        predicted=predicted,
        p_given=rng.random(n_rows),
        weights=rng.random(n_rows),
        trusted=np.arange(n_rows) < 100,
        index=pd.Index(["'" * 500] * n_rows),
    )
    check(html)
    assert "1,960 classes with fewer are left out" in html
    assert len(cells_of(html, "The most frequent pairs")) == 30


def test_no_suspected_label(fit):
    given = fit._label_quality.given
    html = report_of(fit, predicted=given)
    check(html)
    assert "No label is suspected." in html
    classes = np.arange(50)
    assert "of the 0 rows, of 78," in report_of(fit, predicted=given, classes=classes)


def test_rows_of_a_file_make_the_same_report_and_a_file_without_makes_none(tmp_path):
    data = make_data()
    X = pd.DataFrame(data.X, index=[f"row {i}" for i in range(len(data.y))])
    X.columns = list("abcd")
    clf = quick().fit(X, data.y, meta_mask=data.mask)
    clf.save(tmp_path / "clf.smw")
    loaded = MetaWeightClassifier.load(tmp_path / "clf.smw")
    head, settings = audit_report(clf).split("Settings and versions")
    assert audit_report(loaded).split("Settings and versions")[0] == head
    assert "max_epochs" in settings
    clf.save(tmp_path / "clf.smw", rows=False)
    with pytest.raises(AttributeError, match="save it with rows=True"):
        audit_report(MetaWeightClassifier.load(tmp_path / "clf.smw"))


def test_streams_separate_trusted_rows_and_one_epoch(data):
    rest = ~data.mask
    given = {"X_meta": data.X_meta, "y_meta": data.y_meta}
    for clf in (
        quick(max_epochs=1).fit(data.X[rest], data.y[rest], **given),
        quick().partial_fit(data.X[rest], data.y[rest], **given),
    ):
        text = " ".join(check(audit_report(clf)).texts)
        assert "rows judged 78 trusted rows of X, not judged 0" in text


def test_pipelines_are_looked_through_and_others_refused(data, fit):
    pipeline = make_pipeline(StandardScaler(), quick())
    pipeline.fit(data.X, data.y, metaweightclassifier__meta_mask=data.mask)
    assert audit_report(pipeline) == audit_report(pipeline[-1])
    with pytest.raises(NotFittedError):
        audit_report(quick())
    with pytest.raises(TypeError, match="StandardScaler"):
        audit_report(StandardScaler())


def test_needs_neither_matplotlib_nor_pandas(fit, monkeypatch):
    expected = audit_report(fit)
    for name in ("matplotlib", "matplotlib.pyplot", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    assert audit_report(fit) == expected
