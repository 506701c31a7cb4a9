"""Displays of a training: the history, and the function over its epochs."""

import numpy as np
import pytest

from skmetaweight import MetaWeightClassifier, MetaWeightNet
from skmetaweight.inspection import TrainingHistoryDisplay, WeightingFunctionDisplay

plt = pytest.importorskip("matplotlib.pyplot")


def test_lines_are_the_history(method, fitted):
    clf = fitted(method=method, max_epochs=3)
    display = TrainingHistoryDisplay.from_estimator(clf)
    for name in ("train_loss", "meta_loss", "mean_weight", "share_distrusted"):
        epochs, values = display.lines_[name].get_data()
        np.testing.assert_array_equal(epochs, [1, 2, 3])
        np.testing.assert_allclose(values, clf.history_[:, name])
    assert display.best_[0].get_xdata()[0] == clf.best_epoch_
    with pytest.raises(ValueError, match="two Axes"):
        display.plot(plt.subplots()[1])


def test_lines_of_a_file_are_those_of_the_fit(fitted, tmp_path):
    clf = fitted(max_epochs=3)
    clf.save(tmp_path / "clf.smw")
    loaded = MetaWeightClassifier.load(tmp_path / "clf.smw")
    drawn, expected = map(TrainingHistoryDisplay.from_estimator, (loaded, clf))
    for name, line in expected.lines_.items():
        np.testing.assert_array_equal(drawn.lines_[name].get_data(), line.get_data())
    assert 0 < expected.lines_["effective_share"].get_ydata().min() <= 1


def test_function_over_the_epochs(fitted):
    clf = fitted(method=MetaWeightNet(memory=0, normalize=False))
    display = WeightingFunctionDisplay.from_estimator(clf, epochs=[1, 2])
    assert [line.get_label() for line in display.line_] == ["1", "2"]
    expected = clf.weighting_function_.at_epoch(2)(display.losses)
    np.testing.assert_allclose(display.line_[1].get_ydata(), expected)
