"""From runs to tables that one can publish: `python -m utils.report` (docs/report.md)."""

import sys
from collections.abc import Mapping
from pathlib import Path

from utils.command_line import Parser, guarded

TITLE = "Results"


def make_report(folders: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Make the files of a report; the same runs give the same bytes.

    Args:
        folders: with results.

    Returns:
        Contents by path within the output folder, and the lines on runs that are left out or set
        apart.

    Raises:
        UserError: a folder does not exist, or no run in them can be used.
    """
    from utils.errors import UserError
    from utils.reporting import charts, comparisons, figures, formats, grids, intervals, missing
    from utils.reporting.page import Section, page
    from utils.reporting.published import Published
    from utils.reporting.runs import read_runs
    from utils.reporting.tables import make_tables

    runs, notes = read_runs(folders)
    if not runs:
        first = f"; {notes[0]}" if notes else ""
        raise UserError(f"{', '.join(map(str, folders))}: no finished run{first}")
    tables, set_apart = make_tables(runs)
    notes += set_apart
    published = Published()
    files: dict[str, str] = {}
    sections = []
    for table in tables:
        ranking = comparisons.rank_methods(table)
        of_intervals = intervals.table_scores(table, notes)
        recalibrated = intervals.table_scores(table, [], recalibrated=True)
        found = [
            grids.scores_grid(table),
            grids.published_grid(table, published),
            intervals.intervals_grid(table, of_intervals, recalibrated),
            comparisons.differences_grid(table, notes),
            comparisons.ranking_grid(table, ranking) if ranking else None,
            missing.missing_grid(table),
        ]
        section = Section(
            grids.title_of(table),
            table.conditions.slug,
            [grid for grid in found if grid is not None],
            table.methods,
            figures.charts_of(table)
            | {
                "Coverage by step of the horizon: nominal level dashed": (
                    intervals.coverage_by_step(table, of_intervals)
                )
            },
            pictures=figures.pictures(table),
        )
        if ranking:
            title = f"Mean ranks, {table.kind.title}"
            diagram = charts.critical_difference_diagram(title, ranking)
            section.diagrams[comparisons.RANKS] = diagram
            files[f"figures/{table.conditions.slug}_ranks.svg"] = charts.standalone(diagram)
        sections.append(section)
    citable = [g for section in sections for g in section.grids if g.part != missing.MISSING]
    sections.append(Section("All runs", "runs", [grids.runs_grid(runs)]))
    every_grid = [grid for section in sections for grid in section.grids]
    files |= {
        f"tables/{grid.slug}.csv": formats.csv_text(grid.records)
        for grid in every_grid
        if grid.records
    }
    lead = f"Runs: {len(runs)}. Tables: {len(tables)}."
    files["runs.csv"] = formats.csv_text(formats.run_records(runs))
    files["report.md"] = formats.markdown_report(
        TITLE, [f"{lead}\n", *(formats.markdown(grid, 2) for grid in every_grid)], notes
    )
    files["report.tex"] = formats.latex_report(citable)
    files["report.html"] = page(TITLE, lead, sections, notes, formats.SET_APART)
    return files, notes


def write_report(files: Mapping[str, str], output: Path) -> None:
    """Write the files of a report into a folder, each atomically."""
    from utils.files import whole_file

    for name, content in files.items():
        with whole_file(output / name) as part:
            part.write_text(content, encoding="utf-8", newline="\n")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="python -m utils.report",
        usage="python -m utils.report [FOLDER ...] [--output FOLDER]",
        description="Make tables, statistics and a page of finished runs.",
    )
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="folders with results; by default results"
    )
    parser.add_argument("--output", default="report", help="folder to write to (default: report)")
    args = parser.parse_args(argv)

    def run() -> None:
        files, notes = make_report([Path(folder) for folder in args.folders or ["results"]])
        output = Path(args.output)
        write_report(files, output)
        for note in notes:
            print(note)
        print(f"{output / 'report.html'}, report.md, report.tex, runs.csv and tables/")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
