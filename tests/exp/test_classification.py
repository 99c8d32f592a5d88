"""Classification through the command line."""

import json

import numpy as np
import pytest

from exp.exp_classification import ExpClassification
from run import main, parse_args
from tests.conftest import WIDTH, load


@pytest.fixture
def classify(small_gpt2, workdir):
    """Two classes that differ in frequency, in series of different lengths."""
    rng = np.random.default_rng(0)
    folder = workdir / "Waves"
    folder.mkdir()
    for part, count in (("TRAIN", 40), ("TEST", 20)):
        lines = ["@problemName Waves", "@classLabel true slow fast", "@data"]
        for number in range(count):
            label = ("slow", "fast")[number % 2]
            steps = np.arange(rng.integers(20, 30))
            speed = 0.3 if label == "slow" else 1.2
            channels = [
                np.sin(speed * steps + rng.uniform(0, 1)) + 0.2 * rng.standard_normal(len(steps))
                for _ in range(2)
            ]
            cells = [",".join(f"{value:.4f}" for value in channel) for channel in channels]
            lines.append(":".join([*cells, label]))
        (folder / f"Waves_{part}.ts").write_text("\n".join(lines))

    def build(*more: str) -> list[str]:
        return [
            *"--task_name classification --is_training 1 --model CALF --data UEA".split(),
            *"--root_path Waves --model_id Waves --batch_size 8 --learning_rate 0.003".split(),
            *f"--train_epochs 12 --patience 12 --use_gpu 0 --llm {small_gpt2}".split(),
            *f"--d_model {WIDTH} --gpt_layers 2".split(),
            *f"--word_embedding_path {small_gpt2 / 'words.pt'}".split(),
            *more,
        ]

    return build


@pytest.mark.draws
def test_classes_are_told_apart(classify, workdir, results):
    assert main(classify()) == 0
    record = json.loads((results() / "run.json").read_text())
    accuracy = (load(results() / "pred.npy") == load(results() / "true.npy")).mean()
    assert record["scores"]["accuracy"] == pytest.approx(accuracy)
    assert accuracy > 0.8
    confusion = np.array(record["confusion"])
    assert confusion.sum() == 20
    assert np.trace(confusion) == round(20 * accuracy)
    assert record["validation"] == "held-out fifth"
    setting, scores, empty, _ = (workdir / "results_classification.txt").read_text().split("\n")
    assert f"{setting}_{record['digest']}" == results().name
    assert scores == f"accuracy:{accuracy}"
    assert empty == ""
    assert next((workdir / "test_results").glob("*/confusion.png")).stat().st_size > 1000


def test_validation_is_held_out(classify):
    run = ExpClassification(parse_args(classify()))
    assert (len(run.train_set), len(run.val_set), len(run.test_set)) == (32, 8, 20)


def test_the_longest_series_is_the_look_back(classify):
    run = ExpClassification(parse_args(classify("--seq_len", "7")))
    longest = max(file.longest for file in run.files)
    assert f"_sl{longest}_" in run.setting
    assert "_pl0_" in run.setting
    assert run.train_set.x.shape[1] == run.test_set.x.shape[1] == longest != 7


def test_the_later_of_equals_is_kept(classify, monkeypatch):
    accuracies = iter([0.5, 0.9, 0.9, 0.7])
    monkeypatch.setattr(ExpClassification, "validation_score", lambda *_: next(accuracies))
    experiment = ExpClassification(parse_args(classify("--train_epochs", "4")))
    experiment.train()
    assert experiment.progress.best.epoch == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--protocol", "published"], "told in docs/protocols.md"),
        (["--data", "ETTh1"], "needs --data UEA"),
        (["--root_path", "."], "_TRAIN.ts"),
        (["--task_loss", "l1"], "use one of ce"),
    ],
)
def test_mistakes(refused, classify, more, said):
    assert said in refused(classify(*more))
