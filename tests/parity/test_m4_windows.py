"""All recordings of the reference's windows of M4 series."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from data_provider.m4 import PATTERNS, M4Dataset
from tests.conftest import GOLDEN

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
