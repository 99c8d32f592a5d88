"""Read lists of runs from TOML files (docs/reproduce.md); what identifies a run of `run.py`."""

import contextlib
import difflib
import io
import itertools
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.registry import ALIASES, options_of
from run import parse_args
from utils.checkpoint_options import DEPENDENT, SET_BY_TASK
from utils.command_line import one_line
from utils.configuration import Configuration
from utils.errors import UserError
from utils.option_table import COVARIATES, NEUTRAL

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS, LISTS = ROOT / "scripts", ROOT / "scripts" / "lists"
OF_LIST = ("description", "options", "seeds", "runs")
OF_ITEM = ("name", "script", "options", "matrix", "seeds", "after", "targets")
Identity = frozenset[tuple[str, object]]
# what changes no result
IGNORED = NEUTRAL.union("given model_options command".split())  # which are no options


@dataclass(frozen=True)
class Run:
    """A run of `run.py`. Runs are equal if their results must be.

    Attributes:
        options: its command line, without `--resume` and `--checkpoint`. args: the same, parsed.
        parent: the run whose checkpoint it tests; None if it trains, or has `--checkpoint`.
    """

    options: list[str] = field(compare=False)
    args: Configuration = field(compare=False)
    identity: Identity
    parent: "Run | None" = None

    @classmethod
    def of(cls, options: Sequence[str], parent: "Run | None" = None) -> "Run":
        args = parsed(options)
        return cls(list(options), args, identity(vars(args)), parent)

    def __str__(self) -> str:
        return f"{self.args.model}, {self.args.model_id}, seed {self.args.seed}"


@dataclass
class RunList:
    """A list of distinct runs, with its name and description."""

    name: str
    description: str
    runs: list[Run]


def ready_made() -> list[str]:
    """Return the names of the ready-made lists."""
    return sorted(path.stem for path in LISTS.glob("*.toml"))


def read_list(
    name: str, seeds: Sequence[int] | None = None, options: Sequence[str] = ()
) -> RunList:
    """Read a ready-made list, or a TOML file; a `UserError` if it is none.

    Args:
        seeds: of every run, instead of those of the list.
        options: of `run.py`, for every run; they replace those of the list.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = LISTS / f"{name}.toml"
        if name not in ready_made():
            raise UserError(
                f"there is no list {name}: use {', '.join(ready_made())}, or a .toml file"
            )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        check_names(content, OF_LIST)
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: no valid list: {error}") from error
    runs: list[Run] = []
    named: dict[str, list[Run]] = {}
    for number, item in enumerate(listed(content.get("runs")), 1):
        try:
            check_names(item, OF_ITEM, variables=True)
            seeds_of_item = seeds or listed(item.get("seeds", content.get("seeds")))
            common = str(content.get("options", ""))
            found = list(runs_of_item(item, common, seeds_of_item, options, named))
        except UserError as error:
            raise UserError(f"{path}: runs, item {number}: {error}") from error
        named.setdefault(str(item.get("name")), []).extend(found)
        runs += found
    if not runs:
        raise UserError(f"{path}: there are no runs: give [[runs]] with a script or options")
    return RunList(path.stem, content.get("description", ""), list(dict.fromkeys(runs)))


def check_names(table: object, known: Collection[str], variables: bool = False) -> None:
    """Raise a `UserError` if a table of a list is none, or has an unknown name; with `variables`
    names in capitals are known, too: those of scripts."""
    if not isinstance(table, dict):
        raise UserError(f"{table} is no table of names and values")
    for name in table.keys() - known:
        if not (variables and name.isupper()):
            raise UserError(f"{name} is unknown: use {', '.join(known)}")


def listed(value: object) -> list:
    """Return a list as it is, one value in a list, and None as an empty list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def runs_of_item(
    item: Mapping,
    common: str,
    seeds: Sequence[int],
    more: Sequence[str],
    named: Mapping[str, Sequence[Run]],
) -> Iterator[Run]:
    """Return the runs of an item of a list, with `common` options of the list and `more` of the
    command line, which replace all others; `named` are the runs of earlier items by name."""
    scripts, options = listed(item.get("script")), str(item.get("options", ""))
    variables = {name: item[name] for name in sorted(item.keys() - OF_ITEM)}
    if variables and not scripts:
        raise UserError(f"{min(variables)} is for items with a script")
    if "targets" in item and "after" not in item:
        raise UserError("targets is for items with after")
    if "after" in item and scripts:
        raise UserError("give either after or script")
    if "after" in item:
        yield from tests_after(item, options, more, named)
        return
    for script, values in itertools.product(scripts or [None], combinations(item, options)):
        given = [*words(common, {}), *words(options, values), *more]
        for of_run in runs_of_script(script, variables, given):
            args = parsed(of_run)  # repetitions (--itr) are runs of their own
            for seed in seeds or range(args.seed, args.seed + args.itr):
                yield Run.of([*of_run, "--seed", str(seed), "--itr", "1"])


