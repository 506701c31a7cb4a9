"""Configuration of the documentation."""

import sys
import warnings
from pathlib import Path

import matplotlib

import skmetaweight

matplotlib.use("Agg")
sys.path.append(str(Path(__file__).parent / "_ext"))


def category_and_message(message, category, *place):
    """Leave out the path of the machine that builds the pages."""
    del place
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = category_and_message

project = "skmetaweight"
copyright = "skmetaweight developers"
version = release = skmetaweight.__version__

extensions = [
    "fragments",
    "mathml",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
html_math_renderer = "mathml"

autodoc_typehints = "none"  # the docstrings have them
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the templates list them
numpydoc_attributes_as_param_list = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "gallery.place",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

LEAVES = (
    "index",
    "getting_started",
    "which_method",
    "answers",
    "papers",
    "comparison",
    "changelog",
)  # the pages of the first level that have none below them
html_theme = "pydata_sphinx_theme"
html_title = "skmetaweight"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}  # the theme complains of none
html_sidebars = {page: [] for page in LEAVES}
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
}
