"""Fast float32 modules for x86 processors (docs/fast_cpu.md)."""

from torch import nn
from transformers import PreTrainedModel

from layers.fast_cpu.attention import FAST_CPU
from layers.fast_cpu.modules import FAST
from layers.fast_cpu.products import bf16_is_faster, onednn_is_faster, use_onednn

__all__ = ["bf16_is_faster", "install", "onednn_is_faster", "uninstall", "use_onednn"]


def install(model: nn.Module) -> int:
    """Replace the classes of known modules by fast ones, and the attention function "sdpa" of
    language models by `FAST_CPU`; returns how many modules were replaced. Names, parameters and
    results stay the same, up to rounding and the masks of dropout."""
    return _replace(model, FAST, "sdpa", FAST_CPU)


def uninstall(model: nn.Module) -> int:
    """Undo `install`; returns how many modules were restored."""
    return _replace(model, {fast: base for base, fast in FAST.items()}, FAST_CPU, "sdpa")


def _replace(model: nn.Module, classes: dict[type, type], old: str, new: str) -> int:
    """Replace classes of modules, and the attention function `old`; count the modules."""
    known = [module for module in model.modules() if type(module) in classes]
    for module in known:
        module.__class__ = classes[type(module)]
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == old:
            module.set_attn_implementation(new)
    return len(known)
