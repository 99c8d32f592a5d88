"""`scripts.reproduce`: lists, what is done, failures, signals.

A stand-in takes the place of `run.py`; `tests/exp/test_kills.py` resumes real trainings.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import reproduce
from scripts.reproduction import plan as planning
from scripts.reproduction import work
from scripts.reproduction.lists import identity, parsed, read_list, ready_made
from tests.conftest import HANG, ROOT

BASE = "--task_name long_term_forecast --is_training 1 --model_id t --data custom"
OPTIONS = f"{BASE} --model DLinear --root_path . --data_path made_up.csv"
STAND_IN = """
import json, os, shlex, signal, sys, time
from pathlib import Path

from exp.launch import follow_parent

argv = sys.argv[1:]

def option(name):
    return argv[argv.index(name) + 1] if name in argv else None

def until(condition):
    for _ in range(20000):  # not for ever, should the test have failed
        if condition():
            return
        time.sleep(0.02)

def stop(number, frame):
    with open("events", "a") as file:
        file.write(f"{option('--des')} saves at {signal.Signals(number).name}\\n")
    until(lambda: not Path("slow saving").exists())
    with open("events", "a") as file:
        file.write(f"{option('--des')} saved\\n")
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, stop)
follow_parent()
with open("events", "a") as file:
    variables = (os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"))
    file.write(" ".join(["start", str(option("--des")), *map(str, variables)]) + "\\n")
if option("--des") == "meets":  # runs until another one has started
    until(lambda: open("events").read().count("start meets") >= 2)
if option("--des") == "endless" and not Path("may end").exists():
    until(lambda: False)
if option("--des") == "fails" and not Path("may end").exists():
    print("error: no luck")
    sys.exit(2)
if option("--des") == "silent":
    sys.exit(0)
folder = Path("results") / str(os.getpid())
folder.mkdir(parents=True)
checkpoint = option("--checkpoint") or str(folder / "checkpoint")
Path(checkpoint).touch()
record = {
    "command": shlex.join(["python", "run.py", *argv]), "seed": int(option("--seed") or 2021),
    "checkpoint": checkpoint,
}
(folder / "run.json").write_text(json.dumps(record))
"""


@pytest.fixture
def stand_in(workdir, monkeypatch) -> Path:
    """Let a stand-in take the place of `run.py` and of the report, in an empty working folder."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (workdir / "made_up.csv").write_text("date,OT\n")
    program = workdir / "stand_in.py"  # not run.py, which reproduce imports
    program.write_text(STAND_IN)
    monkeypatch.setattr(work, "PROGRAM", program)
    monkeypatch.setattr(reproduce, "write_report", lambda _: 0)
    return program


def a_list(*items: str, head: str = f"options = '{OPTIONS}'") -> str:
    Path("tiny.toml").write_text("\n[[runs]]\n".join([head, *items]))
    return "tiny.toml"


def events() -> list[str]:
    return Path("events").read_text().splitlines() if Path("events").exists() else []


def commands(name: str, **more) -> list[str]:
    return [" ".join(run.options) for run in read_list(name, **more).runs]


def same(one: str, other: str) -> bool:
    one, other = (identity(vars(parsed(f"{OPTIONS} {more}".split()))) for more in (one, other))
    return one == other


# Lists


COUNTS = {
    "paper-long-term": 7 * 4,
    "paper-few-shot": 4 * 4,
    "paper-zero-shot": 2 * 3 * 4,
    "paper-m4": 6,
    "language-model": 5 * 4 * 3,
    "losses": 4 * 4 * 4,
    "baselines": 7 * 7 * 4 - 4,
    "cpu-evening": 3 * 8 + 2 + 8,
}


def test_ready_made_lists():
    lists = {name: read_list(name) for name in ready_made()}
    assert {name: len(one.runs) for name, one in lists.items()} == COUNTS
    assert all(one.description for one in lists.values())
    assert {run.args.percent for run in lists["paper-few-shot"].runs} == {10}
    assert {run.args.seed for run in lists["language-model"].runs} == {2021, 2022, 2023}


def test_a_zero_shot_model_trains_once():
    runs = read_list("paper-zero-shot").runs
    trained = [run for run in runs if run.args.is_training]
    assert {(run.args.data, run.args.pred_len) for run in trained} == {
        (data, steps) for data in ("ETTh1", "ETTh2") for steps in (96, 192, 336, 720)
    }
    for run in set(runs) - set(trained):
        assert run.parent in trained
        assert run.args.target_data != run.parent.args.target_data
        for name in ("data", "pred_len", "learning_rate", "seed"):
            assert getattr(run.args, name) == getattr(run.parent.args, name)


def test_matrix_and_seeds(workdir):
    name = a_list(
        "options = '--seq_len {length} {loss}'\nmatrix.length = [24, 48]\n"
        "matrix.loss = ['', '--task_loss mse']\nseeds = [1, 2]",
        "script = 'baselines/DLinear'\nDATASETS = 'ETTh1'\nHORIZONS = [96, 192]",
        head="options = '" + OPTIONS + " --batch_size 4'\nseeds = [7]",
    )
    runs = [run.args for run in read_list(name).runs]
    assert [(args.seq_len, args.task_loss, args.seed) for args in runs[:8]] == [
        (length, loss, seed) for length in (24, 48) for loss in ("l1", "mse") for seed in (1, 2)
    ]
    of_script = [(args.pred_len, args.seed, args.batch_size) for args in runs[8:]]
    assert of_script == [(96, 7, 4), (192, 7, 4)]
    runs = [run.args for run in read_list(name, [5], ["--batch_size", "9"]).runs]
    assert {(args.seed, args.batch_size) for args in runs} == {(5, 9)}


def test_repetitions_are_runs_of_their_own(workdir):
    runs = read_list(a_list("options = '--itr 3 --seed 5'")).runs
    assert [(run.args.itr, run.args.seed) for run in runs] == [(1, 5), (1, 6), (1, 7)]


def test_after(workdir):
    name = a_list(
        "name = 'source'\nseeds = [1, 2]\noptions = '--des x'",
        "after = 'source'\ntargets = ['custom', 'other']\noptions = '--des {des}{n}'\n"
        "matrix.n = [3, 4]",
    )
    runs = read_list(name).runs
    assert [run.parent for run in runs] == [None, None, *[runs[0]] * 2, *[runs[1]] * 2]
    for run in runs[2:]:
        args = run.args
        assert (args.is_training, args.zero_shot, args.target_data) == (0, 1, "other")
        assert (args.model_id, args.seed) == ("t_to_other", run.parent.args.seed)
    assert [run.args.des for run in runs[2:]] == ["x3", "x4"] * 2


def test_equal_runs_are_done_once_and_their_tests_too(workdir):
    name = a_list(
        "name = 'one'\noptions = '--seq_len 24'",
        "name = 'two'\noptions = '--seq_len 24 --threads 1'",
        "after = 'one'\noptions = '--inverse'",
        "after = 'two'\noptions = '--inverse'",
    )
    first, test = read_list(name).runs
    assert test.parent is first


def test_the_list_of_the_documentation(workdir):
    page = (ROOT / "docs" / "reproduce.md").read_text()
    Path("own.toml").write_text(page.partition("```toml")[2].partition("```")[0])
    runs = read_list("own.toml").runs
    tests = [run for run in runs if run.parent]
    assert (len(runs), len(tests)) == (2 * 3 + 2 * 2 + 18, 18)
    assert {run.args.train_epochs for run in runs} == {10}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("runs = 3", "item 1: 3 is no table"),
        ("runs = []", "there are no runs"),
        ("x =", "no valid list: Invalid value"),
        ("run = []", "run is unknown: use description"),
        ("[[runs]]\nscript = 'baselines/DLinaer'", "baselines/DLinear"),
        ("[[runs]]\nscript = 'baselines/DLinear'\nDATASETS = 'ILI'", "no settings for ILI"),
        ("[[runs]]\noptions = '--seq_len 3'", "item 1: the following arguments are required"),
        (f"[[runs]]\noptions = '{OPTIONS} --no_such 3'", "unrecognized arguments: --no_such"),
        (f"[[runs]]\noptions = '{OPTIONS} --des {{x}}'", "matrix has no 'x'"),
        (f"[[runs]]\noptions = '{OPTIONS}'\nmatrix = 3", "matrix: give a list"),
        (f"[[runs]]\noptions = '{OPTIONS}'\nseeds = ['x']", "--seed: x is not an integer"),
        ("[[runs]]\nscript = {a = 1}", "there is no script {'a': 1}"),
        ("[[runs]]\nscript = '../scripts/demo'", "there is no script ../scripts/demo"),
        ("[[runs]]\nscript = 'baselines/DLinear'\nHORIZON = 96", "does not read HORIZON"),
        ("[[runs]]\ntargets = ['ETTm1']", "targets is for items with after"),
        (f"[[runs]]\noptions = '{OPTIONS}'\nmatrix.n = [1]", "options has no {n}"),
        ("[[runs]]\nafter = 'x'", "no earlier item has the name x"),
        (
            f"[[runs]]\noptions = '{OPTIONS} --root_path nowhere'",
            "run 1 of wrong: nowhere/made_up.csv: no such file",
        ),
    ],
)
def test_a_wrong_list(stand_in, capsys, content, message):
    Path("wrong.toml").write_text(content)
    assert reproduce.main(["wrong.toml"]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert events() == []


def test_an_unknown_list(workdir, capsys):
    assert reproduce.main(["paper-long"]) == 2
    assert "use baselines, cpu-evening" in capsys.readouterr().err


def test_a_plan_is_printed_without_torch(workdir):
    plan = 'from scripts.reproduce import main; main(["cpu-evening", "--dry-run"])'
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {plan}; print(sorted(sys.modules))"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *_, status, modules = done.stdout.splitlines()
    assert status == "cpu-evening: 0 of 34 runs are done"
    assert "1 to run: python run.py --is_training 1 --model LastValue" in done.stdout
    assert "'torch'" not in modules.split(", ")
    assert not list(workdir.iterdir())


# Which runs are the same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "--seed 2021 --batch_size 32"),
        ("--root_path ./x/", "--root_path x"),
        ("--model LLaTA", "--model CALF"),
        ("--model CALF", "--model CALF --d_model 768"),  # the width of its language model
        (
            "--task_name short_term_forecast --data m4 --label_len 0",
            "--task_name short_term_forecast --data m4 --seq_len 7",
        ),
    ],
)
def test_same_runs(one, other):
    assert same(one, other)


