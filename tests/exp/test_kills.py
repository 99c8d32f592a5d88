"""A training that is killed at random moments and resumed leaves the bytes of an undisturbed one.

`CALF_KILLS=20` tries more kills than the usual few.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from run import main
from tests.conftest import HANG
from tests.exp.small_runs import command, timeless
from tests.exp.test_processes import FORKED
from utils.checkpoint import read_checkpoint

KILLS = int(os.environ.get("CALF_KILLS", "3"))
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


def be_run(folder: Path, argv: list[str]) -> None:
    """What the process of a run does: train and test in `folder`, its streams in a file."""
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(log, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    sys.exit(main(argv))


def start(folder: Path, data: Path, *more: str):
    argv = command("long_term_forecast", data, "--save_every", "3", *more)
    (folder / "log").write_text("")
    process = FORKED.Process(target=be_run, args=(folder, argv))
    process.start()
    return process


def outcome(folder: Path) -> dict[str, object]:
    """All that a finished run has left and that must not depend on time."""
    found = {path.name: np.load(path).tobytes() for path in folder.glob("results/*/*.npy")}
    for name in ("state", "checkpoint"):
        (path,) = folder.glob(f"checkpoints/*/{name}.safetensors")
        read = read_checkpoint(path)
        found |= {f"{name} {key}": value.numpy().tobytes() for key, value in read.state.items()}
        found[name] = timeless({key: read.metadata.get(key) for key in ("progress", "rates")})
    (record,) = folder.glob("results/*/run.json")
    record = json.loads(record.read_text())
    found |= {name: timeless(record[name]) for name in ("scores", "best_epoch", "epochs")}
    aside = ("log", "state.previous")
    found["files"] = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(aside)
    }
    return found


def until(process, condition: Callable[[], bool]) -> bool:
    """Wait for a condition; returns whether the process still runs."""
    end = time.monotonic() + HANG
    while process.is_alive() and not condition():
        assert time.monotonic() < end
        time.sleep(0.0005)
    return process.is_alive()


def strike(process, folder: Path, dice: random.Random, seconds: float) -> int | None:
    """Send a signal at a random moment, half of the time while a file is written; None if the run
    ends before."""
    moment, seen = time.monotonic() + dice.uniform(0, seconds), set()
    writes = dice.choice([0, dice.randint(1, 6)])

    def now() -> bool:
        if not writes:
            return time.monotonic() >= moment
        parts = {path.name for path in folder.glob("*/*/.*.part")} - seen
        seen.update(parts)
        return bool(parts) and len(seen) >= writes

    if not until(process, now):
        return None
    number = dice.choice(SIGNALS)
    os.kill(process.pid, number)
    return number


def test_killed_at_random_moments(small_data, tmp_path):
    dice, kills, runs = random.Random(KILLS), 0, 0
    folder, resume = tmp_path / "undisturbed", ()
    folder.mkdir()
    begun = time.monotonic()
    process = start(folder, small_data)
    process.join(HANG)
    assert process.exitcode == 0, (folder / "log").read_text()
    seconds, expected = time.monotonic() - begun, outcome(folder)
    while kills < KILLS or resume:
        if not resume:
            runs += 1
            folder = tmp_path / f"disturbed {runs}"
            folder.mkdir()
        process = start(folder, small_data, *resume)
        number = strike(process, folder, dice, seconds) if kills < KILLS else None
        process.join(HANG)
        log, code = (folder / "log").read_text(), process.exitcode
        if code == 0:
            assert outcome(folder) == expected, f"after {kills} kills"
            resume = ()
            continue
        assert number is not None, log
        if ">>> training" in log:  # before, there are no handlers
            assert code in (CODES[number], -number), log
            assert "Traceback" not in log
        kills, resume = kills + 1, ("--resume",)
