"""Several processes against one, and how they end; with gloo, on the CPU.

What is compared was computed in float64 (`tests.rounding`): several processes add up gradients in
another order, and of what float32 rounds then Adam would make whole steps.

Most processes here are forked from a server that has imported everything, with the variables that
torchrun sets; the launcher of `--use_multi_gpu` is tried as a person would.
"""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from exp.exp_basic import ExpBasic
from exp.launch import device_numbers, visible_devices
from exp.processes import Processes
from run import main
from tests.conftest import HANG, ROOT, load
from tests.exp.launched import be_patient
from tests.exp.small_runs import argv, once_at, send
from tests.rounding import use_float64
from utils.errors import UserError

LONG = "long_term_forecast"
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(  # imports that take seconds
    [
        "accelerate.utils",
        "layers.fast_cpu",
        "models.objectives",
        "models.CALF",
        "sklearn.preprocessing",
        "torch.distributed.checkpoint.state_dict",
        "matplotlib.pyplot",
        "exp.exp_long_term_forecasting",
        "tests.exp.test_processes",
    ]
)


# Processes


def be_one(rank: int, folder: Path, argv: list[str], variables: dict, first: Callable | None):
    """What a forked process does: run the program in float64, its streams in files."""
    os.environ.update(variables, RANK=str(rank), LOCAL_RANK=str(rank))
    os.chdir(folder / "work")
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{name}{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    torch.set_num_threads(1)
    use_float64(pytest.MonkeyPatch())
    if first is not None:
        first(rank)
    sys.exit(main(argv))


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Group:
    """Processes of one run, started; `end` waits for them."""

    def __init__(
        self,
        folder: Path,
        count: int,
        argv: list[str],
        first: Callable | None = None,
        argv_of_last: list[str] | None = None,
    ):
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        for name in ("work", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        self.folder = folder
        variables = {
            "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
            "TMPDIR": str(folder / "tmp"),
        }  # fmt: skip
        lines = [argv] * (count - 1) + [argv_of_last or argv]
        self.processes = [
            FORKED.Process(target=be_one, args=(rank, folder, line, variables, first))
            for rank, line in enumerate(lines)
        ]
        for process in self.processes:
            process.start()

    def end(self) -> list[int]:
        """The exit codes."""
        end = time.monotonic() + HANG
        for process in self.processes:
            process.join(end - time.monotonic())
            if process.exitcode is None:
                process.kill()
                process.join()
        return [process.exitcode for process in self.processes]

    def said(self) -> list[str]:
        """What each wrote to the error stream, progress bars aside."""
        texts = [(self.folder / f"err{rank}").read_text() for rank in range(len(self.processes))]
        return ["".join(t.rpartition("\r")[2].splitlines(keepends=True)) for t in texts]

    def scratch(self) -> list[Path]:
        return list((self.folder / "tmp").glob("calf*"))


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ended(folder: Path, count: int, argv: list[str]) -> Group:
    """A run in `count` processes that must succeed; a single one computes in this process."""
    group = Group(folder, count, argv)
    assert group.end() == [0] * count, group.said()
    assert not group.scratch()
    for rank in range(1, count):
        assert (folder / f"out{rank}").read_text() == ""
        assert group.said()[rank] == ""
    return group


# 389 windows in steps of 27, in micro-batches of 9: 14 steps and 11 windows dropped; in evaluation
# shards of 53, 113 and 121 windows, which neither 2 nor 3 divide
UNEVEN = "--batch_size 9 --accumulate 3 --train_epochs 2".split()
SMALL = "--d_model 8 --e_layers 1 --d_ff 16 --train_epochs 2".split()
PATCHES = [*SMALL, *"--n_heads 2 --patch_len 8 --stride 4".split()]


@pytest.fixture(scope="module")
def tasks(command, small_data) -> dict[str, list[str]]:
    return {
        "forecast": command("--do_predict", *UNEVEN),
        "quick model": command("--model", "DLinear", *UNEVEN),
        # 53 validation windows in 5 published batches: one process has one more of them
        "published validation": command("--protocol", "published", *UNEVEN),
        "imputation": command("--task_name", "imputation", *UNEVEN),
        # windows that depend on each other
        "batch normalisation": argv(LONG, small_data, "--model", "PatchTST", *PATCHES),
        "no parameters": argv(LONG, small_data, "--model", "LastValue", "--do_predict"),
        "periods of a batch": argv(LONG, small_data, "--model", "TimesNet", *SMALL),
        # 48 windows in steps of 15, the last of 3: one process has none of them
        "classification": argv("classification", small_data, *UNEVEN, "--batch_size", "5"),
    }


@pytest.fixture(scope="module")
def alone(tasks, tmp_path_factory) -> Callable:
    """Each task's run in one process, in float64."""
    done = {}

    def run(task: str) -> Path:
        if task not in done:
            done[task] = tmp_path_factory.mktemp(task)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(done[task])
                use_float64(patch)
                assert main(tasks[task]) == 0
        return done[task]

    return run


def check_equal(one: Path, other: Path) -> None:
    """Two runs in float64 left the same files, with the same losses, metrics, outputs, parameters
    and moments; sums of losses, and what is in arrays, are float32."""
    assert tree(one) == tree(other)
    records = [json.loads(next(f.glob("results/*/run.json")).read_text()) for f in (one, other)]
    assert records[0]["scores"] == pytest.approx(records[1]["scores"], rel=1e-10)
    for epochs in zip(*(record["epochs"] for record in records), strict=True):
        for name in ("train", "validation", "test", "learning_rate"):
            assert epochs[0][name] == pytest.approx(epochs[1][name], rel=1e-6), name
    for path in one.glob("results/*/*.npy"):
        left, right = load(path), load(other / path.relative_to(one))
        assert left.shape == right.shape
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7, err_msg=path.name)
    for path in one.glob("results/*/forecast.csv"):
        left, right = (pd.read_csv(p, index_col=0) for p in (path, other / path.relative_to(one)))
        pd.testing.assert_frame_equal(left, right, rtol=1e-5)
    for path in one.glob("checkpoints/*/*.safetensors"):
        before, after = load_file(path), load_file(other / path.relative_to(one))
        assert before.keys() == after.keys()
        for key, value in before.items():
            close = 1e-10 if value.dtype == torch.float64 else 1e-6
            torch.testing.assert_close(value, after[key], rtol=close, atol=close, msg=key)


@pytest.mark.parametrize(
    ("task", "count"),
    [
        ("forecast", 3),
        ("published validation", 2),
        ("imputation", 2),
        ("batch normalisation", 2),
        ("no parameters", 2),
        ("periods of a batch", 2),
        ("classification", 2),
    ],
)
def test_the_same_as_one_process(alone, tasks, tmp_path, task, count):
    ended(tmp_path, count, tasks[task])
    check_equal(alone(task), tmp_path / "work")
    (record,) = (tmp_path / "work").glob("results/*/run.json")
    assert json.loads(record.read_text())["processes"] == count


# Mistakes


def only_line(group: Group) -> str:
    (line,) = "".join(group.said()).splitlines()
    return line


@pytest.mark.parametrize("last", [True, False])
def test_a_mistake_of_one_is_said_by_it_alone(command, tmp_path, last):
    good, bad = command(), command("--data_path", "none.csv")
    first, other = (good, bad) if last else (bad, good)
    group = Group(tmp_path, 2, first, be_patient, other)
    assert group.end() == [2, 2]
    assert "none.csv" in only_line(group)
    assert bool(group.said()[1]) == last
    assert not group.scratch()


# Signals and deaths


def long(command, *more: str) -> list[str]:
    endless = "--model DLinear --train_epochs 9999 --patience 9999".split()
    return command(*UNEVEN, *endless, *more)


def signal_twice(rank: int) -> None:
    def step(self, number, index):
        if number == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            print("went on", flush=True)

    ExpBasic.train_step = step


def test_a_second_signal_exits_at_once(command, tmp_path):
    group = Group(tmp_path, 1, command(), signal_twice)
    assert group.end()[0] in (130, 143), group.said()
    assert "went on" not in (tmp_path / "out0").read_text()
    assert "Traceback" not in group.said()[0]


def stop_last(method: str, epoch: int, step: int, number: int, rank: int) -> None:
    """Send the second of two processes a signal where it comes to a method of the training."""
    be_patient()
    if rank == 1:
        once_at(pytest.MonkeyPatch(), method, epoch, send(number), step)


@pytest.mark.parametrize(
    ("number", "codes", "where", "count"),
    [
        (signal.SIGTERM, [143, 143], ("train_step", 1, 12), 1),
        (signal.SIGTERM, [143, 143], ("epoch_scores", 1, 0), 2),
        (signal.SIGKILL, [2, -9], ("train_step", 2, 5), 1),
    ],
)
def test_resumed_as_if_nothing_had_been(alone, tasks, tmp_path, number, codes, where, count):
    """A signal to one of the processes stops all at the same step; its death ends the others."""
    group = Group(tmp_path, 2, tasks["forecast"], partial(stop_last, *where, number))
    assert group.end() == codes, group.said()
    said = "".join(group.said())
    if number == signal.SIGKILL:
        line = only_line(group)
        assert line.startswith("error: another of the 2 processes ended or does not answer: ")
    else:
        assert said.count("interrupted") == said.count("--resume continues") == 1
        assert "error" not in said and not group.scratch()
    assert not list(tmp_path.glob("work/results/*/*.npy"))
    ended(tmp_path, count, [*tasks["forecast"], "--resume"])
    assert "resumed from" in (tmp_path / "out0").read_text()
    check_equal(alone("forecast"), tmp_path / "work")


# The launcher


def launched(folder: Path, argv: list[str], program: str = "run.py") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, ROOT / program, *argv, "--use_multi_gpu", "--devices", "0,1"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def children(process: subprocess.Popen) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()]


