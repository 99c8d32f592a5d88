"""Grids and pages as Markdown, LaTeX and HTML."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import pandas as pd
from pandas.io.formats.style import Styler

from utils.reporting.grids import Grid

MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}
LATEX = {"best": "textbf:--rwrap;", "second": "underline:--rwrap;", "": ""}
LATEX_HEAD = "% Needs \\usepackage{booktabs} in the preamble; \\input this file.\n"
LATEX_WIDTH, LATEX_ROWS = 96, 45  # characters and rows that fit on a page
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:0 auto;padding:1rem;color:#1c1c1c}
h1,h2,h3{line-height:1.25;overflow-wrap:anywhere}.note{margin:.2em 0;font-size:.9em}
.scroll{overflow-x:auto;margin:.6em 0 1.6em}table{border-collapse:collapse;font-size:.85em}
th,td{padding:.25em .7em;text-align:right;white-space:nowrap;border-bottom:1px solid #ddd}
th{text-align:left;font-weight:500}thead th{border-bottom:1px solid #888}
.best{font-weight:700}.second{text-decoration:underline}
figure{margin:1em 0}img{max-width:100%}figcaption{font-size:.9em}
"""


@dataclass
class Section:
    """A section of the report.

    Attributes:
        prose: Markdown in front of the tables. figures: SVG files by caption.
    """

    title: str
    grids: list[Grid]
    prose: str = ""
    figures: dict[str, bytes] = field(default_factory=dict)


def markdown(grid: Grid, level: int = 3) -> str:
    """A grid as a Markdown table with heading and notes."""
    labels = [name or "" for name in grid.cells.index.names]
    heads = [plain(" ".join(filter(None, column))) for column in grid.cells.columns]
    lines = [labels + heads, ["-"] * len(labels) + ["-:"] * len(heads)]
    for where, cells in grid.cells.iterrows():
        marked = zip(cells, grid.marks.loc[where], strict=True)
        lines.append([*map(plain, where), *(MARKDOWN[mark].format(plain(c)) for c, mark in marked)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "  \n".join(plain(note) for note in grid.notes)
    return f"{'#' * level} {plain(grid.title)}\n\n{notes}\n\n{table}\n"


def plain(text: str) -> str:
    """Escape the special characters of Markdown."""
    return re.sub(r"([\\`*_\[\]|<>#~])", r"\\\1", text)


def html(grid: Grid) -> str:
    """A grid as an HTML table with heading and notes, in a box that scrolls."""
    styler = escaped(grid.cells, "html").set_td_classes(grid.marks).set_uuid(grid.slug)
    styler.cell_ids = False
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in grid.notes)
    return f'<h3>{escape(grid.title)}</h3>{notes}<div class="scroll">{styler.to_html()}</div>'


def escaped(cells: pd.DataFrame, kind: str) -> Styler:
    """Cells, labels and heads with the special characters of `html` or `latex` escaped."""
    styler = cells.style.format(escape=kind)
    return styler.format_index(escape=kind, axis=0).format_index(escape=kind, axis=1)


def latex(grid: Grid) -> str:
    """A grid as booktabs tables, split to fit a page."""
    tables = []
    for columns in column_parts(grid.cells):
        for start in range(0, len(grid.cells), LATEX_ROWS):
            cells, marks = (
                frame[columns].iloc[start : start + LATEX_ROWS]
                for frame in (grid.cells, grid.marks.map(LATEX.get))
            )
            notes = "Continued." if tables else " ".join(grid.notes)
            caption = re.sub(r"([&%$#_{}])", r"\\\1", f"{grid.title}. {notes}".replace("\\", "/"))
            name = f"{grid.slug.replace('_', '-')}-{len(tables) + 1}"
            styler = escaped(cells, "latex").apply(lambda _, marks=marks: marks, axis=None)
            tables.append(
                styler.to_latex(
                    hrules=True,
                    column_format="l" * cells.index.nlevels + "r" * cells.shape[1],
                    multicol_align="c",
                    multirow_align="naive",
                    position="htbp",
                    position_float="centering",
                    caption=caption,
                    label=f"tab:{name}",
                ).replace("\\begin{tabular}", "\\footnotesize\n\\begin{tabular}")
            )
    found = "\n".join(tables)
    return found.replace("±", "$\\pm$").replace("->", "$\\to$").replace("\N{EN DASH}", "--")


def column_parts(cells: pd.DataFrame) -> list[list[str]]:
    """Divide the models, or what else heads the columns, into tables that fit a page."""
    heads = cells.columns.get_level_values(-1)
    widths = (cells.map(len).max().clip(lower=heads.str.len()) + 2).groupby(level=0, sort=False)
    widths = widths.sum()
    widths = widths.clip(lower=widths.index.str.len() + 2)
    labels = sum(max(map(len, level)) + 2 for level in zip(*cells.index, strict=True))
    parts, used = [[]], labels
    for name, width in widths.items():
        if parts[-1] and used + width > LATEX_WIDTH:
            parts, used = [*parts, []], labels
        parts[-1].append(name)
        used += width
    return parts


def markdown_page(lead: str, sections: Sequence[Section], notes: Sequence[str]) -> str:
    """The report in Markdown; `notes` are on runs that are left out."""
    parts = [f"# Results\n\n{lead}\n"]
    for section in sections:
        parts += [f"## {plain(section.title)}\n", *filter(None, [section.prose])]
        parts += [markdown(grid) for grid in section.grids]
    if notes:
        parts.append("## Left out\n\n" + "".join(f"- {plain(note)}\n" for note in notes))
    return "\n".join(parts)


def html_page(lead: str, sections: Sequence[Section], notes: Sequence[str]) -> str:
    """The report as one HTML file, which needs no other."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Results</title><style>{STYLE}</style></head><body>",
        f"<h1>Results</h1><p>{escape(lead)}</p>",
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [prose_html(section.prose)] if section.prose else []
        parts += [html(grid) for grid in section.grids]
        for caption, svg in section.figures.items():
            data = base64.b64encode(svg).decode()
            parts.append(
                f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
    parts += ["<h2>Left out</h2>"] * bool(notes) + [f"<p>{escape(note)}</p>" for note in notes]
    return "\n".join([*parts, "</body></html>\n"])


def prose_html(prose: str) -> str:
    """Remarks as HTML: a Markdown list with emphasis and code."""
    text = re.sub(r"\*(.+?)\*", r"<em>\1</em>", escape(prose))
    text = re.sub(r"`(.+?)`", r"<code>\1</code>", text)
    first, *items = re.split(r"^- ", text, flags=re.M)
    return f"<p>{first}</p><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
