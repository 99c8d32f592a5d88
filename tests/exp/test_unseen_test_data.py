"""Nothing that is chosen or trained under the default protocol depends on test data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.exp.small_runs import experiment, left
from utils.checkpoint import read_checkpoint


def change_csv(path: Path, rows: slice) -> None:
    table = pd.read_csv(path)
    table.iloc[rows, 1:] = 50 - 3 * table.iloc[rows, 1:]
    table.to_csv(path, index=False)


def change_m4(folder: Path) -> None:
    path = folder / "Test" / "Weekly-test.csv"
    table = pd.read_csv(path)
    table.iloc[:, 1:] = 1 + table.iloc[:, 1:].to_numpy()[::-1] ** 2
    table.to_csv(path, index=False)


def change_anomaly(folder: Path) -> None:
    for name, change in (("test", lambda rows: 9 - 5 * rows), ("test_label", np.flip)):
        path = folder / f"MSL_{name}.npy"
        np.save(path, change(np.load(path)))


def change_uea(folder: Path) -> None:
    path = folder / "Waves_TEST.ts"
    text = path.read_text().replace(":slow", ":other").replace(":fast", ":slow")
    path.write_text(text.replace(":other", ":fast").replace("0.", "7."))


DLINEAR = ("--model", "DLinear")
TEST_ROWS = slice(-120, None)  # of 600
CHANGES = {
    "long_term_forecast": lambda folder: change_csv(folder / "made_up.csv", TEST_ROWS),
    "zero_shot": lambda folder: change_csv(folder / "target.csv", slice(None)),
    "imputation": lambda folder: change_csv(folder / "made_up.csv", TEST_ROWS),
    "short_term_forecast": change_m4,
    "anomaly_detection": change_anomaly,
    "classification": change_uea,
}


def run(task: str, data: Path, folder: Path, monkeypatch, *more: str) -> tuple[dict, dict]:
    """Train and test; returns all that was trained and chosen, and `run.json`."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    of_task = experiment(task, data, *more)
    with of_task.folders.claim():
        of_task.train()
        of_task.test()
    chosen = left(of_task)
    notes = read_checkpoint(of_task.folders.state).metadata["progress"]
    keep = ("epoch", "train", "validation", "learning_rate", "losses")
    chosen["progress"] = [[epoch[name] for name in keep] for epoch in notes["history"]]
    chosen["best"] = notes["best"]["epoch"]
    return chosen, json.loads((of_task.folders.results / "run.json").read_text())


@pytest.fixture
def trained_twice(small_data, tmp_path, monkeypatch):
    """Train before and after the test data are changed."""

    def trained_twice(case: str, *more: str):
        changed = tmp_path / case / "data"
        shutil.copytree(small_data, changed)
        CHANGES[case](changed)
        more = ("--llm", str(small_data / "gpt2"), *more)
        task = case.replace("zero_shot", "long_term_forecast")
        pairs = [
            run(task, data, tmp_path / case / name, monkeypatch, *more)
            for name, data in (("before", small_data), ("after", changed))
        ]
        return zip(*pairs, strict=True)

    return trained_twice


@pytest.mark.parametrize("task", CHANGES)
def test_default_protocol(trained_twice, task):
    """CALF's in forecasting; in other tasks a quick model, as data are the task's."""
    more = () if task == "long_term_forecast" else DLINEAR
    more += ("--threshold", "train") if task == "anomaly_detection" else ()
    more += ("--zero_shot", "1", "--target_data", "target") if task == "zero_shot" else ()
    (before, after), records = trained_twice(task, *more)
    assert [name for name in before if before[name] != after[name]] == []
    assert records[0]["scores"] != records[1]["scores"]  # the test data are others
    if "--threshold" in more:
        assert records[0]["threshold"] == records[1]["threshold"]


def test_the_published_protocol_chooses_by_test_data(trained_twice):
    (before, after), _ = trained_twice("short_term_forecast", "--protocol", "published", *DLINEAR)
    assert before["progress"] != after["progress"]
    _, records = trained_twice("anomaly_detection", *DLINEAR)
    assert records[0]["threshold"] != records[1]["threshold"]
