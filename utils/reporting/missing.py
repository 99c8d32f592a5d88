"""What tables lack, and the command that would fill it, made of a sibling run's command."""

import shlex

from utils.reporting.grids import Cell, Grid, row_labels, title_of
from utils.reporting.runs import Run
from utils.reporting.tables import M4_ORDER, Row, Table

MISSING = "Missing"
OF_DATA = ("data", "root_path", "data_path", "freq", "target", "target_data")
OF_HORIZON = {"short_term": "seasonal_patterns", "imputation": "mask_rate"}
FLAGS_LEFT_OUT = ("resume", "overwrite")
MODEL_LEFT_OUT = ("checkpoint",)


def missing_rows(table: Table, method: str) -> list[Row]:
    """The data sets and horizons that other models have and `method` lacks; all six of M4."""
    rows = table.rows
    if table.conditions.kind == "short_term":
        rows = [Row("m4", pattern) for pattern in M4_ORDER]
    return [row for row in rows if (row, method) not in table.runs]


def missing_grid(table: Table) -> Grid | None:
    """Each missing cell with its command; None if nothing is missing."""
    labels = ["data set", *([table.kind.column] if table.kind.column else []), "model", "command"]
    grid = Grid(
        f"{table.conditions.slug}_missing",
        title_of(table),
        ["Each command is that of another run of the model, with data set and horizon replaced: "
         "check that its training settings are those you want."],
        [("", label) for label in labels],
        [],
        labels=len(labels),
        part=MISSING,
    )  # fmt: skip
    for method in table.methods:
        if method in table.stray:
            continue
        for row in missing_rows(table, method):
            line = fill_command(table, method, row)
            grid.rows.append([*row_labels(table, row), Cell(method), Cell(line)])
            grid.records.append(
                {"dataset": row.dataset, "horizon": row.horizon, "method": method, "command": line}
            )
    return grid if grid.rows else None


def fill_command(table: Table, method: str, row: Row) -> str:
    """The command of a run of `method` on `row`."""
    ours = table.of(method)
    sibling = min(ours, key=lambda run: (run.dataset != row.dataset, run.horizon != row.horizon))
    others = [runs for (other, _), runs in table.runs.items() if other.dataset == row.dataset]
    words = shlex.split(sibling.record["command"])
    for flag in FLAGS_LEFT_OUT:
        words = [word for word in words if word != f"--{flag}"]
    if sibling.record.get("trained_with"):
        words = with_training(words, sibling)
    name = sibling.arguments["model_id"]
    if sibling.dataset != row.dataset and others:
        like = next(iter(others[0].values())).arguments
        for option in OF_DATA:
            if like.get(option) != sibling.arguments.get(option):
                words = set_option(words, option, str(like[option]))
        name = name.replace(sibling.target, row.dataset.rpartition("->")[2])
    if sibling.horizon != row.horizon:
        option = OF_HORIZON.get(table.conditions.kind, "pred_len")
        words = set_option(words, option, row.horizon)
        parts = name.rpartition(sibling.horizon)
        name = parts[0] + row.horizon + parts[2] if parts[1] else name
    if name != sibling.arguments["model_id"]:
        words = set_option(words, "model_id", name)
    return shlex.join(words)


def with_training(words: list[str], sibling: Run) -> list[str]:
    """Train in the command of a test of another run's model, with that run's options."""
    trained = sibling.trained_with
    for option in MODEL_LEFT_OUT:
        words = remove_option(words, option)
    words = set_option(words, "is_training", "1")
    for option in trained.get("given", ()):
        value = trained.get(option)
        is_word = isinstance(value, str | int | float) and not isinstance(value, bool)
        there = any(word.partition("=")[0] == f"--{option}" for word in words)
        if is_word and not there and option not in FLAGS_LEFT_OUT + MODEL_LEFT_OUT:
            words = set_option(words, option, str(value))
    return words


def set_option(words: list[str], option: str, value: str) -> list[str]:
    """Replace the value of an option of a command line, or append it."""
    return [*remove_option(words, option), f"--{option}", value]


def remove_option(words: list[str], option: str) -> list[str]:
    """Remove an option and its value from a command line."""
    left, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word == f"--{option}":
            skip = True
        elif not word.startswith(f"--{option}="):
            left.append(word)
    return left
