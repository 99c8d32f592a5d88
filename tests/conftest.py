# ruff: noqa: E402 - OpenMP reads its settings when torch is imported
"""Fixtures: recordings and real data where they are, a small GPT-2 and a CSV made on the spot."""

import contextlib
import io
import json
import os
import re
import sys
from pathlib import Path

from run import configure_openmp

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the same rounding in every test, and fast
configure_openmp()

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from transformers import GPT2Config, GPT2Model

from data_provider.synthetic import synthetic_ett
from pca import principal_word_embeddings
from run import main
from tests.layers.families import FAMILIES, small_model
from utils.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(os.environ.get("CALF_GOLDEN", ROOT / "tests" / "golden"))
DATA = Path(os.environ.get("CALF_DATA", ROOT.parent / "shared" / "data"))
# this project's models: somebody else's may lie beside them in models/
MODELS = "CALF DLinear GPT4TS LastValue PatchTST SeasonalNaive TimesNet iTransformer".split()
WIDTH = 24
HANG = 540  # seconds, after which a test gives up waiting; less than a collective does (10 minutes)


# which marker the tests of a folder or file get
MARKED = {
    "fast": ("data_provider", "layers", "models/test_calf.py", "exp/test_step.py"),
    "parity": ("parity",),
    "processes": ("exp/test_processes.py", "exp/test_kills.py"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(ROOT / "tests").as_posix()
        for marker, starts in MARKED.items():
            if place.startswith(starts) and not item.get_closest_marker("slow"):
                item.add_marker(marker)


@pytest.fixture(scope="session")
def golden() -> Path:
    if not GOLDEN.is_dir():
        pytest.skip(f"no recordings of the reference at {GOLDEN}: unset CALF_GOLDEN")
    return GOLDEN


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}: set CALF_DATA")
    return DATA


@pytest.fixture(scope="session")
def small_gpt2(tmp_path_factory) -> Path:
    """A folder with a GPT-2 of 3 blocks and its word embeddings, `words.pt`."""
    folder = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(7)
    config = GPT2Config(
        n_embd=WIDTH, n_layer=3, n_head=4, n_positions=32, vocab_size=50,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2Model(config)
    model.save_pretrained(folder)
    torch.save(principal_word_embeddings(model.wte.weight, 12), folder / "words.pt")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A folder with a model of each family."""
    folder = tmp_path_factory.mktemp("families")
    for name, config in FAMILIES.items():
        small_model(config).save_pretrained(folder / name)
    return {name: folder / name for name in FAMILIES}


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def synthetic_csv(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "made_up.csv"
    synthetic_ett(rows=600, channels=3, seed=1).to_csv(path, index=False)
    return path


@pytest.fixture
def wide(synthetic_csv) -> pd.DataFrame:
    return pd.read_csv(synthetic_csv)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory, small_gpt2) -> Path:
    """A folder with a GPT-2 and data of every task; see `tests.exp.small_runs`."""
    folder = tmp_path_factory.mktemp("small")
    from tests.exp.small_runs import prepare

    prepare(folder, small_gpt2)
    return folder


@pytest.fixture(scope="session")
def reference(small_data, tmp_path_factory):
    """Results of undisturbed runs of `tests.exp.small_runs`, each trained once."""
    from tests.exp.small_runs import trained

    known = {}

    def train(task: str, *more: str) -> dict[str, object]:
        if (task, more) not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
                known[task, more] = trained(task, small_data, *more)
        return known[task, more]

    return train


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Let a test draw the same numbers whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def quick_pictures(request, monkeypatch) -> None:
    """Runs leave empty pictures, which saves half of the seconds of a test, unless it is marked
    `draws`."""

    def draw(path: str | Path, *_, **__) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        for kind in (".png", ".pdf"):
            Path(path).with_suffix(kind).touch()

    def save(_, file, **__) -> None:
        if not hasattr(file, "write"):
            Path(file).touch()

    if request.node.get_closest_marker("draws") is None:
        monkeypatch.setattr(Figure, "savefig", save)
        loaded = [module for name, module in sys.modules.items() if name.startswith("exp.exp_")]
        for module in loaded:
            for name in [name for name in vars(module) if name.startswith("plot_")]:
                monkeypatch.setattr(module, name, draw)


@pytest.fixture
def workdir(tmp_path, monkeypatch) -> Path:
    """An empty working folder, where runs leave their results."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def command(small_gpt2, synthetic_csv):
    """A command line of a run that takes a second, with more options behind it."""

    def build(*more: str) -> list[str]:
        return [
            *"--task_name long_term_forecast --is_training 1 --model_id t --model CALF".split(),
            *f"--data custom --root_path {synthetic_csv.parent}".split(),
            *f"--data_path {synthetic_csv.name} --seq_len 24 --label_len 0 --pred_len 8".split(),
            *"--batch_size 64 --learning_rate 0.005 --train_epochs 2".split(),
            *f"--llm {small_gpt2} --d_model {WIDTH} --gpt_layers 2".split(),
            *f"--word_embedding_path {small_gpt2 / 'words.pt'} --use_gpu 0".split(),
            *more,
        ]

    return build


@pytest.fixture
def refused(workdir, capsys):
    """Run a command line that must fail, and return its one line on the error stream."""

    def run(argv: list[str]) -> str:
        capsys.readouterr()
        try:
            code = main(argv)
        except SystemExit as error:
            code = error.code
        lines = capsys.readouterr().err.splitlines(keepends=True)
        message = "".join(line for line in lines if not line.startswith("warning: "))
        assert code == 2, message
        assert message.count("\n") == 1, message
        assert message.startswith("error: "), message
        assert "Traceback" not in message
        return message

    return run


@pytest.fixture
def results():
    """The results folder of the only run in the working folder."""

    def find() -> Path:
        (folder,) = Path("results").iterdir()
        return folder

    return find


@pytest.fixture
def newest():
    """The results folder of the last run in the working folder."""

    def find() -> Path:
        return max(Path("results").glob("*/run.json"), key=lambda p: p.stat().st_mtime_ns).parent

    return find


@pytest.fixture
def record(newest):
    """What `run.json` says of the last run in the working folder."""
    return lambda: json.loads((newest() / "run.json").read_text())


def refusal(call, *args, **options) -> str:
    """The one line with which a call refuses its input."""
    with pytest.raises(UserError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without(argv: list[str], *options: str) -> list[str]:
    """A command line without options and their values."""
    away = {at + n for n in (0, 1) for at, word in enumerate(argv) if word in options}
    return [word for at, word in enumerate(argv) if at not in away]


def says(message: str, *parts: str) -> None:
    """Check that each of these parts is in a message."""
    for part in parts:
        assert part in message


def of_this_project(path: Path) -> bool:
    """Return whether a source file is no model that somebody put into `models/`."""
    source = path.read_text(encoding="utf-8", errors="replace")
    is_model = path.parent == ROOT / "models" and re.search(r"^class Model\b", source, re.M)
    return path.stem in MODELS or not is_model


def load(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)
