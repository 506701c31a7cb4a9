"""The README and the guide keep their word: their code runs, commands and links exist."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris

from tests.reweighting import test_every_method as every_method
from tests.reweighting._cases import MethodCase

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
if not (ROOT / "CONTRIBUTING.md").exists():
    pytest.skip("needs a checkout of the repository", allow_module_level=True)
TEXT = README.read_text(encoding="utf-8")
COMMANDS = {
    "example": "'.[plot]' && python examples/plot_noisy_labels.py",
    "tests": "'.[test]' && pytest",
}
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", BLOCKS)
def test_python_blocks_run(code):
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["clf"].score(names["X_test"], names["y_test"]) > 0.8


def test_there_is_a_python_block():
    assert BLOCKS


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_continuous_integration_runs(name):
    command = f"pip install -c constraints.txt -e {COMMANDS[name]}"
    assert f"<!-- ci: {name} -->\n```sh\n{command}\n```\n" in TEXT


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT))
def test_relative_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_table_has_the_methods_of_the_example():
    example = (ROOT / "examples" / "plot_noisy_labels.py").read_text(encoding="utf-8")
    methods = re.search(r"^METHODS = \{\n(.*?)^\}", example, flags=re.DOTALL | re.MULTILINE)
    table = TEXT.split("<!-- table: examples/plot_noisy_labels.py -->\n")[1].split("\n\n")[0]
    listed = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert listed == re.findall(r'^    "(.*?)": \{', methods[1], flags=re.MULTILINE)


def rst_code(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def test_getting_started_runs():
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    code = "\n".join(rst_code("getting_started.rst"))
    fast = code.replace("MetaWeightClassifier(", "MetaWeightClassifier(max_epochs=3, ")
    exec(compile(fast, "getting_started.rst", "exec"), {})
    plt.close("all")


def added_method():
    names = {}
    exec(compile("\n".join(rst_code("add_a_method.rst")), "add_a_method.rst", "exec"), names)
    return names["clf"]


def test_added_method_trains():
    X, y = load_iris(return_X_y=True)
    clf = added_method().set_params(max_epochs=3).fit(X, y, meta_mask=np.arange(150) % 10 == 0)
    assert 0 < clf.sample_weights_.min() < 0.9
    with pytest.raises(AttributeError, match="of which nothing is learned"):
        _ = clf.weighting_function_


@pytest.mark.parametrize("meta_share", [0.0, 0.3])
def test_added_method_passes_the_shared_tests(meta_share):
    method = added_method().method
    case = MethodCase(lambda: clone(method), "discounted", False, False, None)
    every_method.test_weights_are_nonnegative_and_normalised(case, meta_share)
    every_method.test_order_of_the_rows_does_not_matter(case, meta_share)
    every_method.test_state_goes_on_identically(case, meta_share)
    every_method.test_shapes_dtypes_and_devices(case, torch.float32)
    every_method.test_rows_that_were_not_trained_on_are_weighed(case)
    every_method.test_function_or_the_reason_why_there_is_none(case)
    every_method.test_settings_are_those_of_a_scikit_learn_object(case)
