"""Names of models in a table, with what tells runs of one model apart."""

import itertools
from collections.abc import Sequence

from utils.reporting.runs import Run

REPLACEMENTS = {  # of the blocks of GPT-2, by `--llm_ablation`
    "identity": "no blocks", "attention": "one attention layer", "transformer": "one new block",
}  # fmt: skip
RANDOM_WEIGHTS = "random weights"  # of GPT-2
OF_ITS_OWN = "of its own"  # ends notes on runs that are set apart, not left out
LOSS_WEIGHTS = ("task_w", "output_w", "feature_w")


def name_methods(runs: Sequence[Run], notes: list[str]) -> tuple[dict[Run, str], set[str]]:
    """Name the model of each run, with what tells it from other runs of that model.

    Args:
        runs: of one table. notes: gets a line for each run that is not a usual one.

    Returns:
        The names, and those that only stray runs of a cell have.
    """
    names = {run: base_name(run) for run in runs}
    stray = set()

    def split(scope: str, options: Sequence[str] | None) -> None:
        """Tell runs apart that have the same name in a scope and differ in `options`."""
        scopes: dict[tuple, list[Run]] = {}
        for run in runs:
            scopes.setdefault((names[run], *scope_of(run, scope)), []).append(run)
        for (name, *where), group in scopes.items():
            chosen = options or sorted(set().union(*(run.configuration for run in group)))
            values = {o: {repr(run.configuration.get(o)) for run in group} for o in chosen}
            unlike = [option for option in chosen if len(values[option]) > 1]
            if not unlike:
                continue
            usual = _most_usual(group, unlike)
            for run in group:
                other = [o for o in unlike if run.configuration.get(o) != usual.get(o)]
                if other:
                    shown = ", ".join(f"{o} {run.configuration.get(o)}" for o in other)
                    against = ", ".join(f"{usual.get(o)}" for o in other)
                    names[run] = f"{name} ({shown})".replace(") (", ", ")
                    if scope == "cell":
                        stray.add(names[run])
                    place = " ".join(filter(None, where))
                    notes.append(
                        f"{run.folder}: {shown}, where the usual runs of {name}"
                        f"{f' on {place}' if place else ''} have {against}: "
                        f"in a column {OF_ITS_OWN}"
                    )

    split("table", ("backbone", "zero_shot"))
    split("dataset", LOSS_WEIGHTS)
    split("cell", None)
    return names, stray


def scope_of(run: Run, scope: str) -> tuple[str, ...]:
    """The part of a table that a run belongs to."""
    return {"table": (), "dataset": (run.dataset,), "cell": (run.dataset, run.horizon)}[scope]


def base_name(run: Run) -> str:
    """Name a model with the variants that make it another one."""
    used = run.configuration
    variants = [RANDOM_WEIGHTS] if run.weights == "random" else []
    if (ablation := used.get("llm_ablation", "none")) not in ("none", "random"):
        variants.append(REPLACEMENTS.get(ablation, f"llm_ablation {ablation}"))
    words = "random" if used.get("word_embedding_path") == "random" else used.get("words", "pca")
    if words != "pca":
        variants.append(f"words {words}")
    return f"{run.model} ({', '.join(variants)})" if variants else run.model


def _most_usual(runs: Sequence[Run], options: Sequence[str]) -> dict[str, object]:
    """The values of `options` in runs whose commands replace the fewest of them; of equally many
    those of most runs, then those of the earliest."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr([run.configuration.get(o) for o in options]), []).append(run)

    def order(group: list[Run]) -> tuple:
        return (
            min(_replacements(run, options) for run in group),
            -len(group),
            min(str(run.record.get("started", "")) for run in group),
            group[0].folder,
        )

    chosen = min(groups.values(), key=order)[0].configuration
    return {option: chosen.get(option) for option in options}


def _replacements(run: Run, options: Sequence[str]) -> int:
    """How often the command of a run gives one of `options` again, with another value: behind the
    name of a script, to replace its setting."""
    words = str(run.record.get("command", "")).replace("=", " ").split()
    count = 0
    for option in options:
        values = [value for name, value in itertools.pairwise(words) if name == f"--{option}"]
        count += sum(value != before for before, value in itertools.pairwise(values))
    return count
