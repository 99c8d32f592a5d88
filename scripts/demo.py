"""Train CALF and DLinear on a tenth of ETTh1, compare them, and draw: see `scripts/demo.sh`."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
from transformers import GPT2Config

from utils.reporting.tables import published_results

SMOLLM2, SMALL_GPT2 = Path("datasets/smollm2-135m"), Path("datasets/small-gpt2")
FIGURES = Path("figures/demo")
DATA = (
    "--task_name long_term_forecast --is_training 1 --model_id demo --data ETTh1 --percent 10 "
    "--root_path ./datasets/ETT-small/ --data_path ETTh1.csv --seq_len 96 --label_len 0 "
    "--pred_len 96 --no_epoch_test"
).split()
CALF = (
    "--model CALF --gpt_layers 6 --batch_size 256 --learning_rate 0.0005 --train_epochs 6 "
    "--scale_free --output_w 0.1"
).split()
DLINEAR = (
    "--model DLinear --batch_size 32 --learning_rate 0.0001 --cos 0 --lradj type2 --decay_fac 0.5"
).split()


def show_and_run(*command: str) -> None:
    """Print a command of the project as a user would type it, and run it.

    Raises:
        subprocess.CalledProcessError: it failed, and has said why.
    """
    print(f"\n$ python {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, *command], check=True)


def choose_language_model() -> list[str]:
    """Return options: SmolLM2; where it can't be had, a small GPT-2 with random weights."""
    if not (SMOLLM2 / "config.json").exists():
        try:
            show_and_run("datasets/download.py", "smollm2")
        except subprocess.CalledProcessError:
            print(f"so the demo goes on without it: {SMALL_GPT2}, a GPT-2 with random weights")
            shape = {"n_embd": 192, "n_layer": 6, "n_head": 12, "n_positions": 64}
            words = {"vocab_size": 2000, "bos_token_id": 0, "eos_token_id": 0}
            GPT2Config(**shape, **words).save_pretrained(SMALL_GPT2)
            return ["--llm", str(SMALL_GPT2), "--llm_weights", "random"]
    return ["--llm", str(SMOLLM2)]


def newest_record(model: str) -> tuple[Path, dict]:
    """Return the newest results folder of a model of the demo, and its record."""
    files = Path("results").glob(f"long_term_forecast_demo_{model}_*/run.json")
    newest = max(files, key=lambda file: file.stat().st_mtime)
    return newest.parent, json.loads(newest.read_text())


def main() -> int:
    """Run the demo; returns 1 if CALF on SmolLM2 does not beat the seasonal naive forecast."""
    llm = choose_language_model()
    show_and_run("run.py", *DATA, *CALF, *llm)
    show_and_run("run.py", *DATA, *DLINEAR)
    folder, record = newest_record("CALF")
    figures = ["--figures", "forecast", "attention", "--windows", "1000", "--output", str(FIGURES)]
    show_and_run("-m", "scripts.visualize", "--checkpoint", str(folder), *figures)

    _, other = newest_record("DLinear")
    pretrained = str(SMOLLM2) in llm
    name = "SmolLM2-135M, pre-trained" if pretrained else "small random GPT-2"
    naive, published = record["baselines"], published_results().loc["few_shot_10", "ETTh1", "96"]
    rows = {
        f"CALF ({name})": record["scores"],
        "DLinear": other["scores"],
        "seasonal naive": naive["SeasonalNaive"],
        "last value": naive["LastValue"],
        "published: CALF (GPT-2)": published["value"]["CALF"],
        "published: DLinear": published["value"]["DLinear"],
    }
    print(
        f"\nETTh1, a tenth of the training rows, horizon 96: {record['test']['windows']} test "
        "windows, standardised data"
    )
    table = pd.DataFrame(rows, index=["mse", "mae"]).T.dropna()
    print(table.to_string(float_format="{:.3f}".format))
    print(f"\npictures: {FIGURES}; record: {folder / 'run.json'}")
    if pretrained and record["scores"]["mse"] >= naive["SeasonalNaive"]["mse"]:
        print("CALF does not beat the seasonal naive forecast", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit(130)
