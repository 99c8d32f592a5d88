"""Covariates by run.py, the forecaster and exp.forecast: what they are worth, and what is kept."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import exp.export
import exp.forecast
from exp.forecaster import CALFForecaster
from run import main
from utils.errors import UserError

H, ROWS = 4, 420
SIZES = {
    "iTransformer": {"d_model": 16, "d_ff": 16, "n_heads": 2, "e_layers": 1, "dropout": 0.0},
    "CALF": {"gpt_layers": 1, "r": 4, "task_loss": "mse", "output_w": 0.1},
}
COLUMNS = {"hist_exog_list": ["temp"], "futr_exog_list": ["promo"]}


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    """Hours of a series that jumps with a known event, and the horizon after them."""
    draw, hours = np.random.default_rng(0), np.arange(ROWS + H)
    promo = (draw.random(len(hours)) < 0.3).astype(float)
    y = np.sin(2 * np.pi * hours / 24) + 4 * promo + draw.normal(0, 0.2, len(hours))
    dates = pd.date_range("2024-01-01", periods=len(hours), freq="h")
    temp = draw.normal(size=len(hours))
    return pd.DataFrame({"date": dates, "promo": promo, "temp": temp, "y": y})


@pytest.fixture
def options(small_gpt2) -> dict:
    """Those of a small training, by model."""
    common = {"input_size": 12, "train_epochs": 4, "patience": 9, "batch_size": 8,
              "learning_rate": 0.01, "use_gpu": False, "verbose": False}  # fmt: skip
    backbone = {"llm": str(small_gpt2), "word_embedding_path": str(small_gpt2 / "words.pt")}
    return {
        name: {"h": H, "model": name, **common, **sizes, **(backbone if name == "CALF" else {})}
        for name, sizes in SIZES.items()
    }


@pytest.fixture
def trained(options, events) -> CALFForecaster:
    """An iTransformer of one epoch, with past, future and calendar covariates."""
    few = options["iTransformer"] | {"train_epochs": 1, "level": [80]}
    return CALFForecaster(**few, **COLUMNS, calendar=True).fit(events[:ROWS])


@pytest.mark.parametrize("model", SIZES)
def test_a_known_event_is_forecast(options, events, model):
    table = events[:ROWS].drop(columns="temp")
    errors = {}
    for names in ([], ["promo"]):
        forecaster = CALFForecaster(**options[model], futr_exog_list=names)
        columns = ["date", *names, "y"]
        found = forecaster.cross_validation(table[columns], n_windows=15, step_size=H, val_size=60)
        errors[len(names)] = (found[model] - found["y"]).pow(2).mean()
    assert errors[1] < errors[0] / 3, errors


def test_forecasts_know_what_is_ahead(trained, events, tmp_path):
    """Without `df`, with one, as a file, saved and loaded, with intervals; more rows do no harm."""
    known, after = events[:ROWS], events[ROWS:][["date", "promo"]]
    expected = trained.predict(futr_df=after)
    assert list(expected) == ["date", "y", "y-lo-80", "y-hi-80"] and len(expected) == H
    changed = trained.predict(futr_df=after.assign(promo=1 - after["promo"]))
    assert not np.allclose(changed["y"], expected["y"])
    later = events.assign(temp=0.0)[["promo", "date"]]
    pd.testing.assert_frame_equal(trained.predict(known, futr_df=later), expected)
    trained.save(tmp_path / "saved")
    loaded = CALFForecaster.load(tmp_path / "saved")
    assert loaded.get_params()["futr_exog_list"] == ["promo"] and loaded.options["calendar"]
    pd.testing.assert_frame_equal(loaded.predict(known, futr_df=after), expected)
    pd.testing.assert_frame_equal(loaded.predict(futr_df=after), expected)
    with pytest.raises(UserError, match="iTransformer reads covariates: it can't be exported"):
        exp.export.example(loaded.run, 2)
    assert len(trained.predict(h=1, futr_df=after)) == 1
    short = trained.predict(known.tail(12), futr_df=after)
    np.testing.assert_allclose(short["y"], expected["y"], rtol=1e-5)
    trained.plot(tmp_path / "a.png", futr_df=after)
    assert (tmp_path / "a.png").exists()


def test_pooled_series_have_their_own(options, events, tmp_path):
    few = options["iTransformer"] | {"train_epochs": 1}
    other = events.assign(promo=1 - events["promo"], y=-events["y"]).iloc[7:]
    both = pd.concat([events.assign(unique_id="s"), other.assign(unique_id="t")])
    both = both.rename(columns={"date": "ds"})
    last = both["ds"] > events["date"].iloc[ROWS - 1]
    forecaster = CALFForecaster(**few, **COLUMNS).fit(both[~last])
    after = both[last].drop(columns=["temp", "y"])
    forecaster.save(tmp_path)
    found = forecaster.predict(futr_df=after)
    loaded = CALFForecaster.load(tmp_path).predict(futr_df=after)
    pd.testing.assert_frame_equal(loaded, found, check_dtype=False)
    assert found["unique_id"].tolist() == ["s"] * H + ["t"] * H
    swapped = after.assign(unique_id=after["unique_id"].map({"s": "t", "t": "s"}))
    assert not np.allclose(forecaster.predict(futr_df=swapped)["iTransformer"], found.iloc[:, 2])
    with pytest.raises(UserError, match="futr_df: series t, column promo, 2024-01-18 12:00:00"):
        forecaster.predict(futr_df=after[:H])


def test_what_is_missing_is_one_line(trained, events):
    known, after = events[:ROWS], events[ROWS:][["date", "promo"]]
    unknown = r"column promo, 2024-01-18 12:00:00: not known, as .*futr_df"
    with pytest.raises(UserError, match=unknown):
        trained.predict()
    with pytest.raises(UserError, match="no column temp, which is a covariate"):
        trained.predict(known.drop(columns="temp"), futr_df=after)
    plain = CALFForecaster(h=H, model="LastValue", input_size=12, verbose=False).fit(known)
    with pytest.raises(UserError, match="no covariates that are known ahead"):
        plain.predict(futr_df=after)
    for wrong, message in (
        ({"hist_exog_list": ["a,b"]}, "hist_exog_list: 'a,b' has a comma: rename the column"),
        ({"hist_exog_list": "temp"}, "hist_exog_list='temp': give a list of names"),
    ):
        with pytest.raises(UserError, match=message):
            CALFForecaster(h=H, **wrong)


@pytest.fixture
def line(events, workdir) -> list[str]:
    """The command line of a small training, and its files `x.csv` and `after.csv`."""
    events[:ROWS].to_csv("x.csv", index=False)
    events[ROWS:][["date", "promo"]].to_csv("after.csv", index=False)
    sizes = (f"--{name}={value}" for name, value in SIZES["iTransformer"].items())
    return [
        *"--task_name long_term_forecast --is_training 1 --model_id x --model iTransformer".split(),
        *"--data custom --root_path . --data_path x.csv --seq_len 12 --label_len 0".split(),
        *f"--pred_len {H} --train_epochs 2 --use_gpu 0".split(), *sizes,
        *"--past_covariates temp --future_covariates promo --calendar".split(),
    ]  # fmt: skip


AHEAD = "--do_predict --future after.csv --level 80".split()


def test_run_and_its_checkpoint(line, newest, refused, events):
    """A test, a newer file and exp.forecast find the covariates in the checkpoint."""
    assert main([*line, *AHEAD]) == 0
    record, forecast = (newest() / name for name in ("run.json", "forecast.csv"))
    record, forecast = json.loads(record.read_text()), forecast.read_text()
    assert record["test"]["channels"] == 1
    assert forecast.splitlines()[0] == "date,y,y-lo-80,y-hi-80"
    (path,) = Path("checkpoints").glob("*/checkpoint.safetensors")
    assert main(["--checkpoint", str(path), *AHEAD]) == 0
    assert json.loads((newest() / "run.json").read_text())["scores"] == record["scores"]
    assert (newest() / "forecast.csv").read_text() == forecast
    words = ["--checkpoint", str(path), "--input", "x.csv", "--output", "out.csv", "--level", "80"]
    assert exp.forecast.main([*words, "--future", "after.csv"]) == 0
    ours, theirs = (pd.read_csv(file) for file in ("out.csv", newest() / "forecast.csv"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5)
    assert main([*line, "--is_training", "0"]) == 0
    assert main([*line, "--refit", *AHEAD[1:]]) == 0

    message = refused(["--checkpoint", str(path), "--do_predict"])
    assert "promo of the steps to forecast are needed" in message
    plain = [word for word in line if "_cov" not in word and word not in ("temp", "promo")]
    for other in (["--past_covariates", "promo"], line[:-1], plain):
        test = () if len(other) == 2 else ("--is_training", "0")
        assert "was trained with" in refused([*other, *test, "--checkpoint", str(path)])
    events[:ROWS].drop(columns="promo").to_csv("y.csv", index=False)
    message = refused(["--checkpoint", str(path), "--data_path", "y.csv"])
    assert "y.csv: no column promo, which is a covariate; choose among temp, y" in message


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("--past_covariates promo", "promo is in --past_covariates and in --future_covariates"),
        ("--past_covariates temp,temp", "temp stands there twice"),
        ("--past_covariates date", "x.csv: no column date, which is a covariate"),
        ("--past_covariates temp,y", "no column besides date and the covariates"),
        ("--model PatchTST", "--past_covariates: PatchTST takes no covariates; CALF, iTransformer"),
        ("--task_name imputation", "--past_covariates is for long_term_forecast"),
        ("--do_predict", "promo of the steps to forecast are needed: give the file"),
        ("--future after.csv", "--future has the --future_covariates of --do_predict"),
        ("--do_predict --future absent.csv", "absent.csv: no such file; check --future"),
        (
            "--do_predict --future x.csv",
            "x.csv: series y, column promo, 2024-01-18 12:00:00: no row",
        ),
    ],
)
def test_refused(line, refused, more, expected):
    assert expected in refused([*line, *more.split()])
    assert not list(Path().glob("results/*/*"))
