"""Published results: a page of tables, verdicts and all runs, made of `run.json` files alone."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from utils.reporting import charts, figures, formats, grids
from utils.reporting.backbone import backbone_line
from utils.reporting.claims import judge, plain
from utils.reporting.grids import ABSENT, Cell, Grid, number
from utils.reporting.methods import OF_ITS_OWN
from utils.reporting.page import Section, page
from utils.reporting.protocols import choice_grid, look_backs_grid, protocols_grid
from utils.reporting.published import Published
from utils.reporting.runs import KINDS, RECORD, Run, read_runs
from utils.reporting.tables import Row, Table, make_tables, row_order
from utils.reporting.variants import split, variants_grid
from utils.reporting.verdicts import MODEL, Verdict

TITLE = "Results"
LEFT_OUT = "Left out"
MAIN = "few_shot_10"  # published setting of the table and the figure in the README
START, END = "<!-- results -->", "<!-- end of results -->"
LEAD = (
    "Made by `python -m scripts.publish` from the `run.json` files in `docs/results/`: no table is "
    "typed by hand."
)
BRIEF = "In brackets: rows better / worse / compared."
IN_FIGURE = {  # with colours
    MODEL: 0, "GPT4TS": 2, "PatchTST": 1, "iTransformer": 3, "TimesNet": 4, "DLinear": 6,
    "SeasonalNaive": 7,
}  # fmt: skip


def verdict_grid(verdicts: Sequence[Verdict], runs: Sequence[Run]) -> Grid:
    """The paper's claims and what the runs say."""
    return Grid(
        "verdict",
        "Verdict",
        [
            backbone_line(runs),
            "Better: the error (MSE, M4's sMAPE) is smaller by more than two standard errors of "
            "the difference of means over seeds, of one seed by more than 1 %. Reproduced: better "
            "in most rows and worse in none, in each comparison. Not reproduced: better in half of "
            "the rows or fewer, in each. Else: in part. Preliminary: a comparison is of fewer than "
            "three seeds or of less than half of the paper's rows, or has no runs.",
        ],
        [("", name) for name in ("claim", "verdict", "rows")],
        [[Cell(v.claim), Cell(v.in_words), Cell(v.reasons)] for v in verdicts],
        labels=3,
    )


def commands_grid(runs: Sequence[Run], tables: Sequence[Table], root: Path) -> Grid:
    """One row a run: its method and record, what it took, and its command."""
    methods = {
        run: method
        for table in tables
        for (_, method), of_seeds in table.runs.items()
        for run in of_seeds.values()
    }
    columns = "data set|horizon|model|seed|error|training s|test s|memory MB|device|commit|command"
    grid = Grid(
        "runs",
        "All runs",
        [backbone_line(runs), _versions(runs), "Each links to its run.json. Seconds are "
         "wall-clock, some on a machine that did other work, too; machines of the same name differ "
         "in speed. Memory is the peak of the process."],
        [("", name) for name in columns.split("|")],
        [],
        labels=4,
    )  # fmt: skip
    for run in sorted(runs, key=_place):
        record = run.record
        metric, error = grids.test_error(run)
        on = f"{record.get('device', ABSENT)}, {record.get('threads', ABSENT)} threads"
        grid.rows.append(
            [
                Cell(run.dataset),
                Cell(run.horizon),
                Cell(
                    methods.get(run, run.model),
                    link=(run.folder / RECORD).relative_to(root).as_posix(),
                ),
                Cell(str(run.seed), run.seed),
                Cell(f"{error:.4f} {metric}", error),
                number(record["training_seconds"], 0),
                number(record["test"]["seconds"], 1),
                number((record.get("peak_memory_mb") or {}).get("host"), 0),
                Cell(on),
                Cell(_commit(record)),
                Cell(record["command"]),
            ]
        )
    return grid


def _commit(record: Mapping) -> str:
    """The commit in short, and whether the source had other changes."""
    commit, plus, changes = (record.get("commit") or ABSENT).partition("+")
    return f"{commit[:8]}{plus}{changes}"


def _place(run: Run) -> tuple:
    """Sort key of runs: tables as in the report, rows as in tables."""
    row = row_order(Row(run.dataset, run.horizon))
    return (
        list(KINDS).index(run.kind),
        -run.percent,
        run.protocol,
        row,
        run.model,
        run.seed,
        str(run.folder),
    )


def _versions(runs: Sequence[Run]) -> str:
    """Name the versions of libraries, and how many runs had each."""
    found = Counter(
        ", ".join(f"{name} {v}" for name, v in (run.record.get("versions") or {}).items())
        for run in runs
    )
    return "; ".join(f"{versions} ({n} runs)" for versions, n in sorted(found.items())) + "."


def ours_alone(grid: Grid | None) -> Grid | None:
    """The rows of a table of published numbers that have ours, too."""
    if grid is None:
        return None
    ours = [name for _, name in grid.columns].index("ours")
    grid.rows = [row for row in grid.rows if row[ours].text != ABSENT]
    return grid if grid.rows else None


def table_section(table: Table, found: Sequence[Grid | None]) -> Section:
    """The grids of a table that there are, under a line on the backbone, and its charts."""
    shown = [grid for grid in found if grid]
    lines = [backbone_line([run for method in table.methods for run in table.of(method)])]
    for grid in shown:
        grid.notes[:1] = [*lines, *training_lines(table)]
    first = shown[0]
    return Section(first.title, first.slug, shown, table.methods, figures.charts_of(table))


