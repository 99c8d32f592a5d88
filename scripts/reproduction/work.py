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
from tqdm import tqdm

from scripts.reproduction.lists import Run
from scripts.reproduction.plan import Plan, duration, time_left
from scripts.reproduction.shell import ROOT
from utils.command_line import one_line
from utils.errors import UserError
from utils.interrupts import SIGNALS, Interrupts
from utils.launch import device_numbers, visible_devices
from utils.machine import usable_cores

LOGS = Path("reproduce")
POLL = 0.1  # seconds
PR_SET_PDEATHSIG = 1  # from sys/prctl.h


@dataclass
class Job:
    """A run at work. `environment`: its variables, free again afterwards."""

    run: Run
    process: subprocess.Popen
    environment: Mapping[str, str]
    started: float


class ForwardedInterrupts(Interrupts):
    """Passes the first SIGINT or SIGTERM on to the jobs, which save their states; kills them at the
    second.

    Attributes:
        jobs: at work.
    """

    def __init__(self):
        super().__init__()
        self.jobs: list[Job] = []

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = bool(self.code)
        for job in self.jobs:
            job.process.send_signal(signal.SIGKILL if again else number)
        super()._note(number, frame)


class Work:
    """Does what is left of a plan, `len(environments)` runs at a time.

    Args:
        plan: is updated as runs finish.
        environments: variables for each of the runs that work at the same time.

    Attributes:
        failed: runs that failed, and why.
    """

    def __init__(self, plan: Plan, environments: list[dict[str, str]]):
        self.plan, self.free, self.count = plan, list(environments), len(environments)
        self.folder = LOGS / plan.name
        self.waiting = list(plan.left)
        self.failed: list[tuple[Run, str]] = []

    def do(self) -> None:
        """Do the runs; goes on after a run that fails.

        Raises:
            UserError: another process does this list in this folder.
            Interrupted: by a signal; the runs have saved their states.
        """
        done = len(self.plan.runs) - len(self.plan.left)
        with self.locked() as lock, self.bar(done) as bar, ForwardedInterrupts() as interrupts:
            jobs = interrupts.jobs
            while jobs or (self.waiting and not interrupts.code):
                while not interrupts.code and self.free and (run := self.next_run(bar)):
                    jobs.append(self.start(run, lock))
                for job in [job for job in jobs if job.process.poll() is not None]:
                    jobs.remove(job)
                    self.free.append(job.environment)
                    self.finish(job, bar, bool(interrupts.code))
                if interrupts.code and jobs and not bar.disable:
                    bar.set_postfix_str("runs save their states; again to end at once")
                else:
                    bar.set_postfix_str(f"left: {self.left(jobs)}")
                time.sleep(POLL if jobs else 0)

    def left(self, jobs: list[Job]) -> str:
        """Describe how long the rest takes."""
        now = time.monotonic()
        rest = [(self.plan.seconds(job.run), now - job.started) for job in jobs]
        rest += [(self.plan.seconds(run), 0.0) for run in self.waiting]
        return time_left(rest, self.count) if rest else "nothing"

    @staticmethod
    def bar_format() -> str:
        return "{n_fmt}/{total_fmt} runs |{bar}| {elapsed}{postfix}"

    def bar(self, done: int) -> tqdm:
        """Make the bar over all runs; there is none in a file."""
        tqdm.monitor_interval = 0  # no threads: processes are forked
        return tqdm(
            total=len(self.plan.runs),
            initial=done,
            disable=None,
            bar_format=self.bar_format(),
            dynamic_ncols=True,
        )

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Lock the folder of logs for this process and its jobs; yields the descriptor.

        If this process is killed, its jobs have the lock until they have saved their states; the
        next start waits for them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+") as file:
            if not lock_descriptor(file.fileno(), blocking=False):
                file.seek(0)
                owner = file.read().strip()
                if owner and _is_alive(int(owner)):
                    raise UserError(
                        f"process {owner} does {self.plan.name} in this folder: wait for it, or "
                        "stop it"
                    )
                print(f"waiting for the runs of process {owner}, which was killed", flush=True)
                lock_descriptor(file.fileno())
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
            self.plan.records.refresh()
            yield file.fileno()

    def next_run(self, bar: tqdm) -> Run | None:
        """Take a run that can start; those whose parents have failed fail."""
        failed = {run for run, _ in self.failed}
        for run in list(self.waiting):
            if run.parent in failed:
                self.waiting.remove(run)
                why = f"run {self.plan.number(run.parent)}, whose checkpoint it tests, failed"
                self.fail(run, why, bar)
            elif run.parent not in self.plan.left:
                self.waiting.remove(run)
                return run
        return None

    def log(self, run: Run) -> Path:
        """Return the file of a run's output."""
        return self.folder / f"{self.plan.number(run)}.log"

    def start(self, run: Run, lock: int) -> Job:
        """Start the process of a run; it appends to its log."""
        options = self.plan.options(run)
        with self.log(run).open("ab") as log:
            log.write(f"$ python run.py {shlex.join(options)}\n".encode())
            log.flush()
            environment = self.free.pop()
            process = subprocess.Popen(
                [sys.executable, "-u", str(ROOT / "run.py"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # the terminal's Ctrl-C is passed on, once
                pass_fds=[lock],
                preexec_fn=_PREPARE,
            )
        return Job(run, process, environment, time.monotonic())

    def finish(self, job: Job, bar: tqdm, interrupted: bool) -> None:
        """Take note of how a run has ended."""
        code, run = job.process.returncode, job.run
        self.plan.records.refresh()
        if code == 0 and self.plan.records.of(run):
            self.plan.left.remove(run)
            bar.update()
            spent = duration(time.monotonic() - job.started)
            self.say(f"{self.plan.number(run):4} done in {spent}: {run}", bar)
        elif code == 0:
            self.fail(run, "it left no run.json with its command", bar)
        elif not interrupted:
            how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
            lines = self.log(run).read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            self.fail(run, f"{how}: {one_line(last)} ({self.log(run)})", bar)

    def fail(self, run: Run, why: str, bar: tqdm) -> None:
        self.failed.append((run, why))
        self.say(f"{self.plan.number(run):4} failed: {run}: {why}", bar)

    def say(self, line: str, bar: tqdm) -> None:
        """Print a line above the bar."""
        with bar.external_write_mode():
            print(line, flush=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _prepare_child() -> None:
    """In a new process: do not ignore SIGINT, as a background job does; on Linux, end as by SIGTERM
    when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PREPARE = _prepare_child if os.name == "posix" else None


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


assert set(SIGNALS) == {signal.SIGINT, signal.SIGTERM}
