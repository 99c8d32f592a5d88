"""The options of `run.py`, from a command line or from Python values, as one configuration."""

import argparse
import difflib
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from utils.checkpoint_options import (
    OF_THE_COMMAND,
    SET_BY_TASK,
    check_given,
    checkpoint_file,
    from_checkpoint,
    training_of,
)
from utils.command_line import Parser, message_of, names
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import file_name, require_file
from utils.option_table import (
    COVARIATES,
    MODEL_OPTIONS,
    NAMES_ELSEWHERE,
    NEUTRAL,
    OWN_OPTIONS,
    PUBLISHED_OPTIONS,
    TABLES,
    UNUSED,
    Option,
)

# What a command line has to say, and what one that names a file of one's own may leave out.
DRAFT = {"task_name": "long_term_forecast", "is_training": 1, "model_id": ""}
DRAFT |= {"model": "CALF", "data": "custom"}
REQUIRED = tuple(DRAFT)
# Guesses options from the file of others, and says why.
Guess = Callable[[Namespace], tuple[dict[str, object], str]]
TASKS_OF_TABLES = ("long_term_forecast", "imputation")
# Options that other tasks than these refuse, because they would have no effect.
TASKS_OF_OPTION = {
    **dict.fromkeys("do_predict future refit zero_shot level".split(), ("long_term_forecast",)),
    **dict.fromkeys(COVARIATES, ("long_term_forecast",)),
    **dict.fromkeys(("split", *TABLES), TASKS_OF_TABLES),
    "threshold": ("anomaly_detection",),
}
# Options that tests refuse, and what they do.
REFUSED_BY_TESTS = {
    "resume": "continues a training",
    "tensorboard": "records a training",
    "refit": "trains",
}
# Options that other tasks than these accept, as published command lines have them, and do not use.
READ_BY_TASKS = {
    **dict.fromkeys("data_path features target percent inverse".split(), TASKS_OF_TABLES),
    "target_data": ("long_term_forecast",),
    "no_save_predictions": (*TASKS_OF_TABLES, "anomaly_detection", "classification"),
    "seasonal_patterns": ("short_term_forecast",),
    "mask_rate": ("imputation",),
    "anomaly_ratio": ("anomaly_detection",),
}


def add_option(parser: argparse._ActionsContainer, option: Option, **more: object) -> None:
    """Add an option of the table; `more` replaces settings."""
    name, kind, default, text = option
    settings = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
    settings = kind if isinstance(kind, dict) else settings
    settings = {**settings, "default": default, "help": text, **more}
    shown = settings["default"]
    if shown not in (None, argparse.SUPPRESS) and shown is not False and text != argparse.SUPPRESS:
        settings["help"] += " (default: %(default)s)"
    parser.add_argument(f"--{name}", **settings)


def add_options(
    parser: argparse.ArgumentParser, groups: Mapping[str, Sequence[Option]], models: ModuleType
) -> None:
    """Add groups of options. The help of an option of models names the models that use it; options
    that nothing uses are accepted, and the help names them alone."""

    def model(name: str) -> str:
        """Option type: the name of a model; says what is wrong with a file that is none."""
        why = "" if name in models.model_names() else models.refusal_of(name)
        if why:
            raise argparse.ArgumentTypeError(why)
        return name

    names = [name for name in models.model_names() if name not in models.ALIASES]
    users = {name: models.options_of(name) for name in names}
    for title, options in groups.items():
        unused = " ".join(f"--{name}" for name, *_, text in options if text == argparse.SUPPRESS)
        group = parser.add_argument_group(title, unused or None)
        for option in options:
            name, *_, text = option
            used_by = ", ".join(model for model, used in users.items() if name in used)
            more = {}
            if name == "model":
                more = {"type": model, "choices": models.model_names()}
            elif name == "freq":
                more = {"help": f"{text} [{used_by}; not CALF]"}
            elif name in MODEL_OPTIONS:
                more = {"help": f"{text} [{used_by or 'no model here'}]"}
            add_option(group, option, **more)


