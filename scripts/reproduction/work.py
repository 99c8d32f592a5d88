"""Run what is left of a plan: processes, devices, signals."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor

from exp.launch import FOLLOW_PARENT, device_numbers, visible_devices
from scripts.reproduction.lists import ROOT, Run
from scripts.reproduction.plan import Plan
from utils.command_line import one_line
from utils.errors import UserError
from utils.interrupts import Interrupts
from utils.machine import usable_cores

LOGS = Path("reproduce")
PROGRAM = ROOT / "run.py"
POLL = 0.1  # seconds
Jobs = dict[Run, tuple[subprocess.Popen, Mapping[str, str]]]  # with their environments


@contextmanager
def locked(name: str) -> Iterator[int]:
    """Lock a list in this working folder; yields the descriptor of the lock. Jobs that inherit it
    keep the lock until they end, even if this process is killed."""
    folder = LOGS / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        if not lock_descriptor(file.fileno(), blocking=False):
            raise UserError(
                f"{name} is already running in this folder, or its runs are still saving their "
                "states: wait for them"
            )
        yield file.fileno()


def do(plan: Plan, environments: Sequence[Mapping[str, str]], lock: int) -> dict[Run, str]:
    """Run what is left of a plan, a job in each of the environments; return the runs that failed,
    and why. Other runs go on after a failure.

    After a signal, `Interrupted` is raised once the jobs have saved their states. A second one ends
    this process at once, and the jobs within a second.
    """
    waiting, free, failed = list(plan.left), list(environments), {}
    jobs: Jobs = {}

    def fail(run: Run, why: str) -> None:
        failed[run] = why
        say(plan, run, f"failed: {why}")

    with Interrupts() as received, ended(jobs):
        while waiting or jobs:
            received.check()
            for run in list(waiting):
                if run.parent in failed:
                    waiting.remove(run)
                    fail(run, f"run {plan.number(run.parent)}, whose checkpoint it tests, failed")
                elif free and run.parent not in plan.left:
                    waiting.remove(run)
                    environment = free.pop()
                    jobs[run] = start(plan, run, environment, lock), environment
                    say(plan, run, "starts")
            for run, (process, environment) in list(jobs.items()):
                if process.poll() is not None:
                    del jobs[run]
                    free.append(environment)
                    plan.refresh()
                    if run in plan.left:
                        fail(run, why_failed(process.returncode, log_of(plan, run)))
                    else:
                        say(plan, run, "done")
            time.sleep(POLL if jobs else 0)
    return failed


@contextmanager
def ended(jobs: Jobs) -> Iterator[None]:
    """After an interruption, terminate the jobs and wait until they have saved their states."""
    try:
        yield
    finally:
        if jobs:
            print(f"waiting for {len(jobs)} run(s) to save their states; again to end at once")
        for process, _ in jobs.values():
            process.terminate()
        for process, _ in jobs.values():
            process.wait()


def log_of(plan: Plan, run: Run) -> Path:
    """Return the log file of a run."""
    return LOGS / plan.name / f"{plan.number(run)}.log"


def start(plan: Plan, run: Run, environment: Mapping[str, str], lock: int) -> subprocess.Popen:
    """Start the process of a run; it appends to its log."""
    options = plan.options(run)
    with log_of(plan, run).open("ab") as log:
        log.write(f"$ python run.py {shlex.join(options)}\n".encode())
        log.flush()
        return subprocess.Popen(
            [sys.executable, "-u", str(PROGRAM), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, FOLLOW_PARENT: "1"},
            start_new_session=True,  # the terminal's Ctrl-C is passed on, once
            pass_fds=[lock],
        )


def why_failed(code: int, log: Path) -> str:
    """Describe why a run that ended with this exit code failed."""
    if code == 0:
        return "it wrote no run.json with its command"
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    _, _, last = log.read_text(errors="replace").strip().rpartition("\n")
    return f"{how}: {one_line(last)} ({log})"


def say(plan: Plan, run: Run, what: str) -> None:
    """Print a line of progress."""
    print(f"{plan.number(run):4} of {len(plan.runs)}: {run}: {what}", flush=True)


def environments(jobs: int | None, devices: str | None, plan: Plan) -> list[dict[str, str]]:
    """Divide GPUs and cores among concurrent jobs: the environment variables of each.

    Args:
        jobs: their number; by default one for each of `devices`, or one.
        devices: such as `0,1`, numbers of visible GPUs; by default all of them.
    """
    gpus = device_numbers(devices) if devices is not None else []
    jobs = jobs or len(gpus) or 1
    if not gpus and jobs > 1 and any(run.args.use_gpu for run in plan.left):
        import torch

        gpus = list(range(torch.cuda.device_count()))
    if gpus and len(gpus) < jobs:
        raise UserError(f"--jobs {jobs}: a run needs a GPU of its own, and there are {len(gpus)}")
    shared = {}
    if jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(max(1, usable_cores() // jobs))
    if not gpus:
        return [shared] * jobs
    return [shared | {"CUDA_VISIBLE_DEVICES": visible_devices([gpu])} for gpu in gpus[:jobs]]
