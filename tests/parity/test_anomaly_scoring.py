"""Anomaly detection against the reference: splits, scores, threshold, point adjustment."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.anomaly import AnomalyTables, make_splits, read_anomaly
from run import main
from tests.parity.recordings import Recording, load_tensors, tiny_options
from utils.detection import detection_scores, point_adjust, threshold

SCORES = {"precision": "precision", "recall": "recall", "f1": "f_score", "accuracy": "accuracy"}


@pytest.fixture(scope="module")
def recorded(golden) -> dict:
    notes = json.loads((golden / "protocol" / "anomaly_scoring.json").read_text())
    tensors = load_tensors(golden / "protocol" / "anomaly_scoring.safetensors")
    return notes | {name: value.numpy() for name, value in tensors.items()}


@pytest.fixture
def detect(recorded, golden, workdir):
    """Test the recorded model on the recorded set, and return the results folder."""
    folder = workdir / "PSM"
    folder.mkdir()
    for name, rows in (("train", "train_rows"), ("test", "test_rows"), ("test_label", "labels")):
        values = recorded[rows].reshape(len(recorded[rows]), -1)
        frame = pd.DataFrame(values, columns=[f"feature_{i}" for i in range(values.shape[1])])
        frame.insert(0, "timestamp_(min)", np.arange(len(frame)))
        frame.to_csv(folder / f"{name}.csv", index=False)
    torch.save(Recording(golden, "anomaly_detection").group("state"), "checkpoint.pth")

    def detect(*more: str):
        argv = [
            *"--task_name anomaly_detection --is_training 0 --model_id PSM --data PSM".split(),
            *f"--root_path {folder} --seq_len 24 --batch_size 32".split(),
            *tiny_options(golden / "tiny"), *("--checkpoint", "checkpoint.pth", *more),
        ]  # fmt: skip
        assert main(argv) == 0
        (results,) = (workdir / "results").glob("*PSM*")
        record = json.loads((results / "run.json").read_text())
        return record, {n: np.load(results / f"{n}.npy") for n in ("score", "pred", "true")}

    return detect


@pytest.mark.parametrize("ratio", ["1", "3"])
def test_scoring(recorded, ratio):
    about, labels = recorded["ratios"][ratio], recorded["window_labels"].ravel()
    energies = [recorded[f"{name}_energy"].ravel() for name in ("train", "test")]
    limit = threshold(*energies, float(ratio))
    assert limit == pytest.approx(about["threshold"], rel=1e-6)
    detected = energies[1] > limit
    np.testing.assert_array_equal(detected, recorded[f"pred_before.ratio{ratio}"])
    adjusted = point_adjust(detected, labels)
    # theirs never reaches the very first point
    np.testing.assert_array_equal(adjusted[1:], recorded[f"pred_after.ratio{ratio}"][1:])
    scores = detection_scores(detected, labels)
    for ours, theirs in SCORES.items():
        assert scores[ours] == pytest.approx(about[theirs], abs=2 / labels.sum()), ours
        if ours != "accuracy":
            before = about["before_adjustment"][theirs]
            assert scores[f"{ours}_raw"] == pytest.approx(before, rel=1e-9)


def test_sound_scores_are_scores_of_the_same_windows(detect, recorded):
    """Every row once: by the window that begins at a multiple of 24 rows, and the last one."""
    _, arrays = detect()
    energy = recorded["test_energy"]
    rows = np.concatenate([energy[24 * i] for i in range(10)])
    np.testing.assert_allclose(arrays["score"][:240], rows, rtol=1e-4)
    np.testing.assert_allclose(arrays["score"][240:], energy[-1][-20:], rtol=1e-4)


def test_scaling(recorded, detect, workdir):
    detect()
    tables = read_anomaly("PSM", workdir / "PSM")
    assert tables.filled == 2
    splits = make_splits(tables, "PSM", 24)
    np.testing.assert_allclose(splits["train_scored"].values, recorded["train_scaled"], atol=1e-6)
    np.testing.assert_allclose(splits["test"].values, recorded["test_scaled"], atol=1e-6)


def test_point_adjustment(recorded):
    cases = [tuple(case.values()) for case in recorded["adjustment_cases"]]
    cases += zip(
        *(recorded[f"adjust_cases.{n}"] for n in ("labels", "pred", "adjusted")), strict=True
    )
    for labels, pred, adjusted in cases:
        np.testing.assert_array_equal(point_adjust(pred, labels)[1:], np.array(adjusted, bool)[1:])
    for case in recorded["degenerate"]:
        scores = detection_scores(case["pred"], case["labels"])
        for ours, theirs in SCORES.items():
            assert scores[ours] == pytest.approx(case[theirs])


@pytest.mark.parametrize("data", ["PSM", "MSL", "SMAP", "SMD", "SWAT"])
def test_splits(recorded, data):
    for about in recorded["splits"][data]:
        n_train, n_test, seq_len = about["train_rows"], about["test_rows"], about["win_size"]
        train = np.arange(n_train, dtype=float)[:, None]
        test = np.arange(n_test, dtype=float)[:, None]
        tables = AnomalyTables(train, test, np.zeros(n_test, bool), 0)
        splits = make_splits(tables, data.replace("SWAT", "SWaT"), seq_len)
        assert len(splits["train"].values) == about["val_is_train_rows"][0]
        theirs = about["train"]["first_rows"]  # of windows that reach into the validation rows, too
        inside = [row for row in theirs[:3] if row + seq_len <= len(splits["train"].values)]
        assert splits["train"].starts[:3].tolist()[: len(inside)] == inside
