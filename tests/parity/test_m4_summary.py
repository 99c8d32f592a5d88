"""The M4 scores against the reference's summary and the competition's own table."""

import csv
import json

import numpy as np
import pytest

from data_provider.m4 import PATTERNS, align, read_naive2, read_pair
from exp.exp_short_term_forecasting import summarise_folder
from utils.m4_summary import score_pattern


def test_summary_of_the_reference(golden, capsys):
    folder = golden / "m4_mini"
    summary = summarise_folder(folder, folder / "forecasts")["summary"]
    expected = json.loads((folder / "expected_summary.json").read_text())
    for score in ("smape", "mase", "mape", "owa"):
        assert summary[score].keys() == expected[score].keys()
        for group, value in expected[score].items():
            assert round(summary[score][group], 3) == value, (score, group)
    assert capsys.readouterr().out.count("M4 ") == 6 + 5


@pytest.mark.parametrize("pattern", ["Hourly", "Weekly"])
def test_naive2_of_the_competition(real_data, pattern):
    root = real_data / "m4"
    with (root / "official_scores.csv").open() as file:
        official = next(row for row in csv.DictReader(file) if row["method"] == "Naive2")
    train, targets = read_pair(root, pattern)
    about = PATTERNS[pattern]
    forecasts = align(read_naive2(root), train, about.horizon)
    scores = score_pattern(forecasts, targets, train.series, about.period)
    assert round(scores.smape, 3) == float(official[f"sMAPE_{pattern}"])
    assert round(scores.mase, 3) == float(official[f"MASE_{pattern}"])
    known = {"Hourly": (18.383, 2.395), "Weekly": (9.161, 2.777)}[pattern]
    np.testing.assert_allclose((scores.smape, scores.mase), known, atol=5e-4)
