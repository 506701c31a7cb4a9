"""``.. fragments:: kind`` lists what the files ``changes/*.<kind>.md`` say."""

import re
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).parent.parent.parent / "changes"


def item(path):
    """Return a fragment as an item of a list in reStructuredText."""
    text = path.read_text(encoding="utf-8").strip()
    return "* " + re.sub(r"`([^`]+)`", r"``\1``", text).replace("\n", "\n  ")


class Fragments(SphinxDirective):
    required_arguments = 1

    def run(self):
        files = sorted(FOLDER.glob(f"*.{self.arguments[0]}.md"))
        return self.parse_text_to_nodes("\n".join(map(item, files)))


def setup(app):
    app.add_directive("fragments", Fragments)
    return {"parallel_read_safe": True}
