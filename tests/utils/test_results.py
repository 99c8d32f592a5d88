"""Results files that several runs write to, and locks."""

import errno
import io
import multiprocessing
import os
import re
import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from run import parse_args
from utils.errors import UserError
from utils.identity import LONGEST_SETTING, configuration, difference, digest, settings_string
from utils.locks import locked
from utils.results import RunFolders

RECORDS = 50


def folders_in(folder: Path, setting: str = "setting") -> RunFolders:
    folders = RunFolders(setting, Namespace(checkpoints=folder))
    folders.results_file = folder / "results_x.txt"
    return folders


def together(task, *given: object) -> None:
    """Run a task in a process for each argument, all at the same time."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(len(given))

    def run(one: object) -> None:
        start.wait()
        task(one)

    processes = [context.Process(target=run, args=(one,)) for one in given]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(given)


def test_eight_runs_append_whole_records(tmp_path):
    def append(setting: str) -> None:
        folders = folders_in(tmp_path, setting)
        for number in range(RECORDS):
            folders.append_result({"mse": number})

    names = [str(number) * 5000 for number in range(8)]  # longer than a page of memory
    together(append, *names)
    records = (tmp_path / "results_x.txt").read_text().split("\n\n")
    assert records.pop() == ""
    whole = [f"{name}\nmse:{number}" for name in names for number in range(RECORDS)]
    assert sorted(records) == sorted(whole)


@pytest.fixture
def digest_of(command, synthetic_csv, tmp_path, monkeypatch):
    """The digest of a command line with more options, beside its data."""
    shutil.copy(synthetic_csv, tmp_path / "x.csv")
    monkeypatch.chdir(tmp_path)

    def build(*more: str) -> str:
        return digest(vars(parse_args(command("--root_path", ".", "--data_path", "x.csv", *more))))

    return build


def test_a_digest_is_of_what_determines_the_results(digest_of):
    own = digest_of()
    assert re.fullmatch("[0-9a-f]{8}", own)
    for same in (
        "--threads 3 --gpu 2 --resume --save_every 5 --overwrite --checkpoints elsewhere --debug",
        "--grad_checkpoint --seed 2021 --task_w 1 --learning_rate 5e-3",
        "--root_path ./",
        "--root_path . --data_path ./x.csv",
    ):
        assert digest_of(*same.split()) == own, same
    others = (
        "--seed 3", "--learning_rate 0.004", "--task_loss mse", "--percent 50", "--inverse",
        "--protocol published", "--word_embedding_path none", "--word_embedding_path random",
        "--llm_weights random", "--fast_cpu off",
    )  # fmt: skip
    assert len({own, *(digest_of(*other.split()) for other in others)}) == len(others) + 1


def test_split_counts(command, digest_of):
    parts = [digest_of("--split", split) for split in ("0.8,0.1,0.1", "0.80,.1,.1", "0.7,0.2,0.1")]
    assert parts[0] == parts[1]
    assert len({digest_of(), *parts}) == 3
    without = vars(parse_args(command()))
    given = without | {"split": [0.8, 0.1, 0.1]}
    for pair in ((given, without), (without, given)):
        assert "--split" in difference(*map(configuration, pair))
    assert difference(configuration(given), configuration(given)) == ""


def test_a_digest_does_not_depend_on_the_place(digest_of, tmp_path, monkeypatch):
    """But on how a file is named, and on a file rather than a word."""
    own = digest_of()
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    monkeypatch.chdir(moved)
    assert digest_of() == own
    assert digest_of("--root_path", str(moved)) != own
    for word in ("none", "random"):
        Path(word).touch()
        file, mode = (digest_of("--word_embedding_path", name) for name in (f"./{word}", word))
        assert file != mode


def test_the_longest_name_of_a_folder(command, tmp_path):
    args = parse_args(command("--des", ""))
    room = LONGEST_SETTING - len(settings_string(args, 0).encode())
    args = args.replace(des="x" * room, checkpoints=tmp_path)
    RunFolders(settings_string(args, 0), args).state.parent.mkdir()
    with pytest.raises(UserError, match=f"more than the {LONGEST_SETTING} "):
        settings_string(args.replace(des=f"{args.des}x"), 0)


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


def test_who_waits_is_alone_though_the_file_is_removed(tmp_path):
    (number := tmp_path / "number").write_text("0")

    def count(_: int) -> None:
        """Add to a number in a file, which loses some where two processes do so at a time."""
        for _ in range(RECORDS):
            with locked(tmp_path / ".lock", wait=True) as ours:
                assert ours
                number.write_text(str(int(number.read_text()) + 1))

    together(count, *range(4))
    assert number.read_text() == str(4 * RECORDS)
    assert list(tmp_path.iterdir()) == [number]


def test_a_killed_process_holds_nobody_up(tmp_path):
    def die(path: Path) -> None:
        with locked(path) as ours:
            os._exit(0 if ours else 1)

    together(die, path := tmp_path / ".lock")
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