def expand_abbreviations(parser: Parser, argv: Sequence[str]) -> list[str]:
    """Expand abbreviated options as if there were only the published ones, so that no new option
    makes an abbreviation in a published command line ambiguous."""
    published = {f"--{name}" for group in PUBLISHED_OPTIONS.values() for name, *_ in group}
    everything = [name for action in parser._actions for name in action.option_strings]
    expanded = []
    for word in argv:
        name, sign, value = word.partition("=")
        if name.startswith("--") and name not in everything:
            matching = [option for option in everything if option.startswith(name)]
            candidates = [option for option in matching if option in published] or matching
            if len(candidates) > 1:
                parser.error(f"{name} could be any of {', '.join(candidates)}")
            if candidates:
                word = candidates[0] + sign + value
        expanded.append(word)
    return expanded


def given_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> set[str]:
    """Return the options that are on the command line, whatever their values."""
    names = {word.partition("=")[0] for word in argv}
    return {action.dest for action in parser._actions if names.intersection(action.option_strings)}


def parse(parser: Parser, argv: Sequence[str], models: ModuleType) -> Namespace:
    """Parse a command line, and note which options are given, and which the model reads."""
    args = parser.parse_args(argv)
    args.given = sorted(given_options(parser, argv))
    args.model_options = options_read(args.model, models)
    return args


def options_read(model: str, models: ModuleType) -> list[str]:
    """List the options that a model reads and that may change results."""
    return sorted(models.options_of(model) & MODEL_OPTIONS - NEUTRAL)


def words_of(values: Mapping[str, object]) -> list[str]:
    """Write options as words of a command line, a value that looks like an option with its name."""
    words = []
    for name, value in values.items():
        text = str(value)
        words += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    return words


def parse_with_checkpoint(parser: Parser, argv: Sequence[str], models: ModuleType) -> Namespace:
    """Parse a command line with a checkpoint; without the options that a training needs, those of
    its training are the defaults. A `UserError` if there is no such checkpoint, it does not tell
    its options, or others that are given contradict it."""
    described = not given_options(parser, argv).issuperset(REQUIRED)
    for action in parser._actions:
        action.required = False
    path = checkpoint_file(parser.parse_args(argv).checkpoint)
    if described:
        require_file(path, "check --checkpoint")
    trained = training_of(path) if path.is_file() else {}
    if described and not trained:
        raise UserError(
            f"{path} does not tell the options of its training, as those of the authors' code: "
            f"give --{', --'.join(REQUIRED)}, and --seq_len, --pred_len, --gpt_layers and the like"
        )
    if described:
        defaults = {"is_training": 0, "model_id": "tested"}
        for action in parser._actions:
            value = trained.get(action.dest)
            if action.dest not in OF_THE_COMMAND and value is not None:
                defaults[action.dest] = checked(action, value, f"{path}: {action.dest}")
        parser.set_defaults(**defaults)
    args = parse(parser, argv, models)
    if not args.checkpoint:
        return args
    if args.is_training:
        parser.error("--checkpoint is for --is_training 0 (the folder is --checkpoints)")
    if Path(args.checkpoint).is_dir():
        args.checkpoint = str(path)
    check_given(args, trained, described, models.ALIASES)
    if described:
        from_checkpoint(args, trained)
    return args


def parse_with_guesses(
    parser: Parser, argv: Sequence[str], models: ModuleType, guess: Guess
) -> Namespace:
    """Parse a command line that names a file of one's own by `--data_path` and lacks options that a
    forecast needs, which `guess` finds in the file; a line says what was guessed."""
    given, found = given_options(parser, argv), dict(DRAFT)
    args = parser.parse_args([*words_of(found), *argv])
    if args.task_name != "long_term_forecast" or args.data != "custom":
        return parse(parser, argv, models)
    path = Path(args.data_path)
    if "root_path" not in given:
        args.root_path, args.data_path = str(path.parent), path.name
        found |= {"root_path": args.root_path, "data_path": args.data_path}
    by_file, why = guess(args)
    if "freq" not in models.options_of(args.model):
        del by_file["freq"]
    by_file["split"] = ",".join(map(str, by_file["split"]))
    found |= {"model_id": file_name(path.stem), **by_file}
    found = {name: value for name, value in found.items() if name not in given - {"data_path"}}
    words = words_of(found)
    print(f"guessed ({why}): {shlex.join(words)}")
    args = parse(parser, [*argv, *words], models)
    args.guessed = sorted(found)
    return args


