"""Our `datasets/` neither hides Hugging Face's library of that name nor is mistaken for it."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.datasets import FOLDER

PROGRAM = """
import sys
sys.path[1:1] = {folders}
import run
from utils.synthetic import synthetic_ett
from transformers.utils import is_datasets_available
try:
    import datasets
except ImportError:
    print("not installed", is_datasets_available())
else:
    print(datasets.__version__, is_datasets_available())
"""


def output_at_the_root(folders: list[Path]) -> str:
    """Run `PROGRAM` with `folders` right behind the repository root on the path."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(folders=[str(folder) for folder in folders])],
        cwd=FOLDER.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    return result.stdout + result.stderr


def test_theirs_is_imported_where_it_is_installed(tmp_path):
    metadata = tmp_path / "datasets-9.8.7.dist-info" / "METADATA"
    module = tmp_path / "datasets" / "__init__.py"
    for path in (metadata, module):
        path.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: datasets\nVersion: 9.8.7\n")
    module.write_text('__version__ = "9.8.7"\n')
    assert output_at_the_root([tmp_path]) == "9.8.7 True\n"


def test_ours_does_not_pass_for_theirs():
    try:
        version("datasets")
    except PackageNotFoundError:
        assert output_at_the_root([]) == "not installed False\n"
    else:
        pytest.skip("Hugging Face's datasets is installed")
