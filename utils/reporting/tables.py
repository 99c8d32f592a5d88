"""Group runs into tables, name their methods, and average over seeds."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utils.errors import UserError
from utils.files import file_name
from utils.m4_summary import GROUPS, OTHERS, average_of_runs
from utils.runs import DEFAULTS, FORECASTS, SPENT, WHAT

# the paper's order; other data sets follow in alphabetical order
ORDER = "ETTm1 ETTm2 ETTh1 ETTh2 weather electricity traffic illness exchange_rate".split()
MODELS = "CALF TimeLLM GPT4TS PatchTST iTransformer TimesNet DLinear".split()
M4_ORDER = GROUPS["Average"]
AVERAGE = "average"
CONDITIONS = ["kind", "percent", "protocol", "look_back", "features", "units", "amp"]
PLACE = ["dataset", "horizon", "method"]
LOSS_WEIGHTS = ("task_w", "output_w", "feature_w")
BACKBONES = {"gpt2": "GPT-2", "smollm2-135m": "SmolLM2-135M"}
RANDOM_WORDS = re.compile(r"random \(seed \d+\), variances of (\S+) .*")  # whatever the seed
KNOWN_WEIGHTS = {
    "97a832b6405fcca8": "pre-trained, 4-bit weights",  # six blocks of SmolLM2
    "041e1cd610fb0461": "pre-trained, 4-bit weights",  # the same with --r 0
    "0257ebaa4b5a6a26": "pre-trained, 4-bit weights",  # with frozen norms
    "8e9619a63124601d": "pre-trained, 4-bit weights",  # three blocks
    "3f9f1890e87ac99e": "pre-trained, 4-bit weights",  # twelve blocks
    "e3b0c44298fc1c14": "nothing frozen",
}
REPLACEMENTS = {  # of the language model's blocks, by `--llm_ablation`
    "identity": "no blocks", "attention": "one attention layer", "transformer": "one new block",
    "frozen_norms": "norms frozen",
}  # fmt: skip
TITLES = {"short_term": "Short-term forecasting (M4)", "anomaly": "Anomaly detection"} | {
    kind: f"{kind.replace('_', '-').capitalize()} forecasting" for kind in FORECASTS
}
METRICS = {
    "short_term": ("smape", "mase", "owa"),
    "anomaly": ("f1", "precision", "recall"),
    "classification": ("accuracy",),
}
COLUMNS = {"short_term": "frequency", "imputation": "mask rate"} | dict.fromkeys(
    FORECASTS, "horizon"
)
HIGHER = ("f1", "precision", "recall", "accuracy")  # are better
LOWER = ("mse", "mae", "rmse", "smape", "mase", "owa")
PUBLISHED = Path(__file__).resolve().parents[2] / "datasets" / "published_results.csv"
PUBLISHED_LOOK_BACK = 96
PUBLISHED_HORIZONS = {"96", "192", "336", "720"}  # of averages


class Row(NamedTuple):
    """A row of a table: data set and horizon; or frequency, mask rate, or `average` for it."""

    dataset: str
    horizon: str


class Summary(NamedTuple):
    """Mean and standard deviation (ddof 1; None for one seed) of a score over `n` seeds."""

    mean: float
    deviation: float | None
    n: int


class Table:
    """Runs of one kind under the same conditions.

    Args:
        runs: with `method`, the name of the model with its settings, and `usual`, the method in the
            usual settings.
        metrics: to show; by default those of the kind. order: of methods; by default CALF, the
            other trained models, naive ones.

    Attributes:
        kind: such as `few_shot`. title: of the kind. heading: conditions, such as `look-back 96`.
        slug: the same as a name for files.
        metrics: shown, the main one first. labels: headings of data set and horizon, if there are
            any horizons. cells: runs by seed, by row and method. parts: the rows that each row
            averages, by row, an average behind its parts; itself alone if it is none.
    """

    def __init__(self, runs: pd.DataFrame, metrics: Sequence[str] = (), order: Sequence[str] = ()):
        self.runs, self.order, first = runs, order, runs.iloc[0]
        self.kind, self.protocol, self.amp = first["kind"], first["protocol"], first["amp"]
        self.title = TITLES.get(self.kind, self.kind.replace("_", " ").capitalize())
        words = in_words(first)
        self.heading = f"{words[0][:1].upper()}{', '.join(words)[1:]}"
        slug = "_".join((self.kind, *words)).replace("%", "percent").replace(" ", "_")
        self.slug = file_name(slug)
        self.metrics = tuple(metrics) or metrics_of(self.kind, runs)
        self.labels = ["data set", *filter(None, [COLUMNS.get(self.kind)])]
        self.cells = {
            (Row(*key[:2]), key[2]): of_cell.set_index("seed")
            for key, of_cell in runs.groupby(PLACE)
        }
        self.rows = sorted({row for row, _ in self.cells}, key=row_order)
        self.parts = {}
        for name in dict.fromkeys(row.dataset for row in self.rows):
            rows = [row for row in self.rows if row.dataset == name]
            self.parts |= {row: [row] for row in rows}
            if self.kind == "short_term":
                if {row.horizon for row in rows} == set(M4_ORDER):
                    others = [row for row in rows if row.horizon in OTHERS]
                    self.parts |= {Row(name, "Others"): others, Row(name, AVERAGE): rows}
            elif len(rows) > 1:
                self.parts[Row(name, AVERAGE)] = rows
        if len(self.labels) == 1 and len(self.rows) > 1:
            self.parts[Row(AVERAGE, "")] = self.rows

    @cached_property
    def methods(self) -> list[str]:
        """The methods, sorted."""
        first = self.runs.drop_duplicates("method").set_index("method")

        def key(method: str) -> tuple:
            run = first.loc[method]
            rank = MODELS.index(run["model"]) if run["model"] in MODELS else len(MODELS)
            place = self.order.index(method) if method in self.order else len(self.order)
            return place, run["parameters"] == 0, rank, run["model"], run["usual"] != method, method

        return sorted(first.index, key=key)

    def of(self, method: str) -> pd.DataFrame:
        """The runs of a method."""
        return self.runs[self.runs["method"] == method]

    def seeds(self, method: str) -> int:
        """The largest number of seeds in a row of the method."""
        return max(len(cell) for (_, name), cell in self.cells.items() if name == method)

    def summary(self, row: Row, method: str, metric: str) -> Summary | None:
        """Mean over seeds of a score; None without runs, or if a part of an average lacks them.

        An average whose parts have different seeds is the mean of their means, without deviation.
        """
        parts = [self.cells.get((part, method)) for part in self.parts.get(row, [row])]
        if any(part is None for part in parts) or metric not in self.runs:
            return None
        seeds = sorted(set(parts[0].index))
        if all(sorted(part.index) == seeds for part in parts):
            of_seed = [self.score(row, [p.loc[seed] for p in parts], metric) for seed in seeds]
            deviation = float(np.std(of_seed, ddof=1)) if len(seeds) > 1 else None
            mean = float(np.mean(of_seed))
            return None if np.isnan(mean) else Summary(mean, deviation, len(seeds))
        if self.kind == "short_term":
            return None
        mean = float(np.mean([part[metric].mean() for part in parts]))
        return Summary(mean, None, min(map(len, parts)))

    def score(self, row: Row, runs: Sequence[pd.Series], metric: str) -> float:
        """The score of one run, or the average of several, for M4 as the competition does."""
        if self.kind == "short_term" and len(runs) > 1:
            group = "Average" if row.horizon == AVERAGE else row.horizon
            return average_of_runs(runs, group, metric)
        return float(np.mean([run[metric] for run in runs]))

    def published(self, row: Row, method: str) -> pd.DataFrame:
        """Published results of the method's model on a row, see `published_results`, by metric; of
        averages only over the same horizons, of variants and of controls (another backbone's random
        or shuffled weights, replaced blocks) none."""
        found, run = published_results(), self.of(method).iloc[0]
        like = run["units"] == "standardised" and run["features"] == "M" and self.kind != "anomaly"
        like &= run["usual"] == method and run["weights"] != "shuffled"
        like &= "llm_ablation" not in run["settings"]
        like &= run["weights"] != "random" or run["backbone"] == "gpt2"
        setting = self.kind if run["percent"] == 100 else f"{self.kind}_{run['percent']:g}"
        horizons, is_average = {part.horizon for part in self.parts[row]}, row.horizon == AVERAGE
        if is_average and horizons not in (PUBLISHED_HORIZONS, set(M4_ORDER)):
            return found.iloc[:0]
        key = (setting, row.dataset, "avg" if is_average else row.horizon, run["model"])
        like &= pd.isna(run["look_back"]) or run["look_back"] == PUBLISHED_LOOK_BACK
        return found.loc[key] if like and key in found.index else found.iloc[:0]

    def marks(self, row: Row, metric: str) -> dict[str, str]:
        """Mark the `best` and the `second` method of a row, ties included, as three decimals
        show."""
        found = {m: self.summary(row, m, metric) for m in self.methods}
        shown = {m: round(summary.mean, 3) for m, summary in found.items() if summary}
        if len(shown) < 2 or metric not in HIGHER + LOWER:
            return {}
        places = sorted(set(shown.values()), reverse=metric in HIGHER)[:2]
        names = dict(zip(places, ("best", "second"), strict=False))
        return {m: names[value] for m, value in shown.items() if value in names}


@cache
def published_results() -> pd.DataFrame:
    """Read the published results: `value`, `checked_twice` and `source` by setting, data set,
    horizon, model and metric."""
    keys = ["setting", "dataset", "horizon", "model", "metric"]
    found = pd.read_csv(PUBLISHED, dtype={"horizon": str}).set_index(keys).sort_index()
    return found[["value", "checked_twice", "source"]].astype({"value": float})


def metrics_of(kind: str, runs: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of a kind of table; of an unknown one MSE and MAE, or else the first two."""
    apart = {*WHAT, *SPENT, "source", "method", "usual"}
    scores = runs.dropna(axis="columns", how="all").columns.difference(apart, sort=False)
    known = METRICS.get(kind, ("mse", "mae"))
    if set(known) <= set(scores):
        return known
    return tuple(name for name in scores if "%" not in name)[:2]