def training_lines(table: Table) -> list[str]:
    """Say with which loss weights CALF was trained in its usual options, if it was."""
    ours = plain(table)
    used = {w: d for w, d in grids.loss_weights(table, ours).items() if w} if ours else {}
    if len(used) < 2:
        return [f"Loss weights of {MODEL}: {weights}." for weights in used]
    return []  # a note of the table says what differs


def main_grid(table: Table, published: Published) -> Grid:
    """The main metric of the models themselves, and what was published of CALF."""
    metric = table.kind.metrics[0]
    methods = [method for name in IN_FIGURE if (method := plain(table, name))]
    shown = table.only(methods, table.rows)
    most = {m: max(table.summary(row, m, metric).n for row in table.rows if (row, m) in table.runs)
            for m in methods}  # fmt: skip
    seeds = sorted(set(most.values()))
    grid = Grid(
        "main",
        grids.title_of(table),
        [
            backbone_line([run for method in methods for run in table.of(method)]),
            *training_lines(shown),
            f"Test {grids.metric_name(metric)}: mean ± standard deviation over "
            f"{' to '.join(map(str, seeds[:1] + seeds[1:][-1:]))} seeds; best in bold.",
        ],
        [("", "data set"), ("", table.kind.column), *(("", method) for method in methods)],
        [],
    )
    grid.columns.append(("", f"{MODEL}, published"))
    for row in table.rows:
        cells, marks = grids.row_labels(table, row), shown.marks(row, metric)
        for method in methods:
            mark = "best" if marks.get(method) == "best" else ""
            cells.append(grids.score_cell(table.summary(row, method, metric), mark, most[method]))
        value = published.models(table, row).get(MODEL, {}).get(metric)
        grid.rows.append([*cells, number(value.value if value else None)])
    return grid


def main_figure(table: Table, published: Published) -> str:
    """The main table as a figure."""
    metric = table.kind.metrics[0]
    methods = {name: plain(table, name) for name in IN_FIGURE}
    rows = []
    for row in table.rows:
        dots = []
        for model, method in methods.items():
            colour = IN_FIGURE[model]
            summary = method and table.summary(row, method, metric)
            if summary:
                spread = summary.deviation or 0.0
                dots.append(charts.Dot(method, summary.mean, spread, colour))
            value = published.models(table, row).get(model, {}).get(metric)
            if value and model == MODEL:
                name = f"{model}, published"
                dots.append(charts.Dot(name, value.value, 0.0, colour, hollow=True))
        rows.append((f"{row.dataset} {row.horizon}", dots))
    return charts.dot_plot(grids.title_of(table), rows, f"test {grids.metric_name(metric)}")


def make_publication(folder: Path, planned: Grid | None = None) -> dict[str, str]:
    """Make the pages of published results; the same records give the same bytes.

    Args:
        folder: with the records, in the folder of the pages; and perhaps remarks, `notes.md`.
        planned: the lists of runs, and what is missing.

    Returns:
        Contents by path within the folder of the pages; `readme` is the block of the README.

    Raises:
        UserError: the folder does not exist.
    """
    runs, problems = read_runs([folder])
    tables, notes = make_tables(runs)
    left_out = [*problems, *(note for note in notes if not note.endswith(OF_ITS_OWN))]
    left_out = [line.replace(f"{folder.parent}/", "") for line in left_out]
    published = Published()
    verdicts = judge(tables, published)
    verdict = verdict_grid(verdicts, runs)
    path = folder / "notes.md"
    remarks = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = [Section(verdict.title, "verdict", [verdict], prose=remarks)]
    for table in tables:
        models, variants = split(table)
        beside = ours_alone(grids.published_grid(models, published))
        sections.append(table_section(models, [grids.scores_grid(models), beside]))
        if variants.runs:
            sections.append(table_section(variants, [variants_grid(variants)]))
    if planned:
        planned.notes.insert(0, backbone_line(runs))
    more = [
        look_backs_grid(tables),
        protocols_grid(tables),
        choice_grid(tables),
        planned,
        commands_grid(runs, tables, folder.parent),
    ]
    sections += [Section(grid.title, grid.slug, [grid]) for grid in more if grid]
    tables_of = [formats.markdown(grid, 2) for section in sections for grid in section.grids]
    titles = [section.title for section in sections]
    titles[1:1] = re.findall("^## (.*)", remarks, re.M)
    contents = [f"- [{formats.markdown_text(t)}](#{formats.anchor(t)})" for t in titles]
    parts = [f"{LEAD}\n", "\n".join(contents) + "\n", tables_of[0], remarks, *tables_of[1:]]
    files = {
        "RESULTS.md": formats.markdown_report(TITLE, parts, left_out, LEFT_OUT),
        "results.html": page(TITLE, LEAD.replace("`", ""), sections, left_out, LEFT_OUT),
    }
    main = [table for table in tables if published.setting(table) == MAIN]
    usual = [run for table in main for name in IN_FIGURE for run in table.of(plain(table, name))]
    readme = [f"{backbone_line(usual)} {BRIEF}\n", *(f"- {v.brief}" for v in verdicts)]
    for table in main[:1]:
        files["results/few_shot.svg"] = charts.standalone(main_figure(table, published))
        grid = main_grid(table, published)
        readme += ["", formats.markdown(grid, 4), "![The table as dots](docs/results/few_shot.svg)"]
    return files | {"readme": "\n".join(readme)}
