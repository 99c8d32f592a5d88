"""Language models of Transformers: from a folder, a file, the hub's cache or the hub, or built with
random weights."""

import contextlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import torch
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    GPT2Config,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from utils.bars import are_hidden, clock
from utils.errors import UserError, first_line
from utils.files import fingerprints, require_model_folder

T = TypeVar("T")

# The published file of GPT-2's weights, its SHA-256 and its revision on the hub
GPT2_SHA256 = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"
GPT2_REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")  # as Transformers looks for them
WAYS_OUT = (
    "cache the model or set HF_ENDPOINT to a mirror; give --llm a local folder, such as that of "
    "python datasets/download.py smollm2; or pass --llm gpt2 --llm_weights random"
)
# The published GPT-2s differ only in these numbers: random weights need no network.
KNOWN_SHAPES = {
    "distilgpt2": {"n_layer": 6},
    "gpt2": {},
    "gpt2-medium": {"n_embd": 1024, "n_layer": 24, "n_head": 16},
    "gpt2-large": {"n_embd": 1280, "n_layer": 36, "n_head": 20},
    "gpt2-xl": {"n_embd": 1600, "n_layer": 48, "n_head": 25},
}
# activations of Transformers that are the tanh approximation, for which PyTorch has a kernel
TANH_GELU = ("gelu_new", "gelu_fast")


def load_backbone(
    llm: str,
    weights: str = "pretrained",
    seed: int = 2021,
    n_layer: int | None = None,
    d_model: int | None = None,
) -> PreTrainedModel:
    """Load the first blocks of a language model in float32; the global random state is unchanged.

    Args:
        llm: a hub id, a folder in Hugging Face's format, or a `.gguf` file.
        weights: "pretrained"; "shuffled": see `shuffle_weights`; or "random": of a model that is
            built from its configuration alone.
        seed: of random weights, and of shuffling.
        n_layer: number of blocks; by default all.
        d_model: the width that it has to have, if there is one.

    Raises:
        UserError: the hub can't be reached and nothing is cached; files are missing or damaged; the
            model has another width or fewer blocks, or does not take `inputs_embeds` or return
            hidden states.
    """
    config = load_config(llm)
    depth, width = config.num_hidden_layers, config.hidden_size
    n_layer = depth if n_layer is None else n_layer
    if n_layer > depth:
        has = f"the backbone {llm} has {depth} blocks"
        raise UserError(f"--gpt_layers is {n_layer}, but {has}: choose that many or fewer")
    if d_model not in (None, width):
        wide = f"the backbone {llm} is {width} wide"
        raise UserError(f"--d_model is {d_model}, but {wide}: pass --d_model {width}")
    with quiet_transformers(), clock(f"loading {llm}"):
        if weights == "random":
            model = random_backbone(config, seed, n_layer)
        else:
            model = _load_weights(llm, with_depth(config, n_layer))
        check_hidden_states(model, llm)
    if weights == "shuffled":
        shuffle_weights(model, seed)
    return model


def random_backbone(config: PreTrainedConfig, seed: int, n_layer: int) -> PreTrainedModel:
    """Build the first blocks of a language model with the random weights of its family's
    initialiser; the global random state is unchanged."""
    # of GPT-2 all blocks are drawn: for a seed, the first ones are those of earlier versions
    is_gpt2 = config.model_type == "gpt2"
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        drawn = with_depth(config, config.num_hidden_layers if is_gpt2 else n_layer)
        model = AutoModel.from_config(drawn, dtype=torch.float32)
    return keep_blocks(model, n_layer)


def keep_blocks(model: PreTrainedModel, n_layer: int) -> PreTrainedModel:
    """Remove all blocks but the first, and the pooler of an encoder; returns the model."""
    del blocks_of(model)[n_layer:]
    set_depth(model.config, n_layer)  # in place: the blocks have the same one
    model.config.use_cache = False
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """Return the blocks of a language model: its first list of modules."""
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList))


def with_depth(config: PreTrainedConfig, n_layer: int) -> PreTrainedConfig:
    """Copy a configuration, with another number of blocks."""
    config = deepcopy(config)
    set_depth(config, n_layer)
    return config


def set_depth(config: PreTrainedConfig, n_layer: int) -> None:
    """Set the number of blocks, and cut lists with an entry for each, such as `layer_types`."""
    depth = config.num_hidden_layers
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == depth:
            setattr(config, name, value[:n_layer])
    config.num_hidden_layers = n_layer


def shuffle_weights(model: PreTrainedModel, seed: int) -> None:
    """Put the values of every weight matrix of the blocks into a random order, in place: scale and
    spread of the weights stay, and norms, biases, positions and word embeddings as they are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in blocks_of(model).parameters():
            if parameter.dim() > 1:
                order = torch.randperm(parameter.numel(), generator=generator)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))


def positions_of(model: nn.Module) -> list[nn.Embedding]:
    """Return the tables of learned positions; rotary and other computed positions have none."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and ("position" in name or name.endswith("wpe"))
    ]


