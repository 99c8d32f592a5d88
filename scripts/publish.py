"""Publish results: `python -m scripts.publish` makes docs/RESULTS.md, docs/results.html and the
README's results of the records in docs/results/ (docs/reproduce.md)."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from utils.command_line import Parser, guarded, split_options
from utils.errors import UserError
from utils.report import write_report

if TYPE_CHECKING:
    from utils.reporting.grids import Grid

ROOT = Path(__file__).resolve().parent.parent


def collect(results: Path, target: Path, options: Sequence[str] = ()) -> int:
    """Copy the records of finished runs; those that are published already are replaced.

    Args:
        results: folder of results, as `run.py` leaves it.
        target: folder for the records. If a list of runs belongs to it (`list_of`), only the
            records of these runs are copied.
        options: of `run.py`, that replace those of the list.

    Returns:
        The number of records.

    Raises:
        UserError: there is no finished run, or none of the list; or the list is damaged.
    """
    from scripts.reproduction.lists import read_list
    from scripts.reproduction.records import Records
    from utils.files import whole_file
    from utils.reporting.runs import RECORD, read_runs

    runs, problems = read_runs([results])
    if not runs:
        raise UserError(f"{results}: no finished run" + (f"; {problems[0]}" if problems else ""))
    if name := list_of(target):
        records = Records(results)
        records.refresh()
        found = map(records.of, read_list(name, options=options).runs)
        listed = {record.path.parent for record in found if record}
        runs = [run for run in runs if run.folder in listed]
        if not runs:
            raise UserError(f"{results}: no finished run of {name}")
    published = {path.parent.name: path.parent for path in target.parent.glob(f"*/*/{RECORD}")}
    for run in runs:
        folder = published.get(run.folder.name, target / run.folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / RECORD) as part:
            shutil.copyfile(run.folder / RECORD, part)
    return len(runs)


def list_of(target: Path) -> str:
    """The list whose records a folder is for: a file beside it, `target`.toml, or the ready-made
    list of its name; empty if there is neither."""
    from scripts.reproduction.lists import ready_made

    path = target.with_suffix(".toml")
    if path.exists():
        return str(path)
    return target.name if target.name in ready_made() else ""


def lists_grid(folder: Path) -> "Grid | None":
    """One row a list of runs in a folder: how many of its runs have a record there, and the models
    of the others. None if there is no list.

    Raises:
        UserError: a list is damaged.
    """
    from scripts.reproduction.lists import read_list
    from scripts.reproduction.records import Records
    from utils.reporting.grids import ABSENT, Cell, Grid

    records = Records(folder, "*/*/run.json")
    records.refresh()
    columns = [("", name) for name in ("list", "what", "missing", "runs", "published")]
    notes = [
        "A list is a file in docs/results, or a ready-made one; docs/reproduce.md says how to do "
        "what is missing. Tests of trained models on other data sets count as runs."
    ]
    grid = Grid("lists", "Planned and published runs", notes, columns, [], labels=3)
    names = {path.stem for path in folder.glob("*.toml")}
    names |= {path.parent.parent.name for path in folder.glob("*/*/run.json")}
    for name in filter(None, (list_of(folder / name) for name in sorted(names))):
        planned = read_list(name)
        missing = Counter(run.args.model for run in planned.runs if records.of(run) is None)
        lacking = ", ".join(f"{model} {count}" for model, count in missing.items())
        counts = [len(planned.runs), len(planned.runs) - missing.total()]
        texts = [planned.name, planned.description, lacking or ABSENT]
        grid.rows.append([*map(Cell, texts), *(Cell(str(count), count) for count in counts)])
    return grid if grid.rows else None


def pages(root: Path) -> dict[Path, str]:
    """Make the published pages of the records in `docs/results/`, by their paths.

    Raises:
        UserError: there is no such folder, a list in it is damaged, or the README has no place for
            results.
    """
    from utils.reporting.publication import END, START, make_publication

    results = root / "docs" / "results"
    made = make_publication(results, lists_grid(results))
    block, path = made.pop("readme"), root / "README.md"
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{path}: no lines {START} and {END}, between which the results belong")
    files = {root / "docs" / name: content for name, content in made.items()}
    return files | {path: f"{before}{start}\n{block}\n{end}{after}"}


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    from scripts.reproduction.lists import ready_made

    own, options = split_options(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python -m scripts.publish",
        usage="python -m scripts.publish [--add NAME [--results FOLDER] [-- options of run.py]]",
        description="Make the published pages of the records in docs/results/.",
    )
    parser.add_argument(
        "--add",
        metavar="NAME",
        help="first copy the records of the runs of a list in docs/results, or of a ready-made one",
    )
    parser.add_argument("--results", help="of this folder (default: results); with --add")
    args = parser.parse_args(own)
    if not args.add and (args.results or options):
        parser.error("--results and options of run.py are for --add")
    lists = sorted(path.stem for path in (ROOT / "docs" / "results").glob("*.toml"))
    if args.add and args.add not in [*lists, *ready_made()]:
        parser.error(
            f"--add takes the name of a list in docs/results, not {args.add}: {', '.join(lists)}; "
            f"or of a ready-made one: {', '.join(ready_made())}"
        )

    def run() -> None:
        if args.add:
            target = ROOT / "docs" / "results" / args.add
            count = collect(Path(args.results or "results"), target, options)
            print(f"{args.add}: {count} records in docs/results")
        for path, content in pages(ROOT).items():
            write_report({path.name: content}, path.parent)
            print(path.relative_to(ROOT))

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