@pytest.mark.parametrize(
    "option",
    "--seed 1|--model_id u|--des u|--learning_rate 1|--pred_len 8|--d_model 512|--task_loss l1"
    "|--percent 10|--is_training 0|--protocol published|--zero_shot 1|--root_path x".split("|"),
)
def test_other_runs(option):
    assert not same("", option)


def test_a_done_run_is_not_done_again(stand_in):
    name = a_list("options = '--seq_len {n} --des d{n}'\nmatrix.n = [24, 48]")
    assert reproduce.main([name]) == 0
    assert len(events()) == 2
    for number, folder in enumerate(sorted(Path("results").iterdir())):
        folder.rename(f"results/whatever{number}")
    a_list("options = '--des d{n} --resume --threads 3 --seq_len {n}'\nmatrix.n = [24, 48, 96]")
    assert reproduce.main([name]) == 0
    assert [line.split()[1] for line in events()] == ["d24", "d48", "d96"]
    logs = sorted(path.name for path in Path("reproduce/tiny").glob("*.log"))
    assert logs == ["1.log", "2.log", "3.log"]
    Path("results/whatever0/run.json").write_text("{")
    assert reproduce.main([name]) == 0
    assert len(events()) == 4


def test_a_repetition_by_hand_counts(stand_in):
    (folder := Path("results/x")).mkdir(parents=True)
    command = f"torchrun run.py {OPTIONS} --do_predict --itr 2"
    record = {"command": command, "seed": 2022, "checkpoint": None}
    (folder / "run.json").write_text(json.dumps(record))
    plan = planning.Plan(read_list(a_list("seeds = [2021, 2022]\noptions = '--do_predict'")))
    assert [run.args.seed for run in plan.left] == [2021, 2022]
    (folder / "forecast.csv").touch()  # written after the record
    plan.refresh()
    assert [run.args.seed for run in plan.left] == [2021]


