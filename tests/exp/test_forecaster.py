"""The forecaster: against the same training by run.py, neuralforecast's and Chronos's columns, and
what people's frames have."""

import json
import os
import re
import signal
import subprocess
import sys
from copy import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.base import clone

from exp.forecaster import CALFForecaster
from run import main
from tests.conftest import MODELS, ROOT, refusal
from tests.datasets.hub_server import MODEL, serve_model, use_hub
from tests.exp.small_runs import once_at, raises, send
from tests.rounding import use_float64
from utils.errors import UserError
from utils.option_table import NAMES_ELSEWHERE

SMALL = {"input_size": 24, "verbose": False, "use_gpu": False}
DLINEAR = SMALL | {"model": "DLinear", "train_epochs": 2, "moving_avg": 5}


@pytest.fixture
def long(wide) -> pd.DataFrame:
    """Two series of different lengths, long."""
    table = wide.rename(columns={"date": "ds"}).melt("ds", wide.columns[1:3], "unique_id", "y")
    table["ds"] = pd.to_datetime(table["ds"])
    late = (table["unique_id"] == wide.columns[2]) & (table["ds"] < table["ds"].iloc[100])
    return table[~late].reset_index(drop=True)


@pytest.fixture
def calf(small_gpt2) -> dict:
    """Options of a small CALF."""
    words = str(small_gpt2 / "words.pt")
    return SMALL | {"llm": str(small_gpt2), "word_embedding_path": words, "gpt_layers": 2,
                    "train_epochs": 1, "batch_size": 64}  # fmt: skip


@pytest.fixture(scope="module")
def naive(synthetic_csv) -> CALFForecaster:
    """A fitted forecaster with 13 validation windows."""
    forecaster = CALFForecaster(h=8, model="LastValue", level=[80], **SMALL)
    return forecaster.fit(pd.read_csv(synthetic_csv).iloc[:120], val_size=20)


MISTAKES = [
    (lambda f, t: f.predict(level=80), r"level=80: give a list, such as \[80, 95\]"),
    (lambda f, t: f.plot("x.bmp"), r"x\.bmp: give the name of a picture: \.png"),
    (lambda f, t: f.predict_df(t, "a", "b", quantile_levels=[0.999]), "not a number from 0.005"),
    (lambda f, t: clone(f).fit(t.assign(**{"OT-lo-80": 1.0})).predict(), "the bound of another"),
    (lambda f, t: f.predict(h=2.5), r"h=2\.5"),
    (lambda f, t: copy(f).set_params(h=9).predict(), "1 to 8 steps"),
    (lambda f, t: f.predict(t.tail(20)), "4 rows are missing to forecast from: the look-back is"),
    (lambda f, t: clone(f).fit(t, val_size="a"), "val_size='a': give a whole number from 0"),
    (lambda f, t: clone(f).fit(t, val_size=True), "val_size=True: give a whole number from 0"),
    (lambda f, t: f.cross_validation(t, n_windows=0), "n_windows=0: give a whole number from 1"),
    (lambda f, t: f.cross_validation(t, step_size=0), "step_size=0: give a whole number from 1"),
    (lambda f, t: f.cross_validation(t, time_col="y"), "the result has columns cutoff and y"),
    (lambda f, t: clone(f).fit(t.head(20)), "too short to train on"),
    (lambda f, t: clone(f).fit(t.head(0)), "empty|no rows"),
    (lambda f, t: clone(f).fit("a path.csv"), "a path.csv: no such file"),
    (lambda f, t: clone(f).fit([t]), "a DataFrame or a path is needed, not list"),
    (lambda f, t: clone(f).predict(t), "not trained yet"),
    (lambda f, t: clone(f).set_params(no_such=1), "no_such"),
    (lambda f, t: CALFForecaster(h=8, no_such_option=1), "no such parameter, nor option"),
    (lambda f, t: CALFForecaster(h=8, level=[120]), "level"),
]


@pytest.mark.parametrize(("use", "message"), MISTAKES)
def test_one_clear_error(naive, wide, use, message):
    assert re.search(message, refusal(use, naive, wide))


