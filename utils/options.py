"""The options of `run.py`: those of the published scripts, and those of this implementation."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from utils.checkpoint_options import (
    REQUIRED,
    SET_BY_TASK,
    check_given,
    checkpoint_file,
    describing_checkpoint,
    from_checkpoint,
    training_of,
    words_of,
)
from utils.command_line import Parser, real, split_parts, switch, whole
from utils.configuration import Configuration
from utils.errors import UserError
from utils.levels import level
from utils.model_options import (
    LOSSES,
    MODEL_OPTIONS,
    NEUTRAL,
    OWN_MODEL_OPTIONS,
    PUBLISHED_MODEL_OPTIONS,
    Models,
    add_model_options,
)
from utils.tasks import TASKS

# Options that other tasks than these refuse, because they would have no effect.
TASKS_OF_OPTION = {
    "do_predict": ("long_term_forecast",),
    "refit": ("long_term_forecast",),
    "split": ("long_term_forecast", "imputation"),
    "zero_shot": ("long_term_forecast",),
    "level": ("long_term_forecast",),
    "threshold": ("anomaly_detection",),
}
TASKS_OF_TABLES = ("long_term_forecast", "imputation")
# Options that other tasks than these accept, as published command lines have them, and do not use.
READ_BY_TASKS = {
    **dict.fromkeys("data_path features target percent inverse".split(), TASKS_OF_TABLES),
    "target_data": ("long_term_forecast",),
    "seasonal_patterns": ("short_term_forecast",),
    "mask_rate": ("imputation",),
    "anomaly_ratio": ("anomaly_detection",),
}
# Options of tables: (name, settings, help).
TABLE_OPTIONS = [
    (
        "time_col",
        {},
        "column of timestamps; by default the first of date, ds, timestamp, datetime, time, … that "
        "is there",
    ),
    (
        "id_col",
        {"default": "unique_id"},
        "column of a long table that names the series; a table with it has a row for each series "
        "and timestamp",
    ),
    ("target_col", {"default": "y"}, "column of a long table that has the values"),
    (
        "panel",
        {"choices": ("auto", "channels", "pooled"), "default": "auto"},
        "series as the channels of one window, or pooled, each by itself; auto: channels if all "
        "have the same timestamps",
    ),
    (
        "fill_missing",
        {"choices": ("linear", "ffill")},
        "accept missing rows and missing or infinite values: insert rows at the usual step, then "
        "fill. linear: interpolate by row number, which uses later values; ffill: repeat the last "
        "value before. Nothing before the first value of a series is filled",
    ),
    (
        "duplicates",
        {"choices": ("first", "last")},
        "of rows with the same timestamp keep the first or the last; by default they are refused",
    ),
    (
        "dayfirst",
        {"type": switch, "metavar": "true|false"},
        "05/02/2024 is in February, or in May; by default all rows decide",
    ),
    (
        "decimal",
        {"choices": (".", ",")},
        "sign before the decimals of a CSV; by default all cells decide",
    ),
    ("thousands", {"choices": (".", ",")}, "sign between the thousands of a CSV"),
]
# A boolean option, on if it has no value.
SWITCH = {"type": switch, "nargs": "?", "const": True}
# Options of the published command lines that nothing uses: (name, settings).
UNUSED_OPTIONS = [
    ("--num_workers", {"type": whole(), "default": 10}),
    ("--use_amp", {"action": "store_true", "default": False}),
]
# Likewise of Time-Series-Library's command lines.
AUGMENTATIONS = (
    *"jitter scaling permutation randompermutation magwarp timewarp windowslice windowwarp".split(),
    *"rotation spawner dtwwarp shapedtwwarp wdba discdtw discsdtw".split(),
)
UNUSED_OPTIONS_OF_LIBRARY = [
    ("--gpu_type", {"type": str, "default": "cuda"}),
    ("--augmentation_ratio", {"type": whole(), "default": 0}),
    ("--use_dtw", {**SWITCH, "default": False}),
    ("--extra_tag", {"type": str, "default": ""}),
    *(
        (f"--{name}", {"action": "store_true", "default": argparse.SUPPRESS})
        for name in AUGMENTATIONS
    ),
]


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that names a default where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        silent = action.default is None or action.default is False
        return action.help if silent else super()._get_help_string(action)


def add_table_options(
    parser: argparse._ActionsContainer, without: Sequence[str] = (), silent: bool = False
) -> None:
    """Add the options that say how a table is read.

    Args:
        without: names of those to leave out.
        silent: whether the result lacks those that are not given.
    """
    for name, settings, text in TABLE_OPTIONS:
        if name not in without:
            default = {"default": argparse.SUPPRESS} if silent else {}
            parser.add_argument(f"--{name}", help=text, **settings | default)


def add_unused_options(
    parser: argparse.ArgumentParser, title: str, options: Sequence[tuple[str, dict]]
) -> None:
    """Add options that are accepted and not used; the help names them alone."""
    group = parser.add_argument_group(title, " ".join(name for name, _ in options))
    for name, settings in options:
        group.add_argument(name, help=argparse.SUPPRESS, **settings)


def add_published_options(parser: argparse.ArgumentParser, models: Models) -> None:
    """Add the options of the published scripts, with their names, defaults and meanings."""

    def model(name: str) -> str:
        """Option type: the name of a model; says what is wrong with a file that is none."""
        why = "" if name in models.model_names() else models.refusal_of(name)
        if why:
            raise argparse.ArgumentTypeError(why)
        return name

    run = parser.add_argument_group("what to run")
    run.add_argument("--task_name", required=True, choices=TASKS, help="kind of experiment")
    run.add_argument(
        "--is_training", type=int, required=True, choices=(0, 1), help="1 train and test, 0 test"
    )
    run.add_argument("--model_id", required=True, help="name of the run, part of its folder")
    run.add_argument(
        "--model",
        required=True,
        type=model,
        choices=models.model_names(),
        help="a file of models/ (LLaTA is CALF's first name)",
    )
    run.add_argument("--des", default="test", help="description, part of the folder's name")
    run.add_argument("--itr", type=whole(1), default=1, help="repetitions, seeded seed, seed+1, …")

    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        required=True,
        help="ETTh1, ETTh2, ETTm1, ETTm2, custom; m4; PSM, MSL, SMAP, SMD, SWaT (SWAT); UEA",
    )
    data.add_argument("--root_path", default="./data/ETT/", help="folder of the data")
    data.add_argument("--data_path", default="ETTh1.csv", help="file in that folder")
    data.add_argument(
        "--features",
        default="M",
        choices=("M", "S", "MS"),
        help="M all channels to all, S the target alone, MS all channels in, target scored",
    )
    data.add_argument("--target", default="OT", help="target column of S and MS")
    readers = [name for name in models.model_names() if "freq" in models.options_of(name)]
    data.add_argument(
        "--freq",
        default="h",
        help="sampling of time marks: s, t, h, d, b, w, m, 15min, … "
        f"[{', '.join(readers)}; not CALF]",
    )
    data.add_argument("--embed", default="timeF", help="time marks: timeF, or else integers")
    data.add_argument("--seq_len", type=whole(1), default=96, help="look-back L, in steps")
    data.add_argument(
        "--label_len", type=whole(), default=48, help="steps of look-back in a data set's target"
    )
    data.add_argument("--pred_len", type=whole(), default=96, help="horizon P, in steps")
    data.add_argument(
        "--percent", type=whole(1, 100), default=100, help="%% of the training rows used"
    )
    data.add_argument("--zero_shot", type=int, default=0, choices=(0, 1), help="1: test elsewhere")
    data.add_argument("--target_data", default="ETTm1", help="where a zero-shot run is tested")
    data.add_argument("--inverse", action="store_true", help="results in original units")

    add_model_options(parser, PUBLISHED_MODEL_OPTIONS, models)

    loss = parser.add_argument_group(f"loss ({LOSSES}; M4 also smape, mase, mape)")
    loss.add_argument(
        "--task_loss",
        default="l1",
        help="prediction against truth; classification: ce. If not given, models other than CALF "
        "take mse; M4: smape",
    )

    training = parser.add_argument_group("training")
    training.add_argument("--train_epochs", type=whole(1), default=10, help="most epochs")
    training.add_argument("--batch_size", type=whole(1), default=32, help="windows a step")
    training.add_argument(
        "--patience", type=whole(1), default=3, help="epochs without a better validation error"
    )
    training.add_argument(
        "--learning_rate",
        type=real(below=1e30, open_below=True),
        default=0.0001,
        help="of the main optimiser",
    )
    training.add_argument(
        "--cos",
        type=int,
        default=1,
        choices=(0, 1),
        help="1: cosine schedule, 0: --lradj. If not given, models other than CALF take 0",
    )
    training.add_argument("--tmax", type=whole(1), default=20, help="half period of the cosine")
    training.add_argument(
        "--lradj", default="type1", help="with --cos 0: type1, type2, type3 or type4 decay"
    )
    training.add_argument("--checkpoints", default="./checkpoints/", help="folder of checkpoints")

    device = parser.add_argument_group("device")
    device.add_argument("--use_gpu", **SWITCH, default=True, help="use CUDA where there is any")
    device.add_argument("--gpu", type=whole(), default=0, help="number of the GPU")
    device.add_argument(
        "--use_multi_gpu",
        action="store_true",
        help="a process for each of --devices; with --use_gpu 0 on the CPU, to try it out",
    )
    device.add_argument("--devices", default="0,1,2,3", help="GPUs of --use_multi_gpu")

    tasks = parser.add_argument_group("options of single tasks (accepted and not used elsewhere)")
    tasks.add_argument("--seasonal_patterns", default="Monthly", help="M4 frequency")
    tasks.add_argument(
        "--mask_rate", type=real(below=1, open_below=True), default=0.25, help="imputation"
    )
    tasks.add_argument(
        "--anomaly_ratio",
        type=real(below=100, open_below=True),
        default=0.25,
        help="anomaly detection, in %%",
    )

    add_unused_options(parser, "accepted and not used", UNUSED_OPTIONS)


def add_own_options(parser: argparse.ArgumentParser, models: Models) -> None:
    """Add what the published code does not have."""
    add_model_options(parser, OWN_MODEL_OPTIONS, models)
    add_table_options(parser.add_argument_group("how a CSV or Parquet file is read"))
    own = parser.add_argument_group("options that the published code does not have")
    own.add_argument(
        "--loss",
        dest="task_loss",
        type=str.lower,
        default=argparse.SUPPRESS,
        metavar="LOSS",
        help="Time-Series-Library's name of --task_loss: MSE, SMAPE, …",
    )
    own.add_argument(
        "--no_use_gpu",
        dest="use_gpu",
        action="store_false",
        default=argparse.SUPPRESS,
        help="Time-Series-Library's name of --use_gpu 0",
    )
    own.add_argument("--seed", type=whole(0, 2**31), default=2021, help="of every random choice")
    own.add_argument(
        "--protocol",
        choices=("sound", "published"),
        default="sound",
        help="published, in forecasting: train, validate and score as the published code does, its "
        "faults included (docs/protocols.md)",
    )
    own.add_argument(
        "--decay_fac",
        type=real(open_below=True, most=1),
        default=0.75,
        help="factor of --lradj type2 and type4",
    )
    own.add_argument(
        "--do_predict", action="store_true", help="forecast what follows the file: forecast.csv"
    )
    own.add_argument(
        "--refit",
        action="store_true",
        help="after the test, train again on all rows, for the epochs that validation chose, and "
        "forecast by that model: checkpoint.refit.safetensors, forecast.csv",
    )
    own.add_argument(
        "--threshold",
        choices=("both", "train"),
        default="both",
        help="anomaly detection: a percentile of the scores of training and test rows, as "
        "published, or of training rows alone",
    )
    own.add_argument(
        "--level",
        type=level,
        nargs="+",
        metavar="PERCENT",
        help="prediction intervals of these levels, as 80 95, by split conformal prediction from "
        "the validation windows: scored on the test windows, and in forecast.csv",
    )
    own.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="with --is_training 0: the model to test, or its folder. Alone, with --data_path and "
        "--do_predict as needed: the options of its training need not be given",
    )
    own.add_argument(
        "--split",
        type=split_parts,
        metavar="TRAIN,VAL,TEST",
        help="of --data custom: fractions of the rows, or whole numbers of rows; by default "
        "0.7,0.1,0.2",
    )
    own.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what the run's folders hold of unknown options, or of an unfinished run",
    )
    own.add_argument(
        "--resume",
        action="store_true",
        help="continue where a run with the same options stopped, or with fewer --train_epochs or "
        "less --patience. A run that succeeds removes its states, but one if it came to the last "
        "epoch: a longer training continues from that",
    )
    own.add_argument(
        "--tensorboard",
        action="store_true",
        help="write what epochs.csv has for TensorBoard too: RESULTS/tensorboard",
    )
    own.add_argument(
        "--no_epoch_test",
        action="store_true",
        help="do not score the test split after each epoch, which is for show alone: faster",
    )
    own.add_argument(
        "--save_every",
        type=whole(),
        default=0,
        metavar="N",
        help="save the state for --resume every N steps too, not only every epoch",
    )
    own.add_argument(
        "--skip_bad_steps",
        type=whole(),
        default=0,
        metavar="N",
        help="skip up to N updates whose loss or gradient is not finite, instead of stopping",
    )
    own.add_argument(
        "--accumulate",
        type=whole(1),
        default=1,
        metavar="K",
        help="gradient accumulation: a step is one batch of K times --batch_size windows",
    )
    own.add_argument(
        "--amp",
        choices=("no", "bf16", "fp16", "auto"),
        default="no",
        help="mixed precision: faster, results differ by rounding; auto: bf16 where the processor "
        "or GPU multiplies in it",
    )
    own.add_argument("--tf32", action="store_true", help="TensorFloat-32 products on GPUs")
    own.add_argument("--compile", action="store_true", help="compile the model, on GPUs")
    own.add_argument(
        "--deterministic",
        action="store_true",
        help="PyTorch's strict mode, for equal bytes on GPUs",
    )
    own.add_argument(
        "--threads",
        type=whole(),
        default=0,
        metavar="N",
        help="CPU threads of each process; by default one for each usable core",
    )
    own.add_argument(
        "--fast_cpu",
        choices=("auto", "off"),
        default="auto",
        help="auto: the fast modules on a CPU; off: plain PyTorch",
    )
    own.add_argument("--debug", action="store_true", help="show where an error comes from")
    add_unused_options(
        parser, "of Time-Series-Library, accepted and not used", UNUSED_OPTIONS_OF_LIBRARY
    )


def expand_abbreviations(
    parser: Parser, argv: list[str], published: list[str], own: list[str]
) -> list[str]:
    """Expand abbreviated options as if there were only the published ones.

    So no new option makes an abbreviation in a published command line ambiguous.
    """
    expanded = []
    for word in argv:
        name, sign, value = word.partition("=")
        if name.startswith("--") and name not in published and name not in own:
            candidates = [option for option in published if option.startswith(name)]
            candidates = candidates or [option for option in own if option.startswith(name)]
            if len(candidates) > 1:
                parser.error(f"{name} could be any of {', '.join(candidates)}")
            if candidates:
                word = candidates[0] + sign + value
        expanded.append(word)
    return expanded


def given_options(parser: argparse.ArgumentParser, argv: list[str]) -> set[str]:
    """Return the options that are on the command line, whatever their values."""
    names = {word.partition("=")[0] for word in argv}
    return {action.dest for action in parser._actions if names.intersection(action.option_strings)}


def parse_with_checkpoint(parser: Parser, argv: list[str], models: Models) -> argparse.Namespace:
    """Parse a command line, with the options of the checkpoint that it names.

    Raises:
        UserError: there is no such checkpoint, it does not tell its options, or others that are
            given contradict it.
    """
    describing = describing_checkpoint(argv, parser)
    words, trained = [], {}
    if describing:
        trained = training_of(describing)
        if not trained:
            raise UserError(
                f"{describing} does not tell the options of its training, as those of the "
                f"authors' code: give --{', --'.join(REQUIRED)}, and --seq_len, --pred_len, "
                "--gpt_layers and the like"
            )
        words = words_of(trained, parser)
    args = parser.parse_args([*words, *argv])
    args.given = sorted(given_options(parser, argv))
    args.model_options = sorted(models.options_of(args.model) & MODEL_OPTIONS - NEUTRAL)
    if not args.checkpoint:
        return args
    if args.is_training:
        parser.error("--checkpoint is for --is_training 0 (the folder is --checkpoints)")
    path = checkpoint_file(args.checkpoint)
    if path != Path(args.checkpoint):
        args.checkpoint = str(path)
    if not trained and path.is_file():
        trained = training_of(path)
    check_given(args, args.given, trained, bool(describing), models.ALIASES)
    if describing:
        from_checkpoint(args, path, trained)
    return args


def check_options(args: argparse.Namespace, models: Models) -> None:
    """Check options together; `--refit` implies `--do_predict`, and only CALF has a cosine schedule
    unless `--cos` says so.

    Raises:
        UserError: some contradict each other, or one means nothing in this task.
    """
    if args.resume and not args.is_training:
        raise UserError("--resume continues a training: it is for --is_training 1")
    if args.tensorboard and not args.is_training:
        raise UserError("--tensorboard records a training: it is for --is_training 1")
    if args.refit:
        if not args.is_training:
            raise UserError("--refit trains: it is for --is_training 1")
        if args.zero_shot or args.percent < 100:
            raise UserError("--refit trains on all rows: leave --zero_shot and --percent out")
        args.do_predict = True
    tasks_of_option = TASKS_OF_OPTION | {name: TASKS_OF_TABLES for name, *_ in TABLE_OPTIONS}
    for option, tasks in tasks_of_option.items():
        asked = option in args.given and getattr(args, option)
        if asked and args.task_name not in tasks:
            raise UserError(f"--{option} is for {', '.join(tasks)}")
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


def make_parser(models: Models) -> tuple[Parser, list[str]]:
    """Make the parser of `run.py`; return also the names of the published options."""
    parser = Parser(
        prog="python run.py",
        usage="python run.py --task_name TASK --is_training 1 --model_id NAME --model CALF "
        "--data DATA [options]\n       python run.py --checkpoint FILE [options]",
        description="CALF: cross-modal fine-tuning of GPT-2 for time series.",
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    add_published_options(parser, models)
    published = [name for action in parser._actions for name in action.option_strings]
    add_own_options(parser, models)
    return parser, published


def parse_args(argv: Sequence[str], models: Models, command: str | None = None) -> Configuration:
    """Parse a command line.

    With `--checkpoint FILE` and without the options that a training needs, all come from the
    checkpoint that are not on the command line.

    Args:
        command: as it is recorded.
    """
    parser, published = make_parser(models)
    everything = [name for action in parser._actions for name in action.option_strings]
    own = [name for name in everything if name not in published]
    argv = expand_abbreviations(parser, list(argv), published, own)
    if any("\0" in word for word in argv):
        parser.error("an option contains a null character")
    try:
        args = parse_with_checkpoint(parser, argv, models)
    except UserError as error:
        parser.refuse(str(error))
    try:
        check_options(args, models)
    except UserError as error:
        parser.error(str(error))
    return Configuration(**vars(args), command=command)


def configure(
    values: Mapping[str, object], models: Models, names: Mapping[str, str] | None = None
) -> Configuration:
    """Make a configuration from Python values, which are checked like words of a command line.

    Args:
        values: by the names of options; the others have their defaults.
        names: what messages call some of them.

    Raises:
        UserError: there is no such option, or its value is of a wrong type or out of range.
    """
    parser, _ = make_parser(models)
    actions = {a.dest: a for a in parser._actions if a.default is not argparse.SUPPRESS}
    found = {name: action.default for name, action in actions.items()}
    for name, value in values.items():
        shown = (names or {}).get(name, name)
        if name not in actions:
            similar = difflib.get_close_matches(name, actions, 1)
            meant = f": did you mean {similar[0]}?" if similar else ""
            raise UserError(f"{name}: no such parameter, nor option of run.py{meant}")
        found[name] = checked(actions[name], value, shown)
    given = sorted(name for name, value in values.items() if value is not None)
    args = argparse.Namespace(**found, given=given)
    args.model_options = sorted(models.options_of(args.model) & MODEL_OPTIONS - NEUTRAL)
    check_options(args, models)
    return Configuration(**vars(args), command=None)


def checked(action: argparse.Action, value: object, name: str) -> object:
    """Check a Python value as an option's words are.

    Args:
        name: of the value in messages.

    Raises:
        UserError: its type or its value is wrong.
    """
    if value is None and action.default is None:
        return None
    if action.nargs == "+":
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise UserError(f"{name}={value!r}: give a list")
        return [_checked_item(action, item, name) for item in value]
    if action.nargs == 0 and not isinstance(value, bool):
        raise UserError(f"{name}={value!r}: give True or False")
    return value if action.nargs == 0 else _checked_item(action, value, name)


def _checked_item(action: argparse.Action, value: object, name: str) -> object:
    kind = Integral if action.type is int else getattr(action.type, "kind", None)
    what = {Integral: "a whole number", Real: "a number"}.get(kind)
    if what is not None and (isinstance(value, bool) or not isinstance(value, kind)):
        raise UserError(f"{name}={value!r}: give {what}")
    if action.type is switch:
        if not isinstance(value, bool | int):
            raise UserError(f"{name}={value!r}: give True or False")
    elif what is None and action.type is not split_parts and not isinstance(value, str | Path):
        raise UserError(f"{name}={value!r}: give a text")
    text = str(value)
    if action.type is split_parts and not isinstance(value, str):
        text = ",".join(map(str, value)) if isinstance(value, Sequence) else text
    try:
        found = action.type(text) if callable(action.type) else text
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{name}={value!r}: {error}") from None
    if action.choices is not None and found not in action.choices:
        raise UserError(f"{name}={value!r}: use one of {', '.join(map(str, action.choices))}")
    return found


def warn_unused(args: Configuration, models: Models) -> None:
    """Name in one line the options given that this model, or this task, does not use."""
    unused = unused_options(args, models)
    if unused:
        print(f"warning: {args.model} does not use {' '.join(unused)}", file=sys.stderr)


def unused_options(args: Configuration, models: Models) -> list[str]:
    """List the options given that nothing in this run reads. Those of a training count as read in a
    test, where published command lines repeat them; 0 asks for nothing."""
    of_none = {name.removeprefix("--") for name, _ in [*UNUSED_OPTIONS, *UNUSED_OPTIONS_OF_LIBRARY]}
    unread = {name for name, tasks in READ_BY_TASKS.items() if args.task_name not in tasks}
    unread.update(SET_BY_TASK.get(args.task_name, ()))
    if not args.zero_shot:
        unread.add("target_data")
    if not args.use_multi_gpu:
        unread.add("devices")
    if args.is_training:
        unread |= unread_of_schedule(args)
    unread = {name for name in unread if getattr(args, name)}
    unread |= of_none | MODEL_OPTIONS - models.options_of(args.model)
    return [f"--{name}" for name in args.given if name in unread]


def unread_of_schedule(args: Configuration) -> set[str]:
    """Return the options of learning-rate schedules that the one of this run does not read."""
    if args.cos:
        return {"lradj", "decay_fac"}
    return {"cos", "tmax"} if args.lradj in ("type2", "type4") else {"cos", "tmax", "decay_fac"}
