"""Displays draw what the classifier knows, after scikit-learn's conventions."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels
from skmetaweight.inspection import (
    SampleWeightDisplay,
    TrainingHistoryDisplay,
    WeightingFunctionDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(
        n_samples=90, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=0
    )
    y = np.array(["a", "b", "c"])[y]
    noisy, changed = corrupt_labels(y, noise_rate=0.3, random_state=0)
    mask = np.zeros(len(y), dtype=bool)
    mask[np.concatenate([np.flatnonzero(y == label)[:5] for label in "abc"])] = True
    return X, np.where(mask, y, noisy), mask, changed & ~mask


def classifier(**params):
    return MetaWeightClassifier(max_epochs=3, random_state=0, **params)


@pytest.fixture(scope="module")
def fitted(data):
    X, y, mask, _ = data
    return classifier().fit(X, y, meta_mask=mask)


def fit(data, **params):
    X, y, mask, _ = data
    return classifier(**params).fit(X, y, meta_mask=mask)


# Weighting function ------------------------------------------------------------------------------


def test_curve_is_the_weighting_function_over_the_loss_range(fitted):
    display = WeightingFunctionDisplay.from_estimator(fitted)
    losses, weights = display.line_.get_data()
    function = fitted.weighting_function_
    assert (losses[0], losses[-1]) == pytest.approx((0, function.loss_range_[1]))
    np.testing.assert_allclose(weights, function(losses), rtol=1e-5)
    assert display.ax_.get_xlabel() == "Training loss (nats)"
    assert display.ax_.get_ylabel() == "Weight"
    assert display.ax_.get_ylim()[0] == 0
    assert display.figure_ is display.ax_.figure


def test_band_lies_between_the_quartiles_over_alignments(fitted):
    display = WeightingFunctionDisplay.from_estimator(fitted)
    function = fitted.weighting_function_
    lower, upper = display.quartiles
    np.testing.assert_allclose(lower, function.quantile(display.losses, 0.25), rtol=1e-5)
    np.testing.assert_allclose(upper, function.quantile(display.losses, 0.75), rtol=1e-5)
    drawn = display.band_.get_paths()[0].vertices
    assert drawn[:, 1].min() == pytest.approx(lower.min())
    assert drawn[:, 1].max() == pytest.approx(upper.max())
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["Mean over rows", "Quartiles"]


def test_function_of_the_loss_alone_has_no_band_and_no_legend(data):
    display = WeightingFunctionDisplay.from_estimator(fit(data, method="fmw-net"))
    assert display.band_ is None
    assert display.ax_.get_legend() is None


@pytest.mark.parametrize("settings", [{"method": "lilaw"}, {"method__weighting": "lilaw"}])
def test_function_of_two_probabilities_is_not_drawn(data, settings):
    clf = fit(data, **settings, **({} if "method" in settings else {"method__memory": 0}))
    with pytest.raises(AttributeError, match="learns no weighting function: the weight of a row"):
        WeightingFunctionDisplay.from_estimator(clf)
    assert SampleWeightDisplay.from_estimator(clf).ax_ is not None


@pytest.mark.parametrize("weighting", ["class-aware", "cmw"])
@pytest.mark.parametrize("memory", [0, 0.9])
def test_class_aware_function_has_one_line_per_class(data, memory, weighting):
    clf = fit(data, method__weighting=weighting, method__memory=memory)
    display = WeightingFunctionDisplay.from_estimator(clf)
    assert [line.get_label() for line in display.line_] == ["a", "b", "c"]
    assert len({line.get_color() for line in display.line_}) == 3
    for line in display.line_:
        losses, weights = line.get_data()
        expected = clf.weighting_function_(losses, np.full(len(losses), line.get_label()))
        np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert display.band_ is None
    assert display.ax_.get_legend().get_title().get_text() == "Given label"


def test_many_classes_get_lines_that_differ():
    losses, classes = np.linspace(0, 1, 5), np.arange(20)
    display = WeightingFunctionDisplay(
        losses=losses, weights=np.ones((20, 5)), classes=classes
    ).plot()
    styles = {(line.get_color(), line.get_linestyle()) for line in display.line_}
    assert len(styles) == 20
    assert display.rug_ is None


def test_rug_marks_the_training_losses_and_shade_what_lies_outside(fitted):
    low, high = fitted.weighting_function_.loss_range_
    display = WeightingFunctionDisplay.from_estimator(fitted)
    places = np.array([segment[0, 0] for segment in display.rug_.get_segments()])
    assert (places.min(), places.max()) == pytest.approx((low, high))
    assert len(places) == 101
    assert [shade.get_x() for shade in display.outside_] == [0]  # up to the smallest loss
    exact = WeightingFunctionDisplay.from_estimator(fitted, loss_range=(low, high))
    assert exact.outside_ == []

    wide = WeightingFunctionDisplay.from_estimator(fitted, loss_range=(0, high + 1))
    starts = [shade.get_x() for shade in wide.outside_]
    assert starts == pytest.approx([0, high])
    assert wide.ax_.get_xlim() == pytest.approx((0, high + 1))


def test_plot_takes_an_axes_a_name_and_line_properties(fitted):
    _, ax = plt.subplots()
    display = WeightingFunctionDisplay.from_estimator(fitted, ax=ax, name="MW-Net", color="k", lw=3)
    assert display.ax_ is ax
    assert display.line_.get_label() == "MW-Net"
    assert display.line_.get_color() == "k"
    assert display.line_.get_linewidth() == 3
    again = display.plot(linestyle=":")
    assert again is display
    assert display.ax_ is not ax
    assert display.line_.get_linestyle() == ":"


@pytest.mark.parametrize("method", ["l2rw", "uniform"])
def test_methods_without_a_function_say_so(data, method):
    with pytest.raises(AttributeError, match="no weighting function"):
        WeightingFunctionDisplay.from_estimator(fit(data, method=method))


# Sample weights ----------------------------------------------------------------------------------


def test_histogram_counts_untrusted_rows_by_right_and_wrong_label(data, fitted):
    _, _, mask, changed = data
    display = SampleWeightDisplay.from_estimator(fitted, changed=changed, bins=7)
    right, wrong = (hist.get_data() for hist in display.hist_)
    np.testing.assert_array_equal(right.edges, wrong.edges)
    weights = fitted.sample_weights_
    for drawn, rows in ((right, ~mask & ~changed), (wrong, changed)):
        expected, _ = np.histogram(weights[rows], right.edges)
        np.testing.assert_array_equal(drawn.values, expected)
        assert drawn.values.sum() == rows.sum()
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["Right label", "Wrong label"]
    assert display.ax_.get_xlabel() == "Learned weight"
    assert display.ax_.get_ylabel() == "Rows"


def test_histogram_without_truth_is_one_for_all_untrusted_rows(data, fitted):
    mask = data[2]
    display = SampleWeightDisplay.from_estimator(fitted)
    (hist,) = display.hist_
    assert hist.get_data().values.sum() == (~mask).sum()
    assert display.changed is None
    assert display.ax_.get_legend() is None


def test_separate_meta_set_leaves_all_rows(data):
    X, y, mask, changed = data
    clf = classifier().fit(X[~mask], y[~mask], X_meta=X[mask], y_meta=y[mask])
    display = SampleWeightDisplay.from_estimator(clf, changed=changed[~mask])
    assert len(display.weights) == (~mask).sum()


def test_from_weights_draws_any_weights(data, fitted):
    X, y, _, changed = data
    _, ax = plt.subplots()
    weights = fitted.compute_sample_weight(X, y)
    display = SampleWeightDisplay.from_weights(
        weights.tolist(), changed=changed.tolist(), ax=ax, bins=[0, 1, 9], color="k"
    )
    assert display.ax_ is ax
    assert [hist.get_data().values.sum() for hist in display.hist_] == [
        (~changed).sum(),
        changed.sum(),
    ]


def test_equal_weights_can_be_drawn(data):
    display = SampleWeightDisplay.from_estimator(fit(data, method="uniform"))
    assert display.hist_[0].get_data().values.max() == len(display.weights)


@pytest.mark.parametrize("wrong", [[True], [0] * 90, np.zeros((90, 1), dtype=bool)])
def test_truth_must_be_one_bool_per_row(fitted, wrong):
    with pytest.raises(ValueError, match=r"one bool per row, shape \(90,\)"):
        SampleWeightDisplay.from_estimator(fitted, changed=wrong)


# Both --------------------------------------------------------------------------------------------

DISPLAYS = [WeightingFunctionDisplay, SampleWeightDisplay]


@pytest.mark.parametrize("display", DISPLAYS)
def test_estimator_must_be_a_fitted_classifier(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(MetaWeightClassifier())
    with pytest.raises(TypeError, match="StandardScaler"):
        display.from_estimator(StandardScaler())


@pytest.mark.parametrize("display", DISPLAYS)
def test_pipelines_and_searches_are_looked_through(data, display):
    X, y, mask, _ = data
    pipeline = make_pipeline(StandardScaler(), classifier())
    pipeline.fit(X, y, metaweightclassifier__meta_mask=mask)
    assert display.from_estimator(pipeline).figure_ is not None
    folds = list(
        StratifiedKFold(2).split(X, [f"{label} {m}" for label, m in zip(y, mask, strict=True)])
    )
    search = GridSearchCV(classifier(), {"lr": [1e-3]}, cv=folds).fit(X, y, meta_mask=mask)
    assert display.from_estimator(search).figure_ is not None


@pytest.mark.parametrize("display", DISPLAYS)
def test_missing_matplotlib_is_named_with_its_extra(fitted, display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'skmetaweight\[plot\]'"):
        display.from_estimator(fitted)


def test_import_does_not_import_matplotlib():
    code = "import sys, skmetaweight, skmetaweight.inspection; print('matplotlib' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("bad", ["x", 3, (3, 1), (0, np.nan), (0, np.inf), (1, 2, 3), [None, 1]])
@pytest.mark.parametrize("epochs", [None, [1]])
def test_what_is_no_range_of_losses(data, bad, epochs):
    with pytest.raises(ValueError, match=r"^loss_range must be the smallest and the largest loss"):
        WeightingFunctionDisplay.from_estimator(fit(data), loss_range=bad, epochs=epochs)


def test_one_epoch_is_a_list_of_one_and_none_are_refused(data):
    clf = fit(data)
    display = WeightingFunctionDisplay.from_estimator(clf, epochs=1)
    assert display.epochs.tolist() == [1]
    with pytest.raises(ValueError, match="epochs are none"):
        WeightingFunctionDisplay.from_estimator(clf, epochs=[])


@pytest.mark.parametrize("weights", [None, "x", [np.nan, 1], [[1, 2]], [np.inf], 3, {}, ["a"]])
def test_what_are_no_weights(weights):
    with pytest.raises(ValueError, match=r"^weights must be (numbers, got|finite num)"):
        SampleWeightDisplay.from_weights(weights)


@pytest.mark.parametrize("bins", [0, -1, "x", [3, 1], None, 2.5, [[1, 2]], {}])
def test_what_are_no_bins(bins):
    with pytest.raises((TypeError, ValueError), match=r"^bins=.* cannot be drawn: .*\. Pass a num"):
        SampleWeightDisplay.from_weights([0.5, 1.0, 1.5], bins=bins)
    assert not plt.get_fignums()


@pytest.mark.parametrize("history", [{}, {"epoch": [1]}, {"train_loss": [1.0], "meta_loss": [1.0]}])
def test_a_history_without_what_is_drawn(history):
    with pytest.raises(ValueError, match=r"^history has no columns \['.*mean_weight'"):
        TrainingHistoryDisplay(history=history).plot()
    assert not plt.get_fignums()


@pytest.mark.parametrize("ax", [3, "x", [1, 2]])
def test_what_are_no_axes(data, ax):
    clf = fit(data)
    for display in (WeightingFunctionDisplay, SampleWeightDisplay, TrainingHistoryDisplay):
        with pytest.raises((TypeError, ValueError), match=r"^ax must be .*Axes"):
            display.from_estimator(clf, ax=ax)


@pytest.mark.parametrize("names", [("$x$", "$", "_a"), ("a_b", "\\frac", "_"), ("", "%s", "{x}")])
def test_legends_show_names_of_classes_as_they_are(names):
    display = WeightingFunctionDisplay(
        losses=np.array([0.0, 1.0]), weights=np.ones((3, 2)), classes=np.array(names)
    ).plot()
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert [text.strip().replace("\\$", "$") for text in shown] == [name for name in names if name]
    display.figure_.canvas.draw()
