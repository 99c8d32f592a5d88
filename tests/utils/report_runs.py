"""Small results folders as `run.py` leaves them, made on the spot."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np

CALF_OPTIONS = ["feature_w", "gpt_layers", "llm", "llm_weights", "output_w", "task_w"]
ETT = {"root_path": "./datasets/ETT-small/", "features": "M", "embed": "timeF", "freq": "h"}


def arguments(model: str, dataset: str = "ETTh1", horizon: int = 96, **options) -> dict:
    """The options of a run."""
    given = {
        "task_name": "long_term_forecast",
        "is_training": 1,
        "model_id": f"{dataset}_96_{horizon}",
        "model": model,
        "data": dataset,
        "data_path": f"{dataset}.csv",
        **ETT,
        "target": "OT",
        "seq_len": 96,
        "label_len": 0,
        "pred_len": horizon,
        "percent": 100,
        "zero_shot": 0,
        "target_data": "ETTm1",
        "learning_rate": 0.0005,
        "batch_size": 32,
        "seed": 2021,
        "protocol": "sound",
        "mask_rate": 0.25,
        "seasonal_patterns": "Monthly",
        "model_options": [],
        "inverse": False,
        "word_embedding_path": "wte_pca_500.pt",
    }
    if model in ("CALF", "GPT4TS"):
        given |= {"llm": "gpt2", "llm_weights": "pretrained", "model_options": CALF_OPTIONS}
        given |= {"task_w": 1.0, "feature_w": 0.01, "output_w": 1.0, "gpt_layers": 6}
    return given | options


def command(given: dict) -> str:
    """The command line of these options."""
    names = "task_name is_training model_id model data root_path data_path freq seq_len pred_len"
    return "python run.py " + " ".join(f"--{name} {given[name]}" for name in names.split())


def leave_run(
    root: Path, model: str, scores: dict | float = 0.4, digest: str = "", arrays=None, **options
) -> Path:
    """Write a results folder; returns it.

    Args:
        root: working folder. scores: or the MSE alone. digest: tells folders apart.
        arrays: `(pred, true)` `[windows, steps, channels]`.
        options: of the command line; names with `entry_` in front are entries of `run.json`.
    """
    entries = {n.removeprefix("entry_"): options.pop(n) for n in list(options) if n[:6] == "entry_"}
    given = arguments(model, options.pop("dataset", "ETTh1"), options.pop("horizon", 96), **options)
    if not isinstance(scores, dict):
        scores = {"mse": scores, "mae": scores**0.5}
    setting = f"{given['task_name']}_{given['model_id']}_{model}_{given['data']}"
    name = f"{setting}_pl{given['pred_len']}_{given['seed']}{digest}"
    folder = root / "results" / name
    folder.mkdir(parents=True)
    naive = model in ("LastValue", "SeasonalNaive")
    steps = np.linspace(0.2, 0.6, 8).tolist()
    record = {
        "setting": setting,
        "model": model,
        "task": given["task_name"],
        "protocol": given["protocol"],
        "scores": scores,
        "seed": given["seed"],
        "epochs": []
        if naive
        else [
            {
                "epoch": e,
                "train": 1 / e,
                "validation": scores.get("mse", 0.5) + 0.4 / e,
                "seconds": 2.0,
            }
            for e in (1, 2, 3)
        ],
        "training_seconds": 0 if naive else 6.0 + given["seed"] % 7,
        "parameters": {"trained": 0 if naive else 12345, "in_memory": 20000},
        "test": {"windows": 50, "channels": 7, "seconds": 0.5, "original_units": False},
        "peak_memory_mb": {"host": 512.0, "device": None},
        "errors": {"by_step": {"mse": [s * scores.get("mse", 1) for s in steps], "mae": steps}},
        "data": {f"./datasets/{given['data_path']}": {"sha256": "ab" * 32, "bytes": 9}},
        "commit": None,
        "command": command(given),
        "device": "x86_64",
        "started": f"2026-01-01T00:00:{given['seed'] % 60:02d}+00:00",
        "finished": f"2026-01-01T01:00:{given['seed'] % 60:02d}+00:00",
        "arguments": given,
        "trained_with": None,
    }
    if model == "CALF":
        weights = given["llm_weights"]
        record["backbone"] = {"llm": "gpt2", "llm_weights": weights, "fingerprint": "cd" * 32}
    (folder / "run.json").write_text(json.dumps(record | entries))
    (folder / "manifest.json").write_text("{}")
    for array, values in zip(("pred", "true"), arrays or (), strict=False):
        np.save(folder / f"{array}.npy", np.asarray(values, np.float32))
    plots = root / "test_results" / name
    plots.mkdir(parents=True)
    (plots / "0.png").write_bytes(small_png())
    return folder


def small_png() -> bytes:
    """A PNG of 8 x 8 grey pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x80" * 8 for _ in range(8)))
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def several_models(root: Path) -> None:
    """Results of four models on three data sets, two horizons and two seeds; one is missing."""
    random = np.random.default_rng(0)
    models = {"CALF": 0.38, "PatchTST": 0.39, "DLinear": 0.40, "LastValue": 0.9}
    for dataset in ("ETTh1", "ETTh2", "ETTm1"):
        for horizon in (96, 192):
            true = random.standard_normal((500, 8, 2))
            for model, error in models.items():
                if (model, dataset, horizon) == ("PatchTST", "ETTm1", 192):
                    continue
                for seed in (2021, 2022):
                    noise = random.standard_normal(true.shape) * error**0.5
                    score = float(np.mean(noise**2)) + horizon / 5000
                    leave_run(
                        root, model, score, dataset=dataset, horizon=horizon, seed=seed,
                        arrays=(true + noise, true),
                    )  # fmt: skip
