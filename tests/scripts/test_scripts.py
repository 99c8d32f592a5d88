"""The shell scripts say what the published settings are."""

import shlex
import subprocess
from argparse import Namespace

import pytest

from data_provider.m4 import PATTERNS
from models import registry
from models.registry import objective_class
from run import parse_args
from tests.conftest import ROOT
from tests.datasets import load_command
from utils.identity import settings_string
from utils.options import warn_unused

download = load_command("download")
SCRIPTS = ROOT / "scripts"
LONG, FEW, ZERO = "long_term_forecasting", "few_shot_forecasting", "zero_shot_forecasting"
HORIZONS = [96, 192, 336, 720]
SETTINGS = "learning_rate batch_size train_epochs tmax patience".split()
LOSSES = "task_loss output_loss feature_loss".split()
# data set: (--data, file, losses, settings of the long-term and of the few-shot script)
PUBLISHED = {
    "ETTh1": ("ETTh1", "ETT-small/ETTh1.csv", "l1", (5e-4, 256, 100, 20, 10), (5e-4, 10)),
    "ETTh2": ("ETTh2", "ETT-small/ETTh2.csv", "l1", (5e-4, 256, 100, 20, 5), (1e-3, 10)),
    "ETTm1": ("ETTm1", "ETT-small/ETTm1.csv", "l1", (5e-4, 256, 100, 20, 5), (5e-4, 5)),
    "ETTm2": ("ETTm2", "ETT-small/ETTm2.csv", "l1", (1e-4, 256, 100, 20, 5), (1e-4, 5)),
    "weather": ("custom", "weather/weather.csv", "smooth_l1", (5e-4, 64, 100, 20, 5), (1e-4, 5)),
    "electricity": ("custom", "electricity/electricity.csv", "smooth_l1",
                    (5e-4, 32, 20, 10, 5), (5e-4, 5)),
    "traffic": ("custom", "traffic/traffic.csv", "smooth_l1", (5e-4, 8, 10, 10, 5), None),
}  # fmt: skip
FEW_SHOT = [name for name, (*_, of_few) in PUBLISHED.items() if of_few]
# zero-shot scripts: (learning rate, epochs)
ZERO_SHOT = {"ETTh1": (1e-3, 5), "ETTh2": (1e-4, 100), "ETTm1": (5e-4, 100), "ETTm2": (1e-4, 100)}
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
BASELINES = "DLinear GPT4TS LastValue PatchTST SeasonalNaive TimesNet iTransformer".split()


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
    folder, _, name = script.partition("/")
    varied, _ = ABLATIONS.get(name, ("", []))
    for args in runs:
        if name != "m4_baselines":
            assert args.model == (name if folder == "baselines" else "CALF")
        if args.model == "CALF":
            check(args, **{name: value for name, value in CALF.items() if name != varied})
    return runs


def check(args: Namespace, file: str = "", settings: tuple = (), **expected: object) -> None:
    """Check options of a run."""
    if file:
        assert args.root_path + args.data_path == f"./datasets/{file}"
    expected |= dict(zip(SETTINGS, settings, strict=False))
    assert {name: getattr(args, name) for name in expected} == expected


def test_no_two_runs_share_a_folder():
    scripts = [str(path.relative_to(SCRIPTS).with_suffix("")) for path in SCRIPTS.glob("*/*.sh")]
    folders = [settings_string(args, 0) for script in scripts for args in parsed(script)]
    assert len(folders) == len(set(folders)) > 350


@pytest.mark.parametrize("script", PUBLISHED)
def test_long_term(script):
    data, file, loss, settings, _ = PUBLISHED[script]
    runs = parsed(f"{LONG}/{script}")
    assert [args.pred_len for args in runs] == HORIZONS
    weights = {"task_w": 1, "output_w": 1, "feature_w": 0.01}
    for args in runs:
        check(args, file, settings, data=data, **dict.fromkeys(LOSSES, loss), **weights)


@pytest.mark.parametrize("script", FEW_SHOT)
def test_few_shot(script):
    _, file, loss, (_, *others, _), (rate, patience) = PUBLISHED[script]
    runs = parsed(f"{FEW}/{script}")
    assert [args.pred_len for args in runs] == HORIZONS
    weights = (1, 0.01) if script == "electricity" else (0, 0)
    for args in runs:
        check(args, file, (rate, *others, patience), percent=10, **dict.fromkeys(LOSSES, loss))
        assert (args.output_w, args.feature_w) == weights
    assert parsed(f"{FEW}/{script}", PERCENT="5", HORIZONS="96")[0].percent == 5


