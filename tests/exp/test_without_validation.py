"""Training without a validation split: every epoch is the best so far, and the last one stays."""

import json
from dataclasses import asdict

import pytest

from exp.exp_long_term_forecasting import ExpLongTermForecasting
from run import parse_args
from tests.exp.small_runs import Killed, argv, differ, left, once_at, raises
from utils.checkpoint import read_checkpoint

LONG = "long_term_forecast"


class WithoutSplits(ExpLongTermForecasting):
    """As `fit` of all rows does it."""

    def prepare_data(self) -> None:
        super().prepare_data()
        self.val_set = self.test_set = None


def build(data, *more: str) -> WithoutSplits:
    return WithoutSplits(parse_args(argv(LONG, data, "--model", "DLinear", *more)))


def test_the_last_epoch_is_the_result(small_data, workdir, capsys):
    run = build(small_data, "--patience", "1")
    run.train()
    notes = read_checkpoint(run.folders.best_checkpoint).metadata
    assert notes["epoch"]["epoch"] == 3
    assert [(epoch["validation"], epoch["test"]) for epoch in notes["epochs"]] == 3 * [(None, None)]
    out = capsys.readouterr().out
    assert out.count("validation mse - | lr") == 3
    assert "test mse" not in out
    assert "best" not in out
    json.dumps(asdict(run.progress), allow_nan=False)


def test_killed_and_resumed(small_data, workdir, tmp_path, monkeypatch):
    plain = build(small_data)
    plain.train()
    more = ("--save_every", "5", "--des", "killed")
    once_at(monkeypatch, "train_step", 2, raises(Killed()), step=7)
    with pytest.raises(Killed):
        build(small_data, *more).train()
    resumed = build(small_data, *more, "--resume")
    resumed.train()
    assert differ(left(resumed), left(plain)) == []
