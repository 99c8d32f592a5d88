"""Kill training at random moments, resume it, and compare: `python -m scripts.chaos --kills 20`.

A small GPT-2 and small data are generated. One training runs undisturbed. The same training in
another folder is killed repeatedly, at random moments and while it writes, by SIGKILL, SIGTERM or
SIGINT; sometimes the newest saved state is damaged too. Each time it continues with `--resume`.
Finally its results must be those of the undisturbed training, bit by bit.

Exit codes: 0 equal results; 1 a difference; 2 an error before any kill; 3 inconclusive: a run did
not end in time.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import run
from utils.command_line import Parser, guarded, whole
from utils.errors import UserError

WIDTH = 24
LIMIT = 600.0  # seconds that a run may take
INCONCLUSIVE = 3  # exit code if a run takes longer
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
WRITTEN = ("checkpoints/*", "results/*", "test_results/*", "m4_results/*")
COMPARED = ("state.safetensors", "checkpoint.safetensors")
TASKS = {
    "long_term_forecast": "--data custom --data_path made_up.csv --seq_len 24 --pred_len 8",
    "short_term_forecast": "--data m4 --seasonal_patterns Weekly --task_loss smape",
    "imputation": "--data custom --data_path made_up.csv --seq_len 24 --pred_len 0",
    "anomaly_detection": "--data MSL --seq_len 20 --pred_len 0 --anomaly_ratio 3",
    "classification": "--data UEA",
}


def prepare(folder: Path) -> None:
    """Make a GPT-2 with random weights, and data for each task, in `folder`."""
    import numpy as np
    import torch
    from transformers import GPT2Config, GPT2Model

    from layers.backbone import quiet_transformers
    from pca import principal_word_embeddings
    from utils.synthetic import synthetic_ett

    torch.manual_seed(7)
    config = GPT2Config(
        n_embd=WIDTH, n_layer=3, n_head=4, n_positions=32, vocab_size=50,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with quiet_transformers():
        model = GPT2Model(config)
        model.save_pretrained(folder / "gpt2")
    torch.save(principal_word_embeddings(model.wte.weight, 12), folder / "gpt2" / "words.pt")

    table = synthetic_ett(rows=600, channels=3, seed=1)
    table.to_csv(folder / "made_up.csv", index=False)
    values = table.iloc[:, 1:].to_numpy()
    np.save(folder / "MSL_train.npy", values[:400])
    np.save(folder / "MSL_test.npy", values[400:])
    np.save(folder / "MSL_test_label.npy", np.arange(200) % 50 < 5)

    series = values[:, 0] - values[:, 0].min() + 10
    for part, length, folder_name in (("train", 60, "Train"), ("test", 13, "Test")):
        lines = [",".join(f"V{i + 1}" for i in range(1 + length))]
        for number in range(60):
            start = 8 * number + (60 if part == "test" else 0)
            cells = [f"{value:.3f}" for value in series[start : start + length]]
            lines.append(",".join([f"W{number + 1}", *cells]))
        (folder / folder_name).mkdir()
        (folder / folder_name / f"Weekly-{part}.csv").write_text("\n".join(lines) + "\n")

    noise = np.random.default_rng(0)
    for part, count in (("TRAIN", 60), ("TEST", 30)):
        lines = ["@problemName Waves", "@classLabel true slow fast", "@data"]
        for number in range(count):
            label, speed = (("slow", 0.3), ("fast", 1.2))[number % 2]
            waves = np.sin(speed * np.arange(24)[None] + noise.uniform(0, 6, (2, 1)))
            cells = waves + 0.3 * noise.standard_normal(waves.shape)
            lines.append(":".join([*(",".join(f"{v:.4f}" for v in row) for row in cells), label]))
        (folder / f"Waves_{part}.ts").write_text("\n".join(lines) + "\n")


def command(task: str, data: Path, *more: str) -> list[str]:
    """The command line of a small training on what `prepare` made in `data`."""
    return [
        *f"--task_name {task} --is_training 1 --model_id chaos --model CALF".split(),
        *TASKS[task].split(),
        *"--label_len 0 --batch_size 8 --learning_rate 0.003 --lora_dropout 0.2".split(),
        *"--train_epochs 4 --patience 4 --tmax 3 --use_gpu 0 --threads 1".split(),
        *f"--d_model {WIDTH} --gpt_layers 2".split(),
        *("--root_path", str(data), "--llm", str(data / "gpt2")),
        *("--word_embedding_path", str(data / "gpt2" / "words.pt")),
        *more,
    ]


# Processes


class TimedOut(Exception):
    """A run did not end in time: too slow a machine, or a deadlock."""


def forked(task: Callable[[], int | None], log: Path) -> int:
    """Start a process that runs `task` and writes to `log`; returns its id.

    It is forked, which saves the seconds of the imports.
    """
    sys.stdout.flush()
    log.write_bytes(b"")
    # a signal must not raise in the child's copies of this function and its callers
    signal.pthread_sigmask(signal.SIG_BLOCK, CODES)
    try:
        child = os.fork()
        if not child:
            _be_child(task, log)
        return child
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CODES)


def _be_child(task: Callable[[], int | None], log: Path) -> NoReturn:
    """Run `task` and exit with its code; signals are blocked before and after."""
    code = 1
    try:
        try:
            handle = os.open(log, os.O_WRONLY)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            # a background job has none
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CODES)
            code = task() or 0
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, CODES)
            sys.stdout.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int | None:
    """Return the exit code of a process, or minus the signal that killed it; None if it runs."""
    done, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def wait(child: int, stop: Callable[[], bool] = lambda: False) -> int | None:
    """Wait until a process ends, and return its exit code, or None as soon as `stop()`.

    Raises:
        TimedOut: it did not end within `LIMIT`; it is killed.
    """
    start = time.monotonic()
    while not stop():
        code = ended(child)
        if code is not None:
            return code
        if time.monotonic() - start > LIMIT:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimedOut(f"a run did not end within {LIMIT:g} s")
        time.sleep(0.0005)
    return None


# What is compared


def outcome(folder: Path) -> dict[str, str]:
    """Return all results of a finished run in `folder` that must not depend on time, as text:
    arrays as hashes of their bytes."""
    from utils.checkpoint import read_checkpoint

    found: dict[str, object] = {}

    def digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    for path in sorted([*folder.glob("results/*/*.npy"), *folder.glob("m4_results/*/*.csv")]):
        found[path.name] = digest(path.read_bytes())
    for path in sorted(folder.glob("checkpoints/*/*.safetensors")):
        if path.name in COMPARED:
            read = read_checkpoint(path)
            for name, tensor in read.state.items():
                found[f"{path.name} {name}"] = (str(tensor.dtype), digest(tensor.numpy().tobytes()))
    (state,) = folder.glob("checkpoints/*/state.safetensors")
    notes = read_checkpoint(state).metadata
    found["progress"] = timeless(notes["progress"])
    found["schedule"], found["rates"] = notes["scheduler"], notes["rates"]
    (record,) = folder.glob("results/*/run.json")
    record = json.loads(record.read_text())
    for name in ("scores", "best_epoch", "epochs", "skipped_steps"):
        found[name] = timeless(record[name])
    found["files"] = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(("log", "state.previous", "state.damaged"))
    )
    return {name: repr(value) for name, value in found.items()}


def timeless(notes: object) -> object:
    """Remove times, speeds and memory from notes."""
    if isinstance(notes, dict):
        measured = ("seconds", "windows_per_second", "peak_memory_mb")
        return {key: timeless(value) for key, value in notes.items() if key not in measured}
    return [timeless(value) for value in notes] if isinstance(notes, list) else notes


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the names of all differences; NaN equals NaN."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


# Killing


@dataclass
class Kill:
    """One kill: signal, seconds since the start of the run, whether a file was being written."""

    sign: signal.Signals
    seconds: float
    while_writing: bool
    damage: str = ""

    def __str__(self) -> str:
        what = " in the middle of writing" if self.while_writing else ""
        return f"{self.sign.name} after {self.seconds:.2f} s{what}{self.damage}"


class Chaos:
    """Disturbed runs of a training in `folder`, compared with an undisturbed one.

    Args:
        task: of the training. data: folder of `prepare`. folder: an empty one for the runs.
        dice: random numbers.
    """

    def __init__(self, task: str, data: Path, folder: Path, dice: random.Random):
        self.task, self.data, self.folder, self.dice = task, data, folder, dice
        self.problems: list[str] = []

    def start(self, folder: Path, *more: str) -> int:
        """Start a training in `folder`."""
        argv = command(self.task, self.data, "--save_every", "3", *more)

        def train() -> int:
            os.chdir(folder)
            return run.main(argv)

        folder.mkdir(parents=True, exist_ok=True)
        return forked(train, folder / "log")

    def run(self, kills: int) -> None:
        """Run undisturbed, then disturbed until there were `kills` kills; print what happens."""
        self.reference()
        print(f"{self.task}: undisturbed in {self.seconds:.1f} s", flush=True)
        done = runs = 0
        while not self.problems and (done < kills or not runs):
            done += self.disturb(kills - done, done, kills)
            runs += 1
        print(f"{self.task}: {done} kills in {runs} runs, {len(self.problems)} problems")
        for problem in self.problems:
            print(f"PROBLEM {problem}")

    def reference(self) -> None:
        """Run undisturbed, for the expected results and the duration."""
        start = time.monotonic()
        folder = self.folder / "undisturbed"
        if wait(self.start(folder)) != 0:
            raise UserError(f"the undisturbed run failed: {(folder / 'log').read_text()[-2000:]}")
        self.seconds = time.monotonic() - start
        self.expected = in_child(lambda: outcome(folder), self.folder / "compared")

    def disturb(self, kills: int, first: int, total: int) -> int:
        """Run once, killed up to `kills` times, and compare; returns the number of kills."""
        folder, done = self.folder / f"disturbed {first}", 0
        child, code = self.start(folder), None
        while True:
            kill = None
            if code is None:
                strike = done < kills
                kill, code = self.strike(child, folder) if strike else (None, wait(child))
            log = (folder / "log").read_text()
            self.check(kill, code, log)
            if kill is None:
                break
            done += 1
            where = last_line(log)
            child = self.start(folder, "--resume")
            code = wait(child, lambda: resumed(folder / "log") != "")
            back = resumed(folder / "log") or "nowhere"
            print(f"kill {first + done}/{total} {self.task}: {kill}; {where} -> {back}", flush=True)
            if kill.damage and "trying the one before it" not in (folder / "log").read_text():
                self.problems.append(f"kill {first + done}: the damage was not noticed")
        if not self.problems:
            found = in_child(lambda: outcome(folder), self.folder / "compared")
            unlike = differences(self.expected, found)
            if unlike:
                self.problems.append(f"differs from the undisturbed run: {', '.join(unlike)}")
            same = "differs" if unlike else f"the same {len(found)} items, bit by bit"
            print(f"run ended after {done} kills: {same}", flush=True)
        return done

    def strike(self, child: int, folder: Path) -> tuple[Kill | None, int | None]:
        """Kill a run at a random moment, unless it ends before."""
        dice, start = self.dice, time.monotonic()
        moment = dice.uniform(0, self.seconds)
        writes, seen = dice.randint(1, 6) if dice.random() < 0.5 else 0, set()

        def now() -> bool:
            if not writes:
                return time.monotonic() - start >= moment
            parts = {(p.name, p.stat().st_ino) for p in unfinished(folder)}
            new = parts - seen
            seen.update(parts)
            return bool(new) and len(seen) >= writes

        try:
            code = wait(child, now)
        except FileNotFoundError:  # a file was finished meanwhile
            code = ended(child)
        if code is not None:
            return None, code
        kill = Kill(dice.choice(SIGNALS), time.monotonic() - start, bool(writes))
        os.kill(child, kill.sign)
        code = wait(child)
        if code == 0:  # it ended just before
            return None, code
        state = list(folder.glob("checkpoints/*/state.safetensors"))
        before = list(folder.glob("checkpoints/*/state.previous.safetensors"))
        if state and before and dice.random() < 0.25:
            kill.damage = self.damage(state[0])
        return kill, code

    def damage(self, path: Path) -> str:
        """Damage a file as a bad disk would, and describe how."""
        content = bytearray(path.read_bytes())
        place = self.dice.randrange(len(content))
        if self.dice.random() < 0.5:
            content[place] ^= 1 << self.dice.randrange(8)
            path.write_bytes(content)
            return f", then byte {place} of {path.name} changed"
        path.write_bytes(content[:place])
        return f", then {path.name} cut to {place} of {len(content)} bytes"

    def check(self, kill: Kill | None, code: int | None, log: str) -> None:
        """Record unexpected exit codes and tracebacks."""
        expected = 0 if kill is None else CODES.get(kill.sign, -kill.sign)
        # a process that has just started has no handler yet
        begun = ">>> training" in log
        if code != expected and (begun or kill is None or code != -kill.sign):
            self.problems.append(f"{kill or 'a run'}: exit code {code}, not {expected}: {log}")
        if "Traceback" in log:
            self.problems.append(f"{kill or 'a run'}: a traceback: {log}")


def in_child(task: Callable[[], dict[str, str]], log: Path) -> dict[str, str]:
    """Compute in a child process, so that this one never has threads when it forks."""
    result = log.with_suffix(".result")

    def work() -> None:
        result.write_text(json.dumps(task()))

    if wait(forked(work, log)) != 0:
        raise UserError(f"the comparison failed: {log.read_text()[-2000:]}")
    return json.loads(result.read_text())


def unfinished(folder: Path) -> list[Path]:
    """The files in `folder` that are being written."""
    return [path for place in WRITTEN for path in folder.glob(f"{place}/.*.part")]


def last_line(log: str) -> str:
    """Return how far a run had come, according to its output."""
    epochs = [line.split(" |")[0] for line in log.splitlines() if "| train loss" in line]
    if ">>> testing" in log:
        return "in the test"
    if epochs:
        return f"after {epochs[-1]}"
    return "before the end of an epoch" if ">>> training" in log else "before training"


def resumed(log: Path) -> str:
    """Return where a run resumed, according to its output; empty if not yet known."""
    for line in log.read_text().splitlines():
        if line.startswith("resumed from"):
            path, _, where = line.removeprefix("resumed from ").rpartition(": ")
            return f"{where} ({Path(path).name})"
        if line.startswith("training was finished"):
            return "the test"
        if "training starts at the beginning" in line:
            return "the beginning"
    return ""


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns its exit code; see above."""
    parser = Parser(
        prog="python scripts/chaos.py",
        description="Kill a small training at random moments, resume it, and compare what it "
        "leaves with an undisturbed one. Not for Windows.",
    )
    parser.add_argument("--kills", type=whole(), default=20, help="of each task (default 20)")
    parser.add_argument("--seed", type=whole(), default=2021, help="of the moments (default 2021)")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=tuple(TASKS),
        default=["long_term_forecast"],
        help="default long_term_forecast",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    args = parser.parse_args(argv)
    return guarded(lambda: wreak(args.tasks, args.kills, args.seed), args.debug)


