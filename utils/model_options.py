"""The options that models read from their configs: those of the published scripts, of this
project's models, and of Time-Series-Library."""

import argparse
from collections.abc import Mapping
from typing import Protocol

from utils.command_line import real, whole


class Models(Protocol):
    """What the parser has to know of the models; `models.registry` does.

    Attributes:
        ALIASES: other names of models.
    """

    ALIASES: Mapping[str, str]

    def model_names(self) -> list[str]:
        """List the models, aliases included."""

    def options_of(self, name: str) -> frozenset[str]:
        """Return the names of the options that a model reads."""

    def refusal_of(self, name: str) -> str:
        """Say why a name is none of a model; empty if there is nothing of that name."""


LOSSES = "l1, smooth_l1, mse"
# options that change no result: sizes, of which those of the data count, and use of memory
NEUTRAL = frozenset({"enc_in", "dec_in", "c_out", "grad_checkpoint"})
POSITIVE = {"type": whole(1)}
FRACTION = {"type": real(below=1)}
WEIGHT = {"type": real()}

# (name, settings, help), with the published defaults
PUBLISHED_MODEL_OPTIONS = [
    ("d_model", {**POSITIVE, "default": 512}, "width; that of the language model if not given"),
    ("gpt_layers", {**POSITIVE, "default": 6}, "blocks of the language model used"),
    ("r", {"type": whole(), "default": 8}, "rank of LoRA; 0: no adapters"),
    ("lora_alpha", {**POSITIVE, "default": 32}, "LoRA is scaled by alpha / r"),
    ("lora_dropout", {**FRACTION, "default": 0.1}, "dropout of LoRA"),
    (
        "word_embedding_path",
        {"default": "wte_pca_500.pt"},
        "file that pca.py wrote; none: components of the backbone's own token table, as without "
        "the default file or with --llm_weights random; random: Gaussian, of the same variances",
    ),
    ("feature_loss", {"default": "l1"}, f"branch against branch, hidden states: {LOSSES}"),
    ("output_loss", {"default": "l1"}, f"branch against branch, outputs: {LOSSES}; M4 more"),
    ("task_w", {**WEIGHT, "default": 1.0}, "weight of the task loss"),
    ("feature_w", {**WEIGHT, "default": 0.01}, "weight of the feature loss"),
    ("output_w", {**WEIGHT, "default": 1.0}, "weight of the output loss"),
    ("enc_in", {**POSITIVE, "default": 7}, "channels of the encoder: those of the data count"),
    ("dec_in", {**POSITIVE, "default": 7}, "channels of the decoder: those of the data count"),
    ("c_out", {**POSITIVE, "default": 7}, "channels forecast: those of the data count"),
    ("n_heads", {**POSITIVE, "default": 8}, "attention heads"),
    ("e_layers", {"type": whole(), "default": 2}, "encoder layers"),
    ("d_layers", {"type": whole(), "default": 1}, "decoder layers"),
    ("d_ff", {**POSITIVE, "default": 2048}, "width of the feed-forward networks"),
    ("dropout", {**FRACTION, "default": 0.1}, "dropout"),
    ("activation", {"type": str, "default": "gelu"}, "activation: gelu, relu"),
    ("moving_avg", {**POSITIVE, "default": 25}, "steps of the moving average"),
    ("top_k", {**POSITIVE, "default": 5}, "periods found"),
    ("num_kernels", {**POSITIVE, "default": 6}, "kernels of an Inception block"),
    ("factor", {**POSITIVE, "default": 1}, "of sparse attention"),
    ("distil", {"action": "store_false", "default": True}, "turns distilling off"),
    ("output_attention", {"action": "store_true", "default": None}, "return attention maps too"),
    ("p_hidden_dims", {**POSITIVE, "nargs": "+", "default": [128, 128]}, "widths of projectors"),
    ("p_hidden_layers", {**POSITIVE, "default": 2}, "layers of projectors"),
]

