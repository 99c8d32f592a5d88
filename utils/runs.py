"""Finished runs as a frame, one row each, of `run.json` files or a `runs.csv`."""

import gzip
import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import pandas as pd

from utils.errors import UserError
from utils.files import whole_file
from utils.identity import RECORD, configuration
from utils.option_table import OWN_OPTIONS, PUBLISHED_OPTIONS
from utils.results import TRAINING

RUNS, EPOCHS, STEPS = "runs.csv", "epochs.csv.gz", "steps.csv.gz"
# the columns of runs.csv: in front of the scores, and behind them
BACKBONE = "backbone weights fingerprint published_file words".split()
WHAT = (
    *"run task kind model dataset horizon seed look_back percent protocol features units".split(),
    *(*BACKBONE, "settings", "trained_by"),
)
SPENT = (
    *"parameters windows channels training_seconds test_seconds memory_mb device threads".split(),
    *"versions data commit started finished summary command".split(),
)
NUMBERS = (
    *"seed look_back percent parameters windows channels threads".split(),
    *"training_seconds test_seconds memory_mb".split(),
)
FORECASTS = ("long_term", "few_shot", "zero_shot")
KIND_OF_TASK = {"short_term_forecast": "short_term", "anomaly_detection": "anomaly"}
# the option that takes the place of the horizon
ROW_OPTION = {"short_term": "seasonal_patterns", "imputation": "mask_rate"}
KNOWN_FILES = {"national_illness": "illness"}  # whose data sets the paper calls otherwise
# options that have columns of their own, or name files, whose contents count
APART = (
    *"seed root_path data_path llm llm_weights model protocol percent".split(),
    *"word_embedding_path words features seq_len experiment".split(),
)
# of the options of `run.py`, but of --task_loss, which depends on model and task
DEFAULTS = {
    name: default
    for options in (PUBLISHED_OPTIONS | OWN_OPTIONS).values()
    for name, _, default, _ in options
    if name != "task_loss"
}
ITERATION = re.compile(r"_gpt\d+_(\d+)(?:_[0-9a-f]{8})?$")  # of a repetition, in its folder


def read_runs(folders: Iterable[Path]) -> tuple[pd.DataFrame, list[str]]:
    """Read the runs in folders, which must exist, at any depth; of runs with the same name the
    newest: a row for each, with its folder as `source`; and a line for each unusable run."""
    rows, frames, problems = [], [], []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; run.py writes results to results/")
        for path in sorted(folder.rglob(RECORD)):
            try:
                record = json.loads(path.read_text())
                if "forecast_from" in record:  # which scored nothing
                    continue
                rows.append(row_of(record, path.parent.name) | {"source": str(path.parent)})
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                problems.append(f"{path}: damaged, or without scores")
        for path in sorted(folder.rglob(RUNS)):
            frames.append(read_csv(path).assign(source=str(path.parent)))
    frames.append(pd.DataFrame(rows, columns=None if rows else [*WHAT, *SPENT, "source"]))
    return newest(pd.concat(frames)), problems


def newest(runs: pd.DataFrame) -> pd.DataFrame:
    """Sort runs, and keep the one that finished last of those with the same name."""
    runs = runs.sort_values(["run", "finished"], kind="stable")
    return runs.drop_duplicates("run", keep="last").reset_index(drop=True)


