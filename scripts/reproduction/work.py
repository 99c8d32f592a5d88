"""Doing the runs of a plan: processes, devices, signals."""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import lock_descriptor
from tqdm.auto import tqdm

from scripts.reproduction.lists import ROOT, Run
from scripts.reproduction.plan import Plan
from utils.command_line import one_line
from utils.errors import UserError
from utils.interrupts import SIGNALS, Interrupts
from utils.launch import device_numbers, visible_devices
from utils.machine import usable_cores

LOGS = Path("reproduce")
PROGRAM = ROOT / "run.py"
NUMBERS = {code: number for number, code in SIGNALS.items()}
POLL = 0.1  # seconds
PR_SET_PDEATHSIG = 1  # from sys/prctl.h


@contextmanager
def locked(name: str) -> Iterator[int]:
    """Lock the folder of a list's logs for this process and its jobs; yields the descriptor.

    If this process is killed, its jobs have the lock until they have saved their states; the next
    start waits for them.

    Raises:
        UserError: another process does the list in this folder.
    """
    folder = LOGS / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        if not lock_descriptor(file.fileno(), blocking=False):
            file.seek(0)
            owner = file.read().strip()
            if owner and _is_alive(int(owner)):
                raise UserError(f"process {owner} does {name} in this folder: wait for it")
            print(f"waiting for the runs of process {owner}, which was killed", flush=True)
            lock_descriptor(file.fileno())
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@dataclass
class Job:
    """A run at work.

    Attributes:
        environment: its variables, free for another run afterwards.
        stopping: whether a signal was passed on to it.
    """

    run: Run
    process: subprocess.Popen
    environment: Mapping[str, str]
    stopping: bool = False


class Work(Interrupts):
    """Does what is left of a plan, as many runs at a time as there are `environments`. A signal is
    passed on to the runs at work, which save their states; a second one kills them.

    Args:
        plan: is updated as runs finish.
        environments: variables for each of the runs that work at the same time.
        lock: a descriptor that the jobs inherit, see `locked`.

    Attributes:
        failed: runs that failed, and why.
    """

    def __init__(self, plan: Plan, environments: list[dict[str, str]], lock: int):
        super().__init__()
        self.plan, self.lock, self.jobs = plan, lock, []
        self.free, self.waiting = list(environments), list(plan.left)
        self.failed: list[tuple[Run, str]] = []

    def do(self) -> None:
        """Do the runs; goes on after a run that fails.

        Raises:
            Interrupted: by a signal; the runs have saved their states.
        """
        with self.bar() as bar, self:
            while self.jobs or (self.waiting and not self.code):
                while not self.code and self.free and (run := self.next_run()):
                    self.jobs.append(self.start(run))
                self.pass_on()
                for job in [job for job in self.jobs if job.process.poll() is not None]:
                    self.jobs.remove(job)
                    self.free.append(job.environment)
                    bar.update(self.finish(job))
                time.sleep(POLL if self.jobs else 0)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.code:
            for job in self.jobs:
                job.process.kill()
        super()._note(number, frame)

    def pass_on(self) -> None:
        """Pass a received signal on to the jobs, once."""
        stopped = [job for job in self.jobs if self.code and not job.stopping]
        for job in stopped:
            job.process.send_signal(NUMBERS[self.code])
            job.stopping = True
        if stopped:
            say(f"waiting for {len(stopped)} run(s) to save their states; again to end at once")

    def bar(self) -> tqdm:
        """Make the bar over all runs; a file gets none."""
        tqdm.monitor_interval = 0  # no threads: processes are forked
        total = len(self.plan.runs)
        return tqdm(
            total=total,
            initial=total - len(self.plan.left),
            disable=None,
            bar_format="{n_fmt}/{total_fmt} runs |{bar}| {elapsed}",
            dynamic_ncols=True,
        )

    def next_run(self) -> Run | None:
        """Take a run that can start; those whose parents have failed fail."""
        failed = {run for run, _ in self.failed}
        for run in list(self.waiting):
            if run.parent in failed:
                self.waiting.remove(run)
                why = f"run {self.plan.number(run.parent)}, whose checkpoint it tests, failed"
                self.fail(run, why)
            elif run.parent not in self.plan.left:
                self.waiting.remove(run)
                return run
        return None

    def log(self, run: Run) -> Path:
        """Return the file of a run's output."""
        return LOGS / self.plan.name / f"{self.plan.number(run)}.log"

    def start(self, run: Run) -> Job:
        """Start the process of a run; it appends to its log."""
        options = self.plan.options(run)
        with self.log(run).open("ab") as log:
            log.write(f"$ python run.py {shlex.join(options)}\n".encode())
            log.flush()
            environment = self.free.pop()
            process = subprocess.Popen(
                [sys.executable, "-u", str(PROGRAM), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # the terminal's Ctrl-C is passed on, once
                pass_fds=[self.lock],
                preexec_fn=_prepare_child,
            )
        return Job(run, process, environment)

    def finish(self, job: Job) -> bool:
        """Take note of how a run has ended; return whether it is done."""
        code, run = job.process.returncode, job.run
        self.plan.records.refresh()
        if code == 0 and self.plan.records.of(run):
            self.plan.left.remove(run)
            say(f"{self.plan.number(run):4} done: {run}")
            return True
        if code == 0:
            self.fail(run, "it left no run.json with its command")
        elif not job.stopping:
            how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
            lines = self.log(run).read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            self.fail(run, f"{how}: {one_line(last)} ({self.log(run)})")
        return False

    def fail(self, run: Run, why: str) -> None:
        self.failed.append((run, why))
        say(f"{self.plan.number(run):4} failed: {run}: {why}")


def say(line: str) -> None:
    """Print a line above the bar."""
    tqdm.write(line)
    sys.stdout.flush()


def _prepare_child() -> None:
    """In a new process: do not ignore SIGINT, as a background job does; on Linux, end as by SIGTERM
    when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def environments(jobs: int | None, devices: str | None, plan: Plan) -> list[dict[str, str]]:
    """Divide the machine among runs that work at the same time.

    Args:
        jobs: how many; None: one for each of `devices`, or else one.
        devices: GPUs, such as `0,1`, numbered as the visible ones; None: all visible ones.
        plan: of whose runs some may use a GPU.

    Returns:
        Variables for each.

    Raises:
        UserError: there are fewer GPUs than jobs.
    """
    gpus = device_numbers(devices) if devices is not None else None
    jobs = jobs or len(gpus or [0])
    if gpus is None and jobs > 1 and any(run.args.use_gpu for run in plan.left):
        import torch

        gpus = list(range(torch.cuda.device_count()))
    if gpus and len(gpus) < jobs:
        raise UserError(f"--jobs {jobs}: a run needs a GPU of its own, and there are {len(gpus)}")
    found = [{"CUDA_VISIBLE_DEVICES": visible_devices([gpu])} for gpu in (gpus or [])[:jobs]]
    found = found or [{} for _ in range(jobs)]
    if jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = str(max(1, usable_cores() // jobs))
        found = [variables | {"OMP_NUM_THREADS": threads} for variables in found]
    return found
