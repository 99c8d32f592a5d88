"""Lists of runs: TOML or YAML files, and the runs that they mean (docs/reproduce.md)."""

import difflib
import itertools
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.reproduction.options import ZERO_SHOT, Identity, identity, parsed, with_option
from utils.command_line import one_line
from utils.configuration import Configuration
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS, LISTS = ROOT / "scripts", ROOT / "scripts" / "lists"
TEXT, TEXTS = "a string", "a list of strings"
# What the entries of a list and of an item have to be; an item may have variables of scripts, too.
OF_LIST = {
    "description": TEXT,
    "options": "one string, as on a command line",
    "seeds": f"a list of integers from 0 to {2**31 - 1}",
    "runs": "",  # see `runs_of`
}
OF_ITEM = {name: OF_LIST[name] for name in ("options", "seeds")} | {
    "script": f"{TEXT} or {TEXTS}",
    "matrix": "a list of values for each name",
    "name": TEXT,
    "after": TEXT,
    "targets": TEXTS,
}


@dataclass(eq=False)
class Run:
    """A run of `run.py`.

    Attributes:
        options: on its command line, but `--resume` and `--checkpoint`.
        args: the same, parsed.
        parent: the run whose checkpoint it tests; None if it trains, or says itself what it tests.
        trained_alone: what the run would be if it trained a model of its own, if it can.
    """

    options: list[str]
    args: Configuration
    parent: "Run | None" = None
    trained_alone: Identity | None = None

    @classmethod
    def of(cls, options: Sequence[str], parent: "Run | None" = None) -> "Run":
        return cls(list(options), parsed(options), parent)

    def __str__(self) -> str:
        args = self.args
        data = args.data_path.removesuffix(".csv") if args.data == "custom" else args.data
        if args.task_name == "short_term_forecast":
            data = f"M4 {args.seasonal_patterns}"
        if args.zero_shot:
            data += f" to {args.target_data}"
        return f"{args.model} {data}, {args.model_id}, seed {args.seed}"


@dataclass
class RunList:
    """A list: its name, what it is for, and its runs, each once."""

    name: str
    description: str
    runs: list[Run]


def ready_made() -> list[str]:
    """Return the names of the ready-made lists."""
    return sorted(path.stem for path in LISTS.glob("*.toml"))


def read_list(
    name: str, seeds: Sequence[int] | None = None, options: Sequence[str] = ()
) -> RunList:
    """Read a list.

    Args:
        name: of a ready-made list, or a TOML or YAML file.
        seeds: of every run, instead of those of the list.
        options: of `run.py`, for every run; they replace those of the list.

    Raises:
        UserError: there is no such list, it is damaged, or a name or an option in it is unknown.
    """
    path = Path(name)
    if path.suffix not in (".toml", ".yaml", ".yml"):
        path = LISTS / f"{name}.toml"
        if name not in ready_made():
            raise UserError(
                f"there is no list {name}: use {', '.join(ready_made())}, or a .toml or .yaml file"
            )
    try:
        content = checked(read_content(path), OF_LIST, "the list")
        runs = runs_of(content, seeds, options)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return RunList(path.stem, content.get("description", ""), trained_once(distinct(runs)))


