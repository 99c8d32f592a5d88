"""Finished runs, read from `run.json`, and folders that hold none."""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from utils.errors import UserError
from utils.results import MANIFEST, configuration

RECORD = "run.json"
# entries that the report needs; a dot leads into an entry
NUMBERS = ("seed", "training_seconds", "test.windows", "test.seconds", "parameters.trained")
TEXTS = ("setting", "protocol", "model", "task", "command")
MAPPINGS = ("scores", "arguments", "data")


@dataclass(frozen=True)
class Kind:
    """A kind of table.

    Attributes:
        title: its heading. metrics: shown, the main one first. column: heading of the horizons.
        higher_is_better: whether a larger score is the better one.
    """

    title: str
    metrics: tuple[str, ...]
    column: str = "horizon"
    higher_is_better: bool = False


FORECASTS = ("mse", "mae")
KINDS = {
    "long_term": Kind("Long-term forecasting", FORECASTS),
    "few_shot": Kind("Few-shot forecasting", FORECASTS),
    "zero_shot": Kind("Zero-shot forecasting", FORECASTS),
    "short_term": Kind("Short-term forecasting (M4)", ("smape", "mase", "owa"), "frequency"),
    "imputation": Kind("Imputation", FORECASTS, "mask rate"),
    "anomaly": Kind("Anomaly detection", ("f1", "precision", "recall"), "", True),
    "classification": Kind("Classification", ("accuracy",), "", True),
}
KIND_OF_TASK = {
    "long_term_forecast": "long_term",
    "short_term_forecast": "short_term",
    "imputation": "imputation",
    "anomaly_detection": "anomaly",
    "classification": "classification",
}
# of a repetition, in the name of its folder: `SETTING` or `SETTING_DIGEST`
ITERATION = re.compile(r"_gpt\d+_(\d+)(?:_[0-9a-f]{8})?$")
# names of files whose data sets the paper calls otherwise
KNOWN_FILES = {"national_illness": "illness"}


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Attributes:
        folder: with `run.json` and the arrays. record: what `run.json` says.
    """

    folder: Path
    record: Mapping

    @property
    def arguments(self) -> Mapping:
        """The options of the run."""
        return self.record["arguments"]

    @property
    def trained_with(self) -> Mapping:
        """The options of the training, which may have been another run."""
        return self.record.get("trained_with") or self.arguments

    @property
    def model(self) -> str:
        return self.record["model"]

    @property
    def protocol(self) -> str:
        return self.record["protocol"]

    @property
    def seed(self) -> int:
        """The seed of the training, also where another run has trained the model."""
        trained = self.record.get("trained_with")
        if not trained:
            return self.record["seed"]
        iteration = ITERATION.search(Path(str(self.record.get("checkpoint"))).parent.name)
        return trained["seed"] + (int(iteration[1]) if iteration else 0)

    @property
    def scores(self) -> Mapping[str, float]:
        return self.record["scores"]

    @property
    def is_trained(self) -> bool:
        """Whether the model has trained parameters; naive ones have none."""
        return self.record["parameters"]["trained"] > 0

    @property
    def percent(self) -> int:
        """Percentage of the training rows."""
        return self.trained_with.get("percent", 100)

    @property
    def source(self) -> str:
        """The data set of the training."""
        return dataset_name(self.trained_with)

    @property
    def target(self) -> str:
        """The data set of the test."""
        given = self.arguments
        return given["target_data"] if given.get("zero_shot") else dataset_name(given)

    @cached_property
    def kind(self) -> str:
        """A key of `KINDS`."""
        kind = KIND_OF_TASK[self.record["task"]]
        if kind != "long_term":
            return kind
        if self.arguments.get("zero_shot") or self.source != self.target:
            return "zero_shot"
        return "few_shot" if self.percent < 100 else "long_term"

    @cached_property
    def dataset(self) -> str:
        """The data set as tables name it; `SOURCE->TARGET` in zero-shot forecasting."""
        return f"{self.source}->{self.target}" if self.kind == "zero_shot" else self.target

    @cached_property
    def horizon(self) -> str:
        """The horizon, or what takes its place: frequency, mask rate, or nothing."""
        option = {"short_term": "seasonal_patterns", "imputation": "mask_rate"}
        option |= dict.fromkeys(("long_term", "few_shot", "zero_shot"), "pred_len")
        return f"{self.arguments[option[self.kind]]}" if self.kind in option else ""

    @property
    def look_back(self) -> int | None:
        """The look-back; None where the data determine it (M4, classification)."""
        fixed = self.kind in ("short_term", "classification")
        return None if fixed else self.arguments["seq_len"]

    @property
    def weights(self) -> str:
        """`random` or `pretrained` weights of GPT-2; empty for models without one."""
        given, described = self.trained_with, self.record.get("backbone") or {}
        if "llm" not in given.get("model_options", ()) and not described:
            return ""
        weights = described.get("llm_weights", given.get("llm_weights", "pretrained"))
        return "random" if given.get("llm_ablation") == "random" else weights

    @property
    def backbone(self) -> str:
        """Which weights of a GPT-2 the model is built on: `random`, `pre-trained` with a
        fingerprint, or `none` where other layers replace its blocks; empty for models without."""
        if self.weights and self.trained_with.get("llm_ablation", "none") not in ("none", "random"):
            return "none"
        if self.weights in ("", "random"):
            return self.weights
        described = self.record.get("backbone") or {}
        return f"pre-trained {described.get('fingerprint', '')[:8]}".strip()

    @cached_property
    def configuration(self) -> Mapping[str, object]:
        """The options and data that determine the results, without the seed.

        Paths are left out: the hashes of the data count.
        """
        given, ours = self.arguments, dict(configuration(self.arguments, self.trained_with))
        away = {"seed", "root_path", "data_path", "word_embedding_path", "llm", "model"}
        if not given.get("zero_shot"):
            away.add("target_data")
        for option, task in (("mask_rate", "imputation"), ("anomaly_ratio", "anomaly_detection")):
            if self.record["task"] != task:
                away.add(option)
        options = {}
        for name, value in ours.items():  # those of the training follow, and count
            option = name.removeprefix("trained ")
            if option not in away and (self.is_trained or name == option):
                options[option] = value
        for name in ("features", "seq_len", "label_len", "embed"):
            options[name] = given.get(name)
        words = self.trained_with.get("word_embedding_path")
        if self.backbone:
            options["word_embedding_path"] = Path(words).name if words else None
            options["backbone"] = self.backbone
        options["data"] = self.fingerprint[:8]
        return options

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data: of the file, or of the sorted hashes of several."""
        from hashlib import sha256

        hashes = sorted({file["sha256"] for file in self.record["data"].values()})
        return hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest()

    def array(self, name: str) -> Path:
        """The file of an array of the results."""
        return self.folder / f"{name}.npy"

    @property
    def has_arrays(self) -> bool:
        """Whether forecasts or truth are there; published records come without."""
        return any(self.array(name).exists() for name in ("pred", "true"))

    def pictures(self) -> list[Path]:
        """The plots of the run, the shortest names, of the first windows, first."""
        plots = self.folder.parent.parent / "test_results" / self.folder.name
        return sorted(plots.glob("*.png"), key=lambda path: (len(path.name), path.name))