def test_arguments_that_can_not_be(naive, tmp_path, capsys):
    """A warning does not depend on `verbose`."""
    naive.predict(level=[95])
    assert "needs 39 validation windows" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert "a file, not a folder" in refusal(naive.save, tmp_path / "file")


@pytest.mark.parametrize(
    "wrong",
    [{"level": 80}, {"level": "80"}, {"level": ["a"]}, {"h": "8"}, {"h": 2.5}, {"h": True},
     {"h": 0}, {"h": None}, {"input_size": None}, {"train_epochs": "5"}, {"learning_rate": "0.1"},
     {"use_gpu": 2.5}, {"individual": "yes"}, {"split": 0.7}, {"llm": 3}, {"model": 7},
     {"seed": "x"}, {"panel": "all"}, {"fill_missing": 0}, {"duplicates": "all"},
     {"dayfirst": "yes"}, {"verbose": "no"}, {"start_padding_enabled": "no"}, {"freq": 3.5}],
    ids=str,
)  # fmt: skip
def test_wrong_types_of_parameters(wrong, wide):
    (name,) = wrong
    message = refusal(lambda: CALFForecaster(**{"h": 8} | DLINEAR | wrong).fit(wide))
    assert re.search(rf"\b{name}\b", message)


def test_states_to_resume_from_are_kept_if_asked(wide, workdir):
    """Of an interrupted training; without `checkpoints` nothing is left."""
    expected = CALFForecaster(h=8, **DLINEAR).fit(wide).predict()
    for more in ({}, {"checkpoints": "here"}):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            once_at(patch, "train_step", 2, send(signal.SIGINT), step=3)
            CALFForecaster(h=8, **DLINEAR, **more).fit(wide)
        assert bool(list(workdir.rglob("*.safetensors"))) == bool(more)
    resumed = CALFForecaster(h=8, **DLINEAR, checkpoints="here", resume=True)
    with pytest.MonkeyPatch.context() as patch:
        once_at(patch, "train_step", 1, raises(AssertionError("trained again")))
        pd.testing.assert_frame_equal(resumed.fit(wide).predict(), expected)
    assert {path.name for path in workdir.iterdir()} == {"here"}


@pytest.mark.parametrize("model", ["CALF", "iTransformer"])
def test_trains_as_run_does(wide, synthetic_csv, calf, workdir, monkeypatch, model):
    """And forecasts the same, also with a model that reads time marks."""
    use_float64(monkeypatch)
    options = {"model": model, "train_epochs": 1, "batch_size": 64}
    if model == "CALF":
        options |= {name: calf[name] for name in ("llm", "word_embedding_path", "gpt_layers")}
    else:
        options |= {"d_model": 16, "d_ff": 16, "n_heads": 2, "e_layers": 1}
    forecaster = CALFForecaster(h=8, **SMALL | options).fit(wide.iloc[:540], val_size=60)
    assert main([
        *"--task_name long_term_forecast --is_training 1 --model_id x --data custom".split(),
        *"--seq_len 24 --pred_len 8 --split 480,60,60 --use_gpu 0 --do_predict".split(),
        "--root_path", str(synthetic_csv.parent), "--data_path", synthetic_csv.name,
        "--target", wide.columns[-1], *(f"--{name}={value}" for name, value in options.items()),
    ]) == 0  # fmt: skip
    (path,) = workdir.glob("checkpoints/*/checkpoint.safetensors")
    loaded = CALFForecaster.load(path, verbose=False)
    ours, theirs = (f.run.objective.checkpoint_state() for f in (forecaster, loaded))
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-10, msg=name)
    (forecast,) = workdir.glob("results/*/forecast.csv")
    found = loaded.predict(wide).drop(columns="date")
    by_run = pd.read_csv(forecast).drop(columns="date")
    np.testing.assert_allclose(found, by_run, rtol=1e-5, atol=1e-5)
    same = forecaster.predict(wide).drop(columns="date")
    np.testing.assert_allclose(found, same, rtol=1e-6, atol=1e-6)


