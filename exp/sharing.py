"""Save forecasters, load them, and share them on the Hugging Face hub."""

import json
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from exp.checkpoint import Checkpoint, read_checkpoint, save_tensors
from exp.intervals import INTERVALS, Intervals
from exp.panel import EXTRA, ExpPanel
from utils.errors import UserError
from utils.files import require_file, whole_file
from utils.results import CHECKPOINT

if TYPE_CHECKING:
    from exp.forecaster import CALFForecaster

CONFIG, MODEL, CARD = "config.json", "model.safetensors", "README.md"
PACKAGES = ("torch", "transformers", "peft", "numpy", "pandas")


class Shared(ModelHubMixin, library_name="calf", tags=["time-series-forecasting"]):
    """Saves and loads a forecaster: `config.json`, `model.safetensors` and a model card.

    The file of the model has the trained parameters, the word embeddings and the intervals. The
    frozen backbone comes from where it came from in training; another one is an error.
    """

    def save(self, path: str | Path) -> None:
        """Write the forecaster into a folder; see `save_pretrained`."""
        if Path(path).is_file():
            raise UserError(f"{path}: a file, not a folder; give the folder to write")
        self.save_pretrained(path)

    @classmethod
    def load(cls, path: str | Path, **options: object) -> "CALFForecaster":
        """Load what `save` or `save_pretrained` wrote, or a checkpoint of `run.py`.

        Args:
            path: a folder, or a checkpoint. options: see `from_pretrained`.

        Raises:
            UserError: there is none, it is damaged, or it needs another backbone.
        """
        path = Path(path)
        if (path / CONFIG).is_file():
            return cls.from_pretrained(path, **options)
        return cls._of_file(path / CHECKPOINT if path.is_dir() else path, {}, options)

    def _save_pretrained(self, save_directory: Path) -> None:
        run = self.trained()
        notes = run.description()
        tensors = run.objective.checkpoint_state()
        tensors |= {
            EXTRA + "mean": torch.from_numpy(run.scaling.mean),
            EXTRA + "std": torch.from_numpy(run.scaling.std),
        }
        if self.intervals is not None:
            tensors[EXTRA + "quantiles"] = self.intervals.quantiles
            tensors[EXTRA + "least"] = self.intervals.least
            notes["calibration_windows"] = self.intervals.windows
        save_tensors(save_directory / MODEL, tensors, notes)
        config = self.get_params() | {
            "model_type": "calf-forecaster",
            "backbone": notes.get("backbone"),
            "versions": {package: version(package) for package in PACKAGES},
        }
        with whole_file(save_directory / CONFIG) as part:
            part.write_text(json.dumps(config, indent=2, default=str) + "\n")
        with whole_file(save_directory / CARD) as part:
            part.write_text(model_card(self, notes))

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        config: dict | None = None,
        **options: object,
    ) -> "CALFForecaster":
        if Path(model_id).is_dir():
            path = Path(model_id) / MODEL
        else:
            try:
                path = Path(
                    hf_hub_download(
                        model_id,
                        MODEL,
                        revision=revision,
                        cache_dir=cache_dir,
                        force_download=force_download,
                        local_files_only=local_files_only,
                        token=token,
                    )
                )
            except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError) as error:
                text = str(error).partition("\n")[0]
                raise UserError(f"{model_id}: no forecaster there: {text}") from error
        given = {
            name: value for name, value in options.items() if (config or {}).get(name) != value
        }
        return cls._of_file(path, config or {}, given)

    @classmethod
    def _of_file(cls, path: Path, config: dict, options: dict) -> "CALFForecaster":
        """Make a forecaster of a file of tensors.

        Args:
            config: of `config.json`; empty for a checkpoint of `run.py`.
            options: replace those of the training, such as `use_gpu=False` or `llm="folder"`.
        """
        require_file(path, "give the folder of save_pretrained, or a checkpoint of run.py")
        checkpoint = read_checkpoint(path)
        trained = checkpoint.metadata.get("arguments")
        if trained is None or trained.get("task_name") != "long_term_forecast":
            raise UserError(f"{path}: not a forecaster, nor a checkpoint of a forecast by run.py")
        if trained["features"] == "MS":
            raise UserError(f"{path}: trained with --features MS: forecast by run.py --do_predict")
        own = cls.parameter_names()
        params = {name: config[name] for name in own if name in config}
        params |= {"h": trained["pred_len"], "input_size": trained["seq_len"]}
        params |= {"model": trained["model"], "seed": trained["seed"]}
        chosen = {name: value for name, value in config.items() if name in trained}
        forecaster = cls(**params | chosen | options)
        args = Namespace(**vars(forecaster.arguments()) | trained)
        for name, value in forecaster.options.items():
            setattr(args, name, value)
        args.is_training, args.checkpoint = 0, str(path)
        args.given = sorted({*trained.get("given", []), *forecaster.options} - {"use_gpu"})
        with forecaster.output(), TemporaryDirectory(prefix="forecaster-") as folder:
            args.checkpoints = folder
            forecaster.run = ExpPanel(args, Path(folder), saved=checkpoint)
        found = _intervals(checkpoint)
        forecaster.intervals = found and found.in_unit(torch.from_numpy(forecaster.run.scaling.std))
        return forecaster


def _intervals(checkpoint: Checkpoint) -> Intervals | None:
    """Read the intervals of a file, or those that a run wrote beside it, if there are any."""
    state, beside = checkpoint.state, checkpoint.path.with_name(INTERVALS)
    if EXTRA + "quantiles" not in state:
        return Intervals.load(beside) if beside.is_file() else None
    windows = checkpoint.metadata["calibration_windows"]
    return Intervals(state[EXTRA + "quantiles"], state[EXTRA + "least"], windows)


def model_card(forecaster: "CALFForecaster", notes: dict) -> str:
    """Write the model card: data, settings, scores, backbone and whose weights."""
    epoch, backbone = notes.get("epoch") or {}, notes.get("backbone")
    lines = ["---", "library_name: calf", "tags:", "- time-series-forecasting", "---", ""]
    lines += [f"# {forecaster.model}: {forecaster.h} steps from {forecaster.input_size}", ""]
    lines += ["## Data", "", notes["data"], "", "## Backbone", ""]
    if backbone:
        lines.append(
            f"`{backbone['llm']}`, {backbone['llm_weights']} weights"
            + (f" (seed {backbone['seed']})" if backbone["llm_weights"] == "random" else "")
            + f", fingerprint `{backbone['fingerprint'][:16]}`. It is not in this folder: it is "
            "loaded from there, and compared."
        )
    else:
        lines.append("None.")
    lines += ["", "## Scores", ""]
    if epoch.get("validation") is not None:
        lines.append(
            f"Validation MSE {epoch['validation']:.4f} in epoch {epoch['epoch']} (the series "
            "standardised by their training rows)."
        )
    else:
        lines.append("Without validation rows there is no score.")
    if forecaster.intervals is not None:
        lines.append(
            f"Intervals: split conformal, {forecaster.intervals.windows} validation windows."
        )
    settings = {n: v for n, v in forecaster.get_params().items() if v is not None}
    lines += ["", "## Settings", "", "| parameter | value |", "|---|---|"]
    lines += [f"| `{name}` | `{value}` |" for name, value in settings.items()]
    lines += [
        "", "## Use", "", "```python", "from exp.forecaster import CALFForecaster", "",
        'forecaster = CALFForecaster.from_pretrained("this folder")',
        "forecast = forecaster.predict(df)", "```", "",
    ]  # fmt: skip
    return "\n".join(lines)
