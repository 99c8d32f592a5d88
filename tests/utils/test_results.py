"""Results files that several runs write to, and locks."""

import errno
import io
import multiprocessing
import os
import threading
from argparse import Namespace
from pathlib import Path

import pytest

from utils.locks import lock, locked
from utils.results import RunFolders

RECORDS = 50


def folders_in(folder: Path, setting: str = "setting") -> RunFolders:
    folders = RunFolders(setting, Namespace(checkpoints=folder))
    folders.results_file = folder / "results_x.txt"
    return folders


def appending(folder: Path, setting: str, start) -> None:
    folders = folders_in(folder, setting)
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
    folders = folders_in(tmp_path)
    with folders.results_file.open("ab") as file:
        lock(file.fileno())
        thread = threading.Thread(target=folders.append_result, args=({"mse": 1},))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert folders.results_file.stat().st_size == 0
    thread.join()
    assert folders.results_file.read_text() == "setting\nmse:1\n\n"


def test_a_record_that_does_not_fit_is_taken_back(tmp_path, monkeypatch):
    folders = folders_in(tmp_path)
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
    with locked(path) as first:
        assert first
        with locked(path) as second:
            assert not second
        assert path.exists()
    assert not list(tmp_path.iterdir())
    with locked(path) as third:
        assert third
    assert not list(tmp_path.iterdir())


def counting(folder: Path, start) -> None:
    """Add to a number in a file, which loses some where two processes do so at a time."""
    start.wait()
    for _ in range(RECORDS):
        with locked(folder / ".lock", wait=True) as ours:
            assert ours
            number = int((folder / "number").read_text())
            (folder / "number").write_text(str(number + 1))


def test_who_waits_is_alone_though_the_file_is_removed(tmp_path):
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    runs = [context.Process(target=counting, args=(tmp_path, start)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0] * 4
    assert (tmp_path / "number").read_text() == str(4 * RECORDS)
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


def dying(path: Path) -> None:
    with locked(path) as ours:
        os._exit(0 if ours else 1)


def test_a_killed_process_holds_nobody_up(tmp_path):
    path = tmp_path / ".lock"
    run = multiprocessing.get_context("fork").Process(target=dying, args=(path,))
    run.start()
    run.join()
    assert run.exitcode == 0
    assert path.exists()
    with locked(path) as ours:
        assert ours
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folders = folders_in(tmp_path)
    folders.append_result({"mse": 1})
    with locked(tmp_path / ".lock") as ours:
        assert ours
    assert [path.name for path in tmp_path.iterdir()] == ["results_x.txt"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), locked(tmp_path / "file" / ".lock"):
        pass
