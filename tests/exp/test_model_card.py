"""The model card: what is known of a model, and nothing else."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from exp.forecaster import CALFForecaster
from exp.model_card import licence_of
from run import main

SMALL = {"h": 8, "input_size": 24, "train_epochs": 1, "verbose": False, "use_gpu": False,
         "model": "DLinear", "moving_avg": 5}  # fmt: skip


def card_of(forecaster: CALFForecaster, folder: Path) -> ModelCard:
    forecaster.save_pretrained(folder)
    return ModelCard.load(folder / "README.md")


def table(card: ModelCard, name: str) -> dict[str, list[str]]:
    """The cells of the table of a section, by the first one of its rows."""
    (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", card.text, re.M | re.S)
    _, _, *rows = [row.split("|")[1:-1] for row in section.splitlines() if row.startswith("|")]
    return {first.strip(): [cell.strip() for cell in others] for first, *others in rows}


def test_scores_beside_naive_ones_and_coverage(wide, tmp_path):
    forecaster = CALFForecaster(**SMALL).fit(wide, val_size=120)
    card = card_of(forecaster, tmp_path)
    assert card.data.library_name == "calf" and card.data.license is None
    assert card.data.pipeline_tag == "time-series-forecasting"
    assert "3 series (channels), 2016-07-01 00:00:00 to " in card.text
    rows = table(card, "Scores")
    assert list(rows) == ["DLinear", "last value", "seasonal naive (24 steps)"]
    scale = wide.iloc[:-120, 1:].std(ddof=0).to_numpy()
    values = wide.iloc[:, 1:].to_numpy() / scale
    windows = np.lib.stride_tricks.sliding_window_view(values[-120 - 1 :], 9, axis=0)
    naive = np.mean((windows[..., 1:] - windows[..., :1]) ** 2)
    assert float(rows["last value"][0]) == pytest.approx(naive, rel=1e-3)
    best = forecaster.run.progress.best.validation
    assert float(rows["DLinear"][0]) == pytest.approx(best, rel=1e-3)
    covered = table(card, "Prediction intervals")
    assert {"50 %", "80 %", "90 %", "95 %"} <= covered.keys()
    assert 50 < float(covered["80 %"][0].rstrip("%")) < 100
    loaded = CALFForecaster.load(tmp_path, verbose=False)
    assert table(card_of(loaded, tmp_path / "again"), "Scores") == rows


def test_unknown_scores_are_left_out(wide, tmp_path):
    """Of a training without validation; with few windows no interval has a coverage."""
    card = card_of(CALFForecaster(**SMALL).fit(wide, val_size=0), tmp_path / "all")
    assert "## Scores" not in card.text and "intervals" not in card.text
    card = card_of(CALFForecaster(**SMALL).fit(wide, val_size=10), tmp_path / "few")
    assert "## Scores" in card.text and "## Prediction intervals" not in card.text


def test_three_lines_load_what_was_pushed(wide, tmp_path, monkeypatch):
    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, repo_id, **_):
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, repo_id, folder_path, **_):
            shutil.copytree(folder_path, tmp_path / repo_id, dirs_exist_ok=True)
            return "a commit"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    forecaster = CALFForecaster(**SMALL).fit(wide)
    assert forecaster.push_to_hub("someone/model") == "a commit"
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "someone/model/README.md").read_text(),
                         re.S)  # fmt: skip
    assert code.count("\n") == 3 and '"someone/model"' in code
    names = {"df": wide}
    monkeypatch.chdir(tmp_path)  # where the id is a folder
    exec(code, names)
    pd.testing.assert_frame_equal(names["forecast"], forecaster.predict(wide))
    for asked in (False, True):  # its series, which are pushed if asked for
        forecaster.push_to_hub("someone/model", **({"save_dataset": True} if asked else {}))
        assert (CALFForecaster.load("someone/model").history is not None) == asked


def test_scores_of_a_run_are_those_of_its_test(command, workdir):
    assert main(command("--level", "80", "--seq_len", "48")) == 0
    (checkpoint,) = workdir.glob("checkpoints/*")
    (record,) = workdir.glob("results/*/run.json")
    record = json.loads(record.read_text())
    card = card_of(CALFForecaster.load(checkpoint, verbose=False), workdir / "saved")
    rows = table(card, "Scores")
    assert rows["CALF"] == [f"{record['scores'][name]:.4g}" for name in ("mse", "mae")]
    naive = record["baselines"]["LastValue"]
    assert rows["last value"] == [f"{naive[name]:.4g}" for name in ("mse", "mae")]
    assert "test windows" in card.text
    (covered,) = table(card, "Prediction intervals").items()
    assert covered == ("80 %", [f"{record['intervals']['coverage'][0]:.1%}"])
    shutil.rmtree("results")
    card = card_of(CALFForecaster.load(checkpoint, verbose=False), workdir / "saved")
    assert "## Scores" not in card.text


def test_the_licence_of_the_backbone(wide, small_gpt2, tmp_path):
    options = {"model": "CALF", "gpt_layers": 1, "word_embedding_path": "none"}
    llm = tmp_path / "gpt2"
    shutil.copytree(small_gpt2, llm)
    forecaster = CALFForecaster(**SMALL | options, llm=str(llm)).fit(wide.tail(100))
    card = card_of(forecaster, tmp_path / "saved")
    assert card.data.license is None and "its licence is not known here" in card.text
    (llm / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    card = card_of(forecaster, tmp_path / "saved")
    assert card.data.license == "apache-2.0" and "licence `apache-2.0`" in card.text
    assert licence_of("gpt2") == licence_of("openai-community/gpt2") == "mit"
    assert licence_of("nobody/unknown") is None
