"""Imputation through the command line."""

import numpy as np
import pytest

from exp.exp_imputation import ExpImputation
from run import main, parse_args
from tests.conftest import load


@pytest.fixture
def impute(command):
    def build(*more: str) -> list[str]:
        return command("--task_name", "imputation", "--pred_len", "0", *more)

    return build


@pytest.mark.draws
def test_masked_entries_alone_are_scored(impute, workdir, results):
    """By a model that has learned more than the mean of what is seen."""
    assert main(impute("--mask_rate", "0.375", "--train_epochs", "10", "--patience", "10")) == 0
    pred, true, mask = (load(results() / f"{name}.npy") for name in ("pred", "true", "mask"))
    assert pred.shape == (120 + 24 - 24 + 1, 24, 3)
    assert (mask == 0).mean() == pytest.approx(0.375, abs=0.02)
    error = (pred - true)[mask == 0].astype(np.float64)
    seen = (true * mask).sum(1, keepdims=True) / mask.sum(1, keepdims=True)
    assert (error**2).mean() < ((seen - true)[mask == 0] ** 2).mean()
    metrics = load(results() / "metrics.npy")
    np.testing.assert_allclose(metrics[:2], [np.abs(error).mean(), (error**2).mean()], rtol=1e-5)
    line = (workdir / "results_imputation.txt").read_text().split("\n")[1]
    assert line == f"mse:{float(line.split(',')[0][4:])}, mae:{float(line.split(':')[2])}"
    assert len(list((workdir / "test_results").glob("*/*.png"))) == 5


def test_runs_score_the_same_positions(impute, workdir, newest):
    masks = []
    for seed in ("1", "2"):
        assert main(impute("--train_epochs", "1", "--seed", seed)) == 0
        masks.append(load(newest() / "mask.npy"))
    assert np.array_equal(*masks)


def test_every_window_counts(impute, workdir):
    """A window needs no rows behind it, whatever `--pred_len` says."""
    run = ExpImputation(parse_args(impute("--pred_len", "30")))
    assert len(run.train_set) == 420 - 24 + 1
    assert "_pl0_" in run.setting


def test_masks_of_validation(impute, workdir):
    run = ExpImputation(parse_args(impute()))
    assert run.epoch_scores(1) == run.epoch_scores(2)


def test_original_units(impute, workdir, results, capsys):
    assert main(impute("--inverse")) == 0
    assert "errors are in original units" in capsys.readouterr().out
    assert np.abs(load(results() / "true.npy")).max() > 10


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--mask_rate 0", "--mask_rate"),
        ("--mask_rate 1.5", "--mask_rate"),
        ("--features MS", "MS"),
        ("--protocol published", "told in docs/protocols.md"),
    ],
)
def test_mistakes(refused, impute, more, said):
    assert said in refused(impute(*more.split()))
