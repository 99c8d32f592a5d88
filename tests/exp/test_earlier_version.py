"""A checkpoint and a state that an earlier version wrote still load."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from exp.exp_long_term_forecasting import ExpLongTermForecasting
from run import main, parse_args
from utils.checkpoint import read_checkpoint
from utils.identity import configuration

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


def contents(folder: Path) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_its_folder_is_left_as_it_was(earlier, results):
    before = contents(earlier)
    assert main([*EXPECTED["argv"], "--resume"]) == 0
    assert contents(earlier) == before
    assert results().name.startswith(f"{EXPECTED['setting']}_")


@pytest.mark.parametrize("manifest", [False, True])
def test_a_run_of_other_options_is_not_continued(earlier, capsys, manifest):
    if manifest:
        notes = configuration(read_checkpoint(earlier / "state.safetensors").metadata["arguments"])
        (earlier / "manifest.json").write_text(json.dumps(notes))
    before = contents(earlier)
    assert main([*EXPECTED["argv"], "--seed", "3", "--resume"]) == 0
    out = capsys.readouterr().out
    assert "training starts at the beginning" in out
    assert f"{earlier.name}/state.safetensors is of a run with --seed 2021, not 3" in out
    assert contents(earlier) == before


def test_its_second_repetition_is_continued(earlier, capsys):
    """Its manifest has the seed of the first one."""
    second = earlier.with_name(f"{earlier.name[:-1]}1")
    earlier.rename(second)
    run = ExpLongTermForecasting(parse_args([*EXPECTED["argv"], "--itr", "2", "--resume"]), 1)
    assert (run.seed, run.args.seed) == (2022, 2022)
    ((state, unlike),) = run.folders.other_states().items()
    assert (state.resolve(), unlike) == (second / "state.safetensors", "")
    assert run.state.resume().epoch == 2
    assert "continues the run with the same options" in capsys.readouterr().out


def test_its_results_are_left_as_they_were(earlier, workdir):
    folder = workdir / "results" / EXPECTED["setting"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    assert main([*EXPECTED["argv"], "--is_training", "0"]) == 0
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_its_checkpoint_is_one_of_several(earlier, refused):
    short = [*EXPECTED["argv"], "--train_epochs", "1"]
    assert main([*short, "--seed", "3"]) == 0
    test = [*short, "--is_training", "0"]
    assert main([*test, "--train_epochs", "3"]) == 0
    assert main([*test, "--seed", "3"]) == 0
    message = refused([*test, "--seed", "4"])
    assert "choose one by --checkpoint" in message
    assert f"{EXPECTED['setting']}/checkpoint.safetensors, " in message
