"""The command line: published names, abbreviations, one-line errors."""

import re
import shlex
import subprocess
import sys

import pytest

from models import registry
from run import parse_args
from tests.conftest import ROOT
from utils.options import configure, warn_unused

REQUIRED = "--task_name long_term_forecast --is_training 1 --model_id m --model CALF --data ETTh1"
PUBLISHED = ROOT.parent / "shared" / "spec" / "protocol.md"


def parse(more: str = ""):
    return parse_args(shlex.split(f"{REQUIRED} {more}"))


@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"no list of published options at {PUBLISHED}")
def test_every_published_option_and_default():
    args = parse()
    rows = re.findall(r"\| `--(\w+)`.*?\| [^|]+ \| ([^|]+) \|", PUBLISHED.read_text())
    assert len(rows) > 60
    required = {"task_name", "is_training", "model_id", "model", "data"}
    for name, default in rows:
        assert hasattr(args, name), name
        if name not in required and name != "gpt_layers":
            assert repr(getattr(args, name)) == default.strip(), name
    assert args.gpt_layers == 6


def test_abbreviations():
    args = parse("--gpt_layer 4 --learning 0.1 --checkpoints ./c --patien=7 --word_e w.pt --see 5")
    assert (args.gpt_layers, args.learning_rate, args.patience) == (4, 0.1, 7)
    assert (args.checkpoints, args.word_embedding_path) == ("./c", "w.pt")
    assert args.seed == 5
    # no option of our own makes an abbreviation of a published one ambiguous
    assert parse("--ch ./c").checkpoints == "./c"
    assert parse("--des x --devi 3").devices == "3"


@pytest.mark.parametrize(
    ("more", "unused"),
    [
        ("--mask_rate 0.5 --anomaly_ratio 2", "--anomaly_ratio --mask_rate"),
        ("--n_heads 4 --enc_in=7 --dropout 0.3", "--dropout --enc_in --n_heads"),
        ("--num_workers 4 --patch_len 8", "--num_workers --patch_len"),
        ("--r 4 --words none --inverse", ""),
        ("--task_name classification --inverse", "--inverse"),
        ("--seasonal_patterns Daily", "--seasonal_patterns"),
        ("--task_name imputation --mask_rate 0.5 --pred_len 8 --label_len 0", "--pred_len"),
        ("--task_name anomaly_detection --anomaly_ratio 2 --percent 5", "--percent"),
        ("--task_name short_term_forecast --seq_len 96 --seasonal_patterns Daily", "--seq_len"),
        ("--target_data ETTh2 --devices 0,1", "--devices --target_data"),
        ("--target_data ETTh2 --zero_shot 1 --devices 0,1 --use_multi_gpu", ""),
        ("--lradj nonsense --tmax 5", "--lradj"),
        ("--lradj type2 --decay_fac 0.5", "--decay_fac --lradj"),
        ("--cos 0 --lradj type2 --decay_fac 0.5", ""),
        ("--cos 0 --lradj type1 --decay_fac 0.5 --tmax 5", "--decay_fac --tmax"),
        ("--model DLinear --lradj type1 --tmax 5", "--tmax"),
        ("--model DLinear --cos 1 --lradj type1 --tmax 5", "--lradj"),
        ("--is_training 0 --lradj type1", ""),
        ("--use_dtw --jitter --extra_tag x --seed 2", "--extra_tag --jitter --use_dtw"),
    ],
)
def test_options_that_nothing_reads(capsys, more, unused):
    args = parse(more)
    warn_unused(args, registry)
    expected = f"warning: {args.model} does not use {unused}\n" if unused else ""
    assert capsys.readouterr().err == expected


def test_only_calf_has_a_cosine_schedule_by_default():
    calf = {"": 1, "--model LLaTA": 1, "--cos 0": 0}
    others = {"--model DLinear --lradj type1": 0, "--model GPT4TS": 0, "--model DLinear --cos 1": 1}
    for more, cos in (calf | others).items():
        args = parse(more)
        assert args.cos == cos
        names = ["task_name", "is_training", "model_id", "model", "data"]
        values = {name: getattr(args, name) for name in names + ["cos"] * ("cos" in args.given)}
        assert configure(values, registry).cos == cos


def test_switches_with_and_without_a_value():
    for more in ("--use_gpu --gpu 1", "--use_gpu True", "--use_gpu 1"):
        assert parse(more).use_gpu is True
    for more in ("--use_gpu 0", "--use_gpu=False", "--no_use_gpu"):
        assert parse(more).use_gpu is False
        assert "use_gpu" in parse(more).given
    assert parse("--use_dtw --des x").use_dtw is True
    assert parse("--use_dtw False").use_dtw is False


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--learning_rate nan", "--learning_rate"),
        ("--learning_rate 1e300", "below 1e+30"),  # more than float32 holds
        ("--decay_fac 1.1", "up to 1"),
        ("--model DLinear --lradj nonsense", "type1, type2, type3 or type4"),
        (f"--model {'x' * 300}", "choose from"),
        ("--model Autoformer", "CALF"),
        ("--task_name dancing", "long_term_forecast"),
        ("--use_gpu perhaps", "--use_gpu"),
        ("--checkpoint x.pth", "--is_training 0"),
        ("--task_name imputation --zero_shot 1", "long_term_forecast"),
    ],
)
def test_refused_in_one_line(more, said, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(more)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert said in message


def test_help_is_quick_and_readable():
    """It imports nothing that takes long."""
    command = [sys.executable, "-X", "importtime", ROOT / "run.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & {"torch", "transformers", "numpy", "pandas", "scipy", "sklearn"}
    assert "what to run:" in done.stdout
    assert "--gpt_layers" in done.stdout
