"""Classification through the command line."""

import json

import numpy as np
import pytest

from exp.exp_classification import ExpClassification
from run import main, parse_args
from tests.conftest import load
from tests.exp.small_runs import argv


@pytest.fixture
def classify(small_data, workdir):
    """Two classes that differ in frequency, in series of different lengths."""
    more = ("--train_epochs", "12", "--patience", "12", "--batch_size", "8")
    return lambda *other: argv("classification", small_data, *more, *other)


@pytest.mark.draws
def test_classes_are_told_apart(classify, workdir, results):
    assert main(classify()) == 0
    record = json.loads((results() / "run.json").read_text())
    accuracy = (load(results() / "pred.npy") == load(results() / "true.npy")).mean()
    assert record["scores"]["accuracy"] == pytest.approx(accuracy)
    assert accuracy > 0.8
    confusion = np.array(record["confusion"])
    assert confusion.sum() == 30
    assert np.trace(confusion) == round(30 * accuracy)
    assert record["validation"] == "held-out fifth"
    setting, scores, empty, _ = (workdir / "results_classification.txt").read_text().split("\n")
    assert f"{setting}_{record['digest']}" == results().name
    assert scores == f"accuracy:{accuracy}"
    assert empty == ""
    assert next((workdir / "test_results").glob("*/confusion.png")).stat().st_size > 1000


def test_validation_is_held_out(classify):
    run = ExpClassification(parse_args(classify()))
    assert (len(run.train_set), len(run.val_set), len(run.test_set)) == (48, 12, 30)


def test_the_longest_series_is_the_look_back(classify):
    run = ExpClassification(parse_args(classify("--seq_len", "7")))
    longest = max(file.lengths.max() for file in run.files)
    assert f"_sl{longest}_" in run.setting
    assert "_pl0_" in run.setting
    assert run.train_set.tensors[0].shape[1] == run.test_set.tensors[0].shape[1] == longest != 7


def test_the_later_of_equals_is_kept(classify, monkeypatch):
    accuracies = iter([0.5, 0.9, 0.9, 0.7])
    monkeypatch.setattr(ExpClassification, "validation_score", lambda *_: next(accuracies))
    experiment = ExpClassification(
        parse_args(classify("--train_epochs", "4", "--model", "DLinear"))
    )
    experiment.train()
    assert experiment.progress.best.epoch == 3