@pytest.mark.parametrize("script", ZERO_SHOT)
def test_zero_shot(script):
    runs = parsed(f"{ZERO}/{script}")
    pairs = {(args.data, args.target_data) for args in runs}
    assert pairs == {(script, other) for other in ZERO_SHOT if other != script}
    assert len(runs) == 3 * 4
    rate, epochs = ZERO_SHOT[script]
    for args in runs:
        check(args, settings=(rate, 256, epochs, 20, 1), zero_shot=1)


def test_m4():
    runs = parsed("short_term_forecasting/m4")
    assert [args.seasonal_patterns for args in runs] == list(PATTERNS)
    losses = dict(zip(LOSSES, ("smape", "mase", "smooth_l1"), strict=True))
    for args in runs:
        check(args, settings=(1e-3, 512, 200, 20, 20), protocol="sound", **losses)


def test_m4_baselines(capsys):
    runs = parsed("short_term_forecasting/m4_baselines")
    found = {(args.model, args.seasonal_patterns) for args in runs}
    assert found == {(model, pattern) for model in BASELINES for pattern in PATTERNS}
    for args in runs:
        check(args, batch_size=16, train_epochs=10, patience=3, cos=0, lradj="type2", decay_fac=0.5)
        assert objective_class(args.model).resolve_args(args).task_loss == "smape"
        warn_unused(args, registry)
    assert capsys.readouterr() == ("", "")
    (args,) = parsed("short_term_forecasting/m4_baselines", MODELS="TimesNet", PATTERNS="Daily")
    check(args, d_model=16, d_ff=16, top_k=5, learning_rate=0.001)


@pytest.mark.parametrize("script", ZERO_SHOT)
def test_ablation_of_losses(script):
    runs = parsed("ablation/ETT", DATASETS=script)
    weights = {(args.task_w, args.feature_w, args.output_w) for args in runs}
    assert weights == {(1, 0, 0), (1, 0, 1), (1, 0.01, 0), (1, 0.01, 1)}
    assert len(runs) == 4 * 4
    _, file, _, settings, _ = PUBLISHED[script]
    for args in runs:
        check(args, file, settings)


@pytest.mark.parametrize("script", ABLATIONS)
@pytest.mark.parametrize("data", ["ETTh1", "ETTm1"])
def test_ablations_of_parts(script, data):
    """They vary one option of the long-term runs, by default of ETTh1."""
    option, values = ABLATIONS[script]
    runs = parsed(f"ablation/{script}", **({"DATASETS": data} if data != "ETTh1" else {}))
    pairs = [(getattr(args, option), args.pred_len) for args in runs]
    assert pairs == [(value, pred_len) for value in values for pred_len in HORIZONS]
    published = {args.pred_len: vars(args) for args in parsed(f"{LONG}/{data}")}
    for args in runs:
        unlike = {name for name, v in vars(args).items() if v != published[args.pred_len].get(name)}
        assert unlike <= {option, "model_id", "given"}


@pytest.mark.parametrize("model", BASELINES)
def test_baselines(model, capsys):
    runs = parsed(f"baselines/{model}")
    names = [name for name in PUBLISHED if (model, name) != ("SeasonalNaive", "weather")]
    found = [(args.model_id, args.pred_len) for args in runs]
    assert found == [(f"{name}_96_{steps}", steps) for name in names for steps in HORIZONS]
    for args in runs:
        name = args.model_id.split("_")[0]
        data, file, *_ = PUBLISHED[name]
        freq = {"ETTm1": "t", "ETTm2": "t", "weather": "10min"}.get(name, "h")
        check(args, file, data=data, freq=freq, features="M", is_training=1, itr=1, seq_len=96,
              label_len=48, patience=3)  # fmt: skip
        assert "task_loss" not in args.given  # so that it is MSE
        assert objective_class(model).resolve_args(args).task_loss == "mse"
        if model != "GPT4TS":
            check(args, cos=0, lradj="type2", decay_fac=0.5)
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
    for args in runs:
        check(args, PUBLISHED[script][1])


def test_anomaly_detection_and_classification():
    for name in ("PSM", "MSL", "SMAP", "SMD", "SWaT"):
        (args,) = parsed(f"anomaly_detection/{name}")
        check(args, data=name, root_path=f"./datasets/{name}/")
    roots = [args.root_path for args in parsed("classification/UEA")]
    assert sorted(roots) == [f"./datasets/uea/{name}/" for name in sorted(download.UEA)]


def test_more_options_come_last():
    more = ("--llm_weights", "random", "--train_epochs", "1")
    (args,) = parsed(f"{LONG}/ETTh1", *more, HORIZONS="96")
    check(args, llm_weights="random", train_epochs=1)
    (args,) = parsed("baselines/iTransformer", "--d_model", "8", DATASETS="ETTm1", HORIZONS="96")
    check(args, d_model=8, d_ff=128)