def test_a_test_takes_the_checkpoint_of_its_training(stand_in):
    name = a_list("name = 'm'\noptions = ''", "after = 'm'\noptions = '--inverse --des test'")
    assert reproduce.main([name, "--jobs", "2"]) == 0
    (trained,) = Path("results").glob("*/checkpoint")
    log = Path("reproduce/tiny/2.log").read_text()
    assert "--is_training 0 " in log
    assert f"--checkpoint {trained}" in log
    assert "--resume" not in log
    assert "--resume" in Path("reproduce/tiny/1.log").read_text()  # a training
    assert reproduce.main([name]) == 0
    assert len(events()) == 2

    a_list(
        "name = 'm'\noptions = ''",
        "after = 'm'\noptions = '--inverse --des {d}'\nmatrix.d = ['test', 'new']",
    )
    trained.unlink()  # then it is trained again
    plan = planning.Plan(read_list(name))
    assert [plan.number(run) for run in plan.left] == [1, 3]


# Doing


def test_goes_on_after_a_failure(stand_in, capsys):
    name = a_list(
        "name = 'a'\noptions = '--des fails'",
        "after = 'a'\noptions = '--inverse'",
        "options = '--des silent'",
        "options = '--des works'",
    )
    assert reproduce.main([name]) == 1
    printed = capsys.readouterr()
    assert "1 of 4 runs are done" in printed.out
    lines = printed.err.splitlines()
    assert "1 failed" in lines[0] and "exit code 2: error: no luck" in lines[0]
    assert "2 failed" in lines[1] and "run 1, whose checkpoint it tests, failed" in lines[1]
    assert "3 failed" in lines[2] and "it wrote no run.json with its command" in lines[2]
    Path("may end").touch()
    assert reproduce.main([name]) == 1
    assert "3 of 4 runs are done" in capsys.readouterr().out
    assert Path("reproduce/tiny/1.log").read_text().count("$ python run.py") == 2


