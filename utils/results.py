"""The folders and files of a run's results, as in Time-Series-Library."""

import errno
import json
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from utils.errors import UserError
from utils.files import LONGEST_NAME, METADATA_KEY, NpyWriter, remove_parts, whole_file
from utils.locks import lock, locked
from utils.word_embeddings import DEFAULT_PATH, NO_FILE, RANDOM

# The options that determine a run's results and are not part of its settings string.
PATHS = ("root_path", "data_path", "word_embedding_path", "llm")
TESTED = (
    *"root_path data_path target freq fill_missing inverse zero_shot target_data".split(),
    *"seasonal_patterns mask_rate anomaly_ratio threshold protocol amp tf32".split(),
)
TRAINED = (
    *"seed percent task_loss train_epochs batch_size patience learning_rate cos tmax".split(),
    *"lradj decay_fac protocol accumulate fast_cpu".split(),
)
# of the model, for arguments of versions that had one model
CALF_OPTIONS = (
    *"word_embedding_path llm llm_weights r lora_alpha lora_dropout feature_loss".split(),
    *"output_loss task_w feature_w output_w".split(),
)
LOCK = ".lock"
MANIFEST = "manifest.json"


def settings_string(args: Namespace, iteration: int) -> str:
    """Name a run: its folders and its heading in the results file.

    Raises:
        UserError: the name has a slash, a line break or another invisible character, or is too long
            for a folder.
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
    """Select the options that determine a run's results and are not in its settings string.

    Args:
        arguments: of the run.
        trained: of the training, if the run only tests a model, or else a digest of the model;
            None if the run trains the model itself.

    Returns:
        Values by option; names of options of that training start with `trained `.
    """

    def select(given: Mapping, names: tuple[str, ...]) -> dict[str, object]:
        chosen = {name: given[name] for name in names if name in given}
        if "root_path" in chosen and "data_path" in chosen:
            chosen["data_path"] = str(Path(chosen["root_path"]) / chosen["data_path"])
        for name in set(PATHS) & chosen.keys():
            if name == "word_embedding_path" and chosen[name] in (NO_FILE, RANDOM):
                continue  # whatever files there are
            path = Path(chosen[name])  # what is not there, such as a hub id, stays as it is
            chosen[name] = str(path.resolve()) if path.exists() else chosen[name]
        return chosen

    arguments = of_earlier_version(arguments)
    trained = arguments if trained is None else of_earlier_version(trained)
    tested, of_model = (
        (*TESTED, *given.get("model_options", CALF_OPTIONS)) for given in (arguments, trained)
    )
    training = {"model": trained.get("model_digest"), **select(trained, of_model + TRAINED)}
    return _without_absent_default(
        select(arguments, tested) | {f"trained {name}": v for name, v in training.items()}
    )


def _without_absent_default(options: Mapping[str, object]) -> dict[str, object]:
    """Replace the default file of word embeddings, which earlier versions recorded by its bare name
    where it was absent, by what was used: none."""
    return {name: NO_FILE if value == DEFAULT_PATH else value for name, value in options.items()}


def difference(earlier: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Describe how two configurations differ; empty if they do not.

    Options that one of them lacks are of another version, and are ignored.
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
    """The folders of a run, named by its setting, in the working folder.

    Args:
        setting: the settings string. checkpoints: the folder of `--checkpoints`.
        writes: whether this process may write; only rank 0 may.

    Attributes:
        state: file of the training state. best_checkpoint: file of the best model.
        results, plots: folders.
        more: further folders that the run writes to.
    """

    def __init__(self, setting: str, checkpoints: str | Path, writes: bool = True):
        self.setting, self.writes = setting, writes
        self.state = Path(checkpoints) / setting / "state.safetensors"
        self.best_checkpoint = self.state.with_name("checkpoint.safetensors")
        self.results = Path("results") / setting
        self.plots = Path("test_results") / setting
        self.more: list[Path] = []

    def check_writable(self, args: Namespace) -> None:
        """Make the folders, and check before training that they can be written to.

        Raises:
            UserError: a folder can't be made or written to, or the results file can't.
        """
        self.results_file = Path(f"results_{args.task_name}.txt")
        if not self.writes:
            return
        try:
            existed = self.results_file.exists()
            with self.results_file.open("ab"):
                pass
            if not existed:
                self.results_file.unlink()
        except OSError as error:
            raise UserError(f"{self.results_file}: can't write there: {error.strerror}") from error
        folders = [self.results, self.plots, *self.more]
        for folder in folders + ([self.state.parent] if args.is_training else []):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise UserError(f"{folder}: can't write there: {error.strerror}") from error

    @contextmanager
    def claim(self, args: Namespace, trained: Mapping | None = None) -> Iterator[None]:
        """Lock the folders against other runs of the same setting, and write the manifests.

        Args:
            args: the run's arguments. trained: see `configuration`.

        Raises:
            UserError: another run is writing there; or the folders contain results, a checkpoint
                or a state of another configuration without `--overwrite`; or the state to
                `--resume` is of another configuration.
        """
        if not self.writes:
            yield
            return
        own = [self.results, *([self.state.parent] if args.is_training else [])]
        now = configuration(vars(args), trained)
        with ExitStack() as stack:
            for folder in own:
                if not stack.enter_context(locked(folder / LOCK)):
                    raise UserError(
                        f"{folder}: another run of the same setting is writing there: wait for "
                        "it, or give another --model_id or --des"
                    )
                remove_parts(folder)
            unlike = {folder: how for folder in own if (how := self._conflict(folder, now))}
            resumes = args.is_training and args.resume
            if resumes and self.state.exists() and self.state.parent in unlike:
                raise UserError(
                    f"{self.state} is of a run {unlike[self.state.parent]}: give the same options "
                    "to --resume, or another --model_id or --des"
                )
            if unlike and not args.overwrite:
                folder, how = next(iter(unlike.items()))
                raise UserError(
                    f"{folder} has a run {how}: give another --model_id or --des, or "
                    "--overwrite to replace it"
                )
            if content(self.results):
                print(f"{self.results} has results of an earlier run; this one replaces them")
            for path in [path for folder in unlike for path in content(folder)]:
                path.unlink()
            for plot in self.plots.glob("*.png"):
                plot.unlink()
            remove_parts(self.plots)
            for folder in own:
                with whole_file(folder / MANIFEST) as part:
                    part.write_text(json.dumps(now, indent=2) + "\n")
            try:
                yield
            finally:
                for folder in own:  # a manifest alone means nothing
                    if not content(folder):
                        (folder / MANIFEST).unlink(missing_ok=True)

    def _conflict(self, folder: Path, now: Mapping[str, object]) -> str:
        """Describe how the run in a folder differs from this one; empty if it does not."""
        if not content(folder):
            return ""
        earlier = read_manifest(folder)
        return "of unknown options" if earlier is None else difference(earlier, now)

    @contextmanager
    def arrays(self, **shapes: tuple[int, ...]) -> Iterator[dict[str, NpyWriter]]:
        """Open `NAME.npy` for each name and shape, to be written batch by batch, atomically."""
        with ExitStack() as stack:
            writers = {}
            for name, shape in shapes.items():
                path = self.results / f"{name}.npy"
                part = stack.enter_context(whole_file(path)) if self.writes else Path(os.devnull)
                file = stack.enter_context(part.open("wb"))
                writers[name] = NpyWriter(file, shape)
            yield writers

    def saved_array(self, name: str) -> np.ndarray:
        """Map `NAME.npy`, which may be larger than memory."""
        return np.load(self.results / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def save_metrics(self, values: list[float]) -> None:
        """Write `metrics.npy` in the order given."""
        if self.writes:
            with whole_file(self.results / "metrics.npy") as part, part.open("wb") as file:
                np.save(file, np.array(values, dtype=np.float32))

    def save_record(self, record: dict) -> None:
        """Write `run.json`, the record of the run."""
        if self.writes:
            with whole_file(self.results / "run.json") as part:
                part.write_text(json.dumps(record, indent=2, default=str) + "\n")

    def append_result(self, scores: dict[str, float]) -> None:
        """Append the setting, a line of scores and an empty line to `results_<task>.txt`,
        atomically, even if other processes append too."""
        if not self.writes:
            return
        line = ", ".join(f"{name}:{value}" for name, value in scores.items())
        text = f"{self.setting}\n{line}\n\n".encode()
        with self.results_file.open("ab", buffering=0) as file:
            lock(file.fileno())
            end = file.seek(0, os.SEEK_END)
            if file.write(text) < len(text):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.results_file))


def content(folder: Path) -> list[Path]:
    """List the files of runs in a folder, without the manifest and hidden files."""
    return [p for p in folder.glob("[!.]*") if p.is_file() and p.name != MANIFEST]


def of_earlier_version(options: Mapping[str, object]) -> dict[str, object]:
    """Name the protocol of an earlier version's options, or of its manifest.

    What was the published way then is neither protocol of today.
    """
    options = dict(options)
    for before in ("", "trained "):
        validation = options.pop(f"{before}reference_validation", None)
        m4 = options.pop(f"{before}m4_protocol", None)
        if validation is not None or m4 is not None:
            published = validation or m4 == "reference"
            options[f"{before}protocol"] = "of an earlier version" if published else "sound"
    return options


def read_manifest(folder: Path) -> dict[str, object] | None:
    """Read the configuration of the run in a folder; None if it is unknown.

    Folders of earlier versions have no manifest: it is read from the notes in their files.
    """

    def tensors_notes(path: Path) -> dict:
        with safe_open(path, "np") as file:
            return json.loads(file.metadata()[METADATA_KEY])

    def record_or_notes(path: Path) -> dict[str, object]:
        notes = json.loads(path.read_text()) if path.suffix == ".json" else tensors_notes(path)
        if path.name == MANIFEST:
            return _without_absent_default(of_earlier_version(notes))
        return configuration(notes["arguments"], notes.get("trained_with"))

    for path in [folder / MANIFEST, folder / "run.json", *sorted(folder.glob("*.safetensors"))]:
        with suppress(SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError):
            return record_or_notes(path)
    return None
