"""What a saved forecaster is: `config.json` and `model.safetensors`, beside its model card."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from utils.checkpoint import Checkpoint, read_checkpoint, save_tensors
from utils.errors import UserError
from utils.files import require_file, whole_file
from utils.intervals import INTERVALS, Intervals
from utils.results import CHECKPOINT

if TYPE_CHECKING:
    from exp.exp_long_term_forecasting import ExpLongTermForecasting

CONFIG, MODEL = "config.json", "model.safetensors"
# tensors of the intervals
QUANTILES, LEAST, UNIT = (f"forecaster.{name}" for name in ("quantiles", "least", "unit"))
PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas")


def save_model(
    folder: Path,
    run: "ExpLongTermForecasting",
    intervals: Intervals | None,
    params: dict[str, object],
) -> None:
    """Write the trained parameters, the word embeddings and the intervals, and the parameters of
    the forecaster. The frozen backbone comes from where it came from in training; another one is an
    error."""
    notes, tensors = run.notes(), run.objective.checkpoint_state()
    if intervals is not None:
        tensors = tensors | {QUANTILES: intervals.quantiles, LEAST: intervals.least}
        if intervals.unit is not None:
            tensors[UNIT] = intervals.unit
        notes["calibration_windows"] = intervals.windows
    save_tensors(folder / MODEL, tensors, notes)
    config = params | {
        "model_type": "calf-forecaster",
        "backbone": notes.get("backbone"),
        "versions": {package: version(package) for package in PACKAGES},
    }
    with whole_file(folder / CONFIG) as part:
        part.write_text(json.dumps(config, indent=2, default=str) + "\n")


def find_model(name: str, **options: object) -> Path:
    """Find a saved model in a folder, or on the hub; `options` are those of `hf_hub_download`.

    Raises:
        UserError: there is none.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(hf_hub_download(name, MODEL, **options))
    except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError) as error:
        text = str(error).partition("\n")[0]
        raise UserError(f"{name}: no forecaster there: {text}") from error


def read_model(path: Path) -> Checkpoint:
    """Read a saved model, or a checkpoint of `run.py`, or that in a folder.

    Raises:
        UserError: there is none, or it is not one of a forecast.
    """
    if path.is_dir():
        path = path / (MODEL if (path / MODEL).is_file() else CHECKPOINT)
    require_file(path, "give the folder of save_pretrained, or a checkpoint of run.py")
    checkpoint = read_checkpoint(path)
    trained = checkpoint.metadata.get("arguments")
    if trained is None or trained.get("task_name") != "long_term_forecast":
        raise UserError(f"{path}: not a forecaster, nor a checkpoint of a forecast by run.py")
    return checkpoint


def intervals_of(checkpoint: Checkpoint) -> Intervals | None:
    """Read the intervals of a file, or those that a run wrote beside it, if there are any."""
    state, beside = checkpoint.state, checkpoint.path.with_name(INTERVALS)
    if QUANTILES not in state:
        return Intervals.load(beside) if beside.is_file() else None
    windows = checkpoint.metadata["calibration_windows"]
    return Intervals(state[QUANTILES], state[LEAST], windows, state.get(UNIT))
