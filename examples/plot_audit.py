"""
=============================
A report of a fit, to hand on
=============================

Whoever owns the data decides what becomes of its labels, and need not know Python for it:
:func:`~skmetaweight.inspection.audit_report` writes one page that opens anywhere.
"""

# %%
# A table with wrong labels
# -------------------------
# Scikit-learn's breast cancer data, with 30% of the labels exchanged. 60 rows are checked.

from __future__ import annotations

import html
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer

from skmetaweight import MetaWeightClassifier
from skmetaweight.datasets import corrupt_labels
from skmetaweight.inspection import audit_report

data = load_breast_cancer(as_frame=True)
X, y = data.data, data.target_names[data.target]
X.index = [f"patient {number}" for number in range(len(X))]
checked = X.index.isin(X.sample(60, random_state=0).index)
noisy, _ = corrupt_labels(y, noise_rate=0.3, random_state=0)
noisy[checked] = y[checked]

clf = MetaWeightClassifier(random_state=0).fit(X, noisy, meta_mask=checked)

# %%
# The report
# ----------
# With a path, the page is written to it: ``audit_report(clf, "audit.html")``. It needs no network
# and runs no script. Rows are named by their place in X and, where X has an index, by that.

report = audit_report(clf)
print(f"{len(report) / 1024:.0f} KiB")

# %%
# In a notebook, ``IPython.display.IFrame("audit.html", "100%", 700)`` shows the file. Here is the
# page, in such a frame:


class Framed:
    def _repr_html_(self):
        look = "border: 1px solid #8b949e; border-radius: .5rem; height: 44rem; width: 100%"
        page = html.escape(report)
        return f'<iframe title="The audit report" style="{look}" srcdoc="{page}"></iframe>'


if __name__ == "__main__" and "sphinx_gallery" not in sys.modules:
    path = sys.argv[1] if len(sys.argv) > 1 else "audit.html"
    Path(path).write_text(report, encoding="utf-8")
    print(f"Report written to {path}")

Framed()

# sphinx_gallery_thumbnail_path = '_static/thumb_report.svg'