def test_launched(alone, tasks, workdir):
    argv = [*tasks["quick model"], "--extra_tag", "x"]
    process = launched(workdir, argv, "tests/exp/launched.py")
    out, errors = process.communicate(timeout=HANG)
    assert process.returncode == 0, errors
    assert out.count("epoch ") == 2
    assert "OMP_NUM_THREADS" not in errors and errors.count("does not use") == 1
    check_equal(alone("quick model"), workdir)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [(("--data_path", "none.csv"), "none.csv"), (("--seq_len", "20000"), "--seq_len 20000")],
    ids=["before the launch", "in each process"],
)
def test_launched_with_a_mistake(command, workdir, mistake, said):
    process = launched(workdir, command(*mistake))
    out, errors = process.communicate(timeout=HANG)
    assert process.returncode == 2
    assert out == ""
    assert errors.count("\n") == 1
    assert said in errors


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc to find processes in")
@pytest.mark.parametrize("how", ["signal", "job", "death", "orphans"])
def test_launched_and_ended(command, workdir, how):
    program = "tests/exp/launched.py" if how == "job" else "run.py"
    process = launched(workdir, long(command), program)
    while not process.stdout.readline().startswith("epoch 1/"):
        assert process.poll() is None, process.stderr.read()
    ranks = children(process)
    assert len(ranks) == 2
    if how == "signal":
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=HANG)[1]
        assert process.returncode == 130
        assert errors.count("interrupted\n") == 1
        assert "error" not in errors
    elif how == "job":  # a batch system ends all processes of a job, and the launcher hands it on
        for number in (*ranks, process.pid):
            os.kill(number, signal.SIGTERM)
        errors = process.communicate(timeout=HANG)[1]
        assert process.returncode == 143
        assert errors.count("--resume continues") == errors.count("interrupted\n") == 1
        assert "error" not in errors
    elif how == "death":
        os.kill(ranks[1], signal.SIGKILL)
        errors = process.communicate(timeout=HANG)[1]
        assert process.returncode == 1
        assert "error: another of the 2 processes ended or does not answer: " in errors
        assert "error: the process of rank 1 was killed by SIGKILL" in errors
        assert "Traceback" not in errors
    else:
        process.kill()
        errors = process.communicate(timeout=HANG)[1]  # as long as they hold its streams
        said, interrupted = errors.rpartition("\r")[2].splitlines()[-2:]  # behind progress bars
        assert "--resume continues" in said
        assert interrupted == "interrupted"
        assert errors.count("interrupted\n") == 1 and "error" not in errors
    assert list(workdir.glob("checkpoints/*/state.safetensors"))
    end = time.monotonic() + HANG
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_wrong_devices(refused, command, monkeypatch):
    wrong = {"": "commas", "-1": "commas", "0,1,0": "duplicate", "0,": "commas"}
    for devices, said in wrong.items():
        message = refused(command("--use_multi_gpu", f"--devices={devices}"))
        assert said in message and "--devices" in message
    several = command("--use_gpu", "1", "--use_multi_gpu", "--devices", "0,2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "--use_gpu 0" in refused(several)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "--devices 0,2: visible GPUs: 2, numbered from 0" in refused(several)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_more_processes_than_gpus(monkeypatch, rank):
    """Every process fails with the error, so that the first one can report it."""
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2"), ("LOCAL_RANK", rank)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="visible GPUs: 1"):
        Processes(True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="visible GPUs: 0"):
        Processes(True, cuda_asked=True)


def test_one_device_needs_no_launcher(workdir, command, monkeypatch):
    monkeypatch.setattr("run.launch", None)
    assert main(command("--use_multi_gpu", "--devices", "0", "--train_epochs", "1")) == 0


def test_visible_devices(monkeypatch):
    assert device_numbers("2, 0") == [2, 0]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices([2, 0]) == "2,0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7,6")
    assert visible_devices([2, 1]) == "6,GPU-7"
