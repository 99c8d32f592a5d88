"""How an x86 processor computes a model fast; `docs/fast_cpu.md` says what and why."""

from torch import nn

from layers.fast_cpu.modules import FAST, FastConv1D
from layers.fast_cpu.weights import unwatch, watch


def install(model: nn.Module) -> int:
    """Make every module of a known class compute fast; any other module stays as it is.

    Names, parameters and results stay the same, but for rounding and for what dropout draws.
    Frozen weights of GPT-2's projections become `WatchedParameter`s. Install after the model is on
    its device, in its dtype; again after it was unpickled or its parameters were replaced.

    Returns:
        How many modules were replaced.
    """
    replaced = 0
    for module in model.modules():
        if type(module) in FAST:
            module.__class__ = FAST[type(module)]
            replaced += 1
        if isinstance(module, FastConv1D):
            watch(module.weight)
    return replaced


def uninstall(model: nn.Module) -> int:
    """Undo `install`, and free the laid-out weights.

    Returns:
        How many modules were restored.
    """
    plain = {fast: base for base, fast in FAST.items()}
    restored = 0
    for module in model.modules():
        if isinstance(module, FastConv1D):
            unwatch(module.weight)
        if type(module) in plain:
            module.__class__ = plain[type(module)]
            for name in ("packed", "packed_backward", "folded"):
                module.__dict__.pop(name, None)
            restored += 1
    return restored
