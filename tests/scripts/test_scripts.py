"""The shell scripts say what the published settings are."""

import shlex
import subprocess
from argparse import Namespace

import pytest

from data_provider.m4 import PATTERNS
from tests.conftest import ROOT
from utils.options import parse_args
from utils.results import settings_string

SCRIPTS = ROOT / "scripts"
LONG, FEW, ZERO = "long_term_forecasting", "few_shot_forecasting", "zero_shot_forecasting"
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


# few-shot scripts: (learning rate, batch, epochs, T_max, patience, losses, output_w, feature_w)
FEW_SHOT = {
    "ETTh1": (5e-4, 256, 100, 20, 10, "l1", 0, 0),
    "ETTh2": (1e-3, 256, 100, 20, 10, "l1", 0, 0),
    "ETTm1": (5e-4, 256, 100, 20, 5, "l1", 0, 0),
    "ETTm2": (1e-4, 256, 100, 20, 5, "l1", 0, 0),
    "weather": (1e-4, 64, 100, 20, 5, "smooth_l1", 0, 0),
    "electricity": (5e-4, 32, 20, 10, 5, "smooth_l1", 1, 0.01),
}
# zero-shot scripts: (learning rate, epochs)
ZERO_SHOT = {"ETTh1": (1e-3, 5), "ETTh2": (1e-4, 100), "ETTm1": (5e-4, 100), "ETTm2": (1e-4, 100)}
UEA = (
    "EthanolConcentration FaceDetection Handwriting Heartbeat JapaneseVowels PEMS-SF "
    "SelfRegulationSCP1 SelfRegulationSCP2 SpokenArabicDigits UWaveGestureLibrary"
)


def parsed(script: str, *more: str, **environment: str) -> list[Namespace]:
    """Arguments of each run that a script starts, `echo` standing in for Python."""
    done = subprocess.run(
        ["sh", f"scripts/{script}.sh", *more],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "echo", **environment},
    )  # fmt: skip
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    assert all(line[:2] == ["-u", "run.py"] for line in lines)
    runs = [parse_args(line[2:]) for line in lines]
    folders = {settings_string(args, 0) for args in runs}
    assert len(folders) == len(runs), "two runs would share a folder"
    for args in runs:
        assert (args.seq_len, args.d_model, args.gpt_layers) in ((96, 768, 6), (100, 768, 6))
        assert (args.r, args.lora_alpha, args.lora_dropout, args.cos) == (8, 32, 0.1, 1)
        assert (args.model, args.is_training, args.itr, args.label_len) == ("CALF", 1, 1, 0)
    return runs


@pytest.mark.parametrize(
    ("folder", "names"),
    [(LONG, PUBLISHED), (FEW, FEW_SHOT), (ZERO, ZERO_SHOT), ("imputation", FEW_SHOT)],
)
def test_every_script_is_tested(folder, names):
    assert {path.stem for path in (SCRIPTS / folder).glob("*.sh")} == set(names)


def test_every_script_is_explained():
    text = (SCRIPTS / "README.md").read_text()
    for path in SCRIPTS.glob("*/*.sh"):
        folder = f"{path.parent.name}/"
        rows = [line for line in text.splitlines() if folder in line and path.name in line]
        assert rows, path


def test_no_two_scripts_share_a_folder():
    scripts = [path.relative_to(SCRIPTS).with_suffix("") for path in SCRIPTS.glob("*/*.sh")]
    folders = [settings_string(args, 0) for script in scripts for args in parsed(str(script))]
    assert len(folders) == len(set(folders)) > 200


@pytest.mark.parametrize("script", PUBLISHED)
def test_long_term(script):
    data, path, rate, batch, epochs, tmax, patience, loss = PUBLISHED[script]
    runs = parsed(f"{LONG}/{script}")
    assert [args.pred_len for args in runs] == [96, 192, 336, 720]
    for args in runs:
        assert args.data == data
        assert args.root_path + args.data_path == f"./datasets/{path}"
        assert (args.learning_rate, args.batch_size, args.train_epochs) == (rate, batch, epochs)
        assert (args.tmax, args.patience) == (tmax, patience)
        assert {args.task_loss, args.output_loss, args.feature_loss} == {loss}
        assert (args.task_w, args.output_w, args.feature_w) == (1, 1, 0.01)


