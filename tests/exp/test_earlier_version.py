"""A checkpoint and a state that an earlier version wrote still load."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from exp.checkpoint import read_checkpoint
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from run import main
from utils.options import parse_args

FILES = Path(__file__).parent / "earlier_version"
EXPECTED = json.loads((FILES / "expected.json").read_text())


@pytest.fixture
def earlier(workdir) -> Path:
    """The working folder as the earlier version left it, killed in epoch 2; returns the folder
    of its checkpoints."""
    shutil.copytree(FILES, workdir, dirs_exist_ok=True)
    folder = workdir / "checkpoints" / EXPECTED["setting"]
    folder.mkdir(parents=True)
    for name in ("checkpoint.safetensors", "state.safetensors"):
        shutil.move(workdir / name, folder / name)
    return folder


def test_its_checkpoint_gives_the_same_errors(earlier, results):
    assert main([*EXPECTED["argv"], "--is_training", "0"]) == 0
    scores = json.loads((results() / "run.json").read_text())["scores"]
    for name, value in EXPECTED["scores_of_checkpoint"].items():
        assert scores[name] == pytest.approx(value, rel=1e-5)


def test_its_state_is_restored_bit_by_bit(earlier, capsys):
    run = ExpLongTermForecasting(parse_args([*EXPECTED["argv"], "--resume"]))
    run.progress = run.state.resume()
    assert "resumed from" in capsys.readouterr().out
    assert (run.progress.epoch, run.progress.steps) == (2, 2)
    assert run.progress.best.epoch == 1
    saved = read_checkpoint(earlier / "state.safetensors").state
    for name, parameter in run.objective.model.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter, saved[f"model.{name}"])
    for owner, optimiser in run.optimisers.by_name.items():
        for number, parameter in enumerate(optimiser.param_groups[0]["params"]):
            state = optimiser.state[parameter]
            for kind in ("step", "exp_avg", "exp_avg_sq"):
                assert torch.equal(state[kind], saved[f"{owner}.{number}.{kind}"]), (owner, number)
    assert run.losses[0] == saved["total_loss"]


def test_it_is_resumed_to_its_end(earlier, capsys, results):
    assert main([*EXPECTED["argv"], "--resume"]) == 0
    out = capsys.readouterr().out
    assert "the rest of this epoch is reshuffled" in out
    assert "epoch 3/3" in out
    record = json.loads((results() / "run.json").read_text())
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2, 3]
    assert main([*EXPECTED["argv"], "--resume"]) == 0
    assert "training was finished" in capsys.readouterr().out


def test_its_folder_belongs_to_its_configuration(earlier, refused):
    assert "--seed 2021, not 3" in refused([*EXPECTED["argv"], "--seed", "3"])
    assert "--seed 2021, not 3" in refused([*EXPECTED["argv"], "--seed", "3", "--resume"])
