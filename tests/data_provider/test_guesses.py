"""What `run.py --data_path FILE` guesses."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_provider.guesses import LENGTHS
from run import main, parse_args
from utils.identity import digest, settings_string

FULL = (
    "--task_name long_term_forecast --is_training 1 --model_id x --model DLinear --data custom "
    "--root_path data --data_path x.csv --seq_len 24 --pred_len 6 --split 0.7,0.15,0.15"
)


def write(path: Path, rows: int, freq: str, **more) -> str:
    path.parent.mkdir(exist_ok=True)
    dates = pd.date_range("1991-01-31", periods=rows, freq=freq)
    values = np.random.default_rng(0).normal(size=(rows, 2)).cumsum(0)
    pd.DataFrame(values, dates, ["a", "b"]).to_csv(path, index_label="date", **more)
    return str(path)


@pytest.mark.parametrize(
    ("freq", "unit"),
    list(zip("s 15min h D B W MS QE YS".split(), "sthdbwmqy", strict=True)),
)
def test_look_back_and_horizon_by_the_step(freq, unit, workdir, capsys):
    args = parse_args(["--data_path", write(Path("data/-my sales.csv"), 200, freq)])
    look_back, horizon = LENGTHS[unit][0], min(LENGTHS[unit][1], 15)
    assert (args.seq_len, args.pred_len) == (min(look_back, 70 - horizon), horizon)
    assert (args.task_name, args.is_training, args.model) == ("long_term_forecast", 1, "CALF")
    assert (args.data, args.root_path, args.data_path) == ("custom", "data", "-my sales.csv")
    assert (args.model_id, args.split) == ("-my_sales", [0.7, 0.15, 0.15])
    (line,) = capsys.readouterr().out.splitlines()
    repeated = parse_args(shlex.split(line.partition("): ")[2]))
    both = (vars(one) | {"command": "", "guessed": "", "given": ""} for one in (args, repeated))
    assert next(both) == next(both)
    assert settings_string(args, 0) == f"-my_sales_CALF_{args.seq_len}_{args.pred_len}"
    assert settings_string(repeated, 0).startswith("long_term_forecast_-my_sales_CALF_custom_ft")


def test_what_is_given_counts(workdir, capsys):
    path = write(Path("x.csv"), 300, "D", sep=";", decimal=",")
    more = "--model iTransformer --seq_len 20 --split 200,50,50 --is_training 0 --features S"
    args = parse_args(["--data_path", path, *more.split()])
    assert (args.model, args.seq_len, args.pred_len) == ("iTransformer", 20, 14)
    assert (args.split, args.is_training, args.features) == ([200, 50, 50], 0, "S")
    assert args.freq == "d"  # which this model reads
    assert "--seq_len" not in capsys.readouterr().out


def test_published_lines_keep_their_names(workdir, capsys):
    """Without a file; and an option that a short name lacks is in its digest."""
    args = parse_args(FULL.split())
    assert settings_string(args, 0) == (
        "long_term_forecast_x_DLinear_custom_ftM_sl24_ll48_pl6_dm512_nh8_el2_dl1_df2048_fc1"
        "_ebtimeF_dtTrue_test_gpt6_0"
    )
    assert digest(vars(args)) == digest(vars(args.replace(des="other", features="S")))
    assert capsys.readouterr().out == ""
    path = write(Path("data/x.csv"), 300, "D")
    names = set()
    for more in ("", "--des other", "--features S", "--label_len 3", "--gpt_layers 2", "--seed 1"):
        args = parse_args(["--data_path", path, *more.split()])
        assert settings_string(args, 1) == "x_CALF_90_14_1"
        names.add(digest(vars(args)))
    assert len(names) == 6


@pytest.mark.parametrize("rows", [8, 14, 25, 60])
def test_short_series_still_have_windows(rows, workdir, capsys, newest):
    path = write(Path("x.csv"), rows, "MS")
    assert main(["--data_path", path, "--model", "DLinear", "--train_epochs", "2"]) == 0
    assert newest().name.startswith("x_DLinear_")
    assert "windows: " in capsys.readouterr().out


def test_one_line_of_what_is_wrong(refused):
    assert "nope.csv: no such file; check --data_path" in refused(["--data_path", "nope.csv"])
    Path("x.csv").write_text("date,a\n2020-01-01,b\n")
    assert "x.csv" in refused(["--data_path", "x.csv"])
    write(Path("x.csv"), 4, "D")
    assert "no window in the" in refused(["--data_path", "x.csv", "--model", "DLinear"])
    for more in (["--task_name", "imputation"], ["--data", "ETTh1"]):
        assert "arguments are required" in refused(["--data_path", "x.csv", *more])