def test_columns_are_those_of_neuralforecast_and_chronos(long):
    forecaster = CALFForecaster(h=8, level=[80, 95], **DLINEAR).fit(long)
    table = forecaster.predict()
    assert list(table) == [
        "unique_id", "ds", "DLinear",
        "DLinear-lo-80", "DLinear-hi-80", "DLinear-lo-95", "DLinear-hi-95",
    ]  # fmt: skip
    assert table.groupby("unique_id", sort=False).size().to_dict() == dict.fromkeys(
        long["unique_id"].unique(), 8
    )
    assert (
        table["ds"] == [long["ds"].max() + pd.Timedelta(hours=n) for n in range(1, 9)] * 2
    ).all()
    assert (table["DLinear-lo-95"] <= table["DLinear-lo-80"]).all()
    assert (table["DLinear-lo-80"] <= table["DLinear-hi-80"]).all()
    assert len(forecaster.predict(h=3)) == 6
    pd.testing.assert_frame_equal(forecaster.predict(long), table)

    names = {"unique_id": "item_id", "ds": "timestamp", "y": "target"}
    frame, levels = long.rename(columns=names), [0.1, 0.5, 0.9]
    chronos = forecaster.predict_df(frame, prediction_length=5, quantile_levels=levels)
    assert list(chronos) == [
        "item_id", "timestamp", "target_name", "predictions", "0.1", "0.5", "0.9"
    ]  # fmt: skip
    assert len(chronos) == 10 and (chronos["target_name"] == "target").all()
    assert forecaster.predict_df(pl.from_pandas(frame)).columns[:2] == ["item_id", "timestamp"]
    expected = forecaster.predict(h=5, level=[80])
    np.testing.assert_array_equal(chronos["predictions"], expected["DLinear"])
    np.testing.assert_array_equal(chronos["0.9"], expected["DLinear-hi-80"])


def test_series_in_another_order(wide, tmp_path, capsys):
    """The model has weights of its own for each channel."""
    forecaster = CALFForecaster(h=8, **DLINEAR, individual=True).fit(wide)
    expected = forecaster.predict(wide, level=[80])
    names = list(wide.columns)
    found = forecaster.predict(wide[[names[0], *reversed(names[1:])]], level=[80])
    assert list(found)[1:4] == names[:0:-1]
    pd.testing.assert_frame_equal(found[list(expected)], expected)
    long = wide.rename(columns={"date": "ds"}).melt("ds", names[:0:-1], "unique_id", "y")
    other = forecaster.predict(long)
    np.testing.assert_array_equal(other["DLinear"][:8], expected[names[-1]])
    assert capsys.readouterr().err == ""
    more = forecaster.predict(wide.assign(another=1.0), level=[80])
    pd.testing.assert_frame_equal(more, expected)
    with pytest.raises(UserError, match=f"no column {names[1]}, which .* does not know another"):
        forecaster.predict(wide.rename(columns={names[1]: "another"}))


def test_cross_validation(long):
    forecaster = CALFForecaster(h=8, **DLINEAR)
    table = forecaster.cross_validation(long, n_windows=3, step_size=4, level=[80])
    assert list(table) == [
        "unique_id", "ds", "cutoff", "DLinear", "DLinear-lo-80", "DLinear-hi-80", "y"
    ]  # fmt: skip
    assert table["cutoff"].nunique() == 3 and len(table) == 3 * 2 * 8
    merged = table.merge(long, on=["unique_id", "ds"], suffixes=("", "_true"))
    assert len(merged) == len(table) and (merged["y"] == merged["y_true"]).all()
    assert (table["ds"] > table["cutoff"]).all()
    assert table["cutoff"].max() == long["ds"].max() - pd.Timedelta("8h")
    # the model has seen nothing after the first cutoff
    first = table[table["cutoff"] == table["cutoff"].min()]
    again = CALFForecaster(h=8, **DLINEAR).fit(long[long["ds"] <= table["cutoff"].min()])
    np.testing.assert_array_equal(again.predict()["DLinear"], first["DLinear"])
    refitted = forecaster.cross_validation(long, n_windows=2, step_size=4, refit=True)
    last = refitted[refitted["cutoff"] == refitted["cutoff"].max()]
    again = CALFForecaster(h=8, **DLINEAR).fit(long[long["ds"] <= last["cutoff"].iloc[0]])
    np.testing.assert_array_equal(again.predict()["DLinear"], last["DLinear"])


