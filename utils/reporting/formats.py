"""Grids as Markdown, LaTeX and CSV, and the long CSV of all runs."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import groupby
from urllib.parse import quote

from utils.reporting.grids import Cell, Grid, test_error
from utils.reporting.runs import Run
from utils.reporting.tables import NAIVE

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "\N{EN DASH}": "--",
    "→": r"$\rightarrow$", ">": r"$>$", "<": r"$<$", "|": r"$|$",
}  # fmt: skip
LATEX_MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
LATEX_HEAD = r"""% Needs \usepackage{booktabs,graphicx} in the preamble; \input this file.
"""
SET_APART = "Left out or set apart"
LATEX_ROWS = 45  # of a page
# a table as wide as it is, or as the text if it is wider
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
MARKDOWN_MARKS = {"best": "**%s**", "second": "<u>%s</u>", "": "%s"}


def markdown(grid: Grid, level: int = 3) -> str:
    """A grid as a Markdown table with heading and notes."""

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    names = [f"{group} {name}".strip() for group, name in grid.columns]
    aligned = ["---"] * grid.labels + ["---:"] * (len(grid.columns) - grid.labels)
    lines = [f"{'#' * level} {markdown_text(grid.title)}", ""]
    lines += ["  \n".join(map(markdown_text, grid.notes)), ""]
    lines += [row([markdown_text(name) for name in names]), row(aligned)]
    lines += [
        row([MARKDOWN_MARKS[c.mark] % markdown_cell(c) for c in cells]) for cells in grid.rows
    ]
    return "\n".join(lines) + "\n"


def markdown_text(text: str) -> str:
    """Escape what Markdown and HTML would read as marks."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#~" else c for c in " ".join(text.split()))


def markdown_cell(cell: Cell) -> str:
    """The text of a cell; commands as code."""
    if cell.text.startswith("python "):
        text = cell.text.replace("|", "\\|")
        fence = "``" if "`" in text else "`"
        return f"{fence}{text}{fence}"
    text = markdown_text(cell.text)
    return f"[{text}]({quote(cell.link)})" if cell.link else text


def latex(grid: Grid) -> str:
    """A grid as booktabs tables, each at most a page long."""
    parts = [grid.rows[i : i + LATEX_ROWS] for i in range(0, len(grid.rows), LATEX_ROWS)]
    return "\n".join(_latex_table(grid, rows, number) for number, rows in enumerate(parts, 1))


def _latex_table(grid: Grid, rows: Sequence[Sequence[Cell]], number: int) -> str:
    """One table with some rows of a grid, the first or a continuation."""
    count = len(grid.columns)
    columns = "l" * grid.labels + "r" * (count - grid.labels)
    lines = [r"\begin{table}[htbp]", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}"]
    caption = latex_text(f"{grid.title}. {' '.join(grid.notes) if number == 1 else 'Continued.'}")
    label = grid.slug.replace("_", "-") + (f"-{number}" if number > 1 else "")
    lines += [rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}", r"\par\medskip", FITTED]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    if any(group for group, _ in grid.columns):
        heads, rules, start = [], [], 1
        for group, members in groupby(grid.columns, key=lambda column: column[0]):
            width = len(list(members))
            heads.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(group)}}}")
            if group:
                rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
            start += width
        lines += [f"{' & '.join(heads)} \\\\", "".join(rules)]
    lines += [" & ".join(latex_text(name) for _, name in grid.columns) + r" \\", r"\midrule"]
    before = None
    for cells in rows:
        if before not in (None, cells[0].text) and grid.labels > 1:
            lines.append(r"\addlinespace")
        before = cells[0].text
        lines.append(" & ".join(LATEX_MARKS[c.mark] % latex_text(c.text) for c in cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """Escape LaTeX's special characters."""
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))


def markdown_report(
    title: str, parts: Sequence[str], notes: Sequence[str], heading: str = SET_APART
) -> str:
    """A Markdown file of a title, parts, and what was left out, under its heading."""
    lines = "\n".join(f"- {markdown_text(note)}" for note in notes) or "Nothing."
    return "\n".join([f"# {title}\n", *parts, f"## {heading}\n\n{lines}\n"])


def anchor(heading: str) -> str:
    """The name by which a link leads to a heading of a Markdown page, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def latex_report(grids: Sequence[Grid]) -> str:
    """Grids as LaTeX tables."""
    return LATEX_HEAD + "\n" + "\n".join(map(latex, grids))


def csv_text(records: Sequence[dict]) -> str:
    """Records as CSV, with full precision."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def run_records(runs: Sequence[Run]) -> list[dict]:
    """One record a run, with the column names of fev where they mean the same.

    `test_error` is smaller for a better model: 1 - F1 and 1 - accuracy where larger is better.
    """
    records = []
    for run in runs:
        metric, error = test_error(run)
        tested, record = run.record["test"], run.record
        memory = record.get("peak_memory_mb") or {}
        records.append(
            {
                "model_name": run.model,
                "dataset_path": ";".join(sorted(record["data"])),
                "dataset_config": run.dataset,
                "horizon": run.arguments["pred_len"] if "forecast" in record["task"] else None,
                "max_context_length": run.look_back,
                "eval_metric": metric,
                "test_error": error,
                "training_time_s": record["training_seconds"],
                "inference_time_s": tested["seconds"],
                "num_forecasts": tested["windows"] * tested.get("channels", 1),
                "dataset_fingerprint": run.fingerprint,
                "trained_on_this_dataset": run.kind != "zero_shot" and run.model not in NAIVE,
                **{
                    name: run.scores.get(name.lower())
                    for name in ("MSE", "MAE", "SMAPE", "MASE", "OWA", "F1", "ACCURACY")
                },
                "seed": run.seed,
                "kind": run.kind,
                "row": run.horizon,
                "protocol": record["protocol"],
                "percent": run.percent,
                "backbone": run.backbone,
                "trained_parameters": record["parameters"]["trained"],
                "peak_memory_mb_host": memory.get("host"),
                "peak_memory_mb_device": memory.get("device"),
                "device": record.get("device"),
                "commit": record.get("commit"),
                "setting": record["setting"],
                "folder": run.folder.name,
                "command": record["command"],
            }
        )
    return records
