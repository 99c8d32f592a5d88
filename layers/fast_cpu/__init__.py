"""Fast float32 modules for x86 processors (docs/fast_cpu.md)."""

from torch import nn
from transformers import PreTrainedModel

from layers.fast_cpu.attention import FAST_CPU
from layers.fast_cpu.modules import FAST
from layers.fast_cpu.products import onednn_is_faster, use_onednn

__all__ = ["install", "onednn_is_faster", "uninstall", "use_onednn"]


def install(model: nn.Module) -> int:
    """Replace the classes of known modules by fast ones, and the attention function "sdpa" of
    language models by `FAST_CPU`.

    Names, parameters and results stay the same, up to rounding and the masks of dropout.

    Returns:
        How many modules were replaced.
    """
    replaced = 0
    for module in model.modules():
        if type(module) in FAST:
            module.__class__ = FAST[type(module)]
            replaced += 1
    _change_attention(model, "sdpa", FAST_CPU)
    return replaced


def uninstall(model: nn.Module) -> int:
    """Undo `install`.

    Returns:
        How many modules were restored.
    """
    plain = {fast: base for base, fast in FAST.items()}
    restored = 0
    for module in model.modules():
        if type(module) in plain:
            module.__class__ = plain[type(module)]
            restored += 1
    _change_attention(model, FAST_CPU, "sdpa")
    return restored


def _change_attention(model: nn.Module, old: str, new: str) -> None:
    """Replace the attention function `old` of language models."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == old:
            module.set_attn_implementation(new)