def test_cross_validation_leaves_the_forecaster_as_it_was(wide, long, workdir, monkeypatch):
    """Also one that fails after its training, and the states that it keeps."""
    forecaster = CALFForecaster(h=8, level=[80], checkpoints="here", **DLINEAR)
    forecaster.cross_validation(long)
    assert (forecaster.run, forecaster.intervals, forecaster.history) == (None, None, None)
    assert forecaster.table_options == {} and list(workdir.iterdir()) == []
    forecaster.fit(wide.iloc[:500], time_col="date")
    before, expected = vars(forecaster).copy(), forecaster.predict()
    states = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    forecaster.cross_validation(long, n_windows=2, refit=True)
    with monkeypatch.context() as patch, pytest.raises(UserError, match="midway"):
        patch.setattr(CALFForecaster, "forecast", lambda *_: raises(UserError("midway"))())
        forecaster.cross_validation(long)
    assert vars(forecaster) == before
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == states
    pd.testing.assert_frame_equal(forecaster.predict(), expected)


@pytest.mark.parametrize("kind", [None, pl.Date, pl.Datetime("us"), pl.Int32, pl.String])
def test_polars_in_polars_out(long, wide, kind):
    """Ids and timestamps keep their types; the numbers are those of pandas."""
    days = pd.date_range("2020-01-01", periods=len(wide), freq="D")
    dates = np.arange(len(wide)) if kind is pl.Int32 else days
    frame = long if kind is None else wide.assign(date=dates)
    time = "ds" if kind is None else "date"
    given = pl.from_pandas(frame)
    if kind is not None:
        given = given.with_columns(given[time].cast(pl.Date if kind is pl.String else kind))
        given = given.with_columns(given[time].cast(kind))
    options = DLINEAR | {"train_epochs": 1, "level": [80]}
    forecaster, other = CALFForecaster(h=8, **options), CALFForecaster(h=8, **options)
    expected = other.fit(frame).predict()
    table = forecaster.fit(given).predict()
    assert isinstance(table, pl.DataFrame) and isinstance(forecaster.predict(frame), pd.DataFrame)
    assert kind is pl.String or table.schema[time] == given.schema[time]
    found = table.drop(time).to_pandas()
    pd.testing.assert_frame_equal(found, expected.drop(columns=time), check_dtype=False)
    assert forecaster.predict(given).equals(table)
    if kind is pl.Date:
        table = forecaster.cross_validation(given, n_windows=2, val_size=50)
        expected = other.cross_validation(frame, n_windows=2, val_size=50)
        assert isinstance(table, pl.DataFrame) and table.columns == list(expected)
        np.testing.assert_array_equal(table[other.model], expected[other.model])
        assert table.schema["cutoff"] == pl.Date


def test_a_module_that_hides_a_package(workdir):
    """Beside a script, also imported before; its remedy is one."""
    file = workdir / "models" / "__init__.py"
    file.parent.mkdir()
    file.touch()
    script = workdir / "script.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def run(code: str) -> tuple[int, str]:
        script.write_text(code)
        command = [sys.executable, str(script)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stderr.strip().splitlines()[-1:]

    code = "from exp.forecaster import CALFForecaster\n"
    failed, (error,) = run(f"import utils, models\n{code}")
    assert failed and error.startswith(f"ImportError: {file} hides {ROOT / 'models'}: rename it")
    remedy = error.partition("begin with ")[2]
    assert run(f"{remedy}\n{code}") == (0, [])


def test_saved_and_loaded_elsewhere(wide, calf, tmp_path, monkeypatch):
    """By its id from a hub, then from the cache, without word embeddings."""
    forecaster = CALFForecaster(h=8, level=[80], **calf).fit(wide)
    forecaster.save_pretrained(tmp_path / "saved")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "README.md", "config.json", "model.safetensors"
    ]  # fmt: skip
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    config["word_embedding_path"] = "moved/away.pt"
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    expected = forecaster.predict(wide.tail(100))
    with serve_model(tmp_path / "saved") as server:
        for offline in (False, True):
            use_hub(monkeypatch, server, tmp_path / "cache", offline)
            found = CALFForecaster.from_pretrained(MODEL, verbose=False)
            pd.testing.assert_frame_equal(found.predict(wide.tail(100)), expected)