OWN_MODEL_OPTIONS = [
    ("llm", {"default": "gpt2"}, "language model: hub id, folder or .gguf file"),
    (
        "llm_weights",
        {"choices": ("pretrained", "random", "shuffled"), "default": "pretrained"},
        "random: the same architecture, untrained; shuffled: each weight matrix in random order",
    ),
    (
        "llm_seed",
        {"type": whole(0, 2**31), "default": None},
        "of random or shuffled weights; if not given, the seed of each repetition",
    ),
    (
        "llm_ablation",
        {"choices": ("none", "random", "attention", "transformer", "identity"), "default": "none"},
        "random: all untrained; or one trained layer, or nothing, in place of the blocks",
    ),
    (
        "words",
        {"choices": ("pca", "random", "none"), "default": "pca"},
        "word embeddings; random: of the same variances; none: no cross-attention",
    ),
    ("n_components", {"type": whole(), "default": 0}, "principal components used; 0: all"),
    (
        "scale_free",
        {"action": "store_true"},
        "principal words, textual tokens and features have unit root mean square",
    ),
    (
        "grad_checkpoint",
        {"action": "store_true"},
        "recompute activations in the backward pass: less memory, same results",
    ),
    ("patch_len", {**POSITIVE, "default": 16}, "steps of a patch"),
    ("stride", {**POSITIVE, "default": 8}, "steps between the starts of patches"),
    ("individual", {"action": "store_true"}, "layers of its own for each channel"),
    ("season_length", {"type": whole(), "default": 0}, "steps of a season; 0: from timestamps"),
    # Time-Series-Library's, with its defaults
    ("expand", {**POSITIVE, "default": 2}, "expansion factor of Mamba"),
    ("d_conv", {**POSITIVE, "default": 4}, "kernel of Mamba's convolution"),
    ("channel_independence", {"type": int, "choices": (0, 1), "default": 1}, "1: by channel"),
    ("decomp_method", {"default": "moving_avg"}, "decomposition: moving_avg, dft_decomp"),
    ("use_norm", {"type": int, "choices": (0, 1), "default": 1}, "1: normalise windows"),
    ("down_sampling_layers", {"type": whole(), "default": 0}, "layers of down-sampling"),
    ("down_sampling_window", {**POSITIVE, "default": 1}, "steps of a down-sampling window"),
    ("down_sampling_method", {"default": None}, "down-sampling: avg, max, conv"),
    ("seg_len", {**POSITIVE, "default": 96}, "steps of a segment"),
    ("node_dim", {**POSITIVE, "default": 10}, "width of node embeddings"),
    ("gcn_depth", {**POSITIVE, "default": 2}, "depth of graph convolution"),
    ("gcn_dropout", {**FRACTION, "default": 0.3}, "dropout of graph convolution"),
    ("propalpha", {"type": real(), "default": 0.3}, "of graph convolution"),
    ("conv_channel", {**POSITIVE, "default": 32}, "channels of convolutions"),
    ("skip_channel", {**POSITIVE, "default": 32}, "channels of skip connections"),
    ("alpha", {"type": real(), "default": 0.1}, "of graph construction"),
    ("top_p", {"type": real(), "default": 0.5}, "of dynamic routing"),
    ("pos", {"type": int, "choices": (0, 1), "default": 1}, "1: position embeddings"),
]
MODEL_OPTIONS = frozenset(name for name, *_ in PUBLISHED_MODEL_OPTIONS + OWN_MODEL_OPTIONS)


def add_model_options(
    parser: argparse.ArgumentParser, options: list[tuple[str, dict, str]], models: Models
) -> None:
    """Add options of models, each with the models that use it in its help; one that no model here
    uses is accepted too."""
    published = options is PUBLISHED_MODEL_OPTIONS
    group = parser.add_argument_group(
        "options of models" if published else "options of models that the published code lacks"
    )
    names = [name for name in models.model_names() if name not in models.ALIASES]
    users = {name: models.options_of(name) for name in names}
    for option, settings, text in options:
        of = ", ".join(name for name, used in users.items() if option in used)
        group.add_argument(f"--{option}", help=f"{text} [{of or 'no model here'}]", **settings)
