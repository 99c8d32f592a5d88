"""Publish results: `python -m scripts.publish` makes docs/RESULTS.md, docs/results.html and the
README's tables of the runs in docs/results/ (docs/reproduce.md)."""

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scripts.reproduction.lists import Run, identity, read_list, ready_made
from scripts.reproduction.plan import Record, Records, of_command, read_records, record_of
from utils.command_line import Parser, guarded, split_options
from utils.errors import UserError
from utils.files import CHECKPOINT
from utils.report import Files, sections_of, write_report
from utils.reporting import formats, grids
from utils.reporting.grids import ABSENT, Grid
from utils.reporting.tables import Table, make_tables
from utils.runs import dataset_name, newest, read_runs, write_runs

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- results -->", "<!-- end of results -->"  # of the results in the README
PRETRAINED = "CALF (SmolLM2-135M, pre-trained, 4-bit weights)"
LEAD = (
    "Made by `python -m scripts.publish` from docs/results/: `runs.csv` of each list has a row a "
    "run, `notes.md` the remarks. Only a model with *published file* in its name is on the GPT-2 "
    "that the paper uses. Scores in brackets are published ones: of CALF and GPT4TS on that GPT-2."
)


def add(name: str, results: Path, target: Path, options: Sequence[str] = ()) -> str:
    """Add the finished runs of a list in `results` to its published ones in `target`; return a line
    to print. Of a run that is there already the newer one stays; a run that another list has
    published is left out. `options` of `run.py` replace those of the list."""
    path = target.with_suffix(".toml")
    planned = read_list(str(path) if path.exists() else name, options=options)
    records = read_records(results)
    done = (record_of(run, records) for run in planned.runs)
    listed = {str(record.path.parent) for record in done if record}
    found, problems = read_runs([results])
    found = found[found["source"].isin(listed)]
    if found.empty:
        first = f"; {problems[0]}" if problems else ""
        raise UserError(f"{results}: no finished run of {name}{first}")
    others = [path for path in target.parent.iterdir() if path.is_dir() and path != target]
    found = found[~found["run"].isin(read_runs(others)[0]["run"])]
    before, _ = read_runs([target] if target.exists() else [])
    runs = newest(pd.concat([found, before]))
    if len(runs):
        write_runs(target, runs)
    return f"{name}: {runs['source'].isin(listed).sum()} runs added, {len(runs)} published"


def published_records(folder: Path) -> Records:
    """Read the records of published runs; checkpoints are named where the runs wrote them."""
    records = {}
    for _, row in read_runs([folder])[0].iterrows():
        args = of_command(row["command"])
        args = args.replace(itr=1, seed=int(row["seed"]) if args.is_training else args.seed)
        trained = Path(args.checkpoints) / (row["trained_by"] or row["run"])
        checkpoint = trained / CHECKPOINT if row["parameters"] else None
        record = Record(Path(row["source"]) / "runs.csv", identity(vars(args)), checkpoint)
        records[record.identity] = record
    return records


def hours(runs: Sequence[Run], published: pd.DataFrame, source: Path) -> float:
    """Estimate the hours of runs by the medians of published ones of the same model, of the same
    list (`source`), data set and horizon where there are such; those of a checkpoint are tested
    alone."""
    total = 0.0
    for run in runs:
        alike = published[published["model"].eq(run.args.model)]
        alike = alike[alike["trained_by"].ne("").eq(run.parent is not None)]
        name, horizon = dataset_name(vars(run.args)), str(run.args.pred_len)
        for column, value in (("source", str(source)), ("dataset", name), ("horizon", horizon)):
            found = alike[alike[column].eq(value)]
            alike = alike if found.empty else found
        seconds = alike["test_seconds"] + (0 if run.parent else alike["training_seconds"])
        total += 0.0 if alike.empty else seconds.median()
    return total / 3600


def lists_grid(folder: Path) -> Grid:
    """A row for each list: how many of its runs are published, the models of missing ones, and the
    hours that those take."""
    records, (published, _) = published_records(folder), read_runs([folder])
    lines = {}
    for path in sorted(folder.glob("*.toml")):
        planned = read_list(str(path))
        absent = [run for run in planned.runs if record_of(run, records) is None]
        estimate = hours(absent, published, path.with_suffix(""))
        missing = Counter(run.args.model for run in absent)
        lines[planned.name, planned.description] = {
            ("", "missing"): ", ".join(map("{} {}".format, missing, missing.values())) or ABSENT,
            ("", "runs"): f"{len(planned.runs)}",
            ("", "published"): f"{len(planned.runs) - len(absent)}",
            ("", "hours"): f"{estimate:.1f}" if absent else ABSENT,
        }
    notes = [
        "python -m scripts.reproduce docs/results/LIST.toml runs what is missing. The hours are "
        "estimated from published runs of the same model, and list where it has some, on one core "
        "or two; too few where those are of smaller data sets or without alignment losses."
    ]
    return Grid("Runs of each list", "lists", notes, ["list", "what"], lines)


