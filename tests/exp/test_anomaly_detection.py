"""Anomaly detection through the command line."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from exp.exp_anomaly_detection import ExpAnomalyDetection
from run import main, parse_args
from tests.conftest import WIDTH, load


@pytest.fixture
def detect(small_gpt2, workdir):
    """Sines in the layout of MSL, with stretches of noise in the test rows."""
    rng = np.random.default_rng(0)
    folder = workdir / "MSL"
    folder.mkdir()
    phases = rng.uniform(0, 6, 4)

    def sines(rows: int) -> np.ndarray:
        clean = np.sin(np.arange(rows)[:, None] * 0.4 + phases)
        return clean + 0.05 * rng.standard_normal((rows, 4))

    test, labels = sines(815), np.zeros(815, dtype=bool)
    for start in (100, 400, 790):
        test[start : start + 20] += 2 * rng.standard_normal((20, 4))
        labels[start : start + 20] = True
    np.save(folder / "MSL_train.npy", sines(1200))
    np.save(folder / "MSL_test.npy", test)
    np.save(folder / "MSL_test_label.npy", labels)

    def build(*more: str) -> list[str]:
        return [
            *"--task_name anomaly_detection --is_training 1 --model CALF --data MSL".split(),
            *"--root_path MSL --model_id MSL --seq_len 20 --pred_len 0".split(),
            *"--batch_size 32 --learning_rate 0.002 --train_epochs 3 --anomaly_ratio 3".split(),
            *f"--llm {small_gpt2} --d_model {WIDTH} --gpt_layers 2 --use_gpu 0".split(),
            *f"--word_embedding_path {small_gpt2 / 'words.pt'}".split(),
            *more,
        ]

    return build


@pytest.mark.draws
def test_anomalies_are_found(detect, workdir, results):
    assert main(detect()) == 0
    score, pred, true = (load(results() / f"{name}.npy") for name in ("score", "pred", "true"))
    # every test row is scored once, the odd ones at the end too
    assert score.shape == pred.shape == true.shape == (815,)
    record = json.loads((results() / "run.json").read_text())
    np.testing.assert_array_equal(pred > 0, score > np.float32(record["threshold"]))
    scores = record["scores"]
    assert scores["f1_raw"] == pytest.approx(f1_score(true, pred))
    assert scores["f1_raw"] > 0.3
    assert scores["f1"] > 0.8
    assert scores["f1"] >= scores["f1_raw"]
    line = (workdir / "results_anomaly_detection.txt").read_text().split("\n")[1]
    assert all(f"{name}:" in line for name in ("precision", "recall", "f1", "accuracy", "f1_raw"))
    assert next((workdir / "test_results").glob("*/anomalies.png")).stat().st_size > 1000


def test_validation_is_held_out(detect):
    run = ExpAnomalyDetection(parse_args(detect()))
    assert len(run.train_set) == 960 - 20 + 1
    assert len(run.val_set) == 240 // 20


@pytest.mark.parametrize("data", ["SWAT", "SWaT"])  # the published name, and the usual one
def test_swat(detect, workdir, results, data):
    arrays = [np.load(f"MSL/MSL_{name}.npy") for name in ("train", "test")]
    labels = np.load("MSL/MSL_test_label.npy").astype(int)
    for name, rows, label in (("swat_train2", arrays[0], 0), ("swat2", arrays[1], labels)):
        table = pd.DataFrame(rows, columns=list("abcd")).assign(**{"Normal/Attack": label})
        table.to_csv(f"MSL/{name}.csv", index=False)
    argv = detect("--data", data, "--train_epochs", "1", "--model", "DLinear")
    assert main(argv) == 0
    assert f"_{data}_ft" in results().name
    of_msl = ExpAnomalyDetection(parse_args(detect()))
    of_swat = ExpAnomalyDetection(parse_args(argv))
    np.testing.assert_allclose(of_swat.train_set.values, of_msl.train_set.values, atol=1e-6)
