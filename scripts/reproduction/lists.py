"""Lists of runs: TOML or YAML files, and the runs that they mean (docs/reproduce.md)."""

import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.reproduction.options import ZERO_SHOT, Identity, identity, parsed, with_option
from scripts.reproduction.shell import ROOT, runs_of_script
from utils.configuration import Configuration
from utils.errors import UserError

LISTS = ROOT / "scripts" / "lists"
LIST_KEYS = {"description", "options", "seeds", "runs"}
ITEM_KEYS = {"script", "options", "matrix", "seeds", "name", "after", "targets"}


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

    def as_test_of(self, parent: "Run") -> "Run":
        """Return the run that tests the checkpoint of `parent` instead of training."""
        test = Run.of(with_option(self.options, "--is_training", 0), parent)
        test.trained_alone = identity(vars(self.args))
        return test

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
        return RunList(path.stem, *_runs_of(_content(path), seeds, options))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _content(path: Path) -> dict:
    """Read a TOML or YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        import yaml

        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(error.strerror) from error
    except ImportError as error:
        raise UserError("PyYAML is not installed: write the list as TOML") from error
    except ValueError as error:
        raise UserError(f"no valid TOML: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"no valid YAML: {error}") from error
    return content


def _runs_of(
    content: object, seeds: Sequence[int] | None, options: Sequence[str]
) -> tuple[str, list[Run]]:
    """Check the content of a list; return its description and its runs."""
    content = _table(content, LIST_KEYS, "the list")
    common = _words(content.get("options", ""), {}, "options")
    of_list = _seeds(content, "the list")
    named: dict[str, list[Run]] = {}
    runs: list[Run] = []
    for number, item in enumerate(_items(content), 1):
        where = f"runs, item {number}"
        try:
            found = list(Item(item, common, seeds, of_list, options).runs(named))
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if "name" in item:
            named.setdefault(item["name"], []).extend(found)
        runs += found
    return str(content.get("description", "")), _trained_once(_distinct(runs))


class Item:
    """An item of `runs`.

    Args:
        table: its content.
        common: options of the list.
        seeds: of the command line, instead of the item's. default_seeds: of the list.
        options: of the command line, which replace all others.
    """

    def __init__(
        self,
        table: object,
        common: list[str],
        seeds: Sequence[int] | None,
        default_seeds: Sequence[int],
        options: Sequence[str],
    ):
        variables = {key for key in table if key.isupper()} if isinstance(table, dict) else set()
        self.table = _table(table, ITEM_KEYS | variables, "it")
        self.common, self.more = common, list(options)
        self.seeds = seeds or _seeds(self.table, "it") or default_seeds
        self.environment = {key: _joined(self.table[key]) for key in sorted(variables)}
        self.scripts = _strings(self.table, "script", alone=True)
        self.targets = _strings(self.table, "targets")
        for key in ("name", "after"):
            if not isinstance(self.table.get(key, ""), str):
                raise UserError(f"{key}: give a string")
        if variables and not self.scripts:
            raise UserError(f"{min(variables)} is for items with a script")
        if "after" in self.table and self.scripts:
            raise UserError("give either after or script")
        if self.targets and "after" not in self.table:
            raise UserError("targets is for items with after")

    def runs(self, named: Mapping[str, list[Run]]) -> Iterator[Run]:
        """Return its runs. `named`: the runs of earlier items with a name."""
        if "after" in self.table:
            yield from self._tests(named)
            return
        for script in self.scripts:
            for values in self._matrix():
                more = [*self.common, *self._options(values), *self.more]
                for options in runs_of_script(script, self.environment, more):
                    yield from self._seeded(options)
        if not self.scripts:
            for values in self._matrix():
                yield from self._seeded([*self.common, *self._options(values), *self.more])

    def _tests(self, named: Mapping[str, list[Run]]) -> Iterator[Run]:
        """Return tests of the checkpoints of earlier runs."""
        name = self.table["after"]
        if name not in named:
            raise UserError(f"after: no earlier item has the name {name}")
        for parent in named[name]:
            if not parent.args.is_training:
                raise UserError(f"after: {name} has runs without training")
            for values in self._matrix():
                for target in self.targets or [None]:
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
        seeds = self.seeds or range(args.seed, args.seed + args.itr)
        for seed in seeds:
            words = with_option(options, "--seed", seed)
            words = words if args.itr == 1 else with_option(words, "--itr", 1)
            yield Run(words, args.replace(seed=seed, itr=1))

    def _matrix(self) -> Iterator[dict[str, object]]:
        """Return all combinations of the values in its matrix."""
        matrix = self.table.get("matrix", {})
        if not isinstance(matrix, dict) or not all(isinstance(v, list) for v in matrix.values()):
            raise UserError("matrix: give a list of values for each name")
        unused = [name for name in matrix if f"{{{name}}}" not in self.table.get("options", "")]
        if unused:
            raise UserError(f"matrix: {unused[0]} is not used: options has no {{{unused[0]}}}")
        for values in itertools.product(*matrix.values()):
            yield dict(zip(matrix, values, strict=True))

    def _options(self, values: Mapping[str, object]) -> list[str]:
        return _words(self.table.get("options", ""), values, "options")


def _distinct(runs: Sequence[Run]) -> list[Run]:
    """Leave out runs that an earlier one equals."""
    found: dict[tuple[Identity, Run | None], Run] = {}
    same: dict[Run | None, Run | None] = {None: None}
    for run in runs:
        run.parent = same[run.parent]
        same[run] = found.setdefault((identity(vars(run.args)), run.parent), run)
    return list(found.values())


def _trained_once(runs: Sequence[Run]) -> list[Run]:
    """Replace zero-shot runs that train by tests of a run with the same training."""
    trained: dict[Identity, Run] = {}
    tests: dict[Run, Run] = {}
    for run in sorted(runs, key=lambda run: run.args.zero_shot):
        if run.args.is_training and run.args.task_name == "long_term_forecast":
            other = trained.setdefault(identity(vars(run.args), ZERO_SHOT), run)
            if other is not run and run.args.zero_shot:
                tests[run] = run.as_test_of(other)
    for run in runs:
        if run.parent in tests:
            run.parent = tests[run.parent].parent
    return [tests.get(run, run) for run in runs]


def _items(content: Mapping) -> list:
    items = content.get("runs")
    if not isinstance(items, list) or not items:
        raise UserError("there are no runs: give [[runs]] with a script or options")
    return items


def _table(content: object, known: set[str], what: str) -> dict:
    """Check that `content` is a table with known keys alone."""
    if not isinstance(content, dict):
        raise UserError(f"{what} is no table of names and values")
    unknown = sorted(content.keys() - known)
    if unknown:
        raise UserError(f"{unknown[0]} is unknown: use {', '.join(sorted(known))}")
    return content


def _seeds(table: Mapping, what: str) -> list[int]:
    seeds = table.get("seeds", [])
    if not isinstance(seeds, list) or not all(type(s) is int and 0 <= s < 2**31 for s in seeds):
        raise UserError(f"seeds of {what}: give a list of integers from 0 to {2**31 - 1}")
    return seeds


def _strings(table: Mapping, key: str, *, alone: bool = False) -> list[str]:
    """The strings of an entry; none where it is missing. `alone`: one need not be in a list."""
    if key not in table:
        return []
    value = [table[key]] if alone and isinstance(table[key], str) else table[key]
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise UserError(f"{key}: give {'a string or ' if alone else ''}a list of strings")
    return value


def _joined(value: object) -> str:
    """Write the value of a variable of a script as its words."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _words(text: object, values: Mapping[str, object], what: str) -> list[str]:
    """Split options into words, with `values` in place of `{names}`."""
    if not isinstance(text, str):
        raise UserError(f"{what}: give them as one string, as on a command line")
    try:
        return shlex.split(_filled(text, values))
    except ValueError as error:
        raise UserError(f"{what}: {error}") from error


def _filled(text: str, values: Mapping[str, object]) -> str:
    """Replace `{name}` by its value."""

    def value(match: re.Match) -> str:
        if match[1] not in values:
            raise UserError(f"{match[0]}: no such name in matrix")
        return str(values[match[1]])

    return re.sub(r"\{(\w+)\}", value, text)
