"""Our `datasets/` does not hide Hugging Face's library of that name."""

import os
import subprocess
import sys

from tests.datasets import FOLDER

PROGRAM = """
import sys
sys.path.insert(1, {folder!r})
import run
from data_provider.synthetic import synthetic_ett
from transformers.utils import is_datasets_available
import datasets
print(datasets.__version__, is_datasets_available())
"""


def test_theirs_is_imported_where_it_is_installed(tmp_path):
    """Right behind the repository root on the path."""
    metadata = tmp_path / "datasets-9.8.7.dist-info" / "METADATA"
    module = tmp_path / "datasets" / "__init__.py"
    for path in (metadata, module):
        path.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: datasets\nVersion: 9.8.7\n")
    module.write_text('__version__ = "9.8.7"\n')
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path))]
    done = subprocess.run(
        command, cwd=FOLDER.parent, env=environment, capture_output=True, text=True
    )
    assert done.stdout + done.stderr == "9.8.7 True\n"
