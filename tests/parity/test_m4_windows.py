"""All recordings of the reference's windows of M4 series, and of its summary."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from data_provider.m4 import PATTERNS, M4Dataset, align, read_naive2, read_pair
from exp.exp_short_term_forecasting import summarise_folder
from tests.conftest import GOLDEN
from utils.m4_summary import score_pattern

FOLDER = GOLDEN / "protocol"
NOTES = json.loads((FOLDER / "m4_windows.json").read_text()) if FOLDER.is_dir() else {}

pytestmark = pytest.mark.skipif(not NOTES, reason=f"no recordings of the reference at {FOLDER}")


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return load_file(FOLDER / "m4_windows.safetensors")


def test_windows(recorded):
    """The last `pred_len` values of the recorded outsample are the target."""
    assert len(NOTES["windows"]) == 141
    without_target = 0
    for window in NOTES["windows"]:
        key, horizon = window["key"], window["pred_len"]
        dataset = M4Dataset(
            [np.full(3, -1.0), recorded[window["series"]], np.full(3, -1.0)],
            window["seq_len"],
            horizon,
            history=1.5,
            label_len=window["label_len"],
        )
        x, y, mask = dataset.windows(torch.tensor([1]), torch.tensor([window["cut"]]))
        assert x.shape == (1, window["seq_len"], 1)
        assert y.shape == mask.shape == (1, horizon, 1)
        for ours, theirs in (
            (x, recorded[f"{key}.insample"]),
            (y, recorded[f"{key}.outsample"][-horizon:]),
            (mask, recorded[f"{key}.outsample_mask"][-horizon:]),
        ):
            np.testing.assert_array_equal(ours[0, :, 0], theirs.astype(np.float32), key)
        assert mask.sum() == window["target_steps_in_mask"]
        if window["label_start_negative"]:
            without_target += 1
            assert window["future_steps_that_exist"] > 0
            assert not mask.any()
    assert without_target == 37


def test_cut_ranges():
    """Values count the steps, so that the last value of a look-back is the cut."""
    assert len(NOTES["cut_ranges"]) == 30
    torch.manual_seed(0)
    for case in NOTES["cut_ranges"]:
        pattern = PATTERNS[case["pattern"]]
        assert (pattern.horizon, pattern.history) == (case["pred_len"], case["history"])
        dataset = M4Dataset(
            [np.arange(1.0, case["length"] + 1)],
            case["seq_len"],
            case["pred_len"],
            case["history"],
            case["label_len"],
        )
        x, _, _ = dataset.batch(torch.zeros(20_000, dtype=torch.int64))
        lowest, highest = x[:, -1].aminmax()
        assert (lowest, highest) == (case["lowest_cut"], case["highest_cut"]), case


def test_last_windows(recorded):
    assert len(NOTES["last_insample"]) == 3
    for case in NOTES["last_insample"]:
        series = [recorded[name] for name in case["series"]]
        dataset = M4Dataset(series, case["seq_len"], pred_len=6, history=1.5, label_len=6)
        ours = dataset.last_windows(torch.arange(len(series)))[..., 0]
        theirs = recorded[f"{case['key']}.insample"].astype(np.float32)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours != 0, recorded[f"{case['key']}.insample_mask"])


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
