"""Command lines of `run.py`: parsed, and compared whatever the order of their options."""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence

from models.registry import ALIASES, options_of
from run import parse_args
from utils.checkpoint_options import DEPENDENT, SET_BY_TASK
from utils.command_line import one_line
from utils.configuration import Configuration
from utils.errors import UserError
from utils.option_table import COVARIATES, NEUTRAL, UNUSED_OPTIONS, UNUSED_OPTIONS_OF_LIBRARY

Identity = frozenset[tuple[str, object]]

# what changes no result
IGNORED = NEUTRAL.union(
    "given model_options command".split(),  # which are no options
    (name for name, *_ in UNUSED_OPTIONS + UNUSED_OPTIONS_OF_LIBRARY),
)


def parsed(options: Sequence[str]) -> Configuration:
    """Parse options of `run.py`.

    Raises:
        UserError: they are invalid; the message is that of `run.py`.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            return parse_args(list(options))
    except SystemExit:
        message = errors.getvalue().partition("error: ")[2].partition("; python run.py")[0]
        raise UserError(one_line(message) or "these are no options of a run") from None


def identity(arguments: Mapping[str, object]) -> Identity:
    """Return the options that determine a run's results; those of equal runs are equal.

    Args:
        arguments: of a run, with `given`, the names of the options on its command line.
    """
    ignored = IGNORED.union(SET_BY_TASK.get(arguments["task_name"], ()))
    found = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in arguments.items()
        if name not in ignored
        and (name not in DEPENDENT or name in arguments["given"])
        and (value or name not in COVARIATES)  # which states of earlier versions lack
    }
    found["model"] = ALIASES.get(found["model"], found["model"])
    if "llm" in options_of(found["model"]):  # the width is that of the language model
        found.pop("d_model", None)
    for name in ("root_path", "checkpoint"):
        if found[name]:
            found[name] = os.path.normpath(found[name])
    return frozenset(found.items())
