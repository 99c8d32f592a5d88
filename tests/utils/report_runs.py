"""Small results folders as `run.py` leaves them, made on the spot."""

import json
from pathlib import Path

CALF_OPTIONS = ["feature_w", "gpt_layers", "llm", "llm_ablation", "llm_weights", "output_w",
                "task_w"]  # fmt: skip
GPT2 = {"file": {"is_published_gpt2": True}}


def arguments(model: str, dataset: str = "ETTh1", horizon: int = 96, **options) -> dict:
    """The options of a run."""
    given = {
        "task_name": "long_term_forecast",
        "is_training": 1,
        "model_id": f"{dataset}_96_{horizon}",
        "model": model,
        "data": dataset,
        "data_path": f"{dataset}.csv",
        "root_path": "./datasets/ETT-small/",
        "features": "M",
        "freq": "h",
        "embed": "timeF",
        "target": "OT",
        "seq_len": 96,
        "label_len": 48,
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
        "d_model": 768,
    }
    if model in ("CALF", "GPT4TS"):
        given |= {"llm": "gpt2", "llm_weights": "pretrained", "model_options": CALF_OPTIONS}
        given |= {"task_w": 1.0, "feature_w": 0.01, "output_w": 1.0, "gpt_layers": 6}
        given |= {"llm_ablation": "none"}
    return given | options


def command(given: dict) -> str:
    """The command line of these options."""
    names = "task_name is_training model_id model data root_path data_path freq seq_len pred_len"
    return "python run.py " + " ".join(f"--{name} {given[name]}" for name in names.split())


def leave_run(
    root: Path, model: str, scores: dict | float = 0.4, digest: str = "", **options
) -> Path:
    """Write a results folder; returns it.

    Args:
        root: working folder. scores: or the MSE alone. digest: tells folders apart.
        options: of the command line; names with `entry_` in front are entries of `run.json`, names
            with `backbone_` of its entry on the backbone.
    """

    def take(prefix: str) -> dict:
        names = [name for name in options if name.startswith(prefix)]
        return {name.removeprefix(prefix): options.pop(name) for name in names}

    entries, backbone = take("entry_"), take("backbone_")
    given = arguments(model, options.pop("dataset", "ETTh1"), options.pop("horizon", 96), **options)
    if not isinstance(scores, dict):
        scores = {"mse": scores, "mae": scores**0.5}
    setting = f"{given['task_name']}_{given['model_id']}_{model}_{given['data']}"
    folder = root / "results" / f"{setting}_pl{given['pred_len']}_{given['seed']}{digest}"
    folder.mkdir(parents=True)
    naive = model in ("LastValue", "SeasonalNaive")
    validation = scores.get("mse", 0.5)
    epochs = [
        {"epoch": e, "train": 1 / e, "validation": validation + 0.4 / e, "seconds": 2.0}
        for e in (1, 2, 3)
    ]
    record = {
        "setting": setting,
        "model": model,
        "task": given["task_name"],
        "protocol": given["protocol"],
        "scores": scores,
        "seed": given["seed"],
        "epochs": [] if naive else epochs,
        "best_epoch": None if naive else epochs[-1],
        "training_seconds": 0.0 if naive else 6.0,
        "parameters": {"trained": 0 if naive else 12345},
        "test": {"windows": 50, "channels": 7, "seconds": 0.5, "original_units": False},
        "peak_memory_mb": {"host": 512.0, "device": None},
        "errors": {"by_step": {"mse": [validation * step for step in (0.8, 1.0, 1.2)]}},
        "data": {f"./datasets/{given['data_path']}": {"sha256": "ab" * 32, "bytes": 9}},
        "commit": None,
        "command": command(given),
        "checkpoint": f"checkpoints/{folder.name}/checkpoint.safetensors",
        "started": f"2026-01-01T00:00:{given['seed'] % 60:02d}+00:00",
        "finished": f"2026-01-01T01:00:{given['seed'] % 60:02d}+00:00",
        "arguments": given,
        "trained_with": None,
    }
    if "llm" in given:
        known = {"llm": given["llm"], "llm_weights": given["llm_weights"]}
        record["backbone"] = {**known, "fingerprint": "cd" * 32, **backbone}
        record["config"] = {"d_model": given["d_model"]}
    (folder / "run.json").write_text(json.dumps(record | entries))
    return folder
