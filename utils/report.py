"""Tables and pictures of finished runs: `python -m utils.report` (docs/report.md)."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from utils.command_line import Parser, guarded
from utils.errors import UserError
from utils.files import whole_file
from utils.reporting import charts, formats, grids
from utils.reporting.formats import Section
from utils.reporting.tables import Table, make_tables
from utils.runs import epochs_of, read_runs, steps_of

Files = dict[str, str | bytes]


def sections_of(
    tables: Sequence[Table], runs: pd.DataFrame, brackets: bool = False
) -> list[Section]:
    """Make a section for each kind of experiment; published scores stand in tables of their own, or
    in `brackets` behind ours."""
    sections: dict[str, Section] = {}
    epochs, steps = epochs_of(runs), steps_of(runs)
    for table in tables:
        section = sections.setdefault(table.title, Section(table.title, []))
        plain = table.runs[table.runs["method"] == table.runs["usual"]]
        usual = Table(plain, table.metrics, table.order) if len(plain) else table
        section.grids += filter(None, [
            grids.scores_grid(usual, brackets=brackets),
            *([] if brackets else grids.published_grids(table)),
            grids.variants_grid(table),
            grids.intervals_grid(table),
        ])  # fmt: skip
        drawn = {
            "Training": charts.training_curves(usual, epochs),
            "Error by step of the horizon": charts.errors_by_step(usual, steps),
        }
        left = len(usual.methods) - charts.MOST
        more = f"; without {left} more models: --models chooses" if left > 0 else ""
        for name, figure in drawn.items():
            if figure:
                section.figures[f"{name}. {table.heading}{more}"] = charts.svg(figure)
    return list(sections.values())


def make_report(
    folders: Sequence[Path],
    models: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    metrics: Sequence[str] = (),
    transpose: bool = False,
) -> tuple[Files, list[str]]:
    """Make the files of a report, contents by path, and a line for each run that is left out; the
    same runs give the same bytes.

    Args:
        folders: with results. models: to show, in this order; by default all.
        names: other names of models. metrics: to show, the main one first.
        transpose: whether models are rows, and data sets columns.

    Raises:
        UserError: there is no such folder, usable run, model or metric.
    """
    runs, notes = read_runs(folders)
    if runs.empty:
        first = f"; {notes[0]}" if notes else ""
        raise UserError(f"{', '.join(map(str, folders))}: no finished run{first}")
    sections = sections_of(make_tables(runs, metrics, models, names), runs)
    if transpose:
        for section in sections:
            for grid in section.grids:
                grid.cells, grid.marks = grid.cells.T, grid.marks.T
    lead, every = f"{len(runs)} runs.", [grid for section in sections for grid in section.grids]
    files: Files = {
        "report.md": formats.markdown_page(lead, sections, notes),
        "report.html": formats.html_page(lead, sections, notes),
        "report.tex": formats.LATEX_HEAD + "\n".join(map(formats.latex, every)),
        "runs.csv": runs.drop(columns="source").to_csv(index=False),
    }
    files |= {
        f"tables/{grid.slug}.csv": pd.DataFrame(grid.records).to_csv(index=False) for grid in every
    }
    figures = [figure for section in sections for figure in section.figures.values()]
    return files | {f"figures/{number}.svg": svg for number, svg in enumerate(figures, 1)}, notes


def write_report(files: Mapping[str, str | bytes], output: Path) -> None:
    """Write the files of a report into a folder, each atomically."""
    for name, content in files.items():
        with whole_file(output / name) as part:
            part.write_bytes(content if isinstance(content, bytes) else content.encode())


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="python -m utils.report",
        usage="python -m utils.report [FOLDER ...] [--models NAMES] [--rename OLD=NEW ...] "
        "[--metric NAMES] [--transpose] [--output FOLDER]",
        description="Make tables and a page of finished runs.",
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="with results; by default results"
    )
    parser.add_argument("--models", nargs="+", default=[], help="show these alone, in this order")
    parser.add_argument("--rename", nargs="+", default=[], metavar="OLD=NEW", help="rename models")
    parser.add_argument("--metric", nargs="+", default=[], help="show these scores, such as mse")
    parser.add_argument("--transpose", action="store_true", help="models down, data sets across")
    parser.add_argument("--output", default="report", help="folder to write to (default: report)")
    args = parser.parse_args(argv)
    if wrong := [pair for pair in args.rename if "=" not in pair]:
        parser.error(f"--rename {wrong[0]}: give OLD=NEW")
    names = dict(pair.split("=", 1) for pair in args.rename)

    def run() -> None:
        folders = [Path(folder) for folder in args.folders or ["results"]]
        files, notes = make_report(folders, args.models, names, args.metric, args.transpose)
        output = Path(args.output)
        write_report(files, output)
        for note in notes:
            print(note)
        print(f"{output / 'report.html'}, report.md, report.tex, runs.csv, tables/ and figures/")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