def frames(wide: pd.DataFrame, long: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What timestamps, ids and columns may be."""
    berlin = pd.date_range("2024-03-30", periods=len(wide), freq="h", tz="Europe/Berlin")
    return {
        "long": long.assign(unique_id=(long["unique_id"] == long["unique_id"].iloc[0]).astype(int)),
        "time zone": wide.assign(date=berlin),
        "whole numbers": wide.assign(date=np.arange(len(wide)) * 2),
        "months": wide.iloc[:400].assign(date=pd.date_range("1980-01-31", periods=400, freq="ME")),
        "text": wide.assign(date=pd.to_datetime(wide["date"]).dt.strftime("%d/%m/%Y %H:%M")),
    }


@pytest.mark.parametrize("kind", ["long", "time zone", "whole numbers", "months", "text"])
def test_saved_with_its_series(wide, long, tmp_path, kind):
    """Unless told not to; a file of the same series, whose ids are text, is forecast alike."""
    options, frame = DLINEAR | {"train_epochs": 1, "level": [80]}, frames(wide, long)[kind]
    frame.to_csv(file := tmp_path / "x.csv", index=False)
    forecaster = CALFForecaster(h=8, **options).fit(frame)
    expected = forecaster.predict()
    assert all(table.values.flags.c_contiguous for table in forecaster.history.tables)
    forecaster.save(tmp_path)
    assert CALFForecaster.load(tmp_path, freq="D").history.reading.freq == "D"
    loaded = CALFForecaster.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.predict(), expected)
    np.testing.assert_array_equal(loaded.predict(file).iloc[:, 2], expected.iloc[:, 2])
    loaded.save(tmp_path / "again")
    pd.testing.assert_frame_equal(CALFForecaster.load(tmp_path / "again").predict(), expected)
    forecaster.save(tmp_path, save_dataset=False)
    with pytest.raises(UserError, match="give df: this forecaster was saved without its series"):
        CALFForecaster.load(tmp_path).predict()


def test_a_single_target(wide, tmp_path):
    """With `features="MS"`, before the forecaster is saved and after that."""
    forecaster = CALFForecaster(h=8, features="MS", level=[80], **DLINEAR).fit(wide)
    expected = forecaster.predict()
    assert list(expected) == ["date", "OT", "OT-lo-80", "OT-hi-80"]
    forecaster.save(tmp_path)
    pd.testing.assert_frame_equal(CALFForecaster.load(tmp_path).predict(), expected)


@pytest.mark.draws
def test_pictures(long, wide, tmp_path):
    forecaster = CALFForecaster(h=8, level=[80], **DLINEAR).fit(long)
    figure = forecaster.plot(tmp_path / "some.png")
    forecaster.plot(tmp_path / "other.svg", long.tail(100), h=4)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == ["other.svg", "some.pdf", "some.png"]
    assert all(path.stat().st_size > 5000 for path in paths)
    alone = forecaster.plot()  # which a notebook shows
    assert isinstance(alone, Figure) and alone.get_suptitle() == figure.get_suptitle()
    assert alone._repr_png_().startswith(b"\x89PNG")
    assert sorted(tmp_path.iterdir()) == paths


def test_scikit_learns_conventions(wide):
    forecaster = CALFForecaster(h=8, **DLINEAR)
    copy = clone(forecaster)
    assert copy.get_params() == forecaster.get_params() and copy.run is None
    assert copy.set_params(h=4, learning_rate=0.01).get_params()["learning_rate"] == 0.01
    assert len(copy.fit(wide).predict()) == 4


def test_naive_forecasts_of_the_validation_windows(wide, capsys):
    loud = DLINEAR | {"verbose": True, "learning_rate": 1e-9}
    scores = CALFForecaster(h=8, **loud).fit(wide).validation_scores
    out = capsys.readouterr().out
    assert list(scores) == ["DLinear", "LastValue", "SeasonalNaive"]
    assert scores["SeasonalNaive"]["season"] == 24
    for naive in ("LastValue", "SeasonalNaive"):
        same = CALFForecaster(h=8, **SMALL, model=naive).fit(wide).validation_scores
        found = {name: scores[naive][name] for name in ("mse", "mae")}
        assert same[naive] == pytest.approx(same[naive] | found)
        assert f"mse {found['mse']:.4g}, mae {found['mae']:.4g}" in out
    assert capsys.readouterr().out == ""


def test_all_rows_without_validation(wide):
    forecaster = CALFForecaster(h=8, **DLINEAR).fit(wide, val_size=0)
    assert forecaster.validation_scores is None
    assert len(forecaster.predict()) == 8
    assert "no validation windows" in refusal(forecaster.predict, level=[80])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CALFForecaster, "_fit", raises(AssertionError("trained")))
        asked = clone(forecaster).set_params(level=[80])
        for message in (
            refusal(asked.fit, wide, val_size=0),
            refusal(forecaster.cross_validation, wide, val_size=0, level=[80]),
        ):
            assert "level: val_size=0 leaves no validation windows" in message
    assert len(forecaster.predict()) == 8
    assert len(forecaster.predict(wide, level=[80], recalibrate=True)) == 8


@pytest.mark.parametrize("model", MODELS)
def test_any_model_by_name(model, wide, calf, tmp_path):
    """A saved one has all that the model needs."""
    sizes = {"d_model": 24, "d_ff": 16, "n_heads": 2, "e_layers": 1}
    forecaster = CALFForecaster(h=8, model=model, panel="pooled", **calf, **sizes).fit(wide)
    table = forecaster.predict(level=[80])
    assert np.isfinite(table.drop(columns="date")).all(axis=None)
    forecaster.save(tmp_path)
    loaded = CALFForecaster.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.predict(wide, level=[80]), table)


@pytest.mark.parametrize(("name", "own"), NAMES_ELSEWHERE.items())
def test_words_of_other_libraries(name, own):
    """Are none of ours, or set what ours do; also where another option has the wrong type."""
    ours = {*CALFForecaster.parameter_names(), *vars(CALFForecaster(h=8).configuration())}
    assert own in ours and (name not in ours or name in ("seq_len", "pred_len"))
    horizon = {} if own == "h" else {"h": 8}
    with pytest.raises(UserError, match=f"^{name}\\b.*: did you mean {own}\\?$"):
        CALFForecaster(**horizon, **{name: 3}, batch_size="a")


def test_a_diverged_training_is_no_success(wide):
    forecaster = CALFForecaster(h=8, learning_rate=500.0, **DLINEAR)
    with pytest.raises(UserError, match="training diverged"):
        forecaster.fit(wide)
    with pytest.raises(UserError, match="not trained yet"):
        forecaster.predict()


def test_short_series_are_padded_if_asked(wide):
    short = wide[["date", wide.columns[1]]].tail(20)
    forecaster = CALFForecaster(h=8, **DLINEAR, start_padding_enabled=True).fit(short)
    assert np.isfinite(forecaster.predict().iloc[:, 1]).all()
    assert len(forecaster.predict(short.tail(5))) == 8


def test_validation_windows_have_no_target_in_training_rows(wide, long, capsys):
    """Their look-backs may; of several series, each by itself."""
    look_back, h = DLINEAR["input_size"], 8
    for frame, tables in ((wide, [len(wide)]), (long, long["unique_id"].value_counts())):
        options = {**DLINEAR, "panel": "channels" if frame is wide else "pooled", "verbose": True}
        CALFForecaster(h=h, **options).fit(frame, val_size=50)
        train = sum(rows - 50 - look_back - h + 1 for rows in tables)
        validation = (50 - h + 1) * len(tables)
        assert f"windows: {train:,} train, {validation:,} validation" in capsys.readouterr().out
