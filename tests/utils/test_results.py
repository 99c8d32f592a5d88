"""Results files that several runs share, and locks."""

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.locks import held
from utils.results import RunFolders

APPEND = """
import sys
from pathlib import Path
from utils.results import RunFolders
folders = RunFolders(sys.argv[1], "checkpoints")
folders.results_file = Path("results_x.txt")
sys.stdin.readline()
for number in range(50):
    folders.append_result({"mse": number})
"""


def test_eight_runs_append_whole_records(tmp_path):
    names = [str(number) * 5000 for number in range(8)]  # longer than a page of memory
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, name],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
        )
        for name in names
    ]
    for run in runs:
        run.stdin.write(b"go\n")
        run.stdin.close()
    assert [run.wait() for run in runs] == [0] * 8
    records = (tmp_path / "results_x.txt").read_text().split("\n\n")
    assert records.pop() == ""
    assert sorted(records) == sorted(f"{name}\nmse:{i}" for name in names for i in range(50))


def test_a_record_that_does_not_fit_is_taken_back(tmp_path, monkeypatch):
    folders = RunFolders("setting", tmp_path)
    folders.results_file = tmp_path / "results_x.txt"
    folders.append_result({"mse": 1})
    before = folders.results_file.read_text()

    class Full(io.FileIO):
        def write(self, text: bytes) -> int:
            return super().write(text[:5])

    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: Full(path, mode))
    with pytest.raises(OSError, match="No space left") as caught:
        folders.append_result({"mse": 2})
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert folders.results_file.read_text() == before


def test_a_lock_keeps_others_out_and_goes_away(tmp_path):
    path = tmp_path / ".lock"
    with held(path) as first:
        assert first
        with held(path) as second:
            assert not second
        assert path.exists()
    assert not path.exists()
    with held(path) as third:
        assert third
