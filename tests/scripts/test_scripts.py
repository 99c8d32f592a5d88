"""The shell scripts say what the published settings are."""

import shlex
import subprocess

import pytest

from run import parse_args
from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts" / "long_term_forecasting"
# script: (data, file, learning rate, batch, epochs, T_max, patience, losses)
PUBLISHED = {
    "ETTh1": ("ETTh1", "ETT-small/ETTh1.csv", 5e-4, 256, 100, 20, 10, "l1"),
    "ETTh2": ("ETTh2", "ETT-small/ETTh2.csv", 5e-4, 256, 100, 20, 5, "l1"),
    "ETTm1": ("ETTm1", "ETT-small/ETTm1.csv", 5e-4, 256, 100, 20, 5, "l1"),
    "ETTm2": ("ETTm2", "ETT-small/ETTm2.csv", 1e-4, 256, 100, 20, 5, "l1"),
    "weather": ("custom", "weather/weather.csv", 5e-4, 64, 100, 20, 5, "smooth_l1"),
    "electricity": ("custom", "electricity/electricity.csv", 5e-4, 32, 20, 10, 5, "smooth_l1"),
    "traffic": ("custom", "traffic/traffic.csv", 5e-4, 8, 10, 10, 5, "smooth_l1"),
}


def command_lines(script: str, *more: str, **environment: str) -> list[list[str]]:
    """What a script would run, by letting `echo` stand in for Python."""
    done = subprocess.run(
        ["sh", SCRIPTS / f"{script}.sh", *more],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "echo", **environment},
    )  # fmt: skip
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    assert all(line[:2] == ["-u", "run.py"] for line in lines)
    return [line[2:] for line in lines]


def test_every_script_is_listed():
    assert {path.stem for path in SCRIPTS.glob("*.sh")} == set(PUBLISHED)


@pytest.mark.parametrize("script", PUBLISHED)
def test_published_settings(script):
    data, path, rate, batch, epochs, tmax, patience, loss = PUBLISHED[script]
    runs = [parse_args(line) for line in command_lines(script)]
    assert [args.pred_len for args in runs] == [96, 192, 336, 720]
    assert len({args.model_id for args in runs}) == 4
    for args in runs:
        assert args.data == data
        assert args.root_path + args.data_path == f"./datasets/{path}"
        assert (args.learning_rate, args.batch_size, args.train_epochs) == (rate, batch, epochs)
        assert (args.tmax, args.patience, args.cos) == (tmax, patience, 1)
        assert {args.task_loss, args.output_loss, args.feature_loss} == {loss}
        assert (args.task_w, args.output_w, args.feature_w) == (1, 1, 0.01)
        assert (args.seq_len, args.label_len, args.d_model, args.gpt_layers) == (96, 0, 768, 6)
        assert (args.r, args.lora_alpha, args.lora_dropout) == (8, 32, 0.1)
        assert (args.model, args.features, args.itr, args.is_training) == ("CALF", "M", 1, 1)


def test_more_options_come_last():
    lines = command_lines("ETTh1", "--llm_weights", "random", "--train_epochs", "1", HORIZONS="96")
    (args,) = map(parse_args, lines)
    assert (args.llm_weights, args.train_epochs) == ("random", 1)


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").rglob("*.sh")), ids=lambda p: p.name)
def test_shell_syntax(path):
    subprocess.run(["bash", "-n", path], check=True)
