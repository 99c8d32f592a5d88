"""Killing at random, at small size; `python -m scripts.chaos` by itself kills twenty times."""

import os
import signal
import subprocess
import sys
import time

import pytest

from scripts import chaos
from tests.conftest import HANG, ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def chaotic(*more: str) -> subprocess.CompletedProcess:
    words = [sys.executable, *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=3 * HANG)


@pytest.mark.slow
def test_a_few_kills():
    done = chaotic("-m", "scripts.chaos", "--kills", "2", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    kills = [line for line in done.stdout.splitlines() if line.startswith("kill ")]
    assert [line.split(":")[0] for line in kills] == [
        f"kill {number}/2 long_term_forecast" for number in (1, 2)
    ]
    assert all(" -> " in line for line in kills)
    assert "bit by bit" in done.stdout
    assert "all went well" in done.stdout


def test_as_a_file():
    done = chaotic("scripts/chaos.py", "--kills", "-1")
    assert done.returncode == 2
    assert "--kills" in done.stderr


@pytest.fixture
def without_training(monkeypatch):
    """Let `Chaos.run` be replaced, in place of trainings."""

    def replace(run) -> int:
        monkeypatch.setattr(chaos, "import_all", lambda tasks: None)
        monkeypatch.setattr(chaos, "prepare", lambda data: None)
        monkeypatch.setattr(chaos.Chaos, "run", run)
        return chaos.main(["--tasks", "imputation", "classification"])

    return replace


def test_what_goes_wrong_is_told(without_training, capfd):
    def run(self, kills):
        self.problems = ["differs"] * (self.task == "imputation")

    assert without_training(run) == 1
    assert "something went wrong" in capfd.readouterr().out
    assert without_training(lambda self, kills: None) == 0
    assert "all went well" in capfd.readouterr().out


def test_a_run_that_does_not_end_tells_nothing(without_training, capfd, monkeypatch, tmp_path):
    def run(self, kills):
        if self.task == "imputation":
            with monkeypatch.context() as patch:
                patch.setattr(chaos, "LIMIT", 0.2)
                chaos.wait(chaos.forked(signal.pause, tmp_path / "log"))

    assert without_training(run) == chaos.INCONCLUSIVE == 3
    out = capfd.readouterr().out
    assert "imputation: inconclusive: timed out: a run did not end within 0.2 s" in out
    assert "went wrong" not in out

    def run_and_differ(self, kills):
        self.problems = ["differs"]
        raise chaos.TimedOut

    assert without_training(run_and_differ) == 1


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_no_signal_leaves_a_forked_process(tmp_path, sign):
    """None raises into its copy of what its parent was doing, whenever it comes."""

    def task() -> int:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return 0

    codes = []
    for number in range(60):
        try:
            child = chaos.forked(task, tmp_path / "log")
            time.sleep(number * 5e-5)  # from before the task to after it
            os.kill(child, sign)
            codes.append(chaos.wait(child))
        finally:
            with (tmp_path / "left by").open("a") as file:
                file.write(f"{os.getpid()}\n")
    left = set((tmp_path / "left by").read_text().split())
    assert left == {str(os.getpid())}
    assert set(codes) <= {0, chaos.CODES[sign], -sign}
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_what_differs():
    one = {"a": "1", "loss": "nan", "c": "[1.0]"}
    assert chaos.differences(one, dict(one)) == []
    assert chaos.differences(one, {"a": "2", "loss": "1.0"}) == ["a", "c", "loss"]
    notes = {"seconds": 1.0, "epochs": [{"train": 2.0, "seconds": 3.0}]}
    assert chaos.timeless(notes) == {"epochs": [{"train": 2.0}]}