def check_options(args: Namespace, models: ModuleType) -> None:
    """Raise a `UserError` if options contradict each other, or one means nothing in this task;
    `--refit` implies `--do_predict`, and only CALF has a cosine schedule unless `--cos` says so."""
    for option, what in REFUSED_BY_TESTS.items():
        if getattr(args, option) and not args.is_training:
            raise UserError(f"--{option} {what}: it is for --is_training 1")
    if args.refit:
        if args.zero_shot or args.percent < 100:
            raise UserError("--refit trains on all rows: leave --zero_shot and --percent out")
        args.do_predict = True
    for option, tasks in TASKS_OF_OPTION.items():
        asked = option in args.given and getattr(args, option)
        if asked and args.task_name not in tasks:
            raise UserError(f"--{option} is for {', '.join(tasks)}")
    check_covariates(args, models)
    if args.split and args.data != "custom":
        raise UserError(f"--split is for --data custom: the splits of {args.data} are fixed")
    if "cos" not in args.given and models.ALIASES.get(args.model, args.model) != "CALF":
        args.cos = 0
    if not args.cos and args.lradj not in ("type1", "type2", "type3", "type4"):
        raise UserError(f"--lradj {args.lradj} is not known: use type1, type2, type3 or type4")
    weights = {"task_w", "output_w", "feature_w"}
    weighted = weights.issubset(args.model_options)
    if args.is_training and weighted and not any(getattr(args, name) for name in weights):
        raise UserError(
            "--task_w, --output_w and --feature_w are all 0: there is no loss to train by"
        )


def check_covariates(args: Namespace, models: ModuleType) -> None:
    """Raise a `UserError` if the model reads no covariates, a column is in both lists, or what is
    known ahead lacks a file of the steps to forecast."""
    past, future = args.past_covariates or (), args.future_covariates or ()
    asked = [name for name in COVARIATES if getattr(args, name)]
    if asked and "future_covariates" not in models.options_of(args.model):
        able = [name for name in models.model_names() if name not in models.ALIASES]
        able = [name for name in able if "future_covariates" in models.options_of(name)]
        raise UserError(f"--{asked[0]}: {args.model} takes no covariates; {', '.join(able)} do")
    both = [name for name in past if name in future]
    if both:
        raise UserError(f"{both[0]} is in --past_covariates and in --future_covariates: choose one")
    if args.future and not (future and args.do_predict):
        raise UserError("--future has the --future_covariates of --do_predict: give both, or none")
    if future and args.do_predict and not args.future:
        raise UserError(
            f"--do_predict: {', '.join(future)} of the steps to forecast are needed: give the file "
            "that has them by --future"
        )


def make_parser(models: ModuleType) -> Parser:
    """Make the parser of `run.py`."""
    parser = Parser(
        prog="python run.py",
        usage="python run.py --task_name TASK --is_training 1 --model_id NAME --model CALF "
        "--data DATA [options]\n       python run.py --data_path FILE [options]\n       "
        "python run.py --checkpoint FILE [options]",
        description="CALF: cross-modal fine-tuning of a language model for time series.",
        allow_abbrev=False,
    )
    add_options(parser, PUBLISHED_OPTIONS | OWN_OPTIONS, models)
    return parser


def parse_args(
    argv: Sequence[str], models: ModuleType, command: str | None = None, guess: Guess | None = None
) -> Configuration:
    """Parse a command line.

    Without the options that a training needs, those that are not on the command line come from the
    checkpoint of `--checkpoint FILE`, or are guessed from the file of `--data_path`.

    Args:
        command: as it is recorded. guess: see `parse_with_guesses`.
    """
    parser = make_parser(models)
    argv = expand_abbreviations(parser, argv)
    if any("\0" in word for word in argv):
        parser.error("an option contains a null character")
    given = given_options(parser, argv)
    try:
        if "checkpoint" in given:
            args = parse_with_checkpoint(parser, argv, models)
        elif guess and "data_path" in given and not given.issuperset(REQUIRED):
            args = parse_with_guesses(parser, argv, models, guess)
        else:
            args = parse(parser, argv, models)
    except (UserError, OSError) as error:
        parser.refuse(message_of(error))
    try:
        check_options(args, models)
    except UserError as error:
        parser.error(str(error))
    return Configuration(**vars(args), command=command)


