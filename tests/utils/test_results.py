"""Results files that several runs share, and locks."""

import errno
import io
import multiprocessing
import threading
from pathlib import Path

import pytest

from utils.locks import held, lock
from utils.results import RunFolders

RECORDS = 50


def appending(folder: Path, setting: str, start) -> None:
    folders = RunFolders(setting, folder)
    folders.results_file = folder / "results_x.txt"
    start.wait()
    for number in range(RECORDS):
        folders.append_result({"mse": number})


def test_eight_runs_append_whole_records(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(8)
    names = [str(number) * 5000 for number in range(8)]  # longer than a page of memory
    runs = [context.Process(target=appending, args=(tmp_path, name, start)) for name in names]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0] * 8
    records = (tmp_path / "results_x.txt").read_text().split("\n\n")
    assert records.pop() == ""
    whole = [f"{name}\nmse:{number}" for name in names for number in range(RECORDS)]
    assert sorted(records) == sorted(whole)


def test_a_record_waits_for_the_one_being_written(tmp_path):
    folders = RunFolders("setting", tmp_path)
    folders.results_file = tmp_path / "results_x.txt"
    with folders.results_file.open("ab") as file:
        assert lock(file.fileno())
        thread = threading.Thread(target=folders.append_result, args=({"mse": 1},))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert folders.results_file.stat().st_size == 0
    thread.join()
    assert folders.results_file.read_text() == "setting\nmse:1\n\n"


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
