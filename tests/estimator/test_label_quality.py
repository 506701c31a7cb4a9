"""Judgements of the given labels, and whether cleanlab reads them."""

import pickle
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels
from tests.conftest import quick

pd = pytest.importorskip("pandas")


def test_columns_follow_their_definition(method, fitted, data):
    clf = fitted(method=method)
    frame = clf.label_quality()
    probabilities = clf.predict_proba(data.X)
    np.testing.assert_array_equal(frame["given_label"], data.y)
    np.testing.assert_array_equal(frame["predicted_label"], clf.predict(data.X))
    expected = probabilities[np.arange(len(data.y)), data.y]
    np.testing.assert_allclose(frame["p_given_label"], expected, rtol=1e-5)
    np.testing.assert_array_equal(frame["sample_weight"], clf.sample_weights_)
    assert frame["label_quality"].between(0, 1).all()
    assert (frame["label_quality"][data.mask] == 1).all()
    assert not frame["is_label_issue"][data.mask].any()
    share = clf.sample_weights_ / clf.sample_weights_[~data.mask].mean()
    issue = (frame["predicted_label"] != data.y) & (share <= 1) & ~data.mask
    np.testing.assert_array_equal(frame["is_label_issue"], issue)


def test_issues_come_worst_first(fitted):
    clf = fitted()
    frame = clf.label_quality()
    places = clf.find_label_issues()
    assert set(places) == set(np.flatnonzero(frame["is_label_issue"]))
    assert np.all(np.diff(frame["label_quality"].to_numpy()[places]) >= 0)


def test_separate_meta_set_leaves_all_rows(data):
    rest = ~data.mask
    clf = quick().fit(data.X[rest], data.y[rest], X_meta=data.X_meta, y_meta=data.y_meta)
    assert len(clf.label_quality()) == rest.sum()


@pytest.mark.parametrize(
    "index",
    [pd.RangeIndex(5, 101), pd.Index([f"row {i}" for i in range(96)]), pd.Index([7] * 96)],
    ids=["numbers", "text", "repeated"],
)
def test_frame_has_the_index_of_what_was_given(index, data):
    frame, labels = pd.DataFrame(data.X, index=index), pd.Series(data.y, index=index)
    other = pd.Series(data.y, index=range(96, 0, -1))
    fits = [(frame, data.y), (frame, other), (data.X, labels), (data.X.tolist(), labels)]
    for X, y in fits:
        clf = quick(warm_start=True).fit(X, y, meta_mask=data.mask)
        clf = pickle.loads(pickle.dumps(clf))
        assert clf.label_quality().index.equals(index)
    clf.partial_fit(frame[:50], labels[:50], meta_mask=data.mask[:50])
    assert clf.label_quality().index.equals(index[:50])
    plain = quick().fit(data.X, data.y.tolist(), meta_mask=data.mask)
    assert plain.label_quality().index.equals(pd.RangeIndex(96))


def test_frames_without_pandas_say_what_to_install(fitted, monkeypatch):
    clf = fitted()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^label_quality\(\) returns a .* `pip install pandas`"):
        clf.label_quality()
    with pytest.raises(ImportError, match=r"^to_frame\(\) returns a .* `pip install pandas`"):
        clf.weighting_function_.to_frame()
    assert len(clf.find_label_issues()) >= 0


def test_wrong_digits_are_found_and_cleanlab_reads_the_frame():
    classification = pytest.importorskip("cleanlab.classification")
    X, y = load_digits(return_X_y=True)
    trusted = np.arange(len(y)) % 15 == 0
    noisy, _ = corrupt_labels(y, noise_rate=0.4, random_state=0)
    noisy[trusted] = y[trusted]
    clf = MetaWeightClassifier(random_state=0, max_epochs=15)
    frame = clf.fit(X, noisy, meta_mask=trusted).label_quality()
    issue, wrong = frame["is_label_issue"].to_numpy(), noisy != y
    assert wrong[issue].mean() > 0.9
    assert issue[wrong].mean() > 0.75
    learner = classification.CleanLearning(LogisticRegression(max_iter=50, tol=1.0))
    learner.fit(X / 16, noisy, label_issues=frame)
    assert learner.get_label_issues()["is_label_issue"].sum() == issue.sum()
