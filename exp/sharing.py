"""What a saved forecaster is: `config.json` and `model.safetensors`, beside its model card."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from data_provider.panel import Panel, Reading, Table
from data_provider.timestamps import Clock
from utils.checkpoint import Checkpoint, read_checkpoint, save_tensors
from utils.errors import UserError
from utils.files import require_file, whole_file, written
from utils.intervals import INTERVALS, Intervals
from utils.results import CHECKPOINT

if TYPE_CHECKING:
    from exp.exp_long_term_forecasting import ExpLongTermForecasting

CONFIG, MODEL = "config.json", "model.safetensors"
OWN = "forecaster."  # of tensors that are not the model's
INTERVAL_PARTS = ("quantiles", "least", "unit")  # tensors of the intervals
COVARIATES = ("past", "future")  # of a table; so are their tensors named
ZONES = ("tz", "fixed")  # of a clock
PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas")


def save_model(
    folder: Path,
    run: "ExpLongTermForecasting",
    intervals: Intervals | None,
    params: dict[str, object],
    series: Panel | None = None,
) -> None:
    """Write the trained parameters, the word embeddings and the intervals, the parameters of the
    forecaster, and the series if they are given. The frozen backbone comes from where it came from
    in training; another one is an error."""
    notes, own = run.notes(), {}
    if intervals is not None:
        own |= {name: getattr(intervals, name) for name in INTERVAL_PARTS}
        notes["calibration_windows"] = intervals.windows
    if series is not None:
        own |= tensors_of(series)
        notes["history"] = notes_of(series)
    own = {f"{OWN}{name}": tensor for name, tensor in own.items() if tensor is not None}
    save_tensors(folder / MODEL, run.objective.checkpoint_state() | own, notes)
    config = params | {
        "model_type": "calf-forecaster",
        "backbone": notes.get("backbone"),
        "versions": {package: version(package) for package in PACKAGES},
    }
    with whole_file(folder / CONFIG) as part:
        part.write_text(json.dumps(config, indent=2, default=written) + "\n")


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
    parts = {name: checkpoint.state.get(OWN + name) for name in INTERVAL_PARTS}
    if parts["quantiles"] is not None:
        return Intervals(windows=checkpoint.metadata["calibration_windows"], **parts)
    beside = checkpoint.path.with_name(INTERVALS)
    return Intervals.load(beside) if beside.is_file() else None


def covariates_of(panel: Panel) -> dict[str, list[Table]]:
    """Return the covariates of each table, of its rows alone, by when they are known."""
    found = {}
    for when in COVARIATES:
        if getattr(panel.tables[0], when) is not None:
            found[when] = [getattr(t, when).rows(slice(len(t.dates))) for t in panel.tables]
    return found


def tensors_of(panel: Panel) -> dict[str, torch.Tensor]:
    """Return dates, values and covariates of the tables of a panel, one below the other."""
    dates = np.concatenate([table.dates.as_unit("ns").asi8 for table in panel.tables])
    parts = {"values": panel.tables} | covariates_of(panel)
    rows = {name: np.concatenate([t.values for t in tables]) for name, tables in parts.items()}
    return {name: torch.from_numpy(array) for name, array in ({"dates": dates} | rows).items()}


def notes_of(panel: Panel) -> dict[str, object]:
    """Describe what a panel has beside `tensors_of`, in JSON."""
    clock, reading = vars(panel.clock), asdict(panel.reading)
    return {
        "rows": [len(table.dates) for table in panel.tables],
        "units": [table.dates.unit for table in panel.tables],
        "ids": [[written(name) for name in table.ids] for table in panel.tables],
        "covariates": {
            when: [part.ids for part in parts] for when, parts in covariates_of(panel).items()
        },
        "names": [written(name) for name in panel.names],
        "pooled": panel.pooled,
        "long": panel.long,
        "clock": clock | {name: clock[name] and str(clock[name]) for name in ZONES},
        "reading": reading | {"freq": reading["freq"] and written(reading["freq"])},
    }


def series_of(checkpoint: Checkpoint) -> Panel | None:
    """Read the series of a file, if it has them.

    Raises:
        UserError: they are not as `notes_of` describes them.
    """
    notes = checkpoint.metadata.get("history")
    if notes is None:
        return None
    try:
        ends = np.cumsum(notes["rows"])[:-1]
        covariates = notes.get("covariates", {})
        parts = {
            name: np.split(checkpoint.state[OWN + name].numpy(), ends)
            for name in ("dates", "values", *covariates)
        }
        tables = []
        for number, (unit, ids) in enumerate(zip(notes["units"], notes["ids"], strict=True)):
            dates = pd.DatetimeIndex(parts["dates"][number]).as_unit(unit)
            known = {n: Table(dates, c[number], parts[n][number]) for n, c in covariates.items()}
            tables.append(Table(dates, ids, parts["values"][number], **known))
        zones = {name: notes["clock"][name] for name in ZONES}
        zones = {name: zone and pd.Timestamp(0, tz=zone).tz for name, zone in zones.items()}
        return Panel(
            tables,
            notes["names"],
            notes["pooled"],
            Clock(**notes["clock"] | zones),
            reading=Reading(**notes["reading"]),
            long=notes["long"],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{checkpoint.path}: its series are damaged: {error}") from error