def configure(
    values: Mapping[str, object], models: ModuleType, names: Mapping[str, str] | None = None
) -> Configuration:
    """Make a configuration from Python values, which are checked like words of a command line.

    Args:
        values: by the names of options; the others have their defaults.
        names: what messages call some of them.

    Raises:
        UserError: there is no such option, or its value is of a wrong type or out of range.
    """
    parser = make_parser(models)
    actions = {a.dest: a for a in parser._actions if a.default is not argparse.SUPPRESS}
    found = {name: action.default for name, action in actions.items()}
    for name in (name for name in values if name not in actions):
        similar = difflib.get_close_matches(name, actions, 1)
        likely = NAMES_ELSEWHERE.get(name) or next(iter(similar), None)
        meant = f": did you mean {likely}?" if likely else ""
        raise UserError(f"{name}: no such parameter, nor option of run.py{meant}")
    for name, value in values.items():
        found[name] = checked(actions[name], value, (names or {}).get(name, name))
    given = sorted(name for name, value in values.items() if value is not None)
    args = Namespace(**found, given=given)
    args.model_options = options_read(args.model, models)
    check_options(args, models)
    return Configuration(**vars(args), command=None)


def checked(action: argparse.Action, value: object, name: str) -> object:
    """Check a Python value as an option's words are; if it is wrong, a `UserError` names it."""
    if value is None and action.default is None:
        return None
    wanted = "a list" if action.nargs == "+" else getattr(action.type, "of_python", "a text")
    is_text = isinstance(value, str | Path)
    is_list = isinstance(value, Sequence) and not is_text
    fits = is_text == (wanted == "a text") and is_list == wanted.startswith("a list")
    if action.nargs == 0:
        wanted, fits = "True or False", isinstance(value, bool)
    if value is None or not fits:
        raise UserError(f"{name}={value!r}: give {wanted}")
    if action.nargs == 0:
        return value
    if action.nargs == "+":
        return [_parsed(action, item, name) for item in value]
    if action.type is names and (comma := next((x for x in value if "," in str(x)), None)):
        raise UserError(f"{name}: {comma!r} has a comma: rename the column")
    if is_list:
        return _parsed(action, ",".join(map(str, value)), name) if value else None
    return _parsed(action, value, name)


def _parsed(action: argparse.Action, value: object, name: str) -> object:
    """Parse a value as the word that it is written as."""
    try:
        found = action.type(str(value)) if action.type else str(value)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{name}: {error}") from None
    if action.choices is not None and found not in action.choices:
        raise UserError(f"{name}={value}: use one of {', '.join(map(str, action.choices))}")
    return found


def warn_unused(args: Configuration, models: ModuleType) -> None:
    """Name in one line the options given that nothing in this run reads. Those of a training count
    as read in a test, where published command lines repeat them; 0 asks for nothing."""
    unread = {name for name, tasks in READ_BY_TASKS.items() if args.task_name not in tasks}
    unread.update(SET_BY_TASK.get(args.task_name, ()))
    if not args.zero_shot:
        unread.add("target_data")
    if not args.use_multi_gpu:
        unread.add("devices")
    if args.is_training and args.cos:
        unread |= {"lradj", "decay_fac"}
    elif args.is_training:
        unread |= {"cos", "tmax"}
        unread |= set() if args.lradj in ("type2", "type4") else {"decay_fac"}
    unread = {name for name in unread if getattr(args, name)}
    unread |= UNUSED | MODEL_OPTIONS - models.options_of(args.model)
    unused = [f"--{name}" for name in args.given if name in unread]
    if unused:
        print(f"warning: {args.model} does not use {' '.join(unused)}", file=sys.stderr)
