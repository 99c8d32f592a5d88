"""The report as one self-contained HTML page: no network, no other file."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from urllib.parse import quote

from utils.reporting import charts
from utils.reporting.grids import Cell, Grid
from utils.reporting.tables import AVERAGE

LONG = 12  # rows; longer tables are folded, but for the scores
STYLE = """
*{box-sizing:border-box}
:root{color-scheme:light dark;--paper:#fff;--stripe:#f4f6f8;--link:#0a58a8}
body{margin:0 auto;max-width:1280px;padding:1rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{margin:.2em 0}h2{margin:2em 0 .4em;border-top:2px solid var(--faint);padding-top:.6em}
h3{margin:1.4em 0 .3em;font-size:1.05em}
a{color:var(--link)}p,ul{margin:.4em 0}p.note{font-size:.9em}
.box{overflow-x:auto;max-width:100%;margin:.6em 0;border:1px solid var(--faint);border-radius:6px}
table{border-collapse:collapse;width:max-content;min-width:100%;font-size:14px;
font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.25em .6em;text-align:right;white-space:nowrap}
th.label,td.label{text-align:left}
thead th{border-bottom:1px solid var(--ink);vertical-align:bottom}
thead th.group{text-align:center;border-bottom:1px solid var(--faint)}
tbody tr:nth-child(even){background:var(--stripe)}
tbody tr.average td{font-style:italic;border-bottom:1px solid var(--ink)}
th button{all:unset;cursor:pointer;font-weight:600}
th button:focus-visible{outline:2px solid var(--link)}
th button::after{content:" \\2195";opacity:.35}
th[aria-sort=ascending] button::after{content:" \\2191";opacity:1}
th[aria-sort=descending] button::after{content:" \\2193";opacity:1}
th:first-child,td:first-child{position:sticky;left:0;background:var(--paper)}
tbody tr:nth-child(even) td:first-child{background:var(--stripe)}
.best{font-weight:700}.second{text-decoration:underline}
td code{white-space:pre-wrap;overflow-wrap:anywhere;display:block;min-width:18rem;max-width:40rem}
td.prose{white-space:normal;max-width:min(28rem,45vw)}
.charts{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr))}
.charts svg{width:100%;height:auto;border:1px solid var(--faint);border-radius:6px}
.wide svg{width:100%;max-width:460px;height:auto}
.legend span{display:inline-block;margin-right:1.2em}
.legend span::before{content:"";display:inline-block;width:1em;margin-right:.4em;
vertical-align:middle;border-top:.25em solid var(--c)}
.pictures{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr))}
figure{margin:0}figure img{width:100%;background:#fff;border-radius:6px}
figcaption{font-size:.85em}summary{cursor:pointer;margin:.6em 0}
@media (prefers-color-scheme:dark){:root{--paper:#16181b;--stripe:#1f2226;--link:#7db8ff}}
@media (max-width:500px){body{padding:.6rem}h2{font-size:1.25em}th,td{padding:.2em .4em}}
@media print{:root{--paper:#fff;--stripe:#f4f6f8;--link:#000;color-scheme:light}
body{max-width:none;padding:0;font-size:10pt}.box{overflow:visible;border:0}
table{font-size:8pt;width:100%;min-width:0}th,td{padding:.1em .3em;white-space:normal}
th button::after{content:""!important}tr,figure,svg{break-inside:avoid}h2,h3{break-after:avoid}
td code{min-width:0}nav{display:none}}
"""
SCRIPT = """
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
for (const button of document.querySelectorAll("th button")) {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const rows = Array.from(body.rows), column = Number(head.dataset.column);
  const key = row => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b :
    typeof a === typeof b ? a.localeCompare(b) : typeof a === "number" ? -1 : 1;
  button.addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    const order = next[head.getAttribute("aria-sort")];
    for (const other of head.closest("thead").querySelectorAll("[aria-sort]"))
      other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sorted = rows.slice();
    if (order !== "none") sorted.sort((a, b) => compare(key(a), key(b)));
    if (order === "descending") sorted.reverse();
    body.append(...sorted);
  });
}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass
class Section:
    """A part of the page: a table, and what belongs to it.

    Attributes:
        legend: names of the methods, in the order of their colours.
        diagrams: an SVG behind a grid, by the grid's part. charts: SVG charts by heading.
        pictures: captions and PNG files. prose: Markdown behind the grids.
    """

    title: str
    slug: str
    grids: list[Grid]
    legend: list[str] = field(default_factory=list)
    charts: dict[str, list[str]] = field(default_factory=dict)
    diagrams: dict[str, str] = field(default_factory=dict)
    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    prose: str = ""


def page(
    title: str, lead: str, sections: Sequence[Section], notes: Sequence[str], heading: str
) -> str:
    """The page.

    Args:
        lead: the first line. notes: what was left out, a line each. heading: of the notes.
    """
    links = "".join(f'<li><a href="#{escape(s.slug)}">{escape(s.title)}</a></li>' for s in sections)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{escape(title)}</title><style>{charts.style()}{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(lead)}</p><nav><ul>{links}",
        f'<li><a href="#notes">{escape(heading)}</a></li></ul></nav>',
        *map(section_html, sections),
        f'<h2 id="notes">{escape(heading)}</h2>',
        f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"
        if notes
        else "<p>Nothing.</p>",
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(parts)


def section_html(section: Section) -> str:
    """A section of the page."""
    parts = [f'<h2 id="{escape(section.slug)}">{escape(section.title)}</h2>']
    for number, grid in enumerate(section.grids):
        heading = f"<h3>{escape(grid.part)}</h3>" if number else ""
        parts.append(heading + grid_html(grid, folded=len(grid.rows) > LONG and number > 0))
        if grid.part in section.diagrams:
            parts.append(f'<div class="wide">{section.diagrams[grid.part]}</div>')
    if section.prose:
        parts.append(prose_html(section.prose))
    if any(section.charts.values()):
        keys = "".join(
            f'<span class="c{i % charts.COLOURS}">{escape(name)}</span>'
            for i, name in enumerate(section.legend)
        )
        parts.append(f'<p class="legend">{keys}</p>')
    for name, drawn in section.charts.items():
        if drawn:
            parts.append(f'<h3>{escape(name)}</h3><div class="charts">{"".join(drawn)}</div>')
    if section.pictures:
        figures = "".join(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,'
            f'{base64.b64encode(content).decode()}"><figcaption>{escape(caption)}</figcaption>'
            "</figure>"
            for caption, content in section.pictures
        )
        parts.append(f'<h3>Forecasts and other plots</h3><div class="pictures">{figures}</div>')
    return "\n".join(parts)


def prose_html(remarks: str) -> str:
    """Headings and lists of Markdown, with emphasis and code, as HTML."""
    parts = []
    for block in re.split(r"\n(?=- |#)|\n\n", remarks.strip()):
        text = escape(" ".join(block.split()))
        text = re.sub(r"\*(.+?)\*", r"<em>\1</em>", text)
        text = re.sub(r"`(.+?)`", r"<code>\1</code>", text)
        marks, _, rest = text.partition(" ")
        parts.append(
            {"##": f"<h3>{rest}</h3>", "-": f"<li>{rest}</li>"}.get(marks, f"<p>{text}</p>")
        )
    html = "\n".join(parts)
    return re.sub(r"((?:<li>.*</li>\n?)+)", r"<ul>\1</ul>", html)


def grid_html(grid: Grid, folded: bool) -> str:
    """A grid as a table that is sorted by a click on a heading."""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in grid.notes)
    heads = []
    if any(group for group, _ in grid.columns):
        cells = [
            f'<th class="group" colspan="{len(list(members))}">{escape(group)}</th>'
            for group, members in groupby(grid.columns, key=lambda column: column[0])
        ]
        heads.append(f"<tr>{''.join(cells)}</tr>")
    cells = [
        f'<th scope="col" class="{"label" if i < grid.labels else ""}" data-column="{i}" '
        f'aria-sort="none"><button>{escape(name)}</button></th>'
        for i, (_, name) in enumerate(grid.columns)
    ]
    heads.append(f"<tr>{''.join(cells)}</tr>")
    rows = "\n".join(row_html(cells, grid.labels) for cells in grid.rows)
    table = (
        f'<div class="box" tabindex="0"><table><thead>{"".join(heads)}</thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )
    if folded:
        table = f"<details><summary>{len(grid.rows)} rows</summary>{table}</details>"
    return notes + table


def row_html(cells: Sequence[Cell], labels: int) -> str:
    """A row of a table; commands as code, sentences with line breaks."""
    is_average = any(cell.text == AVERAGE for cell in cells[:labels])
    parts = []
    for i, cell in enumerate(cells):
        value = "" if cell.value is None else f' data-value="{cell.value!r}"'
        command = cell.text.startswith("python ")
        prose = "prose" if len(cell.text) > 40 and not (command or cell.link) else ""
        kind = " ".join(filter(None, ["label" if i < labels else "", cell.mark, prose]))
        shown = escape(cell.text)
        shown = f"<code>{shown}</code>" if command else shown
        shown = f'<a href="{escape(quote(cell.link))}">{shown}</a>' if cell.link else shown
        parts.append(f'<td class="{kind}"{value}>{shown}</td>')
    kind = ' class="average"' if is_average else ""
    return f"<tr{kind}>{''.join(parts)}</tr>"