def pages(root: Path) -> dict[Path, Files]:
    """Make the published pages of the runs in `docs/results/`: contents by folder and name."""
    docs = root / "docs"
    runs, problems = read_runs([docs / "results"])
    tables = make_tables(runs)
    sections = [
        *answers(tables, docs / "results/smollm2/questions.toml"),
        *sections_of(tables, runs, brackets=True),
    ]
    # what the answers compare, seed by seed
    answered = [f"{t.slug}_variants" for t in tables if t.amp == "bf16"]
    for section in sections:
        section.grids = [grid for grid in section.grids if grid.slug not in answered]
    sections.append(formats.Section("Lists", [lists_grid(docs / "results")]))
    notes = (docs / "results" / "notes.md").read_text(encoding="utf-8")
    for title, prose in re.findall(r"^## (.*)\n+((?:(?!## ).*\n)*)", notes, re.M):
        section = next((section for section in sections if section.title == title), None)
        if section is None:
            raise UserError(f"docs/results/notes.md: no section is called {title}")
        section.prose = prose
    path = root / "README.md"
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{path}: no lines {START} and {END}, between which the results belong")
    return {
        root: {"README.md": f"{before}{start}\n{readme(tables)}{end}{after}"},
        docs: {
            "RESULTS.md": formats.markdown_page(LEAD, sections, problems),
            "results.html": formats.html_page(LEAD, sections, problems),
        },
    }


def sound_table(tables: Sequence[Table], kind: str, amp: str) -> Table:
    """The first sound table of a kind, and with these products."""
    return next(t for t in tables if (t.kind, t.amp, t.protocol) == (kind, amp, "sound"))


def language_tables(tables: Sequence[Table]) -> list[Table]:
    """The tables of SmolLM2, few-shot first."""
    found = [t for t in tables if PRETRAINED in t.methods and t.protocol == "sound"]
    return sorted(found, key=lambda table: (table.kind != "few_shot", table.amp != "bf16"))


def answers(tables: Sequence[Table], questions: Path) -> list[formats.Section]:
    """The questions that the results answer, each with its tables; the last one, which is on the
    other models, with the paper's main table, too."""
    sections = []
    for question in tomllib.loads(questions.read_text(encoding="utf-8"))["questions"]:
        pair = question.get("method", PRETRAINED), question["others"]
        pairs = [grids.paired_grid(table, *pair) for table in language_tables(tables)]
        sections.append(formats.Section(question["title"], [grid for grid in pairs if grid]))
    for kind in ("few_shot", "long_term"):
        table = sound_table(tables, kind, "no")
        grid = grids.main_grid(table)
        grid.title = table.heading
        sections[-1].grids.insert(0, grid)
    for number, grid in enumerate(grid for section in sections for grid in section.grids):
        grid.slug = f"answer_{number}"  # names the table on the HTML page
    return sections


def readme(tables: Sequence[Table]) -> str:
    """The README's tables: the paper's main one, with published scores in brackets, and that of the
    language models."""
    main, language = sound_table(tables, "long_term", "no"), sound_table(tables, "few_shot", "bf16")
    usual = Table(language.runs[language.runs["method"] == language.runs["usual"]], ["mse"])
    parts = [grids.main_grid(main), grids.scores_grid(usual)]
    for grid, title in zip(parts, ("All training rows, look-back 96", "Few-shot"), strict=True):
        grid.title = title
    parts[1].cells = parts[1].cells.drop(index=grids.AVERAGE, level="horizon", errors="ignore")
    parts[1].notes = [language.heading]
    return "".join(formats.markdown(grid, 4) for grid in parts)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    own, options = split_options(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python -m scripts.publish",
        usage="python -m scripts.publish [--add NAME [--results FOLDER] [-- options of run.py]]",
        description="Make the published pages of the runs in docs/results/.",
    )
    parser.add_argument(
        "--add", metavar="NAME", help="first add the runs of a list in docs/results, or ready-made"
    )
    parser.add_argument("--results", help="of this folder (default: results); with --add")
    args = parser.parse_args(own)
    if not args.add and (args.results or options):
        parser.error("--results and options of run.py are for --add")
    lists = sorted(path.stem for path in (ROOT / "docs" / "results").glob("*.toml"))
    if args.add and args.add not in [*lists, *ready_made()]:
        parser.error(f"--add {args.add}: no such list: {', '.join([*lists, *ready_made()])}")

    def run() -> None:
        lines = []
        if args.add:
            target = ROOT / "docs" / "results" / args.add
            lines.append(add(args.add, Path(args.results or "results"), target, options))
        for folder, files in pages(ROOT).items():
            write_report(files, folder)
            lines += [str((folder / name).relative_to(ROOT)) for name in files]
        print(*lines, sep="\n")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