@pytest.mark.parametrize("script", FEW_SHOT)
def test_few_shot(script):
    rate, batch, epochs, tmax, patience, loss, output_w, feature_w = FEW_SHOT[script]
    runs = parsed(f"{FEW}/{script}")
    assert [args.pred_len for args in runs] == [96, 192, 336, 720]
    for args in runs:
        assert args.root_path + args.data_path == f"./datasets/{PUBLISHED[script][1]}"
        assert args.percent == 10
        assert (args.learning_rate, args.batch_size, args.train_epochs) == (rate, batch, epochs)
        assert (args.tmax, args.patience) == (tmax, patience)
        assert {args.task_loss, args.output_loss, args.feature_loss} == {loss}
        assert (args.output_w, args.feature_w) == (output_w, feature_w)
    assert parsed(f"{FEW}/{script}", PERCENT="5", HORIZONS="96")[0].percent == 5


@pytest.mark.parametrize("script", ZERO_SHOT)
def test_zero_shot(script):
    runs = parsed(f"{ZERO}/{script}")
    pairs = {(args.data, args.target_data) for args in runs}
    assert pairs == {(script, other) for other in ZERO_SHOT if other != script}
    assert len(runs) == 3 * 4
    for args in runs:
        assert args.zero_shot == 1
        assert (args.learning_rate, args.train_epochs) == ZERO_SHOT[script]
        assert (args.batch_size, args.tmax, args.patience) == (256, 20, 1)


def test_m4():
    runs = parsed("short_term_forecasting/M4")
    assert [args.seasonal_patterns for args in runs] == list(PATTERNS)
    for args in runs:
        assert (args.learning_rate, args.batch_size, args.train_epochs) == (1e-3, 512, 200)
        assert (args.tmax, args.patience, args.m4_protocol) == (20, 20, "clean")
        losses = (args.task_loss, args.output_loss, args.feature_loss)
        assert losses == ("smape", "mase", "smooth_l1")


@pytest.mark.parametrize("script", ZERO_SHOT)
def test_ablation(script):
    runs = parsed("ablation/ETT", DATASETS=script)
    weights = {(args.task_w, args.feature_w, args.output_w) for args in runs}
    assert weights == {(1, 0, 0), (1, 0, 1), (1, 0.01, 0), (1, 0.01, 1)}
    assert len(runs) == 4 * 4
    _, path, rate, batch, epochs, tmax, patience, _ = PUBLISHED[script]
    for args in runs:
        assert args.root_path + args.data_path == f"./datasets/{path}"
        assert (args.learning_rate, args.batch_size, args.train_epochs) == (rate, batch, epochs)
        assert (args.tmax, args.patience) == (tmax, patience)


@pytest.mark.parametrize("script", FEW_SHOT)
def test_imputation(script):
    runs = parsed(f"imputation/{script}")
    assert [args.mask_rate for args in runs] == [0.125, 0.25, 0.375, 0.5]
    assert {args.root_path + args.data_path for args in runs} == {
        f"./datasets/{PUBLISHED[script][1]}"
    }


def test_anomaly_detection_and_classification():
    for name in ("PSM", "MSL", "SMAP", "SMD", "SWaT"):
        (args,) = parsed(f"anomaly_detection/{name}")
        assert (args.data, args.root_path) == (name, f"./datasets/{name}/")
    runs = parsed("classification/UEA")
    assert [args.root_path for args in runs] == [f"./datasets/uea/{name}/" for name in UEA.split()]


def test_more_options_come_last():
    more = ("--llm_weights", "random", "--train_epochs", "1")
    (args,) = parsed(f"{LONG}/ETTh1", *more, HORIZONS="96")
    assert (args.llm_weights, args.train_epochs) == ("random", 1)


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").rglob("*.sh")), ids=lambda p: p.name)
def test_shell_syntax(path):
    subprocess.run(["bash", "-n", path], check=True)
