"""Training, testing and forecasting through the command line, on a small GPT-2."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from exp.exp_long_term_forecasting import ExpLongTermForecasting
from models import registry
from run import main, parse_args
from tests.conftest import load, refusal
from tests.exp.small_runs import argv
from utils.identity import TESTED, TRAINED
from utils.option_table import MODEL_OPTIONS, NEUTRAL
from utils.options import make_parser


@pytest.fixture
def build(workdir, command):
    """The experiment of a command line with more options."""
    return lambda *more: ExpLongTermForecasting(parse_args(command(*more)))


@pytest.fixture
def short(workdir, command) -> list[str]:
    """The command line of an epoch of a quick model."""
    return command("--model", "DLinear", "--train_epochs", "1")


@pytest.mark.draws
def test_a_run_leaves_everything_in_its_place(workdir, command, results, capsys):
    assert main(command()) == 0
    out = capsys.readouterr().out
    folder = results()
    setting, _, digest = folder.name.rpartition("_")
    assert re.fullmatch("[0-9a-f]{8}", digest)
    pred, true = load(folder / "pred.npy"), load(folder / "true.npy")
    assert pred.shape == true.shape == (120 - 8 + 1, 8, 3)
    mae = np.abs((pred - true).astype(np.float64)).mean()
    heading, scores, empty, end = (
        (workdir / "results_long_term_forecast.txt").read_text().split("\n")
    )
    assert heading == setting
    assert scores.startswith("mse:")
    assert float(scores.split(", mae:")[1]) == pytest.approx(mae, rel=1e-6)
    assert empty == end == ""
    assert len(list((workdir / "test_results" / folder.name).glob("*.png"))) == 5
    record = json.loads((folder / "run.json").read_text())
    assert record["arguments"]["seed"] == record["seed"] == 2021
    assert (record["setting"], record["digest"]) == (setting, digest)
    assert record["folder"] == folder.name
    assert record["versions"]["torch"] == torch.__version__
    assert out.count("epoch ") == 2
    with safe_open(workdir / "checkpoints" / folder.name / "checkpoint.safetensors", "pt") as file:
        names = set(file.keys())
    assert "out_layer.weight" in names
    assert not [name for name in names if "base_layer" in name or "c_fc" in name]
    # nothing temporary is left behind
    assert not [path for path in workdir.rglob("*") if path.name.startswith(".")]


def test_training_learns(build):
    experiment = build("--train_epochs", "8")
    untrained = experiment.test_score()
    experiment.train()
    assert experiment.progress.history[-1].train < 0.8 * experiment.progress.history[0].train
    assert experiment.test_score() < 0.8 * untrained
    # the best model is the one that is tested
    best = min(experiment.progress.history, key=lambda record: record.validation)
    assert experiment.progress.best == best
    assert experiment.test_score() == pytest.approx(best.test, rel=1e-6)


def test_zero_shot(workdir, command, synthetic_csv, record):
    """The target has a scaler of its own, and its channels are in the order of the training: also
    in the run that trains, which otherwise tests another model than its checkpoint."""
    table = pd.read_csv(synthetic_csv)
    table.to_csv("made_up.csv", index=False)
    table.iloc[:, 1:] *= 100
    table["date"] = pd.date_range("2020-01-01", periods=len(table), freq="15min")
    table[["date", *table.columns[:0:-1]]].to_csv("other.csv", index=False)
    short = command("--root_path", ".", "--target", "OT", "--train_epochs", "1")
    zero_shot = ("--zero_shot", "1", "--target_data", "other")
    assert main(short) == 0
    plain = record()
    assert main([*short, *zero_shot]) == 0
    trained = record()
    assert trained["test"]["data"] == "other.csv"
    assert trained["scores"]["mse"] == pytest.approx(plain["scores"]["mse"], rel=1e-4)
    test = ("--is_training", "0", "--checkpoint", f"checkpoints/{trained['folder']}")
    assert main([*short, *zero_shot, *test, "--des", "again"]) == 0
    assert record()["folder"] != trained["folder"]
    assert record()["scores"] == trained["scores"]


def test_fewer_windows_than_the_batch(capsys, build):
    experiment = build("--batch_size", "4096")
    assert "one batch of 389" in capsys.readouterr().out
    assert [len(index) for index in experiment.order(1)] == [389]
    experiment.train()
    assert len(experiment.progress.history) == 2


def test_published_validation(build):
    plain = build()
    noisy = build("--protocol", "published")
    assert plain.epoch_scores(1)[0] == plain.epoch_scores(1)[0]
    assert noisy.epoch_scores(1)[0] == noisy.epoch_scores(1)[0]
    assert noisy.epoch_scores(1)[0] != noisy.epoch_scores(2)[0]
    assert noisy.epoch_scores(1)[0] == pytest.approx(plain.epoch_scores(1)[0], rel=0.2)
    noisy.published_validation(1)
    assert not noisy.objective.model.in_layer.training
    assert noisy.objective.model.gpt2.training


@pytest.mark.parametrize(("drop_last", "seen"), [(True, 48), (False, 53)])
def test_order_of_published_validation(monkeypatch, drop_last, seen, build):
    """Shuffled, other each epoch, and without the incomplete batch where training drops it."""
    run = build("--protocol", "published", "--batch_size", "8")
    monkeypatch.setattr(run, "drop_last", drop_last)
    batches = []
    monkeypatch.setattr(run, "batch_score", lambda index: (batches.append(index), (1.0, 1))[1])
    orders = []
    for epoch in (1, 2):
        run.published_validation(epoch)
        orders.append(torch.cat(batches).tolist())
        batches.clear()
        assert len(set(orders[-1])) == len(orders[-1]) == seen
        assert orders[-1] != sorted(orders[-1])
    assert orders[0] != orders[1]


def test_published_validation_in_mixed_precision(build):
    """It computes as the rest of the run does."""
    run, kinds = build("--protocol", "published", "--amp", "bf16"), set()
    run.objective.model.out_layer.register_forward_hook(lambda *of: kinds.add(of[2].dtype))
    assert np.isfinite(run.epoch_scores(1)[0])
    assert kinds == {torch.bfloat16}


def test_never_a_number(monkeypatch, build):
    monkeypatch.setattr(ExpLongTermForecasting, "validation_score", lambda *_: float("nan"))
    assert "--learning_rate" in refusal(build().train)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--d_model 512", "--d_model is 512"),
        ("--task_loss huber", "smooth_l1"),
        ("--is_training 0", "no such file"),
        ("--checkpoints /proc/x", "can't write there"),
        ("--task_w 0 --output_w 0 --feature_w 0", "all 0"),
        ("--amp fp16 --use_gpu 0", "--amp bf16"),
        ("--task_name anomaly_detection --fill_missing linear", "--fill_missing is for long_term_"),
    ],
)
def test_mistakes_get_one_line(refused, command, workdir, more, said):
    """And leave no folder, which the glob of a later command would find."""
    assert said in refused(command("--train_epochs", "1", *more.split()))
    assert not list(workdir.glob("*/*"))


@pytest.mark.parametrize(
    ("task", "more", "said"),
    [
        ("anomaly_detection", "--protocol published", "told in docs/protocols.md"),
        ("anomaly_detection", "--data XYZ", "PSM, MSL"),
        ("anomaly_detection", "--anomaly_ratio 0", "--anomaly_ratio"),
        ("classification", "--protocol published", "told in docs/protocols.md"),
        ("classification", "--data ETTh1", "needs --data UEA"),
        ("classification", "--task_loss l1", "use one of ce"),
        ("short_term_forecast", "--seasonal_patterns Fortnightly", "Yearly, Quarterly"),
        ("short_term_forecast", "--data ETTh1", "needs --data m4"),
        ("short_term_forecast", "--task_loss ce", "smape, mase, mape"),
        ("short_term_forecast", "--do_predict", "--do_predict"),
    ],
)
def test_mistakes_in_other_tasks(refused, small_data, task, more, said):
    assert said in refused(argv(task, small_data, *more.split()))


def test_a_gpu_that_is_absent(refused, command, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--use_gpu 0" in refused(command("--use_gpu", "1"))
    assert "--gpu 1" in refused(command("--gpu", "1", "--use_gpu", "1"))


PARSER = make_parser(registry)
NUMERIC = [
    action.option_strings[0]
    for action in PARSER._actions
    if action.type in (int, float) or getattr(action.type, "__name__", "") == "parse"
]


def test_negative_arguments(refused, command):
    for option in NUMERIC:
        assert option in refused(command(option, "-1"))
        assert option in refused(command(option, "x"))


def test_debug_shows_where_an_error_comes_from(workdir, command, capsys):
    assert main(command("--data_path", "none.csv", "--debug")) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("error: ")


def test_single_and_constant_channels(workdir, command, capsys, newest, synthetic_csv):
    table = pd.read_csv(synthetic_csv)[["OT", "date"]]
    one = command("--root_path", ".", "--train_epochs", "1", "--data_path", "one.csv")
    for flat in (False, True):
        (table.assign(flat=0.1) if flat else table).to_csv("one.csv", index=False)
        assert main(one) == 0
        assert load(newest() / "pred.npy").shape[2] == 1 + flat
        assert np.isfinite(load(newest() / "pred.npy")).all()
        said = "constant in the training rows: flat" in capsys.readouterr().out
        assert said == flat


def test_filled_values_are_recorded(workdir, command, results, synthetic_csv, capsys):
    table = pd.read_csv(synthetic_csv)
    table.loc[[99, 150], "HULL"] = np.nan
    table.to_csv("a.csv", index=False)
    table.loc[3, "OT"] = np.inf
    table.to_csv("b.csv", index=False)
    argv = command("--root_path", ".", "--data_path", "a.csv", "--fill_missing", "ffill")
    assert main([*argv, "--zero_shot", "1", "--target_data", "b", "--train_epochs", "1"]) == 0
    record = json.loads((results() / "run.json").read_text())
    assert record["filled"] == {"a.csv": 2, "b.csv": 3}
    assert capsys.readouterr().out.count("values filled") == 2


@pytest.mark.parametrize(
    "more",
    [
        ["--seed", "3"],
        ["--is_training", "0", "--inverse"],
    ],
)
def test_other_configurations_have_folders_of_their_own(workdir, newest, more, short):
    assert main(short) == 0
    first = newest()
    before = {path: path.read_bytes() for path in workdir.glob("*/*/*")}
    assert main([*short, *more]) == 0
    second = newest()
    assert first.name[:-8] == second.name[:-8]
    assert {path: path.read_bytes() for path in before} == before
    # with the same options, and others that change no result, each replaces its own
    assert main([*short, *more, "--save_every", "5", "--overwrite"]) == 0
    assert newest() == second
    assert main(short) == 0
    assert newest() == first
    assert set(Path("results").iterdir()) == {first, second}
    text = (workdir / "results_long_term_forecast.txt").read_text()
    assert text.split("\n")[::3] == [first.name[:-9]] * 4 + [""]


def test_which_checkpoint_is_tested(command, newest, capsys, refused, short):
    """That of the same options; or the only one trained with these; or the only one."""
    test = command("--model", "DLinear", "--is_training", "0")
    assert main(short) == 0
    first = newest()
    said = f"tests checkpoints/{first.name}/checkpoint.safetensors\n"
    assert main([*short, "--is_training", "0"]) == 0
    assert said not in capsys.readouterr().out
    assert main(test) == 0  # as trained by other options
    assert said in capsys.readouterr().out
    assert newest() == first
    assert main([*short, "--seed", "3"]) == 0
    capsys.readouterr()
    assert main([*short, "--inverse", "--is_training", "0"]) == 0
    assert said in capsys.readouterr().out
    message = refused(test)
    assert "several checkpoints of this setting: checkpoints/" in message
    assert "choose one by --checkpoint" in message
    assert message.count("/checkpoint.safetensors") == 2


def test_a_tested_repetition_has_its_own_seed(workdir, command, newest):
    """A folder and a seed each; also where the checkpoint of the second is tested as the first."""
    short = command("--model", "DLinear", "--itr", "2", "--train_epochs", "1")
    assert main(short) == 0
    folders = sorted(Path("results").iterdir())
    assert [folder.name[-11:-8] for folder in folders] == ["_0_", "_1_"]
    records = [json.loads((folder / "run.json").read_text()) for folder in folders]
    assert [record["seed"] for record in records] == [2021, 2022]
    assert main([*short, "--is_training", "0"]) == 0
    lines = (workdir / "results_long_term_forecast.txt").read_text().split("\n")
    assert lines[:6] == lines[6:12]
    assert len(list(Path("results").iterdir())) == 2
    for folder in folders:
        path = f"checkpoints/{folder.name}/checkpoint.safetensors"
        argv = command("--model", "DLinear", "--is_training", "0", "--checkpoint", path)
        assert main(argv) == 0
        assert newest().name[-8:] == folder.name[-8:]


def test_results_of_an_unknown_run(refused, results, short):
    """They are kept; overwriting leaves nothing of them."""
    assert main([*short, "--do_predict"]) == 0
    shutil.rmtree("checkpoints")
    (results() / "run.json").unlink()
    (results() / "manifest.json").unlink()
    assert "unknown" in refused(short)
    assert (results() / "forecast.csv").exists()
    assert main([*short, "--overwrite"]) == 0
    assert not (results() / "forecast.csv").exists()


def test_another_model_is_another_configuration(workdir, short):
    assert main(short) == 0
    (ours,) = workdir.glob("checkpoints/*/checkpoint.safetensors")
    state = {name: value * 2 for name, value in load_file(ours).items()}
    save_file(state, "other.safetensors")
    assert main([*short, "--is_training", "0", "--checkpoint", "other.safetensors"]) == 0
    assert len(list(Path("results").iterdir())) == 2


def test_every_option_is_sorted():
    """Whether an option changes the results decides what may be replaced."""
    named = "task_name is_training model_id model des itr data features seq_len label_len pred_len"
    others = "embed checkpoint do_predict refit skip_bad_steps compile deterministic level"
    neutral = {*NEUTRAL, *named.split(), *others.split()} - {*MODEL_OPTIONS}
    counted = {*TESTED, *TRAINED} - {"experiment"}  # which no option names
    known = ["help", *neutral, *counted, *MODEL_OPTIONS]
    assert sorted(known) == sorted({action.dest for action in PARSER._actions})


def test_a_second_run_with_the_same_options(workdir, command, refused):
    """`tests/utils/test_results.py` says that the lock of a killed process blocks nobody."""
    argv = command("--overwrite")
    with ExpLongTermForecasting(parse_args(argv)).folders.claim():
        assert "another run with the same options" in refused(argv)
    assert not list(workdir.rglob(".lock"))


def test_compiling_is_for_gpus(capsys, build):
    build("--compile")
    assert "--compile: skipped" in capsys.readouterr().out


@pytest.mark.parametrize(("faster", "chosen"), [(True, "bf16"), (False, "no")])
def test_auto_takes_bf16_where_that_is_faster(monkeypatch, faster, chosen, build, capsys):
    """The choice is recorded, and names the folder, as it changes results."""
    monkeypatch.setattr("exp.device.bf16_is_faster", lambda device: faster)
    auto, same, _ = [build("--amp", amp) for amp in ("auto", chosen, "bf16")]
    assert (auto.args.amp, auto.folders.name) == (chosen, same.folders.name)
    assert ("--amp bf16: " in capsys.readouterr().out) != faster


def test_accumulated_batches_are_one(build):
    """A step of K batches has the windows of one batch of their size."""
    orders = []
    for more in (["--batch_size", "16"], ["--batch_size", "4", "--accumulate", "4"]):
        experiment = build(*more)
        orders.append([index.tolist() for index in experiment.order(1)])
    assert orders[0] == orders[1]
