"""Killing at random, at small size; `python -m scripts.chaos` by itself kills twenty times."""

import os
import subprocess
import sys

import pytest

from scripts import chaos
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def chaotic(*more: str) -> subprocess.CompletedProcess:
    words = [sys.executable, *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)


@pytest.mark.slow
def test_a_few_kills():
    done = chaotic("-m", "scripts.chaos", "--kills", "3", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    kills = [line for line in done.stdout.splitlines() if line.startswith("kill ")]
    assert [line.split(":")[0] for line in kills] == [
        f"kill {number}/3 long_term_forecast" for number in (1, 2, 3)
    ]
    assert all(" -> " in line for line in kills)
    assert "bit by bit" in done.stdout
    assert "all went well" in done.stdout


def test_as_a_file():
    done = chaotic("scripts/chaos.py", "--kills", "-1")
    assert done.returncode == 2
    assert "--kills" in done.stderr


def test_what_goes_wrong_is_told(monkeypatch):
    monkeypatch.setattr(chaos, "wreak", lambda *_: ["differs"])
    assert chaos.main([]) == 1
    monkeypatch.setattr(chaos, "wreak", lambda *_: [])
    assert chaos.main([]) == 0


def test_what_differs():
    one = {"a": "1", "loss": float("nan"), "c": [1.0]}
    assert chaos.differences(one, {**one, "loss": float("nan")}) == []
    assert chaos.differences(one, {"a": "2", "loss": 1.0}) == ["a", "c", "loss"]
    noted = {"seconds": 1.0, "epochs": [{"train": 2.0, "seconds": 3.0}]}
    assert chaos.timeless(noted) == {"epochs": [{"train": 2.0}]}