def tests_after(
    item: Mapping, options: str, more: Sequence[str], named: Mapping[str, Sequence[Run]]
) -> Iterator[Run]:
    """Return tests of the checkpoints of earlier runs; see `runs_of_item`."""
    name, targets = str(item["after"]), listed(item.get("targets")) or [None]
    if name not in named:
        raise UserError(f"after: no earlier item has the name {name}")
    for parent, values, target in itertools.product(
        named[name], combinations(item, options), targets
    ):
        if not parent.args.is_training:
            raise UserError(f"after: {name} has runs without training")
        if target == parent.args.data:
            continue
        given = [*parent.options, "--is_training", "0"]
        if target is not None:
            given += ["--zero_shot", "1", "--target_data", str(target)]
            given += ["--model_id", f"{parent.args.model_id}_to_{target}"]
        known = vars(parent.args) | values | {"target": target}
        yield Run.of([*given, *words(options, known), *more], parent)


def combinations(item: Mapping, options: str) -> Iterator[dict[str, object]]:
    """Yield all combinations of the values in an item's matrix, whose names the options have."""
    matrix = item.get("matrix", {})
    if not isinstance(matrix, dict):
        raise UserError("matrix: give a list of values for each name")
    for name in matrix:
        if f"{{{name}}}" not in options:
            raise UserError(f"matrix: {name} is not used: options has no {{{name}}}")
    for values in itertools.product(*map(listed, matrix.values())):
        yield dict(zip(matrix, values, strict=True))


def words(text: str, values: Mapping[str, object]) -> list[str]:
    """Split options into words, with `values` in place of `{names}`."""
    try:
        return shlex.split(text.format_map(values))
    except KeyError as error:
        raise UserError(f"options: matrix has no {error}") from error
    except ValueError as error:
        raise UserError(f"options: {error}") from error


def runs_of_script(
    name: str | None, variables: Mapping[str, object], options: Sequence[str]
) -> list[list[str]]:
    """Return the options of each `run.py` that a script starts, run with `echo` for Python.

    Args:
        name: of the script, relative to `scripts/`; None: one run with the options alone.
        variables: of its environment, such as `HORIZONS`. options: more options for every run.
    """
    if name is None:
        return [list(options)]
    known = {str(path.relative_to(SCRIPTS)): path for path in SCRIPTS.glob("*/*.sh")}
    path = known.get(f"{name}.sh")
    if path is None:
        near = difflib.get_close_matches(f"{name}.sh", known, 4) or sorted(known)
        raise UserError(f"there is no script {name}: there are {', '.join(near)}")
    known = re.findall(r"[A-Z_]{3,}", path.read_text())  # its head names its variables
    for variable in variables:
        if variable not in known:
            raise UserError(f"the script {name} does not read {variable}")
    environment = {key: " ".join(map(str, listed(value))) for key, value in variables.items()}
    done = subprocess.run(
        ["sh", str(path), *map(shlex.quote, options)],
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHON": "echo"} | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"the script {name}: {one_line(done.stderr) or 'it fails'}")
    return [shlex.split(line)[2:] for line in done.stdout.splitlines()]  # after -u run.py


def parsed(options: Sequence[str]) -> Configuration:
    """Parse options of `run.py`; a `UserError` has its message."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            return parse_args(list(options))
    except SystemExit:
        message = errors.getvalue().partition("error: ")[2].partition("; python run.py")[0]
        raise UserError(one_line(message) or "these are no options of a run") from None


def identity(arguments: Mapping[str, object]) -> Identity:
    """Return the options that determine a run's results; those of equal runs are equal."""
    ignored = IGNORED.union(SET_BY_TASK.get(arguments["task_name"], ()))
    found = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in arguments.items()
        if name not in ignored
        and (name not in DEPENDENT or name in arguments["given"])
        and (value or name not in COVARIATES)  # which states of earlier versions lack
    }
    found["model"] = ALIASES.get(found["model"], found["model"])
    if "llm" in options_of(found["model"]):  # the width is that of the language model
        found.pop("d_model", None)
    for name in ("root_path", "checkpoint"):
        if found[name]:
            found[name] = os.path.normpath(found[name])
    return frozenset(found.items())
