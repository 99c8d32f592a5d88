"""Methods compared row by row, and verdicts on what they claim."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from utils.reporting.published import Published
from utils.reporting.tables import M4_ORDER, Row, Table

REPRODUCED, PARTLY, UNTESTED = "reproduced", "in part", "untested"
NOT_REPRODUCED = "not reproduced"
ONE_SEED = 0.01  # of the error: what one seed cannot tell apart
MODEL, RIVALS = "CALF", ("PatchTST", "GPT4TS")
ENOUGH = 3  # seeds
NO_RUNS = "no runs yet"
Pairs = Iterable[tuple[Row, str, str]]


@dataclass(frozen=True)
class Known:
    """What the paper says of a comparison.

    Attributes:
        rows: of the paper. shared: those of them that ours are of.
        ours, published: means of both errors over the shared rows; None if the paper gives none.
    """

    rows: int
    shared: int
    ours: tuple[float, float] | None = None
    published: tuple[float, float] | None = None


@dataclass(frozen=True)
class Comparison:
    """Errors of a method and another in the rows that both have.

    Attributes:
        better, worse: number of rows in which the first has the smaller or the larger error by more
            than two standard errors of the difference over seeds, of one seed also by more than
            ONE_SEED of the error.
        rows: their number. means: of both errors over the rows. seeds: the fewest in a row.
        unit: what a row is. known: of the paper; None if it does not compare the two by rows.
    """

    better: int
    worse: int
    rows: int
    means: tuple[float, float]
    seeds: int
    unit: tuple[str, str] = ("row", "rows")
    known: Known | None = None

    @property
    def verdict(self) -> str:
        """Reproduced: better in most rows and worse in none; not reproduced: better in half of them
        or fewer."""
        if 2 * self.better <= self.rows:
            return NOT_REPRODUCED
        return PARTLY if self.worse else REPRODUCED

    @property
    def is_preliminary(self) -> bool:
        """Whether it is of fewer than three seeds, or of less than half of the paper's rows."""
        few = self.known is not None and 2 * self.known.shared < self.known.rows
        return few or self.seeds < ENOUGH

    @property
    def counts(self) -> str:
        """The rows as `better/worse/all`."""
        return f"{self.better}/{self.worse}/{self.rows}"

    def __str__(self) -> str:
        rows = f"{self.rows} {self.unit[self.rows != 1]}"
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        text = f"better in {self.better} and worse in {self.worse} of {rows}, {seeds}; mean "
        text += _against(self.means)
        if self.known is None:
            return text
        known, of_paper = self.known, f"of the paper's {self.known.rows} {self.unit[1]}"
        if known.published is None:
            return f"{text}; {known.shared} {of_paper}"
        if known.shared == self.rows:
            return f"{text}, published {_against(known.published)}; {known.shared} {of_paper}"
        return (
            f"{text}; in {known.shared} {of_paper} {_against(known.ours)}, published "
            f"{_against(known.published)}"
        )


def _against(pair: tuple[float, float]) -> str:
    return "{:.3f} against {:.3f}".format(*pair)


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a claim.

    Attributes:
        claim: in words. found: the comparisons that it was judged by.
        without: why there is none.
    """

    claim: str
    found: "Comparisons"
    without: str = NO_RUNS

    @property
    def made(self) -> dict[str, Comparison]:
        """The comparisons that have runs."""
        return {name: comparison for name, comparison in self.found.items() if comparison}

    @property
    def verdict(self) -> str:
        """`reproduced`, `in part`, `not reproduced` or `untested`: the comparisons must all be
        there and support the claim."""
        verdicts = {comparison.verdict for comparison in self.made.values()}
        if not verdicts:
            return UNTESTED
        verdict = verdicts.pop() if len(verdicts) == 1 else PARTLY
        return PARTLY if verdict == REPRODUCED and len(self.made) < len(self.found) else verdict

    @property
    def is_preliminary(self) -> bool:
        """Whether a comparison is preliminary, or has no runs."""
        few = any(comparison.is_preliminary for comparison in self.made.values())
        return bool(self.made) and (few or len(self.made) < len(self.found))

    @property
    def in_words(self) -> str:
        """The verdict, and whether it is preliminary."""
        return f"{self.verdict}, preliminary" if self.is_preliminary else self.verdict

    @property
    def evidence(self) -> list[str]:
        """The comparisons in words; or why there are none."""
        parts = [f"{name}: {comparison}" for name, comparison in self.made.items()]
        if lacking := [name for name in self.found if name not in self.made]:
            parts.append(f"{NO_RUNS}: {'; '.join(lacking)}")
        return parts or [self.without]

    @property
    def reasons(self) -> str:
        """The evidence as sentences."""
        return " ".join(f"{part[:1].upper()}{part[1:]}." for part in self.evidence)

    @property
    def brief(self) -> str:
        """The claim and the verdict, with the numbers of rows of each comparison."""
        claim, settings = self.claim, {}
        for name, comparison in self.made.items():
            rival, (what, _, setting) = name.partition(" (")[0], name.partition(", ")
            if rival in RIVALS:
                claim = claim.replace(rival, f"{rival} ({comparison.counts})")
            else:
                what = what.removeprefix("with ").removeprefix("against ").removeprefix("the ")
                settings.setdefault(setting, []).append(f"{what} {comparison.counts}")
        parts = [f"{setting}: {', '.join(found)}" for setting, found in settings.items()]
        parts = parts or ([] if self.made else self.evidence)
        return f"{claim}: **{self.in_words}**" + (f" ({'; '.join(parts)})" if parts else "")


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
    means, better, worse, seeds = {}, 0, 0, []
    for row, *methods in pairs:
        both = [table.summary(row, method, metric) for method in methods]
        if None in both:
            continue
        means[row] = [summary.mean for summary in both]
        seeds += [summary.n for summary in both]
        margin = 2 * sqrt(sum((summary.deviation or 0) ** 2 / summary.n for summary in both))
        if any(summary.n == 1 for summary in both):
            margin = max(margin, ONE_SEED * both[1].mean)
        difference = sign * (both[0].mean - both[1].mean)
        better, worse = better + (difference < -margin), worse + (difference > margin)
    if not means:
        return None
    name = table.kind.column.replace("horizon", "row") or "row"
    return Comparison(
        better=better,
        worse=worse,
        rows=len(means),
        means=_mean(means.values()),
        seeds=min(seeds),
        unit=(name, name.replace("y", "ie") + "s"),
        known=_known(table, means, published, rival) if published else None,
    )


def _known(
    table: Table, means: Mapping[Row, Sequence[float]], published: Published, rival: str
) -> Known | None:
    """What the paper says of the rows of a comparison; None if it has none of such rows."""
    setting, metric = published.setting(table), table.kind.metrics[0]
    scores = published.rows(setting, (MODEL, rival), metric)
    if setting == "short_term":  # of frequencies the paper has averages alone
        return Known(len(M4_ORDER), len(means))
    shared = [row for row in means if row in scores]
    if not scores:
        return None
    if not shared:
        return Known(len(scores), 0)
    ours, theirs = ([of[row] for row in shared] for of in (means, scores))
    return Known(len(scores), len(shared), _mean(ours), _mean(theirs))


def _mean(pairs: Iterable[Sequence[float]]) -> tuple[float, float]:
    return tuple(np.mean(list(pairs), axis=0).tolist())
