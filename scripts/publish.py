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
        target: folder for the records. If there is a list of runs beside it, `target`.toml, only
            the records of these runs are copied.
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
    path = target.with_suffix(".toml")
    if path.exists():
        records = Records(results)
        records.refresh()
        found = map(records.of, read_list(str(path), options=options).runs)
        listed = {record.path.parent for record in found if record}
        runs = [run for run in runs if run.folder in listed]
        if not runs:
            raise UserError(f"{results}: no finished run of {path}")
    published = {path.parent.name: path.parent for path in target.parent.glob(f"*/*/{RECORD}")}
    for run in runs:
        folder = published.get(run.folder.name, target / run.folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / RECORD) as part:
            shutil.copyfile(run.folder / RECORD, part)
    return len(runs)


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
        "A list is a file in docs/results; python -m scripts.reproduce does what is missing. Tests "
        "of trained models on other data sets count as runs."
    ]
    grid = Grid("lists", "Planned and published runs", notes, columns, [], labels=3)
    for path in sorted(folder.glob("*.toml")):
        planned = read_list(str(path))
        missing = Counter(run.args.model for run in planned.runs if records.of(run) is None)
        names = ", ".join(f"{model} {count}" for model, count in missing.items())
        counts = [len(planned.runs), len(planned.runs) - missing.total()]
        texts = [planned.name, planned.description, names or ABSENT]
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
    own, options = split_options(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="-m scripts.publish",
        usage="python -m scripts.publish [--add NAME [--results FOLDER] [-- options of run.py]]",
        description="Make the published pages of the records in docs/results/.",
    )
    parser.add_argument(
        "--add", metavar="NAME", help="first copy the records of the runs in docs/results/NAME.toml"
    )
    parser.add_argument("--results", default="results", help="of this folder (default: results)")
    args = parser.parse_args(own)
    lists = sorted(path.stem for path in (ROOT / "docs" / "results").glob("*.toml"))
    if args.add and args.add not in lists:
        parser.error(
            f"--add takes the name of a list in docs/results, not {args.add}: {', '.join(lists)}"
        )

    def run() -> None:
        if args.add:
            target = ROOT / "docs" / "results" / args.add
            count = collect(Path(args.results), target, options)
            print(f"docs/results/{args.add}: {count} records")
        for path, content in pages(ROOT).items():
            write_report({path.name: content}, path.parent)
            print(path.relative_to(ROOT))

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