def test_runs_at_the_same_time(stand_in, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(work, "usable_cores", lambda: 6)
    name = a_list("seeds = [1, 2]\noptions = '--des meets --use_gpu 0'")
    assert reproduce.main([name, "--jobs", "2"]) == 0
    assert events() == ["start meets None 3"] * 2
    assert reproduce.main([name, "--devices", "3,5", "--seeds", "3,4"]) == 0
    assert sorted(events()[2:]) == ["start meets 3 3", "start meets 5 3"]


def test_too_few_gpus(stand_in, capsys):
    assert reproduce.main([a_list("options = ''"), "--jobs", "3", "--devices", "0,1"]) == 2
    assert "--jobs 3: a run needs a GPU of its own" in capsys.readouterr().err


def test_the_report_comes_last(stand_in, monkeypatch):
    monkeypatch.setattr(reproduce, "write_report", lambda _: len(events()))
    assert reproduce.main([a_list("seeds = [1, 2, 3]\noptions = ''")]) == 3


@pytest.fixture
def started():
    """Start `reproduce`, with the stand-in if it is given; what still runs in the end is killed."""
    processes = []
    yield lambda *given: processes.append(start(*given)) or processes[-1]
    for process in processes:
        process.kill()
        process.communicate()


def start(argv: list[str], program: Path | None = None) -> subprocess.Popen:
    stand_in = f"work.PROGRAM = {str(program)!r}; reproduce.write_report = lambda _: 0"
    patch = stand_in if program else ""
    code = (
        f"import sys\nfrom scripts import reproduce\nfrom scripts.reproduction import work\n{patch}"
    )
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}\nsys.exit(reproduce.main({argv}))"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(condition, process: subprocess.Popen | None = None) -> None:
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, "timed out"
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_passed_on(stand_in, started, number, code):
    name = a_list("seeds = [1, 2, 3]\noptions = '--des endless'")
    process = started([name, "--jobs", "2", "--", "--use_gpu", "0"], stand_in)
    wait_for(lambda: len(events()) == 2, process)
    Path("slow saving").touch()
    # a terminal sends SIGINT to all processes of its foreground group
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    wait_for(lambda: len(events()) == 4, process)
    Path("slow saving").unlink()
    output, _ = process.communicate(timeout=HANG)
    assert process.returncode == code, output
    assert events()[2:] == ["endless saves at SIGTERM"] * 2 + ["endless saved"] * 2
    assert "failed" not in output
    Path("may end").touch()
    assert reproduce.main([name, "--", "--use_gpu", "0"]) == 0
    assert len(list(Path("results").iterdir())) == 3


def test_a_second_signal_ends_at_once(stand_in, started):
    name = a_list("options = '--des endless'")
    process = started([name], stand_in)
    wait_for(events, process)
    Path("slow saving").touch()
    process.send_signal(signal.SIGINT)
    wait_for(lambda: len(events()) == 2, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=HANG) == 130
    wait_for(lambda: len(events()) == 3)  # the run notices it, and gets a second signal
    assert events()[1:] == ["endless saves at SIGTERM"] * 2


def test_runs_of_a_killed_start(stand_in, started, capsys):
    """They save their states, and the list is locked until then."""
    name = a_list("options = '--des endless'")
    process = started([name], stand_in)
    wait_for(events, process)
    Path("slow saving").touch()
    process.kill()
    process.wait()
    wait_for(lambda: len(events()) == 2)
    assert reproduce.main([name]) == 2
    assert "tiny is already running in this folder" in capsys.readouterr().err
    Path("slow saving").unlink()
    Path("may end").touch()
    wait_for(lambda: reproduce.main([name]) == 0)
    assert events()[1:] == ["endless saves at SIGTERM", "endless saved", "start endless None 1"]