def most_tokens(model: nn.Module) -> float:
    """Return how many tokens a model has learned positions for; infinite if it learns none."""
    most = float("inf")
    for table in positions_of(model):
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        most = min(most, table.num_embeddings - getattr(table, "offset", 0) - first)
    return most


def describe_backbone(llm: str, weights: str, seed: int) -> str:
    """Describe a backbone and its weights."""
    kind = "its weights" if weights == "pretrained" else f"{weights} weights (seed {seed})"
    return f"{llm} with {kind}"


def check_hidden_states(model: PreTrainedModel, llm: str) -> None:
    """Raise a `UserError` if a model does not map embeddings, here two, to hidden states of the
    same width."""
    n_layer, width = model.config.num_hidden_layers, model.config.hidden_size
    cannot = f"--llm {llm}: a {model.config.model_type} model can't serve:"
    if "inputs_embeds" not in inspect.signature(model.forward).parameters:
        raise UserError(f"{cannot} it takes no embeddings (inputs_embeds)")
    training = model.training
    try:
        with torch.no_grad():
            tokens = torch.zeros(1, 2, width)
            outputs = model.eval()(inputs_embeds=tokens, output_hidden_states=True)
        hidden, output = outputs.hidden_states, outputs.last_hidden_state
    except Exception as error:
        raise UserError(f"{cannot} {first_line(error)}") from error
    finally:
        model.train(training)
    if output.shape != tokens.shape:
        raise UserError(f"{cannot} its hidden states are {output.shape[-1]} wide, not {width}")
    found = len(hidden or ())
    if found != n_layer + 1:
        raise UserError(f"{cannot} it returns {found} hidden states of {n_layer} blocks")


def load_config(llm: str) -> PreTrainedConfig:
    """Read the configuration of a language model, without its weights; see `load_backbone`."""
    name = llm.removeprefix("openai-community/").removeprefix("distilbert/")
    if name in KNOWN_SHAPES and not Path(llm).exists():
        config = GPT2Config(**KNOWN_SHAPES[name])
    else:
        config = from_disk_or_hub(llm, lambda **where: _read_config(llm, **where))
    kind = f"--llm {llm}: a {config.model_type} model can't serve:"
    if config.is_encoder_decoder:
        raise UserError(f"{kind} it is an encoder-decoder: take a decoder or an encoder alone")
    if config.get_text_config() is not config:
        raise UserError(f"{kind} it is not one of text alone")
    if not all(hasattr(config, name) for name in ("num_hidden_layers", "hidden_size")):
        raise UserError(f"{kind} its configuration names no number and width of blocks")
    for name, value in vars(config).items():
        if value in TANH_GELU:
            setattr(config, name, "gelu_pytorch_tanh")
    return config


def _read_config(llm: str, where: str, local: bool) -> PreTrainedConfig:
    with explained("read the configuration", where), quiet_transformers():
        place = location(llm) | {"local_files_only": local}
        if "gguf_file" not in place and not PreTrainedConfig.get_config_dict(**place)[0]:
            raise NotThereError(f"--llm: {where} has no config.json")
        return AutoConfig.from_pretrained(**place, trust_remote_code=False)


def _load_weights(llm: str, config: PreTrainedConfig) -> PreTrainedModel:
    """Load the blocks that `config` has."""

    def read(where: str, local: bool) -> PreTrainedModel:
        folder = Path(llm)
        if folder.is_dir() and not [*folder.glob("*.safetensors"), *folder.glob("*.bin")]:
            remedy = "pass --llm_weights random, or add them"
            raise UserError(f"--llm: {where} has no weights (model.safetensors): {remedy}")
        with explained("load a model", where), torch.random.fork_rng(devices=[]):
            # not by AutoModel, which asks the hub for adapters first
            model, report = MODEL_MAPPING[type(config)].from_pretrained(
                **location(llm), config=config, dtype=torch.float32, local_files_only=local,
                output_loading_info=True,
            )  # fmt: skip
        missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
        absent = sorted(missing) + sorted(map(str, report["mismatched_keys"]))
        if absent:
            raise UserError(f"--llm: {where} lacks {len(absent)} of its weights, as {absent[0]}")
        if folder.is_file():  # the weights are no longer quantised
            model.hf_quantizer = None
            del model.config.quantization_config
        return model

    return keep_blocks(from_disk_or_hub(llm, read), config.num_hidden_layers)


# Files


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
    """Describe the file that `load_backbone` reads pre-trained weights from: `name`; `sha256`;
    `revision`, None unless it is known; and `is_published_gpt2`, whether this is the published file
    of GPT-2. None if the weights are in several files."""
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
