"""A forecaster's parameters by name, and its files: `config.json` and `model.safetensors`, beside
its model card."""

import inspect
import json
from copy import copy
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import pandas as pd
import torch
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from data_provider.panel import Panel, Reading, Table
from data_provider.timestamps import Clock
from exp.exp_long_term_forecasting import ExpLongTermForecasting, InMemory
from exp.forecasts import INTERVAL_PARTS, intervals_of
from exp.intervals import Intervals
from exp.model_card import CARD, model_card, scores_of
from utils.checkpoint import OWN, Checkpoint, read_checkpoint, save_tensors
from utils.errors import UserError, first_line
from utils.files import CHECKPOINT, find_llm, require_file, whole_file, written
from utils.option_table import TABLES

CONFIG, MODEL = "config.json", "model.safetensors"
WHEN_KNOWN = ("past", "future")  # of a table; so are their tensors named
ZONES = ("tz", "fixed")  # of a clock
OPTION_NAMES = {  # what parameters call options
    "pred_len": "h",
    "seq_len": "input_size",
    "past_covariates": "hist_exog_list",
    "future_covariates": "futr_exog_list",
}
# the options that are parameters
PARAMETERS = (*OPTION_NAMES, *"model seed panel fill_missing duplicates dayfirst".split())
PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas")