def row_of(record: Mapping, folder: str) -> dict[str, object]:
    """Make the row of a run, of its `run.json` and the name of its folder. A damaged record raises
    errors of Python, and a score that is not finite a `ValueError`."""
    given, test, spent = record["arguments"], record["test"], record.get("peak_memory_mb") or {}
    trained, seed = record.get("trained_with") or given, record["seed"]
    checkpoint = Path(str(record.get("checkpoint"))).parent.name
    if trained is not given:
        iteration = ITERATION.search(checkpoint)
        seed = trained["seed"] + (int(iteration[1]) if iteration else 0)
    kind, percent = record["task"], trained.get("percent", 100)
    source = dataset_name(trained)
    target = given["target_data"] if given.get("zero_shot") else dataset_name(given)
    if kind == "long_term_forecast":
        is_transfer = given.get("zero_shot") or source != target
        kind = "zero_shot" if is_transfer else "few_shot" if percent < 100 else "long_term"
    kind = KIND_OF_TASK.get(kind, kind)
    option = "pred_len" if kind in FORECASTS else ROW_OPTION.get(kind)
    hashes = sorted({file["sha256"] for file in record["data"].values()})
    scores = {**record["scores"], **interval_scores(record.get("intervals"))}
    if not scores or not all(map(math.isfinite, scores.values())):
        raise ValueError("scores")
    return {
        "run": folder,
        "task": record["task"],
        "kind": kind,
        "model": record["model"],
        "dataset": f"{source}->{target}" if kind == "zero_shot" else target,
        "horizon": str(given[option]) if option else "",
        "seed": seed,
        "look_back": None if kind in ("short_term", "classification") else given["seq_len"],
        "percent": percent,
        "protocol": record["protocol"],
        "features": given.get("features", "M"),
        "units": "original" if test.get("original_units") else "standardised",
        **backbone_of(record, trained),
        "settings": settings_of(given, trained, record["parameters"]["trained"] > 0),
        "trained_by": checkpoint if not given["is_training"] and trained is not given else "",
        **scores,
        "parameters": record["parameters"]["trained"],
        "windows": test["windows"],
        "channels": test.get("channels"),
        "training_seconds": record["training_seconds"],
        "test_seconds": test.get("seconds"),
        "memory_mb": spent.get("device") or spent.get("host"),
        "device": record.get("device", ""),
        "threads": record.get("threads"),
        "versions": ", ".join(f"{k} {v}" for k, v in (record.get("versions") or {}).items()),
        "data": hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest(),
        "commit": record.get("commit") or "",
        "started": record.get("started", ""),
        "finished": record.get("finished", ""),
        "summary": json.dumps(record["summary"]) if record.get("summary") else "",
        "command": record["command"],
    }


def dataset_name(options: Mapping) -> str:
    """Name the data set of a run's options: `--data`, or its file or folder for custom ones."""
    data = options["data"]
    if data == "custom":
        stem = Path(options["data_path"]).stem
        return KNOWN_FILES.get(stem, stem)
    return Path(options["root_path"]).name if data == "UEA" else data


def backbone_of(record: Mapping, trained: Mapping) -> dict[str, str]:
    """Make the columns of the language model; empty for models without one."""
    described = record.get("backbone") or {}
    if not described and "llm" not in trained.get("model_options", ()):
        return dict.fromkeys(BACKBONE, "")
    weights = described.get("llm_weights", trained.get("llm_weights", "pretrained"))
    if trained.get("llm_ablation") == "random":
        weights = "random"
    name = Path(described.get("llm", trained["llm"])).name
    width = (record.get("config") or {}).get("d_model", trained.get("d_model", 768))
    is_published = (described.get("file") or {}).get("is_published_gpt2", False)
    return {
        "backbone": name if name != "gpt2" or width == 768 else f"{name} of width {width}",
        "weights": weights,
        "fingerprint": described.get("fingerprint", "")[:16],
        "published_file": "yes" if is_published and weights != "random" else "no",
        "words": record.get("word_embeddings") or "",
    }


def settings_of(given: Mapping, trained: Mapping, is_trained: bool) -> str:
    """Write the options that determine the results of a run, and of its training if `is_trained`:
    a command line without defaults and those with columns of their own."""
    options = {}
    for name, value in configuration(given, trained).items():  # those of the training follow
        if is_trained or not name.startswith("trained "):
            options[name.removeprefix("trained ")] = value
    options |= {name: given.get(name) for name in ("label_len", "embed")}
    away = {*APART, *(() if given.get("zero_shot") else ("target_data",))}
    kept = {n: str(v) for n, v in options.items() if n not in away and v != DEFAULTS.get(n)}
    return shlex.join(word for name in sorted(kept) for word in (f"--{name}", kept[name]))


