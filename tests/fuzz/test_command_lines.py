"""Any command line is parsed or refused in one line; any small run ends well or in one line."""

import contextlib
import io
import re
import warnings
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exp.device import choose_device
from models import registry
from run import EXPERIMENTS, main, parse_args
from tests.exp.small_runs import TASKS, command
from tests.fuzz import examples
from utils.errors import UserError
from utils.identity import settings_string
from utils.losses import CALFLoss
from utils.options import TASKS_OF_OPTION, make_parser, warn_unused


def options() -> dict:
    """Every option with its action."""
    parser = make_parser(registry)
    actions = {action.option_strings[0]: action for action in parser._actions}
    return {name: action for name, action in actions.items() if action.dest != "help"}


OPTIONS = options()
NASTY = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "0", "-1", "1", "7", "1.5", "nan", "inf", "-inf", "1e400", "1e-320", "9" * 30,
         "9" * 5000, "0x10", "1_0", "٣", "../..", "/etc/x", "a\nb", "\0", "\ud800", "--", "-x",
         "--model", "M", "MS", "true", "l1", "mse", "ce", "smape", "type2", "custom", "m4", "UEA"]
    ),
)  # fmt: skip


def values_of(name: str):
    """Values of an option, most of them good."""
    action = OPTIONS[name]
    if action.nargs == 0:
        return st.just([])
    if action.choices:
        good = st.sampled_from([str(choice) for choice in action.choices])
    else:
        good = st.sampled_from([str(action.default or "x"), "1", "2", "l1", "0.5"])
    return st.one_of(good, good, good, NASTY).map(lambda value: [value])


@st.composite
def command_lines(draw):
    """Required options, some others, and now and then a prefix, `=`, a repetition or a stray."""
    words = []
    for name in ("--task_name", "--is_training", "--model_id", "--model", "--data"):
        if draw(st.integers(0, 30)):
            words.append([name, *draw(values_of(name))])
    for name in draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=6)):
        given = draw(values_of(name))
        if not draw(st.integers(0, 5)):
            name = name[: draw(st.integers(1, len(name)))]
        words.append([f"{name}={given[0]}"] if given and draw(st.booleans()) else [name, *given])
    if not draw(st.integers(0, 9)):
        words.append([draw(NASTY)])
    return [word for group in draw(st.permutations(words)) for word in group]


@contextlib.contextmanager
def said():
    """Collect what is written to the error stream."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        yield errors.getvalue


def one_line(message: str) -> None:
    assert message.startswith("error: "), message
    assert message.endswith("\n")
    assert message[:-1].isprintable(), message


@examples(150)
@given(command_lines())
@example(["--task_name", "a\nb"])
@example(["--x\ny"])
@example(["--model_id", "a\0b"])
def test_parsed_or_refused(argv):
    with said() as errors:
        try:
            args = parse_args(argv)
        except SystemExit as end:
            if end.code == 0:  # --help
                assert {"-h", "--h", "--he", "--hel", "--help"} & set(argv)
                return
            assert end.code == 2
            one_line(errors())
            return
        assert errors() == ""
        warn_unused(args, registry)
        assert errors().count("\n") <= 1
    check_parsed(args)


def check_parsed(args: Namespace) -> None:
    """What every later step may rely on."""
    assert args.task_name in EXPERIMENTS
    assert args.seq_len > 0 <= args.pred_len
    assert args.batch_size > 0 < args.train_epochs
    assert 1 <= args.percent <= 100
    assert 0 < args.learning_rate < np.inf
    assert 0 <= args.lora_dropout < 1
    assert not args.checkpoint or not args.is_training
    for option, tasks in TASKS_OF_OPTION.items():
        value, default = getattr(args, option), OPTIONS[f"--{option}"].default
        assert args.task_name in tasks or not value or value == default
    for check in (CALFLoss.from_args, choose_device, lambda args: settings_string(args, 0)):
        try:
            found = check(args)
        except UserError as error:
            assert str(error)
            continue
        if isinstance(found, str):
            assert found.isprintable()
            assert len(found.encode()) <= 255
            assert Path("x", found).resolve().parent == Path("x").resolve()


# options that change this process or write elsewhere, and those that would make a run long
LEFT_OUT = (
    "--checkpoints --threads --deterministic --debug --use_multi_gpu --devices --llm --model "
    "--train_epochs --itr --tensorboard"
).split()


@st.composite
def small_runs(draw):
    """A task, and options beside those that make it small."""
    more = []
    names = st.sampled_from(sorted(OPTIONS.keys() - set(LEFT_OUT)))
    for name in draw(st.lists(names, max_size=5, unique=True)):
        more += [name, *draw(values_of(name))]
    return draw(st.sampled_from(sorted(TASKS))), more


@examples(6)
@given(small_runs())
@example(("imputation", ["--seq_len", "1"]))  # a plot of a single step
@example(("imputation", ["--learning_rate", "1e300"]))
@example(("long_term_forecast", ["--task_w", "1e30", "--itr", "2", "--target", "none"]))
@example(("long_term_forecast", ["--label_len", "9" * 18, "--features", "MS", "--do_predict"]))
def test_small_runs(tmp_path_factory, small_data, run_of):
    """The end is code 0 with results, or code 2 with one line."""
    task, more = run_of
    argv = command(task, small_data, "--train_epochs", "1", "--batch_size", "64", *more)
    folder = tmp_path_factory.mktemp("run", numbered=True)
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(record=True) as warned,
        said() as errors,
    ):
        patch.chdir(folder)
        warnings.simplefilter("default")
        try:
            code = main(argv)
        except SystemExit as end:
            code = end.code
        message = errors()
    shown = [w.message for w in warned if issubclass(w.category, (UserWarning, RuntimeWarning))]
    assert not shown
    lines = [line for line in re.split(r"[\n\r]", message) if line]
    rest = [line for line in lines if not line.startswith("warning: ")]
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert not list(folder.rglob("*.part"))
    if code == 0:
        assert rest == [], message
        assert any(path.name == "run.json" for path in written)
        return
    assert code == 2, message
    assert len(rest) == 1, message
    assert rest[0].startswith("error: ")
    assert not any(path.name == "run.json" for path in written) or "--itr" in more
