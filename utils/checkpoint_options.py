"""Options of a test that its checkpoint knows need not be given."""

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from utils.errors import UserError
from utils.files import CHECKPOINT, file_name, find_llm, read_notes
from utils.option_table import NEUTRAL, SCORED

# what a command decides for itself, whatever its training did
OF_THE_COMMAND = NEUTRAL.union(
    "is_training checkpoint model_id itr skip_bad_steps do_predict refit compile".split()
)
# what a test may do in another way than its training
OF_THE_TEST = OF_THE_COMMAND.union(
    SCORED, "data deterministic fast_cpu batch_size des level llm word_embedding_path".split()
)
# options of models that matter to training alone, or that the backbone's fingerprint checks
OF_TRAINING = frozenset(
    "dropout lora_dropout task_w feature_w output_w feature_loss output_loss "
    "llm_weights llm_seed season_length".split()
)
# options whose defaults depend on model and task
DEPENDENT = ("d_model", "task_loss", "word_embedding_path")
# options that tasks set themselves
SET_BY_TASK = {
    "short_term_forecast": ("seq_len", "label_len", "pred_len", "features"),
    "imputation": ("label_len", "pred_len"),
    "anomaly_detection": ("label_len", "pred_len"),
    "classification": ("seq_len", "pred_len"),
}


def checkpoint_file(name: str) -> Path:
    """Return the file that `--checkpoint` names: of a folder, its `checkpoint.safetensors`."""
    path = Path(name)
    return path / CHECKPOINT if path.is_dir() else path


def training_of(path: Path) -> dict[str, object]:
    """Return the options of a checkpoint's training, `llm` as `find_llm` finds it; empty if it has
    none."""
    notes = read_notes(path) or {}
    arguments = notes.get("arguments")
    if not isinstance(arguments, dict):
        return {}
    if "llm" in arguments:
        arguments["llm"] = find_llm(str(arguments["llm"]), path)
    return arguments


def from_checkpoint(args: Namespace, trained: Mapping[str, object]) -> None:
    """Complete the options of a test by those of its checkpoint.

    A file given by `--data_path` alone is looked for from the working folder, then in the folder of
    the training data. It is split as an ETT set only if it has the name of one and the training was
    on one. The run has a name of its own, so that it does not replace the results of the training.
    """
    given = args.given
    if "data_path" in given:
        name = Path(args.data_path)
        if "root_path" not in given and (name.exists() or not (args.root_path / name).exists()):
            args.root_path = "."
        if "data" not in given and str(trained.get("data")).startswith("ETT"):
            args.data = name.stem if re.fullmatch("ETT[hm][12]", name.stem) else "custom"
        if "zero_shot" not in given:
            args.zero_shot = 0
    if "model_id" not in given:
        on = Path(args.data_path).stem if "data_path" in given else "tested"
        args.model_id = file_name(f"{trained.get('model_id')}_{on}")
    used = {"task_loss", *args.model_options}.intersection(DEPENDENT)
    own = {name for name in (*used, "cos") if trained.get(name) is not None}
    if args.features != "M" and "target" in trained.get("given", ()):
        own.add("target")
    args.given = sorted(own.union(given))
    print(
        f"options of {args.checkpoint}: {args.model}, {args.task_name}, trained on {_data(trained)}"
    )


def _data(trained: Mapping[str, object]) -> str:
    """Name the data of a training."""
    of_file = trained.get("task_name") in ("long_term_forecast", "imputation")
    names = (trained.get("root_path"), trained.get("data_path") if of_file else "")
    return str(Path(*map(str, names)))


def check_given(
    args: Namespace, trained: Mapping[str, object], described: bool, aliases: Mapping[str, str]
) -> None:
    """Raise a `UserError` if an option contradicts that of the training of a checkpoint.

    Unless the checkpoint completes the command line, as `described` says, only options of the model
    are checked, since published command lines repeat those of the training.
    """
    ignored = OF_THE_TEST.union(SET_BY_TASK.get(args.task_name, ()))
    checked = set(args.given) & trained.keys() - ignored
    if not described:
        checked &= {"model", *args.model_options} - OF_TRAINING - {"task_loss"}
    for name in sorted(checked, key=lambda name: (name != "model", name)):
        now, before = (
            aliases.get(value, value) if name == "model" else value
            for value in (getattr(args, name), trained[name])
        )
        if now != before:
            raise UserError(
                f"--{name} {now}: {args.checkpoint} was trained with --{name} {before}: leave the "
                "option out, or train again"
            )
