"""Where a run leaves its results: the folders and files of the neighbouring libraries."""

import errno
import json
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from utils.errors import UserError
from utils.files import LONGEST_NAME, METADATA_KEY, NpyWriter, remove_parts, whole_file
from utils.locks import lock, locked

# The options that decide what a run computes, beside those that its settings string names.
PATHS = ("root_path", "data_path", "word_embedding_path", "llm")
TESTED = (
    *PATHS,
    *"target fill_missing inverse zero_shot target_data".split(),
    *"seasonal_patterns mask_rate anomaly_ratio llm_weights amp tf32".split(),
)
TRAINED = (
    *"seed percent r lora_alpha lora_dropout task_loss feature_loss output_loss".split(),
    *"task_w feature_w output_w train_epochs batch_size patience learning_rate cos tmax".split(),
    *"lradj decay_fac reference_validation m4_protocol accumulate".split(),
)
LOCK = ".lock"


def settings_string(args: Namespace, iteration: int) -> str:
    """Name a run: its folders and its heading in the results file.

    Raises:
        UserError: a part of the name would lead out of its folder, forge a line of the results
            file, or make the name longer than a folder's can be.
    """
    setting = (
        f"{args.task_name}_{args.model_id}_{args.model}_{args.data}_ft{args.features}"
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
    if length > LONGEST_NAME:
        raise UserError(
            f"--model_id, --des and the like name a folder: {length} bytes are more than the "
            f"{LONGEST_NAME} that a name can have"
        )
    return setting


def configuration(arguments: Mapping, trained: Mapping | None = None) -> dict[str, object]:
    """Select what decides a run's results and is not in its settings string.

    Args:
        arguments: those of the run.
        trained: those of the training of a model that is only tested, or what else tells the
            model; None where the run trains it itself.

    Returns:
        Values by option; those that the training was given have `trained ` before their names.
    """

    def select(given: Mapping, names: tuple[str, ...]) -> dict[str, object]:
        chosen = {name: given[name] for name in names if name in given}
        if "root_path" in chosen and "data_path" in chosen:
            chosen["data_path"] = str(Path(chosen["root_path"]) / chosen["data_path"])
        for name in set(PATHS) & chosen.keys():
            path = Path(chosen[name])  # what is not there, such as a hub id, stays as it is
            chosen[name] = str(path.resolve()) if path.exists() else chosen[name]
        return chosen

    trained = arguments if trained is None else trained
    training = {"model": trained.get("model_digest"), **select(trained, TESTED + TRAINED)}
    return select(arguments, TESTED) | {f"trained {name}": v for name, v in training.items()}


def difference(earlier: dict[str, object], now: dict[str, object]) -> str:
    """Say in which options two configurations differ; empty where they do not.

    An option that one of them does not know was not there yet, and says nothing.
    """
    found = {}
    for name in now:
        if name in earlier and earlier[name] != now[name]:
            found.setdefault(name.removeprefix("trained "), (earlier[name], now[name]))
    if not found:
        return ""
    if "model" in found:
        return "of another model"
    name, (before, after) = next(iter(found.items()))
    more = f" and {len(found) - 1} more that differ" if len(found) > 1 else ""
    return f"with --{name} {before}, not {after}{more}"


class RunFolders:
    """The places of one run, named by its setting, below the working folder.

    Args:
        setting: the settings string. checkpoints: the folder of `--checkpoints`.
        root: where to write instead, for a process that is not to leave anything; its arrays
            go nowhere.

    Attributes:
        state: the state of training. kept: the best model. checkpoint: the same, or where this
            process would write it. results, plots: folders.
        more: further folders that the run writes to.
    """

    def __init__(self, setting: str, checkpoints: str | Path, root: str | Path | None = None):
        self.setting = setting
        self.root = Path(root or ".")
        self.state = Path(checkpoints) / setting / "state.safetensors"
        self.kept = self.checkpoint = self.state.with_name("checkpoint.safetensors")
        self.writes = root is None
        if root is not None:
            self.checkpoint = self.root / "checkpoints" / self.checkpoint.name
        self.results = self.root / "results" / setting
        self.plots = self.root / "test_results" / setting
        self.more: list[Path] = []

    def create(self, args: Namespace, trained: Mapping | None = None) -> None:
        """Make the folders, so that what can't be written to is found out before training.

        Args:
            args: the run's arguments. trained: see `configuration`.

        Raises:
            UserError: a folder can't be made or written to, or the results file can't, or there
                are results of another configuration and no `--overwrite`.
        """
        self.training, self.overwrite = bool(args.is_training), args.overwrite
        self.resuming = self.training and args.resume
        self.configuration = configuration(vars(args), trained)
        self._replaced()
        self.results_file = self.root / f"results_{args.task_name}.txt"
        try:
            existed = self.results_file.exists()
            with self.results_file.open("ab"):
                pass
            if not existed:
                self.results_file.unlink()
        except OSError as error:
            raise UserError(f"{self.results_file}: can't write there: {error.strerror}") from error
        for folder in [*self._owned(), self.plots, *self.more]:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise UserError(f"{folder}: can't write there: {error.strerror}") from error

    def _owned(self) -> list[Path]:
        """The folders that only one run may write to at a time."""
        return [self.results, *([self.checkpoint.parent] if self.training else [])]

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other runs of the same setting out, and remove what the results will replace.

        Raises:
            UserError: another run is at work there, or has left results of another configuration.
        """
        with ExitStack() as stack:
            for folder in self._owned():
                if not stack.enter_context(locked(folder / LOCK)):
                    raise UserError(
                        f"{folder}: another run of the same setting is writing there: wait for "
                        "it, or give another --model_id or --des"
                    )
                remove_parts(folder)
            replaced = self._replaced()
            if replaced or (self.results / "run.json").exists():
                print(f"{self.results} holds results of an earlier run, which this one replaces")
            for path in replaced:
                path.unlink()
            for plot in self.plots.glob("*.png"):
                plot.unlink()
            remove_parts(self.plots)
            yield

    def _replaced(self) -> list[Path]:
        """List the results of another configuration, which `--overwrite` gives up.

        Raises:
            UserError: there are such, or a checkpoint or state that training would replace, and
                no `--overwrite`; or `--resume` is to go on from a state of another one.
        """
        files = [path for path in self.results.glob("[!.]*") if path.is_file()]
        notes = []
        if self.results / "run.json" in files:
            notes.append((self.results, self._recorded()))
        if self.checkpoint.is_file() and (self.training or (files and not notes)):
            arguments = noted_arguments(self.checkpoint)
            notes.append((self.checkpoint.parent, arguments and configuration(arguments)))
        state = noted_arguments(self.state) if self.training else None
        if state:
            how = difference(configuration(state), self.configuration)
            if how and self.resuming:
                raise UserError(
                    f"{self.state} is of a run {how}: give the same options to --resume, or "
                    "another --model_id or --des"
                )
            notes.append((self.state.parent, configuration(state)))
        if files and not notes:
            notes.append((self.results, None))
        unlike = [
            (folder, difference(noted, self.configuration)) for folder, noted in notes if noted
        ]
        if notes and not unlike:
            unlike = [(notes[0][0], "of unknown options")]
        unlike = [f"{folder} holds a run {how}" for folder, how in unlike if how]
        if unlike and not self.overwrite:
            raise UserError(
                f"{unlike[0]}: give another --model_id or --des, or --overwrite to replace them"
            )
        return files if unlike else []

    def _recorded(self) -> dict[str, object] | None:
        """The configuration of the run whose results are there, where that can be told."""
        try:
            record = json.loads((self.results / "run.json").read_text())
            return configuration(record["arguments"], record.get("trained_with"))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    @contextmanager
    def arrays(self, **shapes: tuple[int, ...]) -> Iterator[dict[str, NpyWriter]]:
        """Open `NAME.npy` for each name and shape, to be written batch by batch, whole or not."""
        with ExitStack() as stack:
            writers = {}
            for name, shape in shapes.items():
                path = self.results / f"{name}.npy"
                part = stack.enter_context(whole_file(path)) if self.writes else Path(os.devnull)
                file = stack.enter_context(part.open("wb"))
                writers[name] = NpyWriter(file, shape)
            yield writers

    def save_metrics(self, values: list[float]) -> None:
        """Write `metrics.npy` in the order given."""
        with whole_file(self.results / "metrics.npy") as part, part.open("wb") as file:
            np.save(file, np.array(values, dtype=np.float32))

    def save_record(self, record: dict) -> None:
        """Write `run.json`, the account of the run."""
        with whole_file(self.results / "run.json") as part:
            part.write_text(json.dumps(record, indent=2, default=str) + "\n")

    def append_result(self, scores: dict[str, float]) -> None:
        """Append the setting, a line of scores and an empty line to `results_<task>.txt`, whole
        or not at all, whoever else appends to it."""
        line = ", ".join(f"{name}:{value}" for name, value in scores.items())
        text = f"{self.setting}\n{line}\n\n".encode()
        with self.results_file.open("ab", buffering=0) as file:
            lock(file.fileno())
            end = file.seek(0, os.SEEK_END)
            if file.write(text) < len(text):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.results_file))


def noted_arguments(checkpoint: Path) -> dict | None:
    """Read the arguments that are noted in one of our checkpoints, None where there are none."""
    try:
        with safe_open(checkpoint, "np") as file:
            return json.loads(file.metadata()[METADATA_KEY])["arguments"]
    except (SafetensorError, OSError, ValueError, TypeError, KeyError):
        return None
