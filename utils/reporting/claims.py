"""The paper's claims, and what the runs of a report say about each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from utils.reporting.methods import base_name
from utils.reporting.published import Published
from utils.reporting.tables import Row, Table

REPRODUCED, PARTLY, UNTESTED = "reproduced", "in part", "untested"
NOT_REPRODUCED = "not reproduced"
ONE_SEED = 0.01  # of the error: what one seed cannot tell apart
MODEL, RIVALS = "CALF", ("PatchTST", "GPT4TS")
RANDOM = f"{MODEL} (random weights)"
REPLACEMENTS = {
    "identity": "no blocks", "attention": "one attention layer", "transformer": "one new block",
}  # fmt: skip
ENOUGH = 3  # seeds
# whether the loss weights output_w and feature_w are above 0
LOSSES = {"the output loss": (True, False), "the feature loss": (False, True), "both": (True, True)}
MATTERS = "The language model matters:"  # which others deny
NO_RUNS = "no runs yet"
NO_WEIGHTS = "needs the pre-trained weights, which were not at hand"
Pairs = Iterable[tuple[Row, str, str]]


@dataclass(frozen=True)
class Comparison:
    """Errors of a method and another in the rows that both have.

    Attributes:
        better, worse: number of rows in which the first has the smaller or the larger error by more
            than two standard errors of the difference over seeds, of one seed also by more than
            ONE_SEED of the error.
        rows: their number. means: of both errors over the rows. seeds: the fewest of a trained
            model in a row.
        published: means of both over the rows for which both were published; None if there are
            none.
    """

    better: int
    worse: int
    rows: int
    means: tuple[float, float]
    seeds: int
    published: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """Reproduced: better in most rows and worse in none; not reproduced: better in half of them
        or fewer."""
        if 2 * self.better <= self.rows:
            return NOT_REPRODUCED
        return PARTLY if self.worse else REPRODUCED

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        text = f"better in {self.better} and worse in {self.worse} of {rows}, {seeds}; mean "
        text += "{:.3f} against {:.3f}".format(*self.means)
        if self.published:
            text += ", published {:.3f} against {:.3f}".format(*self.published)
        return text


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a claim.

    Attributes:
        claim: in words. verdict: `reproduced`, `in part`, `not reproduced` or `untested`.
        evidence: the comparisons in words; or why it is untested.
        preliminary: whether a comparison is of fewer than three seeds, or has no runs.
    """

    claim: str
    verdict: str
    evidence: list[str]
    preliminary: bool = False

    @classmethod
    def of(cls, claim: str, found: "Comparisons", without: str = NO_RUNS) -> "Verdict":
        """Judge a claim by comparisons, which must all be there and support it; `without` says why
        if there are none."""
        made = [comparison for comparison in found.values() if comparison]
        evidence = [f"{name}: {comparison}" for name, comparison in found.items() if comparison]
        if lacking := [name for name, comparison in found.items() if not comparison]:
            evidence.append(f"{NO_RUNS}: {'; '.join(lacking)}")
        if not made:
            return cls(claim, UNTESTED, evidence or [without])
        verdicts = {comparison.verdict for comparison in made}
        verdict = verdicts.pop() if len(verdicts) == 1 else PARTLY
        if verdict == REPRODUCED and len(made) < len(found):
            verdict = PARTLY
        few = any(comparison.seeds < ENOUGH for comparison in made)
        return cls(claim, verdict, evidence, preliminary=few or len(made) < len(found))

    @property
    def in_words(self) -> str:
        """The verdict, and whether it is preliminary."""
        return f"{self.verdict}, preliminary" if self.preliminary else self.verdict

    @property
    def reasons(self) -> str:
        """The evidence as sentences."""
        return " ".join(f"{part[:1].upper()}{part[1:]}." for part in self.evidence)


Comparisons = Mapping[str, Comparison | None]  # by what is compared; None without runs


def compare(
    table: Table, pairs: Pairs, published: Published | None = None, rival: str = ""
) -> Comparison | None:
    """Compare methods by the table's main metric.

    Args:
        pairs: of methods in a row; those without runs are left out.
        published: results of CALF and of the model `rival`.

    Returns:
        None if there is no such row.
    """
    metric, sign = table.kind.metrics[0], -1 if table.kind.higher_is_better else 1
    means, differences, margins, seeds, theirs = [], [], [], [], []
    for row, *methods in pairs:
        both = [table.summary(row, method, metric) for method in methods]
        if None in both:
            continue
        trained = [any(r.is_trained for r in table.runs[row, m].values()) for m in methods]
        means.append([summary.mean for summary in both])
        differences.append(sign * (both[0].mean - both[1].mean))
        of_row = [summary.n for summary, has in zip(both, trained, strict=True) if has]
        margin = 2 * sqrt(sum((summary.deviation or 0) ** 2 / summary.n for summary in both))
        margins.append(max(margin, ONE_SEED * both[1].mean if 1 in of_row else 0))
        seeds += of_row
        scores = published.models(table, row) if published else {}
        values = [scores.get(model, {}).get(metric) for model in (MODEL, rival)]
        if None not in values:
            theirs.append([value.value for value in values])
    if not means:
        return None
    apart = list(zip(differences, margins, strict=True))
    return Comparison(
        better=sum(difference < -margin for difference, margin in apart),
        worse=sum(difference > margin for difference, margin in apart),
        rows=len(means),
        means=tuple(np.mean(means, axis=0).tolist()),
        seeds=min(seeds, default=1),
        published=tuple(np.mean(theirs, axis=0).tolist()) if theirs else None,
    )


def plain(table: Table, model: str = MODEL) -> str | None:
    """The method that is the model in its usual options: with pre-trained weights if there is one,
    else with random weights."""
    names = [name for name in table.methods if is_plain(name, model)]
    return min(names, key=len, default=None)


def is_plain(method: str, model: str = MODEL) -> bool:
    """Whether a method is the model itself, on any weights."""
    return method in (model, f"{model} (random weights)")


def with_rivals(table: Table | None, rivals: Sequence[str], published: Published) -> Comparisons:
    """Compare CALF with its rivals."""
    ours, found = table and plain(table), {}
    for rival in rivals if ours else ():
        theirs = plain(table, rival)
        pairs = ((row, ours, theirs) for row in table.rows if theirs)
        found[theirs or rival] = compare(table, pairs, published, rival)
    return found


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
                used = tuple(run.configuration[name] > 0 for name in ("output_w", "feature_w"))
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
        for run in (r for method in table.methods for r in table.of(method)[:1] if ours):
            ablation = run.configuration.get("llm_ablation")
            if run.model == MODEL and ablation in REPLACEMENTS:
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
    return "few-shot" if table.conditions.kind == "few_shot" else table.kind.title.lower()


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
        found = with_rivals(settings.get(setting), RIVALS, published)
        return Verdict.of(f"{claim} ahead of {' and '.join(RIVALS)}", found)

    forecasts = [settings[name] for name in ("long_term", "few_shot_10") if name in settings]
    return [
        ahead("long_term", "CALF on all training rows"),
        ahead("few_shot_10", "CALF on 10 % of the training rows"),
        ahead("zero_shot", "CALF on data sets that it was not trained on"),
        ahead("short_term", "CALF on M4"),
        Verdict.of("Each alignment loss lowers the error", losses(forecasts)),
        Verdict.of(f"{MATTERS} blocks of GPT-2 lower the error", blocks(forecasts)),
        Verdict.of(
            f"{MATTERS} its pre-training lowers the error", pretraining(forecasts), NO_WEIGHTS
        ),
    ]
