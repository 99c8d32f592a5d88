"""Where the files of a language model come from: a folder, a file, the hub's cache, or the hub."""

import contextlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging as transformers_logging

from utils.bars import are_hidden
from utils.errors import UserError, first_line
from utils.files import fingerprints, require_model_folder

T = TypeVar("T")

# The published file of GPT-2's weights, its SHA-256 and its revision on the hub
GPT2_SHA256 = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"
GPT2_REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")  # as Transformers looks for them
WAYS_OUT = (
    "cache the model or set HF_ENDPOINT to a mirror, give --llm a local folder, or pass --llm gpt2 "
    "--llm_weights random, which needs no network"
)


class NotThereError(UserError):
    """A file of the model is missing."""


def from_disk_or_hub(llm: str, read: Callable[..., T]) -> T:
    """Read from a folder or file, else the cache, else the hub, with a timeout."""
    if Path(llm).exists():
        return read(where=f"the folder {llm}" if Path(llm).is_dir() else llm, local=True)
    require_model_folder(llm)
    try:
        return read(where=f"the cached copy of {llm}", local=True)
    except NotThereError:
        _check_hub(llm)
    return read(where=llm, local=False)


def location(llm: str) -> dict[str, str]:
    """Return the arguments of `from_pretrained` that locate a model."""
    path = Path(llm)
    if path.is_file():
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    return {"pretrained_model_name_or_path": llm}


@contextlib.contextmanager
def explained(what: str, where: str):
    """Turn errors of the libraries into a `UserError` of one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        missing = isinstance(error, OSError) and not isinstance(error, PermissionError)
        raise (NotThereError if missing else UserError)(
            f"--llm: can't {what} from {where}: {first_line(error)}"
        ) from error


def _check_hub(llm: str) -> None:
    """Send one request with a timeout; the libraries' own retries take most of a minute."""
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{llm} is not cached and HF_HUB_OFFLINE is set: {WAYS_OUT}")
    try:
        HfApi().model_info(llm, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        why = f"not cached, and the hub can't be reached: {WAYS_OUT}"
        if isinstance(error, HfHubHTTPError):
            why = f"the hub refused: {first_line(error)}; {WAYS_OUT}"
        if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
            why = "neither a local folder nor a model on the hub"
        raise UserError(f"--llm {llm}: {why}") from error


@contextlib.contextmanager
def quiet_transformers():
    """Silence progress bars, logs and warnings of transformers; bars of the hub's downloads stay,
    unless bars are hidden."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    downloads = not are_progress_bars_disabled() and not are_hidden()
    transformers_logging.disable_progress_bar()  # those of the hub too
    if downloads:
        enable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def describe_weights_file(llm: str) -> dict[str, object] | None:
    """Describe the file that `load_backbone` reads pre-trained weights from.

    Returns:
        `name`; `sha256`; `revision`, None unless it is known; and `is_published_gpt2`, whether this
        is the published file of GPT-2. None if the weights are in several files.
    """
    local = Path(llm)
    if local.exists():
        found = [local, *(local / name for name in WEIGHTS_FILES)]  # the first: .gguf
    else:
        cached = (try_to_load_from_cache(llm, name) for name in WEIGHTS_FILES)
        found = [Path(path) for path in cached if isinstance(path, str)]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        return None
    sha256 = fingerprints([path])[str(path)]["sha256"]
    published = sha256 == GPT2_SHA256
    known = GPT2_REVISION if published else None
    revision = known if local.exists() else path.parent.name  # of a snapshot
    names = {"name": path.name, "sha256": sha256, "revision": revision}
    return names | {"is_published_gpt2": published}


def warn_of_another_gpt2(llm: str, file: Mapping[str, object] | None) -> None:
    """Print a line if `llm` is called gpt2 and its weights, as `describe_weights_file` describes
    their file, are not the published ones."""
    if Path(llm).name != "gpt2" or (file and file["is_published_gpt2"]):
        return
    found = f"{file['name']} has SHA-256 {file['sha256']}" if file else "several files"
    print(
        f"--llm {llm}: not the published file of GPT-2: {found}, model.safetensors of revision "
        f"{GPT2_REVISION[:8]} has {GPT2_SHA256}"
    )
