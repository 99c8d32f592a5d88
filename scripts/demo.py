"""Train CALF on synthetic data, compare it with baselines, and plot: see `scripts/demo.sh`."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2Model

from data_provider.batches import index_batches
from data_provider.splits import chosen_series, read_data, splits_of
from data_provider.windows import WindowDataset
from layers.backbone import quiet_transformers
from models.LastValue import last_value
from models.registry import objective_class
from models.SeasonalNaive import seasonal_naive
from run import parse_args
from utils.identity import settings_string
from utils.metrics import ErrorSums
from utils.plots import errors_of, plot_forecast, window_title, with_mse
from utils.results import RunFolders

DEMO = Path("datasets/demo")
DATA, GPT2, WORD_EMBEDDINGS = DEMO / "ETT_like.csv", DEMO / "gpt2", DEMO / "wte_pca_64.pt"
WIDTH, DAY = 96, 24
RUN = (
    "--task_name long_term_forecast --is_training 1 --model_id demo --model CALF "
    f"--data custom --root_path {DEMO} --data_path {DATA.name} "
    "--seq_len 96 --label_len 0 --pred_len 96 --batch_size 32 --learning_rate 0.0005 "
    f"--train_epochs 10 --patience 10 --llm {GPT2} --d_model {WIDTH} --gpt_layers 3 "
    f"--word_embedding_path {WORD_EMBEDDINGS} --do_predict"
).split()


def show_and_run(*command: str) -> None:
    """Print a command of the project as a user would type it, and run it."""
    print(f"\n$ python {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, *command], check=True)


def prepare() -> None:
    """Make data, GPT-2 and word embeddings, unless they exist."""
    if DATA.exists():
        print(f"{DATA} exists from an earlier run")
    else:
        show_and_run("datasets/synthetic.py", "--output", str(DATA))
    if (GPT2 / "model.safetensors").exists():
        print(f"{GPT2} exists from an earlier run")
    else:
        torch.manual_seed(2021)
        config = GPT2Config(
            n_embd=WIDTH, n_layer=4, n_head=12, n_positions=64, vocab_size=2000,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        with quiet_transformers():
            GPT2Model(config).save_pretrained(GPT2)
        print(f"{GPT2}: a small GPT-2 with random weights, {WIDTH} wide, 4 blocks")
    if WORD_EMBEDDINGS.exists():
        print(f"{WORD_EMBEDDINGS} exists from an earlier run")
    else:
        show_and_run(
            "pca.py", "--llm", str(GPT2), "--n_components", "64", "--output", str(WORD_EMBEDDINGS)
        )


def score(windows: WindowDataset, forecast: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Score a forecast from the look-back `x` on all test windows."""
    errors = ErrorSums()
    for index in index_batches(len(windows), 512, windows.values.device):
        x, y = windows.batch(index)
        errors.add(forecast(x), y)
    return errors.metrics()


def main() -> int:
    """Run the demo; returns 1 if CALF does not beat the baselines."""
    prepare()
    show_and_run("run.py", *RUN)

    args = objective_class("CALF").resolve_args(parse_args(RUN))
    folders = RunFolders(settings_string(args, 0), args)
    panel = read_data(args)
    windows = splits_of(panel.only(chosen_series(panel, args)), args).split("test")
    rows = {
        "CALF": json.loads((folders.results / "run.json").read_text())["scores"],
        "seasonal naive": score(windows, lambda x: seasonal_naive(x, args.pred_len, DAY)),
        "last value": score(windows, lambda x: last_value(x, args.pred_len)),
    }
    print(f"\n{len(windows)} test windows, horizon {args.pred_len}, standardised data")
    print(f"{'':16}{'MSE':>8}{'MAE':>8}")
    for name, scores in rows.items():
        print(f"{name:16}{scores['mse']:8.3f}{scores['mae']:8.3f}")

    window = len(windows) // 2
    x, y = windows.batch(torch.tensor([window]))
    pred = np.load(folders.results / "pred.npy", mmap_mode="r", allow_pickle=False)[window]
    image = folders.plots / "demo.png"
    channel = windows.columns.index("OT")
    pred, true = pred[:, channel], y[0, :, channel].numpy()
    naive = seasonal_naive(x, args.pred_len, DAY)[0, :, channel].numpy()
    times = windows.dates[window : window + args.seq_len + args.pred_len]
    plot_forecast(
        image,
        times,
        x[0, :, channel].numpy(),
        true,
        {"CALF": pred, with_mse("seasonal naive", naive, true): naive},
        window_title(
            DATA.name, "OT", f"test window {window}", times[-len(true) :], errors_of(pred, true)
        ),
        "OT (standardised)",
    )
    print(f"\nplot: {image}\nforecast beyond the data: {folders.results / 'forecast.csv'}")
    best = min(rows, key=lambda name: rows[name]["mse"])
    if best != "CALF":
        print(f"{best} has a lower MSE than CALF", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
