"""Checkpoints: ours, which describe themselves (`run.py --checkpoint FILE` needs nothing else), the
reference's, and files that are neither."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2Model

from data_provider.splits import Splits, read_data
from run import EXPERIMENTS, main, parse_args
from tests.conftest import ROOT, load
from tests.exp.small_runs import argv
from tests.parity.recordings import Recording, tiny_options
from utils.checkpoint import read_checkpoint, save_tensors
from utils.files import read_notes

LONG = "long_term_forecast"


@pytest.fixture(scope="module")
def trained(small_data, tmp_path_factory):
    """Train a task in a folder of its own, once; returns the checkpoint."""
    known = {}

    def train(task: str, model: str = "DLinear", *more: str) -> Path:
        if (task, model, more) not in known:
            folder = tmp_path_factory.mktemp("trained")
            line = argv(task, small_data, "--train_epochs", "1", "--model", model, *more)
            quiet = contextlib.redirect_stdout(io.StringIO())
            with contextlib.chdir(folder), quiet, contextlib.redirect_stderr(io.StringIO()):
                assert main(line) == 0
            (known[task, model, more],) = folder.glob("checkpoints/*/checkpoint.safetensors")
        return known[task, model, more]

    return train


def record(folder: Path) -> dict:
    (path,) = folder.glob("results/*/run.json")
    return json.loads(path.read_text())


def parsed(*words: object):
    return parse_args(["--checkpoint", *map(str, words)])


def test_a_relative_language_model(small_data, workdir):
    """Of a run that is tested from elsewhere."""
    shutil.copytree(small_data / "gpt2", "work/gpt2")
    line = argv(LONG, small_data, "--train_epochs", "1", "--llm", "gpt2", "--gpt_layers", "1")
    with contextlib.chdir("work"):
        assert main(line) == 0
    (path,) = Path("work").glob("checkpoints/*/checkpoint.safetensors")
    assert main(["--checkpoint", str(path)]) == 0
    assert record(Path())["scores"] == pytest.approx(record(Path("work"))["scores"])


@pytest.mark.parametrize(
    ("task", "model"), [(LONG, "CALF"), *((task, "DLinear") for task in EXPERIMENTS)]
)
def test_alone(trained, workdir, task, model):
    path = trained(task, model)
    before = (path.parents[2] / "results").rglob("*")
    before = {file: file.read_bytes() for file in before if file.is_file()}
    assert main(["--checkpoint", str(path)]) == 0
    ours, theirs = record(workdir), record(path.parents[2])
    assert ours["scores"] == theirs["scores"]
    assert ours["folder"] != theirs["folder"]
    assert {file: file.read_bytes() for file in before} == before


def test_a_new_file(trained, small_data, workdir, capsys):
    """Of the working folder; too few rows for a test; in original units, with its own scaling."""
    table = pd.read_csv(small_data / "made_up.csv").tail(30)
    table.to_csv("new.csv", index=False)
    path = trained(LONG)
    assert main(["--checkpoint", str(path), "--data_path", "new.csv", "--do_predict"]) == 0
    (forecast,) = Path("results").glob("*/forecast.csv")
    first = pd.read_csv(forecast)
    assert len(first) == 8
    said = capsys.readouterr()
    assert "forecast only" in said.out
    assert said.err == ""
    assert "_small_new_" in forecast.parent.name
    full = argv(LONG, workdir, "--is_training", "0", "--model", "DLinear", "--do_predict")
    words = ("--data_path", "new.csv", "--checkpoint", str(path), "--des", "full")
    assert main([*full, *words]) == 0
    (other,) = Path("results").glob("*_full_*/forecast.csv")
    assert pd.read_csv(other).equals(first)


def test_where_a_file_is_looked_for(trained, small_data, workdir):
    path = trained(LONG)
    assert parsed(path).root_path == str(small_data)
    assert parsed(path, "--data_path", "made_up.csv").root_path == str(small_data)
    shutil.copy(small_data / "made_up.csv", "made_up.csv")
    assert parsed(path, "--data_path", "made_up.csv").root_path == "."
    assert parsed(path, "--data_path", "nowhere.csv").root_path == "."
    assert parsed(path, "--data_path", "x.csv", "--root_path", "y").root_path == "y"
    assert parsed(path.parent).checkpoint == str(path)
    assert parsed(path, "--model_id", "mine").model_id == "mine"


def test_the_splits_of_another_file(trained, workdir):
    """Those of ETT, if both files are of ETT."""
    arguments = {"data": "ETTm1", "data_path": "ETTm1.csv", "zero_shot": 1, "target_data": "ETTh1"}
    path = with_arguments(trained(LONG), **arguments)
    assert (parsed(path).data, parsed(path).zero_shot) == ("ETTm1", 1)
    files = {"ETTh2.csv": "ETTh2", "new.csv": "custom", "ETTh1_new.csv": "custom"}
    for file, data in files.items():
        found = parsed(path, "--data_path", file)
        assert (found.data, found.zero_shot) == (data, 0)
    assert parsed(path, "--data_path", "ETTh2.csv", "--data", "ETTm2").data == "ETTm2"
    assert parsed(trained(LONG), "--data_path", "ETTh2.csv").data == "custom"


def with_arguments(path: Path, **changed: object) -> Path:
    """Copy a checkpoint to the working folder, with other options in its notes."""
    read = read_checkpoint(path)
    notes = read.metadata | {"arguments": read.metadata["arguments"] | changed}
    save_tensors("changed.safetensors", read.state, notes)
    return Path("changed.safetensors")


def test_every_option_of_the_training(trained, workdir):
    more = ("--dropout", "0.3", "--distil", "--inverse", "--output_attention", "--des", "-x y")
    path = trained(LONG, "DLinear", *more, "--p_hidden_dims", "3", "4", "--individual")
    before, now = read_notes(path)["arguments"], vars(parsed(path))
    own = {"is_training", "model_id", "checkpoint", "command", "given", "use_gpu", "threads"}
    assert {name: now[name] for name in before.keys() - own} == {
        name: before[name] for name in before.keys() - own
    }
    assert now["is_training"] == 0
    assert now["use_gpu"] is True  # the machine may be another one


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--seq_len 48", "--seq_len 48: .* was trained with --seq_len 24"),
        ("--model CALF", "was trained with --model DLinear"),
        ("--task_name imputation", "--task_name imputation"),
        ("--is_training 1", "--is_training 0"),
        ("--resume", "--is_training 1"),
    ],
)
def test_contradictions(trained, refused, given, said):
    message = refused(["--checkpoint", str(trained(LONG)), *given.split()])
    assert re.search(said, message)


def test_files_without_notes(trained, workdir, refused):
    torch.save({"a": torch.ones(3)}, "x.pth")
    assert "does not tell the options of its training" in refused(["--checkpoint", "x.pth"])
    cut = Path("cut.safetensors")
    cut.write_bytes(trained(LONG).read_bytes()[:-8])
    assert "does not tell the options of its training" in refused(["--checkpoint", str(cut)])
    for name in ("absent.safetensors", "."):
        assert "no such file; check --checkpoint" in refused(["--checkpoint", name])


@pytest.mark.parametrize(
    "changed",
    [{"seq_len": "many"}, {"model": "Autoformer"}, {"loss": 3, "cos": [1, 2]}],
)
def test_notes_that_are_no_options(trained, workdir, capsys, changed):
    path = with_arguments(trained(LONG), **changed)
    with pytest.raises(SystemExit) as stop:
        parsed(path)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


# Paths


def test_wrong_paths_need_no_torch(trained, small_data, workdir):
    (workdir / "file").write_text("")
    calf, described = argv(LONG, small_data), ["--checkpoint", str(trained(LONG))]
    lines = {
        "no.csv: no such file": [*calf, "--data_path", "no.csv"],
        "--llm ./no: no such folder": [*calf, "--llm", "./no"],
        "--llm file: a file": [*calf, "--llm", "file"],
        "no.pt: no such file": [*calf, "--word_embedding_path", "no.pt"],
        "elsewhere.pq: no such file": [*calf, "--zero_shot", "1", "--target_data", "elsewhere.pq"],
        "no/m4: no such folder": argv("short_term_forecast", Path("no/m4")),
        "no/uea: no such folder": argv("classification", Path("no/uea")),
        "no.pth: no such file": [*calf, "--is_training", "0", "--checkpoint", "no.pth"],
        "no.safetensors: no such file": ["--checkpoint", "no.safetensors"],
        "new.csv: no such file": [*described, "--data_path", "new.csv"],
        "was trained with": [*described, "--seq_len", "3"],
    }
    program = (
        "import sys, json, run\n"
        "for line in json.load(sys.stdin):\n"
        "    try: code = run.main(line)\n"
        "    except SystemExit as end: code = end.code\n"
        "    print(code, 'torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(list(lines.values())),
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    said = [text for text in done.stderr.splitlines() if not text.startswith("warning: ")]
    assert said[1::2] == len(lines) * ["2 False"]
    for start, error in zip(lines, said[::2], strict=True):
        assert error.startswith("error: ") and start in error


@pytest.fixture
def reference(golden, workdir, synthetic_csv):
    """A checkpoint as the authors' code writes it, and the command line that tests it."""
    recording = Recording(golden, "long_term_forecast")
    torch.save(recording.group("state"), workdir / "checkpoint.pth")
    config = recording.config
    argv = [
        *"--task_name long_term_forecast --is_training 0 --model_id r --data custom".split(),
        *f"--root_path {synthetic_csv.parent} --data_path {synthetic_csv.name}".split(),
        *f"--seq_len {config['seq_len']} --label_len 0 --pred_len {config['pred_len']}".split(),
        *tiny_options(recording.tiny), *"--model LLaTA --checkpoint checkpoint.pth".split(),
    ]  # fmt: skip
    return recording, argv


