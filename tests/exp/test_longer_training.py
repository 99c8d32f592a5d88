"""`--resume` with more epochs or patience, what a finished run leaves, what a new start needs."""

import json
from pathlib import Path

import pytest

from exp.exp_basic import ExpBasic
from run import main
from tests.exp.small_runs import argv, differ, experiment, once_at, raises, send, trained

LONG = "long_term_forecast"
VALIDATION = "exp.exp_long_term_forecasting.ExpLongTermForecasting.validation_score"
DLINEAR = ("--model", "DLinear")


def states() -> list[str]:
    return sorted(path.name for path in Path("checkpoints").glob("*/state*"))


def after(errors: list[float]):
    """Make validation scores, by epoch."""
    return lambda self: errors[self.progress.epoch - 1]


@pytest.mark.parametrize(
    ("epochs", "more"),
    [
        ((1, 2), ()),
        ((2, 5), ("--cos", "1", "--tmax", "2", *DLINEAR)),
        ((2, 5), ("--cos", "0", "--lradj", "type2", *DLINEAR)),
    ],
)
def test_more_epochs(small_data, workdir, capsys, epochs, more):
    few, many = (("--train_epochs", str(number)) for number in epochs)
    expected = trained(LONG, small_data, *many, "--checkpoints", "other", *more)
    assert main(argv(LONG, small_data, *few, *more)) == 0
    assert states() == ["state.safetensors"]
    capsys.readouterr()
    found = trained(LONG, small_data, *many, "--resume", *more)
    out = capsys.readouterr().out
    assert "continues the run with --train_epochs {}, not {}".format(*epochs) in out
    assert f"epoch {epochs[0] + 1}, after step 0" in out
    assert f"epoch {epochs[0]}/" not in out
    assert differ(found, expected) == []


@pytest.mark.parametrize("more", [("--train_epochs", "1"), ("--patience", "1")])
def test_a_shorter_training_starts_anew(small_data, workdir, capsys, more):
    expected = trained(LONG, small_data, "--checkpoints", "other", *DLINEAR, *more)
    assert main(argv(LONG, small_data, *DLINEAR)) == 0
    capsys.readouterr()
    assert differ(trained(LONG, small_data, "--resume", *DLINEAR, *more), expected) == []
    out = capsys.readouterr().out
    assert "training starts at the beginning" in out
    assert "is of a run with --" in out


def test_more_epochs_after_early_stopping(small_data, workdir, monkeypatch, capsys):
    """They change nothing; more patience trains again, since the state is gone."""
    monkeypatch.setattr(VALIDATION, after([3.0, 1.0, 2.0, 2.0, 0.5, 0.4]))
    stopped = ("--patience", "2", *DLINEAR)
    assert main(argv(LONG, small_data, "--train_epochs", "5", *stopped)) == 0
    assert states() == []
    steps = []
    plain = ExpBasic.train_step
    monkeypatch.setattr(
        ExpBasic, "train_step", lambda self, *where: (steps.append(where), plain(self, *where))
    )
    capsys.readouterr()
    for epochs in ("5", "6"):
        assert main(argv(LONG, small_data, "--train_epochs", epochs, *stopped, "--resume")) == 0
        assert "early stopping ended it after epoch 4" in capsys.readouterr().out
        run = experiment(LONG, small_data, "--train_epochs", epochs, *stopped, "--resume")
        run.train()
        assert (run.progress.best.epoch, len(run.progress.history)) == (2, 4)
    assert not steps
    run = experiment(LONG, small_data, "--train_epochs", "6", "--resume", *DLINEAR)
    run.train()
    assert "training starts at the beginning" in capsys.readouterr().out
    assert run.progress.best.epoch == 6


def test_more_patience_continues(small_data, workdir, monkeypatch, capsys):
    monkeypatch.setattr(VALIDATION, after([3.0, 1.0, 2.0, 2.0, 0.5, 0.4]))
    more = ("--train_epochs", "6", *DLINEAR)
    expected = trained(LONG, small_data, *more, "--checkpoints", "other")
    run = experiment(LONG, small_data, *more, "--patience", "2")
    with run.folders.claim():
        run.train()  # not tested, so that its state stays
    found = trained(LONG, small_data, *more, "--resume")
    assert "continues the run with --patience 2, not 3" in capsys.readouterr().out
    assert differ(found, expected) == []


# A new start


@pytest.mark.parametrize("where", ["training", "test"])
def test_a_new_start_keeps_an_unfinished_run(small_data, workdir, monkeypatch, capsys, where):
    line = argv(LONG, small_data, *DLINEAR)
    with monkeypatch.context() as patch:
        if where == "training":
            once_at(patch, "train_step", 2, send(15), step=3)
        else:
            patch.setattr(ExpBasic, "save_results", lambda *_, **__: send(15)())
        assert main(line) == 143
    (folder,) = Path("checkpoints").iterdir()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert "Traceback" not in capsys.readouterr().err
    assert main(line) == 2
    message = capsys.readouterr().err
    assert "--resume continues it, --overwrite starts anew" in message
    assert ("epoch 2 of 3" if where == "training" else "trained, but not tested") in message
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    if where == "test":
        monkeypatch.setattr(ExpBasic, "train_step", raises(AssertionError("trained again")))
        assert main([*line, "--resume"]) == 0
        return
    assert main([*line, "--overwrite"]) == 0
    assert main(line) == 0  # a finished one is replaced


def test_a_finished_run_goes_straight_to_the_test(small_data, workdir, monkeypatch, capsys):
    """Also without its state: `run.json` and the checkpoint tell that nothing is left to train, and
    still do when it was tested again."""
    line = argv(LONG, small_data, *DLINEAR)
    assert main(line) == 0
    (results,) = Path("results").iterdir()
    before = (results / "pred.npy").read_bytes()
    monkeypatch.setattr(ExpBasic, "train_step", raises(AssertionError("trained again")))
    capsys.readouterr()
    for more in (["--resume"], ["--is_training", "0"], ["--resume"]):
        assert main([*line, *more]) == 0
        assert ("training was finished" in capsys.readouterr().out) == (more == ["--resume"])
        assert (results / "pred.npy").read_bytes() == before
        for state in Path("checkpoints").glob("*/state.safetensors"):
            state.unlink()
    record = json.loads((results / "run.json").read_text())
    assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2, 3]


def test_a_test_of_an_unfinished_run_does_not_finish_it(small_data, workdir, monkeypatch, capsys):
    """Its `run.json` is not that of a training."""
    line = argv(LONG, small_data, *DLINEAR)
    with monkeypatch.context() as patch:
        patch.setattr(ExpBasic, "save_results", lambda *_, **__: send(15)())
        assert main(line) == 143
    assert main([*line, "--is_training", "0"]) == 0
    assert main(line) == 2
    assert "trained, but not tested" in capsys.readouterr().err
