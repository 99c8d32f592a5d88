"""Command lines of `run.py`: parsed, changed, and compared whatever the order of their options."""

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

# options that change no result, or only how and where it is computed
IGNORED = NEUTRAL.union(
    "resume overwrite save_every checkpoints debug tensorboard no_epoch_test".split(),
    ("no_save_predictions",),
    "future use_gpu gpu use_multi_gpu devices threads".split(),
    "given model_options command".split(),  # which are no options
    (name for name, *_ in UNUSED_OPTIONS + UNUSED_OPTIONS_OF_LIBRARY),
)
# options in which a zero-shot run may differ from a run whose model it can test
ZERO_SHOT = ("zero_shot", "target_data", "model_id", "des")


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


def with_option(options: Sequence[str], name: str, value: object) -> list[str]:
    """Return options in which `name` has this value, in its first place or else at the end."""
    changed, found = [], False
    words = iter(options)
    for word in words:
        if word == name:
            next(words, None)
        elif not word.startswith(f"{name}="):
            changed.append(word)
            continue
        if not found:
            changed += [name, str(value)]
        found = True
    return changed if found else [*changed, name, str(value)]


def identity(arguments: Mapping[str, object], without: Sequence[str] = ()) -> Identity:
    """Return what two runs have in common if they must have the same results: their options.

    Args:
        arguments: of a run, with `given`, the names of the options on its command line.
        without: more options to ignore.
    """
    ignored = IGNORED.union(without, SET_BY_TASK.get(arguments["task_name"], ()))
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
