"""A stopped training resumes to the same result."""

import contextlib
import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import utils.checkpoint
from exp.exp_basic import ExpBasic
from run import EXPERIMENTS, main
from tests.exp.small_runs import (
    STEPS,
    Killed,
    all_of,
    argv,
    differ,
    experiment,
    once_at,
    raises,
    send,
    trained,
)
from utils.checkpoint import read_checkpoint
from utils.interrupts import Interrupted

LONG = "long_term_forecast"
DLINEAR = ("--model", "DLinear")  # where the model does not matter


def kill(data: Path, *more: str) -> ExpBasic:
    """Train, killed in epoch 2, with a state after steps 4 and 8."""
    run = experiment(LONG, data, "--save_every", "4", *more)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed), run.folders.claim():
        once_at(patch, "train_step", 2, raises(Killed()), step=9)
        run.train()
    return run


@pytest.fixture(scope="module")
def killed(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    with contextlib.chdir(folder):
        return folder, kill(small_data, *DLINEAR).folders


@pytest.fixture
def stopped(killed, workdir):
    """What such a run left, in the working folder."""
    shutil.copytree(killed[0], workdir, dirs_exist_ok=True)
    return killed[1]


def contents(folder: Path) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Signals


@pytest.mark.parametrize(
    ("task", "where"),
    [
        *((LONG, place) for place in ("step", "validation", "end of an epoch", "end")),
        *((task, "step") for task in EXPERIMENTS if task != LONG),
    ],
)
def test_interrupted_and_resumed(small_data, workdir, reference, monkeypatch, capsys, task, where):
    """Also where no step is left; `tests/exp/test_models.py` does it with each model."""
    expected = reference(task, *DLINEAR)
    method, epoch, step = {
        "step": ("train_step", 2, 2),
        "validation": ("epoch_scores", 2, 0),
        "end of an epoch": ("epoch_record", 1, 0),
        "end": ("epoch_record", 3, 0),
    }[where]
    once_at(monkeypatch, method, epoch, send(signal.SIGINT), step)
    run = experiment(task, small_data, *DLINEAR)
    with pytest.raises(Interrupted) as stop:
        run.train()
    assert stop.value.code == 130
    saved = read_checkpoint(run.folders.state).metadata["progress"]
    at = {"step": (2, 2), "validation": (2, len(run.order(2))), "end of an epoch": (2, 1)}
    assert saved["finished"] if where == "end" else (saved["epoch"], saved["steps"]) == at[where]
    capsys.readouterr()
    assert differ(trained(task, small_data, *DLINEAR, "--resume"), expected) == []
    out = capsys.readouterr().out
    said = "epoch {}, after step {}".format(*at.get(where, (0, 0)))
    assert ("training was finished" if where == "end" else said) in out
    assert "epoch 1/" not in out or where == "end of an epoch"  # no step is taken twice


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_codes(small_data, workdir, monkeypatch, capsys, sign, code):
    once_at(monkeypatch, "train_step", 1, send(sign), step=3)
    assert main(argv(LONG, small_data, *DLINEAR)) == code
    errors = capsys.readouterr().err
    assert "state.safetensors is saved: the same command with --resume continues" in errors
    assert "Traceback" not in errors
    names = {path.name for path in workdir.rglob("*") if path.is_file()}
    assert names == {"state.safetensors", "manifest.json"}
    assert main(argv(LONG, small_data, *DLINEAR, "--resume")) == 0


def test_a_signal_while_starting(small_data, workdir, monkeypatch, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    monkeypatch.setattr("exp.exp_basic.seed_everything", lambda _: send(signal.SIGINT)())
    assert main(argv(LONG, small_data)) == 130
    monkeypatch.setattr("exp.exp_basic.seed_everything", lambda _: send(signal.SIGTERM)())
    with pytest.raises(SystemExit) as stop:
        main(argv(LONG, small_data))
    assert stop.value.code == 143
    assert "Traceback" not in capsys.readouterr().err
    assert not [path for path in workdir.rglob("*") if path.is_file()]


def test_training_outside_the_main_thread(small_data, workdir, reference, capsys):
    """Without signal handling, training works there too; and where there is no state."""
    found = {}
    thread = threading.Thread(
        target=lambda: found.update(trained(LONG, small_data, *DLINEAR, "--resume"))
    )
    thread.start()
    thread.join()
    assert differ(found, reference(LONG, *DLINEAR)) == []
    assert "state.safetensors is absent: training starts at the begin" in capsys.readouterr().out


# Kills


@pytest.mark.parametrize(
    "more",
    [
        ["--protocol", "published"],
        ["--accumulate", "3", "--grad_checkpoint"],
        ["--amp", "bf16", *DLINEAR],
    ],
)
def test_killed_and_resumed(small_data, workdir, reference, monkeypatch, capsys, more):
    expected = reference(LONG, *more)
    once_at(monkeypatch, "train_step", 3, raises(Killed()), step=4)
    with pytest.raises(Killed):
        trained(LONG, small_data, *more, "--save_every", "3")
    found = trained(LONG, small_data, *more, "--save_every", "3", "--resume")
    assert "epoch 3, after step 3" in capsys.readouterr().out
    assert differ(found, expected) == []


def test_early_stopping_is_resumed(small_data, workdir, monkeypatch, capsys):
    errors = {1: 3.0, 2: 1.0, 3: 2.0, 4: float("nan"), 5: 0.1}
    name = "exp.exp_long_term_forecasting.ExpLongTermForecasting.validation_score"
    monkeypatch.setattr(name, lambda self: errors[self.progress.epoch])
    more = (*DLINEAR, "--train_epochs", "9", "--patience", "2")
    once_at(monkeypatch, "train_step", 4, send(signal.SIGTERM), step=1)
    with pytest.raises(Interrupted):
        trained(LONG, small_data, *more)
    run = experiment(LONG, small_data, *more, "--resume")
    run.train()
    assert len(run.progress.history) == 4
    assert (run.progress.best.epoch, run.progress.epochs_without_improvement) == (2, 2)
    assert "stopped early" in capsys.readouterr().out


def test_resumed_with_the_library_of_products_of_its_beginning(
    small_data, workdir, reference, monkeypatch
):
    """Where the measurement would choose the other one, it ends bit for bit as it would have."""
    expected = reference(LONG)
    began_with = read_checkpoint(kill(small_data).folders.state).metadata["products"]
    monkeypatch.setattr("layers.fast_cpu.onednn_is_faster", lambda: began_with != "oneDNN")
    run = experiment(LONG, small_data, "--resume")
    assert run.objective.notes["products"] != began_with
    assert differ(all_of(run), expected) == []
    assert run.objective.notes["products"] == began_with


def test_repetitions(small_data, workdir, monkeypatch):
    """The first one is finished, the second one under way."""
    line = argv(LONG, small_data, *DLINEAR, "--itr", "2", "--train_epochs", "1")
    seen, plain = [], ExpBasic.train_step

    def step(self, number, index):
        seen.append((self.seed, number))
        if seen[-1] == (2022, 5):
            send(signal.SIGINT)()
        plain(self, number, index)

    monkeypatch.setattr(ExpBasic, "train_step", step)
    assert main(line) == 130
    seen.clear()
    assert main([*line, "--resume"]) == 0
    assert seen == [(2022, number) for number in range(6, STEPS + 1)]
    assert len(list(Path("results").glob("*/pred.npy"))) == 2


# Damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_checksum(path: Path) -> None:
    with safe_open(path, "pt") as file:
        notes = {"calf": file.metadata()["calf"]}
    save_file(load_file(path), path, notes)


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "cut": cut,
    "a folder": into_folder,
    "no checksum": without_checksum,
    "a tensor": flip,
    "the notes": lambda path: flip(path, path.read_bytes().index(b"seconds") + 12),
    "the header's length": lambda path: flip(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state(small_data, reference, stopped, monkeypatch, capsys, damage):
    DAMAGES[damage](stopped.state)
    capsys.readouterr()
    # killed again once it has saved anew: what was damaged has not taken the place of what is whole
    once_at(monkeypatch, "train_step", 2, raises(Killed()), step=9)
    with pytest.raises(Killed):
        trained(LONG, small_data, *DLINEAR, "--resume", "--save_every", "4")
    out = capsys.readouterr().out
    assert "trying the one before it" in out
    assert "state.previous.safetensors: epoch 2, after step 4" in out
    newest, before = (
        read_checkpoint(stopped.state.with_name(name)).metadata["progress"]["steps"]
        for name in ("state.safetensors", "state.previous.safetensors")
    )
    assert (newest, before) == (8, 4)
    if damage in ("cut", "a folder"):
        assert (
            differ(trained(LONG, small_data, *DLINEAR, "--resume"), reference(LONG, *DLINEAR)) == []
        )


def test_both_states_damaged(small_data, stopped, refused):
    before = stopped.state.with_name("state.previous.safetensors")
    cut(stopped.state)
    flip(before)
    kept = contents(stopped.state.parent)
    message = refused(argv(LONG, small_data, *DLINEAR, "--resume"))
    assert "state.safetensors and " in message
    assert "state.previous.safetensors: damaged" in message
    assert contents(stopped.state.parent) == kept


def test_killed_between_the_two_names(small_data, reference, stopped, capsys):
    """The last state is renamed already, the new one not yet."""
    before = stopped.state.with_name("state.previous.safetensors")
    stopped.state.replace(before)
    assert differ(trained(LONG, small_data, *DLINEAR, "--resume"), reference(LONG, *DLINEAR)) == []
    assert "state.previous.safetensors: epoch 2, after step 8" in capsys.readouterr().out


def test_what_a_killed_run_was_writing_is_removed(small_data, stopped, workdir):
    part = stopped.state.with_name(".state.safetensors.123.part")
    part.write_bytes(b"half")
    (stopped.plots / ".0_0.png.123.part").write_bytes(b"half")
    assert main(argv(LONG, small_data, *DLINEAR, "--resume")) == 0
    assert not list(workdir.rglob(".*"))


def test_a_damaged_best_model(small_data, stopped, refused):
    cut(stopped.best_checkpoint)
    assert "best checkpoint so far: start anew" in refused(
        argv(LONG, small_data, *DLINEAR, "--resume")
    )
    stopped.best_checkpoint.unlink()
    assert "no such file" in refused(argv(LONG, small_data, *DLINEAR, "--resume"))


def full(path, tensors, notes, keep=None):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_full_disk_while_saving(small_data, stopped, reference, refused, monkeypatch):
    states = [stopped.state, stopped.state.with_name("state.previous.safetensors")]
    kept = [path.read_bytes() for path in states]
    with monkeypatch.context() as patch:
        patch.setattr(utils.checkpoint, "save_tensors", full)
        message = refused(argv(LONG, small_data, *DLINEAR, "--resume", "--save_every", "4"))
    assert "state.safetensors: No space left on device" in message
    assert [path.read_bytes() for path in states] == kept
    assert differ(trained(LONG, small_data, *DLINEAR, "--resume"), reference(LONG, *DLINEAR)) == []


# Other runs


@pytest.mark.parametrize("more", [["--resume"], ["--resume", "--overwrite"], []])
def test_a_state_of_another_configuration(small_data, stopped, workdir, capsys, more):
    """Another run leaves it as it is, and says which it is."""
    kept = contents(workdir)
    assert main(argv(LONG, small_data, *DLINEAR, "--seed", "3", *more)) == 0
    now = contents(workdir)
    assert {path: now[path] for path in kept} == kept
    out = capsys.readouterr().out
    said = f"states of other options: {stopped.state} is of a run with --seed 2021, not 3\n"
    assert (said in out) == ("--resume" in more)


def test_a_state_of_unknown_options(small_data, stopped, workdir, refused):
    (stopped.state.parent / "manifest.json").unlink()
    for path in stopped.state.parent.iterdir():
        cut(path)
    kept = contents(workdir)
    for more in ((), ("--resume",), ("--resume", "--overwrite")):
        assert "of unknown options" in refused(argv(LONG, small_data, *DLINEAR, *more))
        assert contents(workdir) == kept
    assert main(argv(LONG, small_data, *DLINEAR, "--overwrite")) == 0


def test_a_state_of_the_same_options_in_other_words(
    small_data, stopped, workdir, reference, capsys
):
    """A path written in another way names another folder."""
    relative = os.path.relpath(small_data, workdir)
    found = trained(LONG, small_data, *DLINEAR, "--resume", "--root_path", relative)
    folder = stopped.state.parent
    assert f"continues the run with the same options, in {folder}" in capsys.readouterr().out
    assert differ(found, reference(LONG, *DLINEAR)) == []
    assert len(list(folder.parent.iterdir())) == 2


def test_a_project_that_was_moved(small_data, tmp_path, monkeypatch, reference, capsys):
    """With its data, named by a relative path."""
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(small_data, before / "data")
    data = Path("data")
    monkeypatch.chdir(before)
    run = kill(data, *DLINEAR)
    monkeypatch.chdir(tmp_path)
    before.rename(after)
    monkeypatch.chdir(after)
    assert main(argv(LONG, data, *DLINEAR, "--resume")) == 0
    assert "resumed from" in capsys.readouterr().out
    (folder,) = Path("checkpoints").iterdir()
    assert folder.name == run.folders.name
    # a copy may have other data of that name
    shutil.copytree(after, before)
    monkeypatch.chdir(before)
    assert main(argv(LONG, data, *DLINEAR)) == 2
    assert f"--root_path {after / 'data'}, not {before / 'data'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [("model.safetensors", "another backbone"), ("words.pt", "other word embeddings")],
)
def test_a_state_of_another_gpt2(small_data, workdir, refused, name, message):
    data = Path(shutil.copytree(small_data, "data"))
    kill(data)
    path = data / "gpt2" / name
    if name == "words.pt":
        torch.save(torch.load(path) + 1e-3, path)
    else:
        save_file({key: value + 1e-3 for key, value in load_file(path).items()}, path)
    assert message in refused(argv(LONG, data, "--resume"))


def test_a_new_start_forgets_the_state_before(small_data, stopped, monkeypatch, capsys):
    """Otherwise a run killed early would resume from a state of the run before it."""
    once_at(monkeypatch, "train_step", 1, raises(Killed()), step=2)
    with pytest.raises(Killed):
        trained(LONG, small_data, *DLINEAR)
    assert experiment(LONG, small_data, *DLINEAR, "--resume").folders.state == stopped.state
    trained(LONG, small_data, *DLINEAR, "--resume")
    assert "training starts at the beginning" in capsys.readouterr().out


def test_a_checkpoint_is_no_state(small_data, stopped, refused):
    shutil.copy(stopped.best_checkpoint, stopped.state)
    assert "the state of another model" in refused(argv(LONG, small_data, *DLINEAR, "--resume"))
