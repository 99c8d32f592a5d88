"""`run.py` and the forecaster read the same series from a file, cut the same windows, and write the
same forecast, byte for byte; or refuse it with the same line."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from exp.exp_long_term_forecasting import ExpLongTermForecasting, InMemory
from exp.forecast import main as forecast_main
from exp.forecaster import CALFForecaster
from run import main, parse_args
from tests.data_provider import written

LOOK_BACK, HORIZON = 12, 4
OPTIONS = {"model": "DLinear", "train_epochs": 1, "moving_avg": 3, "batch_size": 64}
DAYS = pd.date_range("2024-01-15", periods=120, freq="D")
rng = np.random.default_rng(0)
TIDY = pd.DataFrame({"date": DAYS, "a": rng.normal(9, 2, 120).round(2), "b": np.arange(120) * 0.5})
LONG = TIDY.melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})


def dated(dates, **change) -> pd.DataFrame:
    """The tidy table with other dates."""
    return TIDY.iloc[: len(dates)].assign(date=dates, **change)


def csv(frame: pd.DataFrame, **options) -> str:
    return frame.to_csv(index=False, **options)


BUSINESS = pd.bdate_range("2024-01-01", periods=123)
BERLIN = pd.date_range("2024-02-20", periods=120, freq="D", tz="Europe/Berlin")
MONTHS = pd.date_range("2010-01", periods=120, freq="MS")
REPEATED = TIDY.iloc[[*range(50), *range(49, 120)]]

# by name: the file (text, or bytes of Parquet) and the options that it needs
ACCEPTED = {
    "decimal commas": ("sep=;\n" + csv(TIDY, sep=";", decimal=","), ["--decimal", ","]),
    "named thousands": (
        "date\ta\n" + "".join(f"{d:%Y-%m-%d}\t1,{n:03}\n" for n, d in enumerate(DAYS)),
        ["--thousands", ","],
    ),
    "a missing row, filled": (csv(TIDY.drop(index=50)), ["--fill_missing", "linear"]),
    "a repeated date, first": (csv(REPEATED), ["--duplicates", "first"]),
    "a named time": (csv(TIDY.rename(columns={"date": "when"})), ["--time_col", "when"]),
    "long, other names": (csv(LONG.set_axis(["day", "shop", "sold"], axis=1)),
                          ["--id_col", "shop", "--target_col", "sold"]),
    "long, pooled": (csv(LONG.drop(index=range(120, 140))), []),
    "ids as text": (csv(LONG.replace({"unique_id": {"a": "001", "b": "NA"}})), []),
    "pooled by option": (csv(TIDY), ["--panel", "pooled"]),
    "holidays": (csv(dated(BUSINESS.delete([40, 41, 80]))), []),
    "clocks change, daily": (csv(dated([d.isoformat() for d in BERLIN])), []),
    "whole numbers": (csv(dated(range(0, 600, 5))), []),
    "day first, by option": (csv(dated(MONTHS.strftime("%d.%m.%Y"))), ["--dayfirst", "true"]),
    "Parquet, indexed": (TIDY.set_index("date").to_parquet(), []),
}  # fmt: skip

# by name: the file, and a part of the line
REFUSED = {
    "a missing value": (csv(TIDY.replace({"b": {30.0: None}})), "column b, row 61 (line 62)"),
    "long, unnamed": (
        csv(LONG.set_axis(["day", "shop", "sold"], axis=1)), "--id_col shop and --target_col sold"
    ),
    "day or month": (csv(dated(MONTHS[:12].strftime("%d.%m.%Y"))), "--dayfirst"),
    "no time": (csv(TIDY.rename(columns={"date": "when"})), "--time_col"),
    "a renamed column": (csv(TIDY.rename(columns={"a": "c"})), "no column a"),
}  # fmt: skip


def line(path: Path, *more: str) -> list[str]:
    own = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]
    return [
        *"--task_name long_term_forecast --is_training 1 --model_id d --data custom".split(),
        *f"--seq_len {LOOK_BACK} --label_len 0 --pred_len {HORIZON} --use_gpu 0".split(),
        *("--root_path", str(path.parent), "--data_path", path.name, *own, *more),
    ]


def quietly(run, argv: list[str]) -> tuple[int, str, str]:
    """Run a program; returns exit code, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run(argv)
        except SystemExit as error:
            code = error.code
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_same_series_windows_and_forecast(workdir, name):
    content, more = ACCEPTED[name]
    name = "data.parquet" if isinstance(content, bytes) else "data.csv"
    path = written(workdir, content, name)
    code, _, errors = quietly(main, line(path, *more, "--do_predict", "--level", "80"))
    assert code == 0, errors
    (by_run,) = workdir.glob("results/*/forecast.csv")
    (folder,) = workdir.glob("checkpoints/*")
    words = ["--checkpoint", folder, "--input", path, "--output", "out.csv", "--use_gpu", "0"]
    words += ["--level", "80", *(() if "--panel" in more else more)]
    code, _, errors = quietly(forecast_main, [str(word) for word in words])
    assert code == 0, errors
    assert by_run.read_bytes() == Path("out.csv").read_bytes()

    one = ExpLongTermForecasting(parse_args(line(path, *more)), writes=False)
    pairs = zip(more[::2], more[1::2], strict=True)
    given = {option.removeprefix("--"): value for option, value in pairs}
    given |= {"dayfirst": True} if "dayfirst" in given else {}
    forecaster = CALFForecaster(
        HORIZON, LOOK_BACK, use_gpu=False, split=(0.7, 0.1, 0.2), **OPTIONS, **given
    )
    panel = forecaster.read(path)
    configuration = forecaster.configuration(panel).replace(checkpoints="elsewhere")
    other = ExpLongTermForecasting(configuration, memory=InMemory(panel), writes=False)
    assert [t.ids for t in one.panel.tables] == [t.ids for t in other.panel.tables]
    for split in ("train_set", "val_set"):
        ours, theirs = getattr(one, split), getattr(other, split)
        index = torch.arange(len(ours))
        assert len(ours) == len(theirs) > 0
        for x, y in zip(ours.batch(index), theirs.batch(index), strict=True):
            assert torch.equal(x, y)
        assert ours.dates.equals(theirs.dates)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A model of the tidy table."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        assert quietly(main, line(written(folder, csv(TIDY))))[0] == 0
    return next(folder.glob("checkpoints/*"))


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_refusal(trained, workdir, name):
    content, part = REFUSED[name]
    path = written(workdir, content)
    out = workdir / "out.csv"
    argv = ["--checkpoint", trained, "--input", path, "--output", out, "--use_gpu", "0"]
    code, _, by_forecaster = quietly(forecast_main, [str(word) for word in argv])
    assert code == 2
    argv = ["--checkpoint", str(trained), "--root_path", str(path.parent), "--data_path", path.name]
    for run in ([*argv, "--do_predict"], line(path)):
        code, _, by_run = quietly(main, run)
        if name == "a renamed column" and run == line(path):
            break  # which may be trained on
        assert code == 2 and by_run.splitlines()[-1] == by_forecaster.splitlines()[-1]
    message = by_forecaster.splitlines()[-1]
    assert message.startswith(f"error: {path}: ") and part in message
    assert not out.exists()


def test_a_file_in_the_place_of_a_set(workdir, refused):
    path = written(workdir, csv(TIDY))
    argv = line(path)
    argv[argv.index("custom")] = path.name
    assert f"--data custom --data_path {path.name}" in refused(argv)


def test_a_large_level_keeps_its_digits(workdir):
    """A series of 1e9 plus the tidy one is forecast as far above the tidy forecast, in float64."""
    tables = []
    for frame in (TIDY, TIDY.assign(a=TIDY["a"] + 1e9)):
        forecaster = CALFForecaster(HORIZON, LOOK_BACK, use_gpu=False, verbose=False, **OPTIONS)
        tables.append(forecaster.fit(frame).predict(level=[80]))
    for column in ("a", "a-lo-80", "a-hi-80"):
        np.testing.assert_allclose(tables[1][column] - 1e9, tables[0][column], atol=1e-4)