class SharedForecaster(ModelHubMixin):
    """The part of a forecaster that lists its parameters, and saves, loads and shares it.

    Attributes:
        run: the trained run; None before the training.
        intervals: from the validation windows, if there were any.
        history: the last rows of the series that were trained on, if they were saved.
        table_options: how a table is read.
    """

    run: ExpLongTermForecasting | None = None
    intervals: Intervals | None = None
    history: Panel | None = None
    saves_series = False

    # Parameters, by scikit-learn's conventions

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Names of the parameters that are not options of `run.py`."""
        signature = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in signature if p.name != "self" and p.kind != p.VAR_KEYWORD]

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the parameters by name, as scikit-learn's estimators do."""
        return {name: getattr(self, name) for name in self.parameter_names()} | self.options

    def set_params(self, **params: object) -> Self:
        """Change parameters; the next `fit` uses them."""
        changed = type(self)(**self.get_params() | params)
        for name in (*self.parameter_names(), "options"):
            setattr(self, name, getattr(changed, name))
        return self

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({values})"

    # Files

    def trained(self) -> ExpLongTermForecasting:
        """Return the trained run; raises a `UserError` if there is none yet."""
        if self.run is None:
            raise UserError("this forecaster is not trained yet: call fit, load or from_pretrained")
        return self.run

    def save(self, path: str | Path, save_dataset: bool = True) -> None:
        """Write the forecaster into a folder, with the last rows of its series.

        Args:
            save_dataset: False leaves the series out, as `save_pretrained` and `push_to_hub` do.
        """
        if Path(path).is_file():
            raise UserError(f"{path}: a file, not a folder; give the folder to write")
        self._sharing(save_dataset).save_pretrained(path)

    def push_to_hub(self, repo_id: str, *, save_dataset: bool = False, **options: object) -> str:
        """Upload to the Hugging Face hub; without the series unless `save_dataset`. The options are
        those of `ModelHubMixin.push_to_hub`."""
        options["model_card_kwargs"] = {"name": repo_id} | (options.get("model_card_kwargs") or {})
        return ModelHubMixin.push_to_hub(self._sharing(save_dataset), repo_id, **options)

    def _sharing(self, series: bool) -> Self:
        """Return a copy whose `save_pretrained` writes the series, or not."""
        other = copy(self)
        other.saves_series = series
        return other

    @classmethod
    def load(cls, path: str | Path, **options: object) -> Self:
        """Load what `save` or `save_pretrained` wrote, or a checkpoint of `run.py`.

        Args:
            path: a folder, or a checkpoint.
            options: replace those of the training, such as `use_gpu=False` or `llm="folder"`.

        Raises:
            UserError: there is none, it is damaged, or it needs another backbone.
        """
        path = Path(path)
        if (path / CONFIG).is_file():
            return cls.from_pretrained(path, **options)
        return cls._of_checkpoint(read_model(path), {}, options)

    def generate_model_card(self, name: str = "this folder") -> ModelCard:
        """Write the model card; `name` is the hub id to load the forecaster by."""
        run = self.trained()
        tested = scores_of(run.checkpoint) if run.checkpoint else {}
        return model_card(run.notes() | tested, self.get_params(), name)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the trained parameters, the word embeddings and the intervals, the parameters of
        the forecaster, and perhaps the series. The frozen backbone comes from where it came from in
        training; another one is an error."""
        run, intervals = self.trained(), self.intervals
        (save_directory / CARD).unlink(missing_ok=True)  # of an earlier model
        notes, own = run.notes(), {}
        if intervals is not None:
            own |= {name: getattr(intervals, name) for name in INTERVAL_PARTS}
            notes["calibration_windows"] = intervals.windows
        if self.saves_series and self.history is not None:
            tensors, notes["history"] = stored(self.history)
            own |= tensors
        own = {f"{OWN}{name}": tensor for name, tensor in own.items() if tensor is not None}
        save_tensors(save_directory / MODEL, run.objective.checkpoint_state() | own, notes)
        config = self.get_params() | {
            "model_type": "calf-forecaster",
            "backbone": notes.get("backbone"),
            "versions": {package: version(package) for package in PACKAGES},
        }
        with whole_file(save_directory / CONFIG) as part:
            part.write_text(json.dumps(config, indent=2, default=written) + "\n")

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, config: dict | None = None, **options: object
    ) -> Self:
        hub = "revision cache_dir force_download local_files_only token".split()
        hub = {name: options.pop(name) for name in hub}
        path, config = Path(model_id), config or {}
        if not path.is_dir():
            try:
                path = Path(hf_hub_download(model_id, MODEL, **hub))
            except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError) as error:
                why = first_line(error)
                raise UserError(f"{model_id}: no forecaster there: {why}") from error
        given = {name: value for name, value in options.items() if config.get(name) != value}
        return cls._of_checkpoint(read_model(path), config, given)

    @classmethod
    def _of_checkpoint(cls, checkpoint: Checkpoint, config: dict, options: dict) -> Self:
        """Make a forecaster of a trained model; `config` of `config.json` is empty for a checkpoint
        of `run.py`, `options` replace those of the training."""
        trained = checkpoint.metadata["arguments"]
        if "llm" in trained:
            llm = {"llm": find_llm(trained["llm"], checkpoint.path)}
            trained, config = trained | llm, config | (llm if "llm" in config else {})
        params = {name: config[name] for name in cls.parameter_names() if name in config}
        params |= {
            OPTION_NAMES.get(name, name): trained.get(name)
            for name in PARAMETERS
            if name != "panel"
        }
        if trained.get("calendar"):
            params["calendar"] = True
        params |= {name: value for name, value in config.items() if name in trained}
        forecaster = cls(**params | options)
        forecaster.table_options = {
            name: trained[name] for name in TABLES if trained.get(name) is not None
        }
        args, names = forecaster.configuration(), forecaster.options
        own = {name: getattr(args, name) for name in names} | {
            "given": sorted({*trained.get("given", []), *names} - {"use_gpu"}),
            "is_training": 0,
            "checkpoint": str(checkpoint.path),
        }
        with forecaster.output(), TemporaryDirectory(prefix="forecaster-") as folder:
            forecaster.run = ExpLongTermForecasting(
                args.replace(**trained | own | {"checkpoints": folder}),
                memory=InMemory(),
                root=Path(folder),
                checkpoint=checkpoint,
            )
        forecaster.intervals, history = intervals_of(checkpoint), series_of(checkpoint)
        if history is not None and "freq" in options:
            history = replace(history, reading=replace(history.reading, freq=options["freq"]))
        forecaster.history = history
        return forecaster


def read_model(path: Path) -> Checkpoint:
    """Read a saved model, or a checkpoint of a forecast by `run.py`, or that in a folder."""
    if path.is_dir():
        path = path / (MODEL if (path / MODEL).is_file() else CHECKPOINT)
    require_file(path, "give the folder of save_pretrained, or a checkpoint of run.py")
    checkpoint = read_checkpoint(path)
    trained = checkpoint.metadata.get("arguments")
    if trained is None or trained.get("task_name") != "long_term_forecast":
        raise UserError(f"{path}: not a forecaster, nor a checkpoint of a forecast by run.py")
    return checkpoint


def stored(panel: Panel) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Return dates, values and covariates of the tables of a panel, one below the other; and what
    else a panel has, in JSON."""
    tables, parts = panel.tables, {"values": panel.tables}
    for when in WHEN_KNOWN:
        if getattr(tables[0], when) is not None:  # of the rows of the series alone
            parts[when] = [getattr(t, when).rows(slice(len(t.dates))) for t in tables]
    arrays = {"dates": np.concatenate([table.dates.as_unit("ns").asi8 for table in tables])}
    arrays |= {name: np.concatenate([t.values for t in found]) for name, found in parts.items()}
    clock, reading = vars(panel.clock), asdict(panel.reading)
    notes = {
        "rows": [len(table.dates) for table in tables],
        "units": [table.dates.unit for table in tables],
        "ids": [[written(name) for name in table.ids] for table in tables],
        "covariates": {w: [part.ids for part in parts[w]] for w in WHEN_KNOWN if w in parts},
        "names": [written(name) for name in panel.names],
        "pooled": panel.pooled,
        "long": panel.long,
        "clock": clock | {name: clock[name] and str(clock[name]) for name in ZONES},
        "reading": reading | {"freq": reading["freq"] and written(reading["freq"])},
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, notes


def series_of(checkpoint: Checkpoint) -> Panel | None:
    """Read the series of a file, if it has them."""
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
