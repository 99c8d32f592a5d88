"""The paper's claims, and what the runs of a report say about each."""

from collections.abc import Iterable, Sequence

from utils.reporting.methods import RANDOM_WEIGHTS, REPLACEMENTS, base_name
from utils.reporting.published import Published
from utils.reporting.tables import Row, Table
from utils.reporting.verdicts import MODEL, RIVALS, Comparisons, Verdict, compare

RANDOM = f"{MODEL} ({RANDOM_WEIGHTS})"
ALIGNMENT = ("output_w", "feature_w")  # loss weights
# which of them are above 0
LOSSES = {"the output loss": (True, False), "the feature loss": (False, True), "both": (True, True)}
MATTERS = "The language model matters:"  # which others deny
NO_WEIGHTS = "needs GPT-2's weights"


def plain(table: Table, model: str = MODEL) -> str | None:
    """The method that is the model in its usual options: with pre-trained weights if there is one,
    else with random weights."""
    names = [name for name in table.methods if is_plain(name, model)]
    return min(names, key=len, default=None)


def is_plain(method: str, model: str = MODEL) -> bool:
    """Whether a method is the model itself, on any weights."""
    return method in (model, f"{model} ({RANDOM_WEIGHTS})")


def with_rivals(table: Table | None, rivals: Sequence[str], published: Published) -> Comparisons:
    """Compare CALF with its rivals."""
    ours, found = table and plain(table), {}
    for rival in rivals if ours else ():
        theirs = plain(table, rival)
        pairs = ((row, ours, theirs) for row in table.rows if theirs)
        found[theirs or rival] = compare(table, pairs, published, rival)
    return found


def training_of(table: Table) -> str:
    """What a claim must say of how CALF was trained in its usual options, in commas."""
    ours = plain(table)
    runs = table.of(ours) if ours else []
    if runs and not any(run.configuration.get(w) for run in runs for w in ALIGNMENT):
        return ", without alignment losses,"
    if table.conditions.kind == "zero_shot" and not any(r.trained_with["zero_shot"] for r in runs):
        return ", with the models of the long-term table,"
    return ""


def losses(tables: Iterable[Table]) -> Comparisons:
    """Compare CALF with and without its alignment losses."""
    found = {}
    for table in tables:
        by_row: dict[Row, dict[tuple, str]] = {}
        ours = plain(table)
        if not ours:
            continue
        for (row, method), runs in table.runs.items():
            run = next(iter(runs.values()))
            if base_name(run) == ours and method not in table.stray:
                used = tuple(run.configuration[name] > 0 for name in ALIGNMENT)
                by_row.setdefault(row, {})[used] = method
        for name, used in LOSSES.items():
            pairs = [
                (row, methods[used], methods[False, False])
                for row, methods in sorted(by_row.items())
                if {used, (False, False)} <= methods.keys()
            ]
            found[f"with {name}, {_setting(table)}"] = compare(table, pairs)
    return found


def blocks(tables: Iterable[Table]) -> Comparisons:
    """Compare CALF's GPT-2 with what replaces its blocks."""
    found = {}
    for table in tables:
        ours = plain(table)
        if not ours:
            continue
        weights = table.of(ours)[0].weights
        for method in table.methods:
            run = table.of(method)[0]
            ablation = run.configuration.get("llm_ablation")
            if run.model == MODEL and ablation in REPLACEMENTS and run.weights == weights:
                theirs = base_name(run)
                pairs = ((row, ours, theirs) for row in table.rows)
                name = f"against {REPLACEMENTS[ablation]}, {_setting(table)}"
                found[name] = compare(table, pairs)
    return found


def pretraining(tables: Iterable[Table]) -> Comparisons:
    """Compare CALF on GPT-2's weights with CALF on random ones."""
    found = {}
    for table in tables:
        if {MODEL, RANDOM} <= set(table.methods):
            pairs = ((row, MODEL, RANDOM) for row in table.rows)
            found[f"against random weights, {_setting(table)}"] = compare(table, pairs)
    return found


def _setting(table: Table) -> str:
    return table.kind.title.lower().removesuffix(" forecasting")


def judge(tables: Sequence[Table], published: Published) -> list[Verdict]:
    """Judge the paper's claims by the tables of a report.

    Only the sound protocol, at the published look-back, counts.
    """
    sound = [
        table
        for table in tables
        if table.conditions.protocol == "sound" and published.setting(table)
    ]
    settings = {published.setting(table): table for table in sound}

    def ahead(setting: str, claim: str) -> Verdict:
        table = settings.get(setting)
        found = with_rivals(table, RIVALS, published)
        how = training_of(table) if table else ""
        return Verdict(f"{claim}{how} ahead of {' and '.join(RIVALS)}", found)

    forecasts = [settings[name] for name in ("long_term", "few_shot_10") if name in settings]
    return [
        ahead("long_term", "CALF on all training rows"),
        ahead("few_shot_10", "CALF on 10 % of the training rows"),
        ahead("zero_shot", "CALF on data sets that it was not trained on"),
        ahead("short_term", "CALF on M4"),
        Verdict("Each alignment loss lowers the error", losses(forecasts)),
        Verdict(f"{MATTERS} blocks of GPT-2 lower the error", blocks(forecasts)),
        Verdict(f"{MATTERS} pre-training lowers the error", pretraining(forecasts), NO_WEIGHTS),
    ]
