"""What README and the pages in `docs/` name exists, and their examples run."""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from nbclient import NotebookClient
from transformers import GPT2Config, GPT2Model

import exp.forecast
import run
from models import registry
from tests.conftest import ROOT
from utils.options import make_parser

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "scripts" / "README.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    return [code for name, code in found if name == language]


# The examples


@pytest.fixture(scope="module")
def llm(tmp_path_factory) -> Path:
    """A GPT-2 of as many blocks as the published one has by default, and 12 wide."""
    folder = tmp_path_factory.mktemp("llm") / "gpt2"
    torch.manual_seed(5)
    config = GPT2Config(
        n_embd=12, n_layer=6, n_head=2, n_positions=16, vocab_size=60, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    GPT2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture
def as_a_user(workdir, llm) -> Path:
    """A working folder with the data of the pages, where `gpt2` is the small one."""
    (workdir / "gpt2").symlink_to(llm)
    (workdir / "datasets").mkdir()
    (workdir / "datasets" / "sales.csv").symlink_to(ROOT / "datasets" / "sales.csv")
    (workdir / "datasets" / "smollm2-135m").symlink_to(llm)
    execute(blocks("docs/own_data.md", "python")[0], {})
    return workdir


def execute(code: str, names: dict[str, object]) -> None:
    exec(compile(code, "example", "exec"), names)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/python.md", "docs/covariates.md", "docs/extending.md"]
)
def test_python(as_a_user, page):
    names = {}
    for number, code in enumerate(blocks(page, "python")):
        try:
            execute(code, names)
        except Exception as error:
            raise AssertionError(f"example {number} of {page}: {error}") from error
    if page == "docs/extending.md":  # a task of one's own
        assert {path.name.partition("_")[0] for path in Path("results").iterdir()} == {"denoising"}


ELSEWHERE = """
import torch
from types import SimpleNamespace
from models import CALF
from pca import main

assert main("--llm gpt2 --n_components 6 --output words.pt".split()) == 0
configs = SimpleNamespace(
    task_name="long_term_forecast", seq_len=16, label_len=8, pred_len=4, enc_in=3, d_model=12,
    gpt_layers=2, r=2, lora_alpha=4, lora_dropout=0.1, word_embedding_path="words.pt", llm="gpt2",
)
outputs = CALF.Model(configs).float()(torch.randn(2, 16, 3), torch.zeros(2, 16, 4), None, None)
assert outputs.shape == (2, 4, 3)
outputs.square().mean().backward()
"""


def test_calf_elsewhere(as_a_user):
    """The files that the page lists are enough: CALF trains beside them alone."""
    (listed,) = blocks("docs/models.md", "text")
    for name in listed.split():
        (as_a_user / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, as_a_user / name)
    subprocess.run([sys.executable, "-c", ELSEWHERE], check=True, env={"PATH": "/usr/bin:/bin"})


def commands(page: str) -> list[list[str]]:
    """The commands of a page that run programs of this repository, word by word."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0] == "python"]


def start(words: list[str], *more: str) -> int:
    """Run a command of a page in this process, paths with asterisks expanded as by a shell."""
    expanded = []
    for word in words:
        expanded += map(str, Path().glob(word)) if "*" in word else [word]
    if expanded[1] == "run.py":
        return run.main([*expanded[2:], *more])
    assert expanded[1:3] == ["-m", "exp.forecast"]
    return exp.forecast.main(expanded[3:])


@pytest.mark.draws
def test_three_commands(as_a_user):
    """The first commands of the page, of which a short training is enough here."""
    assert Path("sales.csv").read_bytes() == Path("datasets/sales.csv").read_bytes()
    training, forecasting, *_ = commands("docs/own_data.md")
    assert start(training, "--train_epochs", "2", "--use_gpu", "0") == 0
    assert start(forecasting) == 0
    table = pd.read_csv("forecast.csv")
    assert list(table) == blocks("docs/own_data.md", "")[1].strip().split(",")
    assert table["date"].tolist()[:2] == ["2025-12-29", "2026-01-05"]
    assert len(table) == 8
    for name in ("north", "south"):
        assert (table[f"{name}-lo-80"] < table[f"{name}-hi-80"]).all()
        assert table[name].between(50, 300).all()
    assert {path.name for path in as_a_user.glob("forecast.*")} == {
        "forecast.csv", "forecast.png", "forecast.pdf",
    }  # fmt: skip


@pytest.mark.parametrize("page", NAMES)
def test_options_of_commands(page):
    """Every command of `run.py` in the pages has options that exist."""
    known = set(make_parser(registry)._option_string_actions)
    for words in commands(page):
        if words[1] == "run.py":
            given = {word for word in words if word.startswith("--")}
            assert given <= known, given - known


# The options


def test_options():
    """The page of options has every option, with its default, and no other."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "options.md").read_text().splitlines()
        if line.startswith("| `--")
    ]
    defaults = {}
    for names, values, *_ in cells:
        names = re.findall(r"`(--\w+)`", names)
        values = values.split(", ") if values else ["-"] * len(names)
        assert len(names) == len(values), names
        assert not defaults.keys() & set(names), names
        defaults |= dict(zip(names, values, strict=True))
    known = make_parser(registry)._actions
    actions = {action.option_strings[0]: action for action in known if action.dest != "help"}
    assert defaults.keys() == actions.keys()
    for name, shown in defaults.items():
        default = actions[name].default
        if isinstance(default, list):
            default = " ".join(map(str, default))
        if isinstance(default, bool):
            default = "on" if default else None
        if default in (None, "", argparse.SUPPRESS):
            default = "-"
        assert shown == str(default), name


def notebook() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "docs" / "quickstart.ipynb", as_version=4)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


@pytest.mark.slow
def test_every_cell_runs(llm):
    tested = notebook()
    tested.cells = [cell for cell in tested.cells if "setup" not in tags(cell)]
    (parameters,) = (cell for cell in tested.cells if "parameters" in tags(cell))
    parameters.source = f"%cd -q ..\nLLM, ROWS, EPOCHS = {str(llm)!r}, 600, 1"
    client = NotebookClient(tested, timeout=300, resources={"metadata": {"path": ROOT / "docs"}})
    client.execute()
    difference = [cell for cell in tested.cells if cell.cell_type == "code"][-1].outputs[-1]
    assert float(difference.data["text/plain"]) < 1e-3  # of ONNX Runtime's forecast, in °C
