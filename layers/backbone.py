"""Load a GPT-2 from the hub or a local folder, or build one with random weights."""

import contextlib
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from transformers import GPT2Config, GPT2Model
from transformers.utils import logging as transformers_logging

from utils.errors import UserError
from utils.files import fingerprints, require_model_folder
from utils.hub import HUB_TIMEOUT, is_offline, within

# The published GPT-2s differ only in these numbers: random weights need no network.
KNOWN_SHAPES = {
    "distilgpt2": {"n_layer": 6},
    "gpt2": {},
    "gpt2-medium": {"n_embd": 1024, "n_layer": 24, "n_head": 16},
    "gpt2-large": {"n_embd": 1280, "n_layer": 36, "n_head": 20},
    "gpt2-xl": {"n_embd": 1600, "n_layer": 48, "n_head": 25},
}
# The published file of GPT-2's weights, its SHA-256 and its revision on the hub
GPT2_SHA256 = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"
GPT2_REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")  # as Transformers looks for them


def load_backbone(llm: str, weights: str = "pretrained", seed: int = 2021) -> GPT2Model:
    """Load a GPT-2, or build one with random weights from its configuration alone.

    Args:
        llm: a hub id, or a folder in Hugging Face's format.
        weights: "pretrained" or "random".
        seed: of random weights; the global random state is unchanged.

    Raises:
        UserError: the hub can't be reached and nothing is cached, the folder is incomplete or
            damaged, or the model is not a GPT-2.
    """
    with quiet_transformers():
        if weights == "random":
            return random_gpt2(load_config(llm), seed)
        return _from_pretrained(GPT2Model, llm)


def random_gpt2(config: GPT2Config, seed: int) -> GPT2Model:
    """Build a GPT-2 with random weights; the global random state is unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2Model(config)


def describe_backbone(llm: str, weights: str, seed: int) -> str:
    """Describe a backbone and its weights."""
    return f"{llm} with " + (
        f"random weights (seed {seed})" if weights == "random" else "its weights"
    )


def describe_weights_file(llm: str) -> dict[str, object] | None:
    """Describe the file that `load_backbone` reads pre-trained weights from.

    Returns:
        `name`; `sha256`; `revision`, None unless it is known; and `is_published_gpt2`, whether this
        is the published file of GPT-2. None if the weights are in several files.
    """
    folder = Path(llm)
    is_local = folder.is_dir()
    if not is_local:
        config = try_to_load_from_cache(llm, "config.json")
        if not isinstance(config, str):
            return None
        folder = Path(config).parent  # a snapshot, which is named by its revision
    path = next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    sha256 = fingerprints([path])[str(path)]["sha256"]
    is_published = sha256 == GPT2_SHA256
    known = GPT2_REVISION if is_published else None
    return {
        "name": path.name,
        "sha256": sha256,
        "revision": known if is_local else folder.name,
        "is_published_gpt2": is_published,
    }


def warn_of_another_gpt2(llm: str, file: Mapping[str, object] | None) -> None:
    """Print a line if `llm` is called gpt2 and its weights are not the published ones.

    Args:
        file: see `describe_weights_file`.
    """
    if Path(llm).name != "gpt2" or (file and file["is_published_gpt2"]):
        return
    found = f"{file['name']} has SHA-256 {file['sha256']}" if file else "several files"
    print(
        f"--llm {llm}: not the published file of GPT-2: {found}, model.safetensors of revision "
        f"{GPT2_REVISION[:8]} has {GPT2_SHA256}"
    )


def check_backbone(config: GPT2Config, llm: str, d_model: int, gpt_layers: int) -> None:
    """Check that the backbone has this width and depth.

    Raises:
        UserError: it has not; the message names both numbers.
    """
    if config.n_embd != d_model:
        raise UserError(
            f"--d_model is {d_model}, but the backbone {llm} is {config.n_embd} wide: "
            f"pass --d_model {config.n_embd}"
        )
    if gpt_layers > config.n_layer:
        raise UserError(
            f"--gpt_layers is {gpt_layers}, but the backbone {llm} has {config.n_layer} blocks: "
            "choose that many or fewer"
        )


def load_config(llm: str) -> GPT2Config:
    """Read the configuration of a GPT-2, without its weights; see `load_backbone`."""
    name = llm.removeprefix("openai-community/").removeprefix("distilbert/")
    if name in KNOWN_SHAPES and not Path(llm).is_dir():
        return GPT2Config(**KNOWN_SHAPES[name])
    return _from_pretrained(GPT2Config, llm)


def _from_pretrained(kind: type, llm: str):
    """`kind.from_pretrained(llm)`: from a folder, else the cache, else the hub, with a timeout."""
    if Path(llm).is_dir():
        return _read(kind, llm, f"the folder {llm}")
    require_model_folder(llm)
    try:
        return _read(kind, llm, f"the cached copy of {llm}")
    except _NotThereError:
        _check_hub(llm)
    return _read(kind, llm, llm, local_files_only=False)


class _NotThereError(UserError):
    """A file of the model is missing."""


def _read(kind: type, llm: str, where: str, local_files_only: bool = True):
    try:
        described, _ = GPT2Config.get_config_dict(llm, local_files_only=local_files_only)
        if not described:
            raise _NotThereError(f"--llm: {where} has no config.json")
        if described.get("model_type") != "gpt2":
            raise UserError(f"--llm: {where} is a {described.get('model_type')} model, not a GPT-2")
        if kind is GPT2Config:
            return GPT2Config.from_dict(described)
        model, report = kind.from_pretrained(
            llm, local_files_only=local_files_only, output_loading_info=True
        )
    except UserError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        missing = isinstance(error, OSError) and not isinstance(error, PermissionError)
        raise (_NotThereError if missing else UserError)(
            f"--llm: can't load a GPT-2 from {where}: {reason}"
        ) from error
    absent = sorted(report["missing_keys"]) + sorted(map(str, report["mismatched_keys"]))
    if absent:
        raise UserError(f"--llm: {where} lacks {len(absent)} of GPT-2's weights, as {absent[0]}")
    return model.float()


def _check_hub(llm: str) -> None:
    """Send one request with a timeout; the libraries' own retries take most of a minute.

    Raises:
        UserError: the hub can't be reached, or it has no such model.
    """
    ways_out = (
        "cache the model or set HF_ENDPOINT to a mirror, give --llm a local folder, "
        "or pass --llm_weights random"
    )
    if is_offline():
        raise UserError(f"{llm} is not cached and HF_HUB_OFFLINE is set: {ways_out}")
    error = None
    try:
        within(HUB_TIMEOUT + 2, lambda: HfApi().model_info(llm, timeout=HUB_TIMEOUT))
    except Exception as raised:
        error = raised
    if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
        raise UserError(f"--llm {llm}: neither a local folder nor a model on the hub")
    if isinstance(error, HfHubHTTPError):
        raise UserError(f"--llm {llm}: the hub refused: {str(error).splitlines()[0]}; {ways_out}")
    if error is not None:
        raise UserError(f"{llm} is not cached and the hub can't be reached: {ways_out}")


@contextlib.contextmanager
def quiet_transformers():
    """Silence progress bars, logs and warnings of transformers."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
