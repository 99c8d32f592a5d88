"""Files that would run code when unpickled, and names that would lead out of their folder."""

import csv
import gzip
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from layers.backbone import load_backbone
from run import main
from tests.conftest import WIDTH, refusal
from tests.fuzz import examples
from utils.files import file_name


class Payload:
    """Pickles into a call that makes a folder `ran` in the working folder."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.fixture
def unharmed(workdir):
    """After the test, no payload must have run."""
    yield
    assert not (workdir / "ran").exists(), "the payload ran"


def test_the_payload_would_run(workdir):
    pickle.loads(pickle.dumps(Payload()))
    assert (workdir / "ran").exists()


def saved(save: Callable) -> bytes:
    """What NumPy writes of an array of objects."""
    file = io.BytesIO()
    save(file, np.array([[Payload()]], dtype=object))
    return file.getvalue()


def write_safetensors_lookalike(path: Path) -> None:
    """A pickle whose ninth byte is that of a safetensors header: {."""
    body = b"\x80\x04\x8c\x05aaaa{0" + pickle.dumps(Payload())[2:]
    assert body[8:9] == b"{"
    path.write_bytes(body)


STATE = {"out_layer.bias": torch.ones(8), "extra": Payload()}
HOSTILE = {
    "zip": lambda path: torch.save(STATE, path),
    "legacy": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "protocol 4": lambda path: torch.save(STATE, path, pickle_protocol=4),
    "plain pickle": lambda path: path.write_bytes(pickle.dumps(STATE)),
    "ASCII pickle": lambda path: path.write_bytes(pickle.dumps(STATE, protocol=0)),
    "compressed pickle": lambda path: path.write_bytes(gzip.compress(pickle.dumps(STATE))),
    "array of objects": lambda path: torch.save(np.array([Payload()], dtype=object), path),
    "npy": lambda path: path.write_bytes(saved(np.save)),
    "npz": lambda path: path.write_bytes(saved(np.savez)),
    "lookalike": write_safetensors_lookalike,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_words_and_checkpoints(unharmed, command, refused, kind):
    words = ["--word_embedding_path"]
    checkpoint = ["--is_training", "0", "--checkpoint"]
    for option, endings in ((words, "pt npy npz safetensors"), (checkpoint, "pth safetensors")):
        for ending in endings.split():
            path = Path(f"x.{ending}")
            HOSTILE[kind](path)
            assert str(path) in refused(command(*option, str(path)))


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.safetensors", "sharded", "adapter_model.bin"]
)
def test_hostile_backbone(unharmed, small_gpt2, recwarn, name, kind):
    folder = Path("llm")
    folder.mkdir()
    shutil.copy(small_gpt2 / "config.json", folder)
    if name == "sharded":
        shards = dict.fromkeys(load_file(small_gpt2 / "model.safetensors"), "part.bin")
        index = {"metadata": {"total_size": 1}, "weight_map": shards}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        name = "part.bin"
    if name == "adapter_model.bin":
        shutil.copy(small_gpt2 / "model.safetensors", folder)
        described = {"peft_type": "LORA", "base_model_name_or_path": str(folder.resolve())}
        (folder / "adapter_config.json").write_text(json.dumps(described))
    HOSTILE[kind](folder / name)
    load_backbone(str(folder), "random")  # from config.json alone
    assert refusal(load_backbone, str(folder)) and not recwarn.list


def test_code_in_a_backbone_is_not_run(unharmed, small_gpt2):
    """A config.json may name a module beside it, which transformers runs if it is trusted."""
    folder = Path(shutil.copytree(small_gpt2, "llm"))
    described = json.loads((folder / "config.json").read_text())
    described["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel", "GPT2Model"), "own.Own")
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "own.py").write_text("import os\nos.mkdir('ran')\n")
    (folder / "modeling_gpt2.py").write_text("import os\nos.mkdir('ran')\n")
    assert load_backbone(str(folder)).config.n_embd == WIDTH


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(
    ("options", "files"),
    [
        ("--data custom --data_path x.csv", "x.csv"),
        ("--data custom --data_path x.pkl", "x.pkl"),
        ("--task_name short_term_forecast --data m4 --seasonal_patterns Hourly",
         "Hourly-train.csv Hourly-test.csv"),
        ("--task_name classification --data UEA", "X_TRAIN.ts X_TEST.ts"),
        ("--task_name anomaly_detection --data MSL", "MSL_train.npy MSL_test.npy"),
        ("--task_name anomaly_detection --data PSM", "train.csv test.csv test_label.csv"),
        ("--task_name anomaly_detection --data SWaT", "swat_train2.csv swat2.csv"),
    ],
)  # fmt: skip
def test_hostile_data(unharmed, command, refused, options, files, kind):
    for name in files.split():
        HOSTILE[kind](Path(name))
    assert files.split()[0] in refused(command("--root_path", ".", *options.split()))


def notes(**more) -> str:
    good = {"columns": ["a"], "scaler": {"mean": [0.0], "scale": [1.0]}, "epochs": []}
    return json.dumps({**good, **more})


@pytest.mark.parametrize(
    "notes",
    [
        "", "{", "[]", "null", "7", "[" * 100_000, notes(config=[]), notes(backbone="x"),
        notes(epoch=3), notes(columns=7), notes(columns=[1]), notes(columns=None),
        notes(scaler=[]), notes(scaler={"mean": [0.0]}), notes(scaler={"mean": [], "scale": []}),
        notes(scaler={"mean": ["x"], "scale": [1.0]}), notes(scaler={"mean": [None], "scale": [1]}),
        notes(scaler={"mean": [float("nan")], "scale": [1.0]}), notes(epochs=7),
        notes(epochs=[7]), notes(epochs=[{"seconds": "x"}]), notes(epochs=[{}]),
        notes(scaler={"mean": [10**400], "scale": [1]}),
    ],
)  # fmt: skip
def test_checkpoint_with_other_notes(command, refused, notes):
    save_file({"out_layer.bias": torch.ones(8)}, "x.safetensors", {"calf": notes})
    argv = command("--is_training", "0", "--checkpoint", "x.safetensors")
    assert "x.safetensors: " in refused(argv)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: {1: x},
        lambda x: {"out_layer.bias": x.to_sparse()},
        lambda x: {"out_layer.bias": x.to("meta")},
        lambda x: {"out_layer.bias": torch.quantize_per_tensor(x, 1.0, 0, torch.qint8)},
    ],
    ids=["a number for a name", "sparse", "without values", "quantised"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_checkpoint_of_strange_tensors(command, refused, change):
    torch.save(change(torch.ones(8)), "x.pth")
    argv = command("--is_training", "0", "--checkpoint", "x.pth")
    assert "x.pth: refused" in refused(argv)


BAD_NAMES = [
    "../../x", "/etc/x", "..\\..\\x", "C:\\x", "a\0b", "a\nresult\nmse:0, mae:0\n", "a\x1b[2Jb",
    *(f"a{character}b" for character in "\r\x0b\x0c\x1c\x85\u2028\u2029\u202e\udcff"),
    "x" * 256, "\u00e4" * 120,
]  # fmt: skip


@pytest.mark.parametrize("option", ["--model_id", "--des", "--embed", "--data"])
def test_bad_name_of_a_run(refused, command, workdir, option):
    for name in BAD_NAMES:
        assert refused(command(option, name)).rstrip("\n").isprintable()
    assert not list(workdir.iterdir())


@examples(100)
@given(st.text())
@example("../../x")
@example("..")
@example("C:x")
@example("a\0b")
@example("\ud800")
@example("\u00e4" * 200)
def test_file_name_stays_in_its_folder(text):
    name = file_name(text)
    assert name.isprintable() and 0 < len(name.encode()) <= 100
    assert name[0] != "." and not set(name) & set('/\\:\0*?"<>|')
    assert Path("x", f"{name}.png").resolve().parent == Path("x").resolve()


HOSTILE_NAMES = ["../../../evil", "/tmp/evil", "..", "$\\frac{$", "x" * 400]


def inside(folder: Path) -> list[Path]:
    """Files below the folder, once nothing lies beside it."""
    assert list(folder.parent.iterdir()) == [folder]
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def box(tmp_path, monkeypatch) -> Path:
    """A working folder that is alone in its own."""
    folder = tmp_path / "outer" / "work"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_ids_of_m4_series(box, command):
    rng = np.random.default_rng(0)
    for part, length in (("train", 60), ("test", 13)):
        rows = [[name, *rng.integers(1, 99, length)] for name in HOSTILE_NAMES]
        lines = [",".join(map(str, row)) for row in [["id"], *rows]]
        Path(f"Weekly-{part}.csv").write_text("\n".join(lines))
    argv = command("--task_name", "short_term_forecast", "--data", "m4", "--root_path", ".")
    assert main([*argv, "--seasonal_patterns", "Weekly", "--train_epochs", "1"]) == 0
    plots = [path.parent.parent.name for path in inside(box) if path.suffix == ".png"]
    assert plots == ["test_results"] * 5
    with (box / "m4_results" / "CALF" / "Weekly_forecast.csv").open() as file:
        assert [row[0] for row in csv.reader(file)] == ["id", *HOSTILE_NAMES]


def test_names_of_columns(box, command):
    names = [*HOSTILE_NAMES, "a\nb", 'quote"d', "=1+1"]
    rng = np.random.default_rng(0)
    with (box / "x.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", *names])
        for i, row in enumerate(rng.standard_normal((200, len(names)))):
            writer.writerow([f"2020-01-{1 + i // 24:02} {i % 24:02}:00", *row])
    argv = command("--root_path", ".", "--data_path", "x.csv", "--train_epochs", "1")
    for target in ("$\\frac{$", "../../../evil"):
        assert main([*argv, "--target", target, "--do_predict"]) == 0
    inside(box)
    paths = list(box.glob("results/*/forecast.csv"))
    assert len(paths) == 2
    for path in paths:
        with path.open(newline="") as file:
            assert next(csv.reader(file)) == ["date", *names]
