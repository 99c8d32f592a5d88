"""What identifies a run.

Its folders are named by the published settings string, which starts with the task, and a digest of
all other options that determine its results; `manifest.json` in them lists the options, so that a
run replaces its own results alone. An experiment that `run.py` does not start by its `--task_name`
is a task of its own, named after its class.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import LONGEST_NAME
from utils.option_table import COVARIATES, SCORED
from utils.tasks import EXPERIMENTS
from utils.word_embeddings import NO_FILE, RANDOM

# The options that determine a run's results and are not part of its settings string.
PATHS = ("root_path", "data_path", "word_embedding_path", "llm")
TESTED = ("experiment", *COVARIATES, "seasonal_patterns", *SCORED)
TRAINED = (
    *COVARIATES,
    *"seed percent task_loss train_epochs batch_size patience learning_rate cos tmax".split(),
    *"lradj decay_fac protocol accumulate fast_cpu".split(),
)
NAMED = ("data", "features", "label_len", "embed", "des")  # of settings strings, unless short
LENGTH = ("train_epochs", "patience")  # decide how long a training is, and nothing else of it
MANIFEST = "manifest.json"
RECORD = "run.json"
DIGITS = 8  # of a digest
LONGEST_SETTING = LONGEST_NAME - len("_") - DIGITS


def task_of(experiment: type, task_name: str) -> str:
    """The task that results of an experiment are named after: `task_name` if `run.py` starts this
    class for it, else the name of the class: `denoising` of `ExpDenoising`."""
    if f"{experiment.__module__}:{experiment.__name__}" == f"exp.{EXPERIMENTS.get(task_name)}":
        return task_name
    name = experiment.__name__.removeprefix("Exp") or experiment.__name__
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return f"own_{name}" if name in EXPERIMENTS else name


def task(args: Configuration) -> str:
    """The task of a run: `experiment`, if it is none of the published ones, or `--task_name`."""
    return getattr(args, "experiment", None) or args.task_name


def settings_string(args: Configuration, iteration: int) -> str:
    """Name a run: its heading in the results file, and with a digest its folders; one whose options
    were partly guessed by fewer of them. A `UserError` if that can't name a folder."""
    if getattr(args, "guessed", None):
        setting = f"{args.model_id}_{args.model}_{args.seq_len}_{args.pred_len}"
        setting += f"_{iteration}" if iteration else ""
    else:
        setting = (
            f"{task(args)}_{args.model_id}_{args.model}_{args.data}_ft{args.features}"
            f"_sl{args.seq_len}_ll{args.label_len}_pl{args.pred_len}_dm{args.d_model}"
            f"_nh{args.n_heads}_el{args.e_layers}_dl{args.d_layers}_df{args.d_ff}_fc{args.factor}"
            f"_eb{args.embed}_dt{args.distil}_{args.des}_gpt{args.gpt_layers}_{iteration}"
        )
    if not setting.isprintable() or "/" in setting or "\\" in setting:
        raise UserError(
            "--model_id, --des and the like name a folder: no slashes, no line breaks, nothing "
            "invisible"
        )
    length = len(setting.encode())
    if length > LONGEST_SETTING:
        raise UserError(
            f"--model_id, --des and the like name a folder: {length} bytes are more than the "
            f"{LONGEST_SETTING} that a name can have"
        )
    return setting


def digest(arguments: Mapping, trained: Mapping | None = None) -> str:
    """Hash what `configuration` selects: 8 hex digits. Paths count as they are given, normalised: a
    project that is moved with its data still finds the states of its runs."""
    options = configuration(arguments, trained, _as_given)
    text = json.dumps(options, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _resolved(path: str) -> str:
    """Resolve the path of a file; what is not there, such as a hub id, stays as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def _as_given(path: str) -> str:
    """Normalise the path of a file, `./x` where it is relative, unlike the hub id x."""
    if not Path(path).exists():
        return path
    normal = Path(os.path.normpath(path)).as_posix()
    return normal if Path(path).is_absolute() else f"./{normal}"


def configuration(
    arguments: Mapping, trained: Mapping | None = None, path: Callable[[str], str] = _resolved
) -> dict[str, object]:
    """Select the options that determine a run's results and are not in its settings string.

    Args:
        arguments: of the run, with the seed of the repetition.
        trained: of the training, if the run only tests a model, or else a digest of the model;
            None if the run trains the model itself.
        path: writes the path of a file.

    Returns:
        Values by option; names of options of that training start with `trained `.
    """

    def select(given: Mapping, names: tuple[str, ...]) -> dict[str, object]:
        chosen = {name: given[name] for name in names if name in given}
        for name in COVARIATES:  # folders of runs without them keep their names
            if not chosen.get(name):
                chosen.pop(name, None)
        if "root_path" in chosen and "data_path" in chosen:
            chosen["data_path"] = str(Path(chosen["root_path"]) / chosen["data_path"])
        for name in set(PATHS) & chosen.keys():
            if name == "word_embedding_path" and chosen[name] in (NO_FILE, RANDOM):
                continue  # whatever files there are
            chosen[name] = path(chosen[name])
        return chosen

    trained = arguments if trained is None else trained
    tested, of_model = (
        (*TESTED, *given.get("model_options", ()), *(NAMED if given.get("guessed") else ()))
        for given in (arguments, trained)
    )
    training = {"model": trained.get("model_digest"), **select(trained, of_model + TRAINED)}
    return select(arguments, tested) | {f"trained {name}": v for name, v in training.items()}


def difference(earlier: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Describe how two configurations differ; empty if they do not. Options that one of them lacks
    are ignored, and files that are not where they were, because the project was moved."""
    found = {}
    for name in now:
        if name in earlier and earlier[name] != now[name] and not _is_moved(name, earlier[name]):
            found.setdefault(name.removeprefix("trained "), (earlier[name], now[name]))
    if not found:
        return ""
    if "model" in found:
        return "of another model"
    name, (before, after) = next(iter(found.items()))
    more = f" and {len(found) - 1} more that differ" if len(found) > 1 else ""
    return f"with --{name} {before}, not {after}{more}"


def _is_moved(name: str, earlier: object) -> bool:
    """Whether an option names a file that is not where it was."""
    if name.removeprefix("trained ") not in PATHS or not isinstance(earlier, str):
        return False
    return Path(earlier).is_absolute() and not Path(earlier).exists()
