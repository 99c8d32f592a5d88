"""The model card of a forecaster: data, backbone and licence, scores, intervals, how to load."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData, try_to_load_from_cache

from utils.checkpoint import Checkpoint
from utils.files import CHECKPOINT
from utils.naive import TITLES
from utils.results import read_record

CARD = "README.md"
# licences of language models without a card at hand: by hub id, and of the folder that
# `datasets/download.py smollm2` makes
FOLDERS = {"smollm2-135m": "apache-2.0"}
LICENCES = {
    **dict.fromkeys(("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"), "mit"),
    "distilgpt2": "apache-2.0",
}


def scores_of(checkpoint: Checkpoint) -> dict[str, dict]:
    """Return the notes about scores of a checkpoint of `run.py`, from the test of its run, if there
    was one: `scores` by model and `coverage` by level in %, each `on` what."""
    folder = checkpoint.path.resolve().parent
    is_of_run = checkpoint.path.name == CHECKPOINT
    record = read_record(folder.parent.parent / "results" / folder.name) if is_of_run else None
    if record is None or "test" not in record:
        return {}
    unit = "in original units" if record["test"]["original_units"] else "standardised"
    on = f"{record['test']['windows']:,} test windows, {unit}"
    scores = {record["model"]: record["scores"], **record.get("baselines", {})}
    found = {"scores": {"on": on, "scores": scores}}
    if intervals := record.get("intervals"):
        levels = [f"{level:g}" for level in intervals["levels"]]
        covered = dict(zip(levels, intervals["coverage"], strict=True))
        found["coverage"] = {"on": on, "levels": covered}
    return found


def licence_of(llm: str) -> str | None:
    """Return the licence of a language model: that of its model card, in its folder or in the hub's
    cache, or a known one; None if neither tells."""
    path = Path(llm) / CARD
    if not Path(llm).exists():
        with suppress(ValueError):  # no id of the hub
            found = try_to_load_from_cache(llm, CARD)
            path = Path(found) if isinstance(found, str) else path
    if path.is_file():
        with suppress(ValueError):  # no metadata that can be read
            return ModelCard.load(path).data.license
        return None
    if Path(llm).exists():
        return FOLDERS.get(Path(llm).name)
    return LICENCES.get(llm.removeprefix("openai-community/").removeprefix("distilbert/"))


def model_card(notes: Mapping, params: Mapping[str, object], name: str) -> ModelCard:
    """Write the model card, by the notes of the checkpoint (about scores as `scores_of` returns
    them) and the parameters of the forecaster; `name` is the hub id or folder to load it from."""
    backbone = notes.get("backbone")
    trained_on = backbone if backbone and backbone["llm_weights"] != "random" else None
    licence = trained_on and licence_of(trained_on["llm"])
    hub_id = trained_on["llm"] if trained_on and not Path(trained_on["llm"]).exists() else None
    data = ModelCardData(
        library_name="calf",
        pipeline_tag="time-series-forecasting",
        tags=["time-series-forecasting"],
        base_model=hub_id,
        license=licence,
    )
    lines = [
        f"# {params['model']}: {params['h']} steps from {params['input_size']}", "",
        "## Data", "", notes["about"], "",
        "## Backbone", "", describe_backbone(backbone, licence), "",
        *scores(notes),
        "## Use", "", "```python",
        "from exp.forecaster import CALFForecaster",
        f'forecaster = CALFForecaster.from_pretrained("{name}")',
        "forecast = forecaster.predict(df)",
        "```", "",
        "## Settings", "", "| parameter | value |", "|---|---|",
        *(f"| `{key}` | `{value}` |" for key, value in params.items() if value is not None),
    ]  # fmt: skip
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n")


def describe_backbone(backbone: Mapping | None, licence: str | None) -> str:
    """Describe the language model, its weights and their licence."""
    if not backbone:
        return "None."
    weights, place = backbone["llm_weights"], backbone["llm"]
    if weights == "random":
        text = f"`{place}`, random weights (seed {backbone['seed']}), which nobody licenses"
    else:
        terms = f"licence `{licence}`" if licence else "its licence is not known here"
        text = f"`{place}`, {weights} weights, {terms}"
    return (
        f"{text}; fingerprint `{backbone['fingerprint'][:16]}`. It is not in this folder: it is "
        "loaded from there, and compared."
    )


def scores(notes: Mapping) -> Iterator[str]:
    """Yield the lines of the sections about scores and intervals; none of what is unknown."""
    if found := notes.get("scores"):
        yield from ("## Scores", "", f"On {found['on']}.", "")
        yield from _table(found["scores"])
    if found := notes.get("coverage"):
        yield from ("## Prediction intervals", "", f"On {found['on']}.", "")
        yield from ("| level | covered |", "|---:|---:|")
        yield from (f"| {level} % | {part:.1%} |" for level, part in found["levels"].items())
        yield ""


def _table(found: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
    names = [name for name in ("mse", "mae") if all(name in one for one in found.values())]
    lines = ["| | " + " | ".join(map(str.upper, names)) + " |", "|---" * (1 + len(names)) + "|"]
    for model, one in found.items():
        season = f" ({one['season']} steps)" if "season" in one else ""
        cells = " | ".join(f"{one[name]:.4g}" for name in names)
        lines.append(f"| {TITLES.get(model, model)}{season} | {cells} |")
    return [*lines, ""]