def wreak(tasks: list[str], kills: int, seed: int) -> int:
    """Test each of `tasks` with `kills` kills; returns the exit code."""
    if not hasattr(os, "fork"):
        raise UserError("this needs a system with fork and signals, such as Linux or macOS")
    run.configure_openmp()
    import_all(tasks)
    start = time.monotonic()
    problems, timed_out = 0, 0
    folder = Path(tempfile.mkdtemp(prefix="calf chaos "))
    try:
        data = folder / "data"
        data.mkdir()
        if wait(forked(lambda: prepare(data), folder / "log")) != 0:
            raise UserError(f"no data: {(folder / 'log').read_text()[-2000:]}")
        for task in tasks:
            dice = random.Random(f"{seed} {task}")
            chaos = Chaos(task, data, folder / task, dice)
            (folder / task).mkdir()
            try:
                chaos.run(kills)
            except TimedOut as error:
                timed_out += 1
                print(f"{task}: inconclusive: timed out: {error}")
            problems += len(chaos.problems)
    except TimedOut as error:
        timed_out += 1
        print(f"inconclusive: timed out: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    well = "inconclusive: timed out" if timed_out else "all went well"
    print(f"{'something went wrong' if problems else well}; {time.monotonic() - start:.0f} s")
    return 1 if problems else INCONCLUSIVE if timed_out else 0


def import_all(tasks: list[str]) -> None:
    """Import the modules of the trainings, once for all of them."""
    import importlib

    for task in tasks:
        importlib.import_module("exp." + run.EXPERIMENTS[task].partition(":")[0])
    for module in (
        "transformers.models.gpt2.modeling_gpt2",
        "matplotlib.figure",
        "models.objectives",
        "sklearn.metrics",
        "sklearn.model_selection",
        "sklearn.preprocessing",
        "torch.distributed.checkpoint.state_dict",
        "utils.synthetic",
    ):
        importlib.import_module(module)


if __name__ == "__main__":
    sys.exit(main())