def interval_scores(entry: Mapping | None) -> dict[str, float]:
    """Name coverage in %, width and pinball loss of prediction intervals by level."""
    scores = {}
    for suffix, one in (("", entry), (", recalibrated", (entry or {}).get("recalibrated"))):
        for number, level in enumerate(entry["levels"] if one else ()):
            scores[f"{level:g} % coverage{suffix}"] = 100 * one["coverage"][number]
            scores[f"{level:g} % width{suffix}"] = one["width"][number]
            scores[f"{level:g} % pinball{suffix}"] = one["pinball"][number]
    return scores


def read_csv(path: Path) -> pd.DataFrame:
    """Read a `runs.csv`; a `UserError` if it is damaged."""
    try:
        text = {name: str for name in (*WHAT, *SPENT) if name not in NUMBERS}
        runs = pd.read_csv(path, dtype=text)
        return runs.assign(**{name: runs[name].fillna("") for name in text})
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{path}: damaged; restore it, for instance by git checkout") from error


def write_runs(folder: Path, runs: pd.DataFrame) -> None:
    """Write runs into a folder as `runs.csv`, with their epochs and errors by step; the same runs
    give the same bytes."""
    runs = runs.sort_values("run")
    epochs, steps = epochs_of(runs), steps_of(runs)
    columns = [*WHAT, *(name for name in runs if name not in (*WHAT, *SPENT, "source")), *SPENT]
    table = runs[columns].dropna(axis="columns", how="all").convert_dtypes()
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / RUNS) as part:
        table.reindex(columns=columns).to_csv(part, index=False)
    for name, frame, digits in ((EPOCHS, epochs, 8), (STEPS, steps, 4)):
        if len(frame):
            text = frame.to_csv(index=False, float_format=f"%.{digits}g").encode()
            with whole_file(folder / name) as part:
                part.write_bytes(gzip.compress(text, mtime=0))


def epochs_of(runs: pd.DataFrame) -> pd.DataFrame:
    """The epochs of runs: `run`, `epoch`, training loss and its terms, validation and test scores,
    learning rate, seconds, and `best`, 1 for the epoch whose model was tested."""

    def of_record(record: Mapping) -> list[dict]:
        names = ("epoch", "train", "validation", "test", "learning_rate", "seconds")
        best = (record.get("best_epoch") or {}).get("epoch")
        return [
            {name: epoch.get(name) for name in names}
            | (epoch.get("losses") or {})
            | {"best": int(epoch["epoch"] == best)}
            for epoch in record.get("epochs") or []
        ]

    return _beside(runs, EPOCHS, of_record)


def steps_of(runs: pd.DataFrame) -> pd.DataFrame:
    """The MSE of forecasts by step of the horizon: `run`, `step` and `mse`."""

    def of_record(record: Mapping) -> list[dict]:
        errors = ((record.get("errors") or {}).get("by_step") or {}).get("mse") or []
        return [{"step": step, "mse": error} for step, error in enumerate(errors, 1)]

    return _beside(runs[runs["kind"].isin(FORECASTS)], STEPS, of_record)


def _beside(
    runs: pd.DataFrame, name: str, of_record: Callable[[Mapping], list[dict]]
) -> pd.DataFrame:
    """Collect from the records of runs, or from the files of this name beside `runs.csv`."""
    frames = [pd.DataFrame(columns=["run"])]
    for source, of_source in runs.groupby("source"):
        record, table = Path(source) / RECORD, Path(source) / name
        if record.exists():
            found = json.loads(record.read_text())
            frame = pd.DataFrame(of_record(found | found.get(TRAINING, {})))
            frame.insert(0, "run", of_source["run"].iloc[0])
        else:
            frame = pd.read_csv(table) if table.exists() else frames[0]
        frames.append(frame[frame["run"].isin(of_source["run"])])
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    found = pd.concat(frames).infer_objects()  # numbers, where a record lacks some
    return found.sort_values([*frames[0].columns[:2]], ignore_index=True)