def test_reference_checkpoint(reference, results):
    """It brings its own backbone."""
    recording, argv = reference
    args = parse_args(argv)
    windows = Splits(read_data(args), args).split("test")
    x, y = windows.batch(torch.arange(len(windows)))
    with torch.no_grad():
        expected = recording.model()(x)
    for more in ([], ["--llm_weights", "random"]):
        assert main([*argv, *more]) == 0
        np.testing.assert_allclose(load(results() / "pred.npy"), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(load(results() / "true.npy"), y)
        shutil.rmtree("results")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--pred_len", "7", "(7,"), ("--r", "3", "lora_A"), ("--gpt_layers", "1", "unknown")],
)
def test_reference_checkpoint_of_another_shape(refused, reference, option, value, said):
    message = refused([*reference[1], option, value])
    assert said in message and option in message


def test_checkpoint_of_other_options_or_version(workdir, command, refused):
    """What no shape shows is in the notes."""
    assert main(command("--train_epochs", "1")) == 0
    (ours,) = workdir.glob("checkpoints/*/checkpoint.safetensors")

    def tested(*more: str) -> str:
        return refused(command("--checkpoint", str(ours), "--is_training", "0", *more))

    assert "(24, 24) there and (24, 30) here" in tested("--seq_len", "30")
    assert "--lora_alpha 32" in tested("--lora_alpha", "16")
    message = tested("--llm_weights", "random")
    assert "another backbone" in message and "pretrained weights" in message
    wide = GPT2Config(n_embd=48, n_layer=2, n_head=4, n_positions=32, vocab_size=50)
    GPT2Model(wide).save_pretrained(workdir / "wide")
    np.save("words.npy", np.ones((48, 12), dtype=np.float32))
    another = ("--llm", "wide", "--d_model", "48", "--word_embedding_path", "words.npy")
    assert "was trained with --d_model 24" in tested(*another)

    def with_notes(**changed: object) -> str:
        notes = read_checkpoint(ours).metadata | changed
        save_file(load_file(ours), "other.safetensors", {"calf": json.dumps(notes)})
        return tested("--checkpoint", "other.safetensors")

    assert "format 2" in with_notes(format=2)
    config = read_checkpoint(ours).metadata["config"]
    for name, value in {"lora_alpha": 16, "scale_free": 1, "words": "none"}.items():
        message = with_notes(config=config | {name: value})
        assert f"was trained with --{name} {value}: give the same" in message


def test_checkpoints_of_several_gpus(workdir, golden):
    """DataParallel puts `module.` before every name."""
    state = load_file(golden / "tiny" / "long_term_forecast.safetensors")
    torch.save({f"module.{name}": value for name, value in state.items()}, "x.pth")
    assert read_checkpoint("x.pth").state.keys() == state.keys()


def test_tied_tensors_are_stored_once(tmp_path):
    weight = torch.randn(64, 64)
    tensors = {"a": weight, "b": weight, "part": weight[:2], "turned": weight.t()}
    save_tensors(tmp_path / "x.safetensors", tensors, {})
    assert (tmp_path / "x.safetensors").stat().st_size < 2.5 * weight.nbytes
    found = read_checkpoint(tmp_path / "x.safetensors").state
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
