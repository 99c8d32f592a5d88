"""The shell scripts say what the published settings are."""

import shlex
import subprocess
from argparse import Namespace
from functools import cache

import pytest

from data_provider.m4 import PATTERNS
from models import registry
from models.registry import model_names, objective_class
from run import parse_args
from tests.conftest import ROOT
from utils.identity import settings_string
from utils.options import warn_unused

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
# scripts without published settings: (folder, script): (file, look-back, horizons)
MORE = {
    (LONG, "illness"): ("illness/national_illness.csv", 104, [24, 36, 48, 60]),
    (LONG, "exchange_rate"): ("exchange_rate/exchange_rate.csv", 96, [96, 192, 336, 720]),
    (FEW, "illness"): ("illness/national_illness.csv", 36, [24, 36, 48, 60]),
    (FEW, "traffic"): ("traffic/traffic.csv", 96, [96, 192, 336, 720]),
}
ZERO_SHOT = {"ETTh1": (1e-3, 5), "ETTh2": (1e-4, 100), "ETTm1": (5e-4, 100), "ETTm2": (1e-4, 100)}
UEA = (
    "EthanolConcentration FaceDetection Handwriting Heartbeat JapaneseVowels PEMS-SF "
    "SelfRegulationSCP1 SelfRegulationSCP2 SpokenArabicDigits UWaveGestureLibrary"
)


# what all runs of CALF share, but for the option that an ablation varies
CALF = {
    "gpt_layers": 6, "r": 8, "lora_alpha": 32, "lora_dropout": 0.1, "cos": 1,
    "is_training": 1, "itr": 1, "label_len": 0,
}  # fmt: skip
# ablation scripts: (option, values)
ABLATIONS = {
    "llm": ("llm_ablation", ["none", "random", "attention", "transformer", "identity"]),
    "words": ("words", ["pca", "random", "none"]),
    "n_components": ("n_components", [50, 100, 250, 500]),
    "lora_rank": ("r", [2, 4, 8, 16]),
    "depth": ("gpt_layers", [1, 2, 4, 6, 8, 12]),
}
ABLATION_SCRIPTS = [f"ablation/{name}" for name in ABLATIONS]
BASELINES = "DLinear GPT4TS LastValue PatchTST SeasonalNaive TimesNet iTransformer".split()
HORIZONS = [96, 192, 336, 720]


# some settings of baselines: (model, data set, horizon, options)
def parsed(script: str, *more: str, **environment: str) -> list[Namespace]:
    """Arguments of each run that a script starts, `echo` standing in for Python."""
    if lacking := lacks(script):
        pytest.skip(lacking)
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
    folder, _, name = script.partition("/")
    varied = ABLATIONS[name][0] if script in ABLATION_SCRIPTS else None
    for args in runs:
        assert args.seq_len in (36, 96, 100, 104)
        if name != "m4_baselines":
            assert args.model == (name if folder == "baselines" else "CALF")
        if args.model == "CALF":
            fixed = {option: value for option, value in CALF.items() if option != varied}
            assert {option: getattr(args, option) for option in fixed} == fixed
    return runs


def lacks(script: str) -> str:
    """Say which model or option of a script does not exist; empty if both do."""
    folder, _, name = script.partition("/")
    if folder == "baselines" and name not in model_names():
        return f"there is no models/{name}.py"
    if script in ABLATION_SCRIPTS and ABLATIONS[name][0] not in known_options():
        return f"there is no option --{ABLATIONS[name][0]}"
    return ""


@cache
def known_options() -> frozenset[str]:
    required = "--task_name imputation --is_training 1 --model_id x --model CALF --data ETTh1"
    return frozenset(vars(parse_args(required.split())))


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (LONG, PUBLISHED),
        (FEW, FEW_SHOT),
        (ZERO, ZERO_SHOT),
        ("imputation", FEW_SHOT),
        ("ablation", ("ETT", *ABLATIONS)),
        ("baselines", BASELINES),
        ("short_term_forecasting", ("m4", "m4_baselines")),
    ],
)
def test_every_script_is_tested(folder, names):
    more = {script for of, script in MORE if of == folder}
    assert {path.stem for path in (SCRIPTS / folder).glob("*.sh")} == set(names) | more


@pytest.mark.parametrize(("folder", "script"), MORE)
def test_scripts_without_published_settings(folder, script):
    path, seq_len, horizons = MORE[folder, script]
    runs = parsed(f"{folder}/{script}")
    assert [args.pred_len for args in runs] == horizons
    for args in runs:
        assert args.root_path + args.data_path == f"./datasets/{path}"
        assert (args.seq_len, args.percent) == (seq_len, 10 if folder == FEW else 100)


def test_no_two_scripts_share_a_folder():
    scripts = [str(path.relative_to(SCRIPTS).with_suffix("")) for path in SCRIPTS.glob("*/*.sh")]
    runs = [args for script in scripts if not lacks(script) for args in parsed(script)]
    folders = [settings_string(args, 0) for args in runs]
    assert len(folders) == len(set(folders)) > 350


