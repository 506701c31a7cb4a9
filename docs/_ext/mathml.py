"""Write equations as MathML, which browsers draw without a script or a network."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.util import logging

SPELLINGS = {r"\arg": r"\text{arg }", r"\log ": r"\log\, "}  # what latex2mathml sets badly


def mathml(latex, display):
    for usual, drawn in SPELLINGS.items():
        latex = latex.replace(usual, drawn)
    if r"\\" in latex:
        latex = rf"\begin{{split}}{latex}\end{{split}}"
    equation = convert(latex, display=display)
    if "\\" in equation:
        logging.getLogger(__name__).warning("latex2mathml cannot set %s", latex)
    return equation


def visit_math(translator, node):
    translator.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def visit_math_block(translator, node):
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