def read_content(path: Path) -> object:
    """Read a TOML or YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        import yaml

        return yaml.safe_load(text)
    except OSError as error:
        raise UserError(error.strerror) from error
    except ImportError as error:
        raise UserError("PyYAML is not installed: write the list as TOML") from error
    except ValueError as error:
        raise UserError(f"no valid TOML: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"no valid YAML: {error}") from error


def checked(content: object, known: Mapping[str, str], what: str) -> dict:
    """Check that `content` is a table with known names, whose values are as `known` says; names in
    capitals are variables of scripts.

    Raises:
        UserError: it is not.
    """
    if not isinstance(content, dict):
        raise UserError(f"{what} is no table of names and values")
    unknown = sorted(content.keys() - known)
    if unknown and not (unknown[-1].isupper() and known is OF_ITEM):
        raise UserError(f"{unknown[-1]} is unknown: use {', '.join(sorted(known))}")
    for name in content.keys() & known:
        if not is_as_said(content[name], known[name]):
            raise UserError(f"{name}: give {known[name]}")
    return content


def is_as_said(value: object, kind: str) -> bool:
    """Return whether a value is what `OF_LIST` or `OF_ITEM` says of it."""
    if not kind:
        return True
    if kind == OF_ITEM["matrix"]:
        return isinstance(value, dict) and all(isinstance(v, list) for v in value.values())
    if isinstance(value, str):
        return not kind.startswith("a list")
    if not isinstance(value, list):
        return False
    if kind == OF_LIST["seeds"]:
        return all(type(seed) is int and 0 <= seed < 2**31 for seed in value)
    return kind.endswith(TEXTS) and value and all(isinstance(one, str) for one in value)


def runs_of(content: Mapping, seeds: Sequence[int] | None, options: Sequence[str]) -> list[Run]:
    """Return the runs of a list; arguments as of `read_list`."""
    items = content.get("runs")
    if not isinstance(items, list) or not items:
        raise UserError("there are no runs: give [[runs]] with a script or options")
    common = words(content.get("options", ""), {})
    named: dict[str, list[Run]] = {}
    runs: list[Run] = []
    for number, table in enumerate(items, 1):
        try:
            table = checked(table, OF_ITEM, "it")
            of_item = seeds or table.get("seeds") or content.get("seeds", [])
            found = list(Item(table, common, of_item, options).runs(named))
        except UserError as error:
            raise UserError(f"runs, item {number}: {error}") from error
        if "name" in table:
            named.setdefault(table["name"], []).extend(found)
        runs += found
    return runs


class Item:
    """An item of `runs`.

    Args:
        table: its content.
        common: options of the list.
        seeds: of its runs; without any, their options say which.
        options: of the command line, which replace all others.
    """

    def __init__(
        self, table: dict, common: list[str], seeds: Sequence[int], options: Sequence[str]
    ):
        self.table, self.common, self.seeds, self.more = table, common, seeds, list(options)
        script = table.get("script", [])
        self.scripts = [script] if isinstance(script, str) else script
        variables = {key: table[key] for key in sorted(table.keys() - OF_ITEM)}
        self.environment = {
            key: " ".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in variables.items()
        }
        if variables and not self.scripts:
            raise UserError(f"{min(variables)} is for items with a script")
        if "after" in table and self.scripts:
            raise UserError("give either after or script")
        if "targets" in table and "after" not in table:
            raise UserError("targets is for items with after")

    def runs(self, named: Mapping[str, list[Run]]) -> Iterator[Run]:
        """Return its runs. `named`: the runs of earlier items with a name."""
        if "after" in self.table:
            yield from self._tests(named)
            return
        for script in self.scripts or [None]:
            for values in self._matrix():
                options = [*self.common, *self._options(values), *self.more]
                for of_run in runs_of_script(script, self.environment, options):
                    yield from self._seeded(of_run)

    def _tests(self, named: Mapping[str, list[Run]]) -> Iterator[Run]:
        """Return tests of the checkpoints of earlier runs."""
        name = self.table["after"]
        if name not in named:
            raise UserError(f"after: no earlier item has the name {name}")
        for parent in named[name]:
            if not parent.args.is_training:
                raise UserError(f"after: {name} has runs without training")
            for values in self._matrix():
                for target in self.table.get("targets", [None]):
                    if target == parent.args.data:
                        continue
                    options = with_option(parent.options, "--is_training", 0)
                    if target is not None:
                        model_id = f"{parent.args.model_id}_to_{target}"
                        options = with_option(options, "--model_id", model_id)
                        options += ["--zero_shot", "1", "--target_data", target]
                    known = vars(parent.args) | values | {"target": target}
                    yield Run.of([*options, *self._options(known), *self.more], parent)

    def _seeded(self, options: Sequence[str]) -> Iterator[Run]:
        """Return a run for each seed; repetitions (`--itr`) are runs of their own."""
        args = parsed(options)
        for seed in self.seeds or range(args.seed, args.seed + args.itr):
            of_seed = with_option(options, "--seed", seed)
            of_seed = of_seed if args.itr == 1 else with_option(of_seed, "--itr", 1)
            yield Run(of_seed, args.replace(seed=seed, itr=1))

    def _matrix(self) -> Iterator[dict[str, object]]:
        """Return all combinations of the values in its matrix."""
        matrix, options = self.table.get("matrix", {}), self.table.get("options", "")
        for name in matrix:
            if f"{{{name}}}" not in options:
                raise UserError(f"matrix: {name} is not used: options has no {{{name}}}")
        for values in itertools.product(*matrix.values()):
            yield dict(zip(matrix, values, strict=True))

    def _options(self, values: Mapping[str, object]) -> list[str]:
        return words(self.table.get("options", ""), values)


def words(text: str, values: Mapping[str, object]) -> list[str]:
    """Split options into words, with `values` in place of `{names}`."""

    def value(match: re.Match) -> str:
        if match[1] not in values:
            raise UserError(f"{match[0]}: no such name in matrix")
        return str(values[match[1]])

    try:
        return shlex.split(re.sub(r"\{(\w+)\}", value, text))
    except ValueError as error:
        raise UserError(f"options: {error}") from error


def runs_of_script(
    name: str | None, environment: Mapping[str, str], options: Sequence[str]
) -> list[list[str]]:
    """Return the options of `run.py` of each run that a script would start.

    In place of Python `echo` is called, which starts nothing.

    Args:
        name: of the script, relative to `scripts/`; None: one run with the options alone.
        environment: its variables, such as `HORIZONS`.
        options: more options for every run.

    Raises:
        UserError: there is no such script, it does not read a variable, or it fails.
    """
    if name is None:
        return [list(options)]
    path = SCRIPTS / f"{name.removesuffix('.sh')}.sh"
    if not path.is_file():
        known = sorted(str(p.relative_to(SCRIPTS).with_suffix("")) for p in SCRIPTS.glob("*/*.sh"))
        near = difflib.get_close_matches(name, known, 4) or known
        raise UserError(f"there is no script {name}: there are {', '.join(near)}")
    known = set(re.findall(r"[A-Z_]{3,}", path.read_text()))  # their heads name their variables
    for variable in environment:
        if variable not in known:
            raise UserError(f"the script {name} does not read {variable}")
    done = subprocess.run(
        ["sh", str(path), *map(shlex.quote, options)],
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHON": "echo"} | dict(environment),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"the script {name}: {one_line(done.stderr) or 'it fails'}")
    runs = [shlex.split(line) for line in done.stdout.splitlines()]
    for run in runs:
        if run[:2] != ["-u", "run.py"]:
            raise UserError(f"the script {name} starts {shlex.join(run[:2])}: not run.py")
    return [run[2:] for run in runs]


def distinct(runs: Sequence[Run]) -> list[Run]:
    """Leave out runs that an earlier one equals."""
    found: dict[tuple[Identity, Run | None], Run] = {}
    same: dict[Run | None, Run | None] = {None: None}
    for run in runs:
        run.parent = same[run.parent]
        same[run] = found.setdefault((identity(vars(run.args)), run.parent), run)
    return list(found.values())


def trained_once(runs: Sequence[Run]) -> list[Run]:
    """Replace zero-shot runs that train by tests of a run with the same training."""
    trained: dict[Identity, Run] = {}
    tests: dict[Run, Run] = {}
    for run in sorted(runs, key=lambda run: run.args.zero_shot):
        if run.args.is_training and run.args.task_name == "long_term_forecast":
            other = trained.setdefault(identity(vars(run.args), ZERO_SHOT), run)
            if other is not run and run.args.zero_shot:
                tests[run] = Run.of(with_option(run.options, "--is_training", 0), other)
                tests[run].trained_alone = identity(vars(run.args))
    for run in runs:
        if run.parent in tests:
            run.parent = tests[run.parent].parent
    return [tests.get(run, run) for run in runs]