@pytest.mark.parametrize("script", PUBLISHED)
def test_long_term(script):
    data, path, rate, batch, epochs, tmax, patience, loss = PUBLISHED[script]
    runs = parsed(f"{LONG}/{script}")
    assert [args.pred_len for args in runs] == HORIZONS
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
    assert [args.pred_len for args in runs] == HORIZONS
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
    runs = parsed("short_term_forecasting/m4")
    assert [args.seasonal_patterns for args in runs] == list(PATTERNS)
    for args in runs:
        assert (args.learning_rate, args.batch_size, args.train_epochs) == (1e-3, 512, 200)
        assert (args.tmax, args.patience, args.protocol) == (20, 20, "sound")
        losses = (args.task_loss, args.output_loss, args.feature_loss)
        assert losses == ("smape", "mase", "smooth_l1")


def test_m4_baselines(capsys):
    runs = parsed("short_term_forecasting/m4_baselines")
    found = {(args.model, args.seasonal_patterns) for args in runs}
    assert found == {(model, pattern) for model in BASELINES for pattern in PATTERNS}
    for args in runs:
        assert (args.batch_size, args.train_epochs, args.patience) == (16, 10, 3)
        assert (args.cos, args.lradj, args.decay_fac) == (0, "type2", 0.5)
        assert objective_class(args.model).resolve_args(args).task_loss == "smape"
        warn_unused(args, registry)
    assert capsys.readouterr() == ("", "")
    (args,) = parsed("short_term_forecasting/m4_baselines", MODELS="TimesNet", PATTERNS="Daily")
    assert (args.d_model, args.d_ff, args.top_k, args.learning_rate) == (16, 16, 5, 0.001)


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


@pytest.mark.parametrize("script", ABLATIONS)
@pytest.mark.parametrize("data", [None, "ETTm1"])
def test_ablations_of_parts(script, data):
    """They vary one option of the long-term runs."""
    option, values = ABLATIONS[script]
    runs = parsed(f"ablation/{script}", **({"DATASETS": data} if data else {}))
    data = data or "ETTh1"
    pairs = [(getattr(args, option), args.pred_len) for args in runs]
    assert pairs == [(value, pred_len) for value in values for pred_len in HORIZONS]
    published = {args.pred_len: vars(args) for args in parsed(f"{LONG}/{data}")}
    for args in runs:
        unlike = {name for name, v in vars(args).items() if v != published[args.pred_len].get(name)}
        assert unlike <= {option, "model_id", "given"}
    (args,) = parsed(f"ablation/{script}", "--seed", "1", HORIZONS="192")[:1]
    assert (args.pred_len, args.seed) == (192, 1)


@pytest.mark.parametrize("model", [name for name in model_names() if name in BASELINES])
def test_baselines(model, capsys):
    runs = parsed(f"baselines/{model}")
    names = [name for name in PUBLISHED if (model, name) != ("SeasonalNaive", "weather")]
    found = [(args.model_id, args.pred_len) for args in runs]
    assert found == [(f"{name}_96_{steps}", steps) for name in names for steps in HORIZONS]
    for args in runs:
        name = args.model_id.split("_")[0]
        data, path = PUBLISHED[name][:2]
        assert (args.data, args.root_path + args.data_path) == (data, f"./datasets/{path}")
        assert args.freq == {"ETTm1": "t", "ETTm2": "t", "weather": "10min"}.get(name, "h")
        assert (args.task_name, args.features, args.is_training, args.itr) == (
            "long_term_forecast",
            "M",
            1,
            1,
        )
        assert (args.seq_len, args.label_len, args.patience) == (96, 48, 3)
        assert "task_loss" not in args.given  # so that it is MSE
        assert objective_class(model).resolve_args(args).task_loss == "mse"
        if model != "GPT4TS":
            assert (args.cos, args.lradj, args.decay_fac) == (0, "type2", 0.5)
        warn_unused(args, registry)
        unused = capsys.readouterr().err.split(" does not use ")[1:]
        # it replaces the schedule that the scripts share
        of_schedule = "--decay_fac --lradj\n" if args.cos else "--decay_fac\n"
        assert unused == ([of_schedule] if model == "GPT4TS" else [])


@pytest.mark.parametrize("script", ["baselines/DLinear", "ablation/depth"])
def test_a_data_set_without_settings(script):
    with pytest.raises(subprocess.CalledProcessError) as error:
        parsed(script, DATASETS="ETTh1 ILI")
    assert "no settings for ILI" in error.value.stderr


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
    (args,) = parsed("baselines/iTransformer", "--d_model", "8", DATASETS="ETTm1", HORIZONS="96")
    assert (args.d_model, args.d_ff) == (8, 128)