def in_words(run: pd.Series) -> tuple[str, ...]:
    """The conditions of a run, for a heading."""
    look_back = run["look_back"]
    return (
        *((f"{run['percent']:g} % of the training rows",) if run["percent"] < 100 else ()),
        *((f"look-back {look_back:g}",) if pd.notna(look_back) else ()),
        f"protocol {run['protocol']}",
        *((f"features {run['features']}",) if run["features"] != "M" else ()),
        *(("original units",) if run["units"] == "original" else ()),
        *((f"products in {run['amp']}",) if run["amp"] != "no" else ()),
    )


def row_order(row: Row) -> tuple:
    """Sort key of rows: data sets as in the paper, horizons by size, frequencies as in M4."""
    source, _, target = row.dataset.partition("->")
    names = tuple((ORDER.index(n) if n in ORDER else len(ORDER), n) for n in (source, target))
    in_m4 = row.horizon in M4_ORDER
    return names, M4_ORDER.index(row.horizon) if in_m4 else float(row.horizon or 0)


def make_tables(
    runs: pd.DataFrame,
    metrics: Sequence[str] = (),
    models: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> list[Table]:
    """Group runs into tables, one for each set of conditions, with these metrics, and models in
    this order, which must exist; `names` are other names of models.

    Of runs with equal options and seed the last one counts. Naive forecasts do not depend on the
    seed: one run of each counts.
    """
    runs = runs.assign(amp=[settings(run).get("amp", "no") for _, run in runs.iterrows()])
    groups = [group for _, group in runs.groupby(CONDITIONS, dropna=False)]
    named = pd.concat([name_methods(group) for group in groups]).sort_values("finished")
    for old, new in (names or {}).items():
        require(old, named, "--rename")
        for column in ("method", "usual"):
            is_named = (named["model"] == old) | (named[column] == old)
            renamed = named[column].str.replace(old, new, regex=False)
            named[column] = renamed.where(is_named, named[column])
        models = [new if model == old else model for model in models]
    order: list[str] = []
    for model in models:
        order += require(model, named, "--models")
    for metric in metrics:
        if metric not in runs.select_dtypes("number"):
            raise UserError(f"--metric {metric}: no run has such a score")
    named = named[named["method"].isin(order)] if order else named
    seeded = named["seed"].where(named["parameters"] > 0, 0)
    named = named.assign(seed=seeded).drop_duplicates([*CONDITIONS, *PLACE, "seed"], keep="last")
    tables = [Table(g, metrics, order) for _, g in named.groupby(CONDITIONS, dropna=False)]
    kinds = [*FORECASTS, *METRICS]

    def key(table: Table) -> tuple:
        rank = kinds.index(table.kind) if table.kind in kinds else len(kinds)
        percent = table.runs["percent"].iloc[0]
        return rank, table.kind, -percent, table.protocol != "sound", -len(table.runs), table.slug

    return sorted(tables, key=key)


def require(name: str, named: pd.DataFrame, option: str) -> list[str]:
    """Return the methods with this name, or of the model with this name; a `UserError` if there
    are none."""
    found = named.loc[(named["method"] == name) | (named["model"] == name), "method"].unique()
    if not len(found):
        known = ", ".join(sorted(named["method"].unique()))
        raise UserError(f"{option} {name}: no such model; there are {known}")
    return sorted(found)


def name_methods(runs: pd.DataFrame) -> pd.DataFrame:
    """Name the method of each run: model, backbone, and settings that are not the usual ones.

    Runs that differ only by seed have the same name. The usual settings are those whose commands
    replace the fewest options of a script (as `sh scripts/… --batch_size 64` does), then those of
    most runs, then the earliest.
    """
    runs = runs.reset_index(drop=True)
    rows = [run for _, run in runs.iterrows()]
    given = pd.DataFrame(map(settings, rows))
    options = sorted({*given, "llm_ablation", "zero_shot", *LOSS_WEIGHTS, "scale_free"})
    given = (
        given.reindex(columns=options)
        .astype(object)
        .fillna({o: str(DEFAULTS.get(o)) for o in options})
    )
    names = pd.Series(map(base_name, rows, given["llm_ablation"]))

    def split(scope: Sequence[str], chosen: Sequence[str]) -> None:
        """Add to equal names in a scope those of the chosen options that differ."""
        for _, group in runs.assign(name=names).groupby(["name", *scope]):
            values = given.loc[group.index, chosen]
            values = values.loc[:, (values != values.iloc[0]).any()]
            if values.empty:
                continue

            def order(alike: pd.DataFrame, unlike: Sequence[str] = tuple(values)) -> tuple:
                replaced = min(_replacements(command, unlike) for command in alike["command"])
                return replaced, -len(alike), alike["started"].min(), alike.index[0]

            alike = (part for _, part in group.groupby([values[name] for name in values]))
            usual = values.loc[min(alike, key=order).index[0]]
            for i, own in values.iterrows():
                shown = ", ".join(f"{o} {own[o]}" for o in values if own[o] != usual[o])
                if shown:
                    names[i] = f"{names[i]} ({shown})".replace(") (", ", ")

    split([], ["zero_shot"])
    split(["dataset"], [*LOSS_WEIGHTS, "scale_free"])
    split(["dataset", "horizon"], options)
    plain = pd.Series(base_name(run, "none") for run in rows)
    return runs.assign(method=names, usual=plain.where(plain.isin(names), names))


def settings(run: Mapping[str, object]) -> dict[str, str]:
    """The settings of a run by option, with its data and word embeddings."""
    words = shlex.split(run["settings"])
    pairs = zip(words[::2], words[1::2], strict=True)
    found = {name.removeprefix("--"): value for name, value in pairs}
    kind = RANDOM_WORDS.sub(r"random, variances of \1", run["words"])
    return found | {"data": run["data"][:8], "word embeddings": kind}


def base_name(run: Mapping[str, object], ablation: str) -> str:
    """Name a model with its backbone, the backbone's weights, and what replaces its blocks."""
    if not run["backbone"]:
        return run["model"]
    is_published, fingerprint = run["published_file"] == "yes", run["fingerprint"]
    parts = [run["backbone"], KNOWN_WEIGHTS.get(fingerprint, f"weights {fingerprint[:8]}")]
    if run["weights"] != "pretrained":
        parts[1] = f"{run['weights']} weights"
    elif is_published:
        parts[1] = f"published file {fingerprint[:8]}"
    if is_published or run["weights"] != "pretrained" or fingerprint in KNOWN_WEIGHTS:
        parts[0] = BACKBONES.get(parts[0], parts[0])
    parts += [REPLACEMENTS.get(ablation, ablation)] if ablation not in ("none", "random") else []
    return f"{run['model']} ({', '.join(parts)})"


def _replacements(command: str, options: Iterable[str]) -> int:
    """Count how often a command repeats one of `options` with another value."""
    words = command.replace("=", " ").split()
    values = {o: [v for name, v in pairwise(words) if name == f"--{o}"] for o in options}
    return sum(a != b for given in values.values() for a, b in pairwise(given))
