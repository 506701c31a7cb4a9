"""How the audit report looks: its parts as HTML, in which all that comes from data is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from numpy.typing import NDArray

from skmetaweight._messages import LONGEST_VALUE

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --quiet: #57606a; --paper: #fff;
  --card: #f4f6f8; --line: #d5dae0; --shade: #3b82c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --quiet: #a3adb8;
  --paper: #14181d; --card: #1e242b; --line: #39424c; } }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; }
h2 { border-top: 1px solid var(--line); font-size: 1.25rem; margin: 2.5rem 0 1rem;
  padding-top: 1.25rem; }
p { max-width: 44rem; }
header p, figcaption, th, dt { color: var(--quiet); }
dl { display: grid; gap: .75rem; margin: 0; width: 100%;
  grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
dl div { background: var(--card); border-radius: .5rem; display: flex;
  flex-direction: column-reverse; justify-content: flex-end; padding: .75rem 1rem; }
dt { font-size: .8rem; line-height: 1.3; }
dd { font-size: 1.35rem; margin: 0; }
.parts { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; }
.parts > p { flex-basis: 100%; margin: 0; }
.table { max-width: 100%; overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { font-size: 1rem; font-weight: 600; padding-bottom: .25rem; text-align: left; }
small { color: var(--quiet); font-weight: 400; }
caption, td, th { max-width: 16rem; overflow-wrap: anywhere; }
th { font-weight: 400; }
td, th { border-bottom: 1px solid var(--line); min-width: 3rem; padding: .25rem .75rem .25rem 0;
  text-align: left; vertical-align: top; }
td[style] { background: color-mix(in srgb, var(--shade) var(--share), transparent);
  border: 1px solid var(--paper); padding: .25rem .75rem; text-align: right; }
.shaded thead th + th { max-width: 6rem; padding-left: .75rem; text-align: right; }
caption { max-width: none; }
figure { margin: 0; width: min(25rem, 100%); }
figcaption { font-size: .875rem; }
svg { height: auto; width: 100%; }
i { border-radius: 2px; display: inline-block; height: .7em; margin-right: .4em; width: .7em; }
.name { margin-right: 1.2em; white-space: nowrap; }
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser is told to load and run besides the page: nothing."""


def page(title: str, subtitle: str, sections: Sequence[str]) -> str:
    """Return a whole page, in which only a browser's own fonts are used."""
    html = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""
    return html.encode("utf-8", "xmlcharrefreplace").decode()  # half of a pair, which no file holds


def section(title: str, content: str) -> str:
    """Return parts, as HTML, below a title."""
    return f'<section><h2>{escape(title)}</h2>\n<div class="parts">{content}</div></section>\n'


def tiles(numbers: Mapping[str, str]) -> str:
    """Return numbers large, with their names below."""
    parts = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in numbers.items())
    return f"<dl>{''.join(parts)}</dl>"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str,
    note: str = "",
    shades: NDArray | None = None,
) -> str:
    """Return a table; with shades from 0 to 1 of all but the first column, if they are given."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = []
    for i, row in enumerate(rows):
        first, *others = (escape(cell) for cell in row)
        looks = [""] * len(others) if shades is None else map(_look, shades[i])
        cells = "".join(f"<td{look}>{cell}</td>" for cell, look in zip(others, looks, strict=True))
        body.append(f'<tr><th scope="row">{first}</th>{cells}</tr>\n')
    kind = "" if shades is None else ' class="shaded"'
    caption = f"<bdi>{escape(title)}</bdi> <small>{escape(note)}</small>"
    return (
        f'<div class="table"><table{kind}><caption>{caption}</caption>\n'
        f"<thead><tr>{names}</tr></thead>\n<tbody>{''.join(body)}</tbody></table></div>\n"
    )


def figure(svg: str, caption: str) -> str:
    """Return a picture and its caption, both as HTML."""
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>\n"


def legend(names: Mapping[str, str]) -> str:
    """Return the names of colours."""
    return "".join(
        f'<span class="name"><i style="background:{color}"></i><bdi>{escape(name)}</bdi></span>'
        for color, name in names.items()
    )


def short_text(value: Any) -> str:
    """Write a label, an entry of an index or a setting as text of bounded length."""
    text = str(value)
    text = text if text.strip() else repr(text)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _look(shade: float) -> str:
    return f' style="--share:{40 * shade:.0f}%"'
