"""M4 through the command line, on the small copy of the competition."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from data_provider.m4 import PATTERNS, read_m4
from exp.exp_short_term_forecasting import ExpShortTermForecasting
from run import main, parse_args
from tests.exp.small_runs import command
from utils.errors import UserError


@pytest.fixture
def m4(small_data, golden, workdir):
    shutil.copytree(golden / "m4_mini", workdir / "m4", ignore=shutil.ignore_patterns("forecasts"))

    def build(pattern: str, *more: str) -> list[str]:
        words = f"--root_path m4 --seasonal_patterns {pattern} --model_id {pattern} --batch_size 4"
        losses = "--output_loss mase --feature_loss smooth_l1 --label_len 48 --train_epochs 1"
        return command("short_term_forecast", small_data, *words.split(), *losses.split(), *more)

    return build


def test_all_six_and_the_summary(m4, workdir, capsys):
    for pattern in PATTERNS:
        assert main(m4(pattern)) == 0
    out = capsys.readouterr().out
    assert out.count("M4 Average") == 1
    for pattern, about in PATTERNS.items():
        table = pd.read_csv(workdir / "m4_results" / "CALF" / f"{pattern}_forecast.csv")
        train = read_m4(workdir / "m4" / "Train" / f"{pattern}-train.csv")
        assert table["id"].tolist() == train.ids
        assert table.shape == (len(train.ids), 1 + about.horizon)
        assert np.isfinite(table.iloc[:, 1:]).all(axis=None)
    lines = (workdir / "results_short_term_forecast.txt").read_text().split("\n")
    assert len(lines) == 6 * 3 + 1
    assert "_sl96_ll48_pl48_" in lines[15]
    names = [score.partition(":")[0] for score in lines[16].split(", ")]
    assert names[0] == "smape" and {"mase", "owa"} <= set(names)
    record = json.loads(next((workdir / "results").glob("*Hourly*/run.json")).read_text())
    assert set(record["summary"]["summary"]) == {"smape", "mase", "mape", "owa"}


def test_without_naive2(m4, workdir, capsys):
    (workdir / "m4" / "submission-Naive2.csv").unlink()
    assert main(m4("Weekly")) == 0
    out = capsys.readouterr().out
    assert out.count("submission-Naive2.csv is missing") == 1
    line = (workdir / "results_short_term_forecast.txt").read_text().split("\n")[1]
    assert "owa" not in line
    assert "mase:" in line


def test_forecasts_of_other_data_are_left_out(m4, workdir, capsys):
    folder = workdir / "m4_results" / "CALF"
    folder.mkdir(parents=True)
    (folder / "Yearly_forecast.csv").write_text("id,V1\nY7000,1\n")
    assert main(m4("Weekly")) == 0
    out = capsys.readouterr().out
    assert "M4 Yearly    left out" in out
    assert "M4 Weekly    smape" in out
    assert json.loads((folder / "runs.json").read_text())["Weekly"]["protocol"] == "sound"


def test_what_is_found_before_training(refused, m4, workdir):
    """Forecasts that can't be written, and a damaged file of Naive2's."""
    (workdir / "m4_results").touch()
    assert "m4_results/CALF: can't write there" in refused(m4("Weekly"))
    (workdir / "m4_results").unlink()
    (workdir / "m4" / "submission-Naive2.csv").write_text("id,F1\nW1,3\n")
    assert "submission-Naive2.csv" in refused(m4("Weekly"))
    assert not list(workdir.glob("checkpoints/*/*"))


def test_protocols(m4):
    clean = ExpShortTermForecasting(parse_args(m4("Hourly")))
    published = ExpShortTermForecasting(parse_args(m4("Hourly", "--protocol", "published")))
    validation, test = published.epoch_scores(1)
    assert validation == test == pytest.approx(published.test_score(), rel=0.05)
    assert (clean.train_set.label_len, published.train_set.label_len) == (0, 48)
    validation, test = clean.epoch_scores(1)
    assert validation != test == clean.test_score()
    # the held-out horizon is in neither training windows nor look-back
    ends = np.stack([values[-48:] for values in clean.series])
    np.testing.assert_array_equal(clean.val_targets, ends)
    assert (published.train_set.lengths - clean.train_set.lengths).tolist() == [48] * 8


def test_series_too_short_to_hold_out(m4, workdir, capsys):
    experiment = ExpShortTermForecasting(parse_args(m4("Monthly")))
    assert "too short" in capsys.readouterr().out
    assert len(experiment.train_set) == 12
    assert 0 < len(experiment.val_set) == len(experiment.val_targets) < 12
    (workdir / "m4" / "Train" / "Monthly-train.csv").write_text("V1,V2\nM1,5\n")
    (workdir / "m4" / "Test" / "Monthly-test.csv").write_text("V1" + ",1" * 18 + "\nM1" + ",1" * 18)
    with pytest.raises(UserError, match="--protocol published"):
        ExpShortTermForecasting(parse_args(m4("Monthly")))