def dataset_name(options: Mapping) -> str:
    """Name the data set of a run's options: `--data`, or its file or folder for custom ones."""
    data = options["data"]
    if data == "custom":
        stem = Path(options["data_path"]).stem
        return KNOWN_FILES.get(stem, stem)
    return Path(options["root_path"]).name if data == "UEA" else data


def read_runs(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Read every finished run in `folders` and the folders in them.

    Returns:
        The runs, sorted by folder, and a line for each folder whose run can't be used.

    Raises:
        UserError: a folder does not exist.
    """
    runs, problems = {}, []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; run.py writes results to results/")
        for name, inner, files in os.walk(folder):
            inner.sort()
            path = Path(name)
            if path.resolve() in runs:
                continue
            if RECORD in files:
                try:
                    runs[path.resolve()] = read_run(path)
                except UserError as error:
                    problems.append(str(error))
            elif MANIFEST in files or any(file.endswith(".npy") for file in files):
                problems.append(f"{path}: no {RECORD}: the run has not finished; start it again")
    return sorted(runs.values(), key=lambda run: str(run.folder)), problems


def read_run(folder: Path) -> Run:
    """Read the run of a folder.

    Raises:
        UserError: `run.json` is damaged, of an earlier version, or without finite scores.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text())
        if not isinstance(record, dict):
            raise ValueError
    except (ValueError, OSError, RecursionError):
        raise UserError(f"{path}: damaged; run it again with --overwrite") from None
    needed = [(NUMBERS, (int, float)), (TEXTS, str), (MAPPINGS, dict)]
    for entries, kind in needed:
        for entry in entries:
            value = record
            for part in entry.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, bool) or not isinstance(value, kind):
                raise UserError(
                    f"{path}: no entry {entry}: made by an earlier version, or not by run.py"
                )
    run = Run(folder, record)
    try:
        metrics = KINDS[run.kind].metrics
        placed = (run.dataset, run.horizon, run.look_back, run.configuration, run.percent, run.seed)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        placed = None
    if placed is None:
        raise UserError(f"{path}: entries arguments, data or task are damaged; run it again")
    if not run.scores:
        raise UserError(f"{path}: a forecast without a test: no scores")
    main = run.scores.get(metrics[0])
    shown = [run.scores[name] for name in metrics if name in run.scores]
    if main is None or not all(_is_finite(score) for score in shown):
        raise UserError(f"{path}: {metrics[0]} or another score is not a finite number")
    return run


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
