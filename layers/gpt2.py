"""Blocks of a GPT-2 that run on tokens of time series, and the two branches made of them.

The modules keep the names of Hugging Face's GPT-2 (`wpe`, `h.0.attn.c_attn`, `ln_f`, ...), so that
its weights, and checkpoints of the authors' code, load by name.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from einops import rearrange
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Model

from layers.backbone import random_gpt2
from utils.errors import UserError

# activations of transformers that are the tanh approximation, for which PyTorch has a kernel
TANH_GELU = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")
# what replaces the blocks of an ablation without a language model, in words
REPLACED = {
    "attention": "one attention layer in place of its blocks",
    "transformer": "one new transformer block in place of its blocks",
    "identity": "without its blocks",
}
ABLATIONS = ("none", "random", *REPLACED)


class CausalSelfAttention(nn.Module):
    """GPT-2's causal attention over `[batch, tokens, d_model]`."""

    def __init__(self, attn: nn.Module):
        super().__init__()
        self.c_attn, self.c_proj = attn.c_attn, attn.c_proj
        self.attn_dropout, self.resid_dropout = attn.attn_dropout, attn.resid_dropout
        self.n_head, self.scale = attn.num_heads, attn.scaling

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.c_attn(x), "b c (n h k) -> n b h c k", n=3, h=self.n_head)
        dropout = self.attn_dropout.p if self.training else 0.0
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=self.scale
        )
        return self.resid_dropout(self.c_proj(rearrange(y, "b h c k -> b c (h k)")))


class AttentionBlock(nn.Module):
    """The pre-norm attention sub-layer of a block of GPT-2."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.ln_1 = block.ln_1
        self.attn = CausalSelfAttention(block.attn)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(self.ln_1(x))


class Block(AttentionBlock):
    """One pre-norm transformer block of GPT-2."""

    def __init__(self, block: nn.Module, activation: str):
        super().__init__(block)
        self.ln_2 = block.ln_2
        self.mlp = block.mlp
        if activation in TANH_GELU:
            self.mlp.act = nn.GELU("tanh")

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """The first blocks of a GPT-2, on tokens in place of words.

    Args:
        backbone: a GPT-2; this module takes over its modules, without the token table.
        n_layer: number of blocks used.

    Attributes:
        grad_checkpoint: whether the backward pass recomputes each block from its input.
    """

    def __init__(self, backbone: GPT2Model, n_layer: int):
        super().__init__()
        activation = backbone.config.activation_function
        self.wpe = backbone.wpe
        self.drop = backbone.drop
        self.h = nn.ModuleList(Block(backbone.h[i], activation) for i in range(n_layer))
        self.ln_f = backbone.ln_f
        self.grad_checkpoint = False

    def forward(self, x: Tensor, output_hidden_states: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Run the blocks on tokens `[batch, tokens, d_model]`.

        Returns:
            The output `ln_f(blocks(x + positions))`, and, if `output_hidden_states`, one hidden
            state more than there are blocks: the embedding output, the output of every block but
            the last, and the output itself (else an empty list).
        """
        state = self.drop(x + self.wpe.weight[: x.shape[1]])
        hidden = []
        for block in self.h:
            if output_hidden_states:
                hidden.append(state)
            if self.grad_checkpoint and torch.is_grad_enabled():
                state = checkpoint(block, state, use_reentrant=False)
            else:
                state = block(state)
        output = self.ln_f(state)
        if output_hidden_states:
            hidden.append(output)
        return output, hidden


class GPT2Branch(GPT2):
    """A branch of CALF: blocks, and a residual around them (`docs/method.md`, section 3)."""

    def forward(self, x: Tensor, output_hidden_states: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Run the branch on tokens `[batch, channels, d_model]`.

        Returns:
            As `GPT2.forward`, but the output, which is also the last hidden state, is
            `ln_f(blocks(x + positions)) + x`.
        """
        output, hidden = super().forward(x, output_hidden_states)
        output = output + x
        return output, [*hidden[:-1], output] if output_hidden_states else []


def build_gpt2(
    kind: type[GPT2], backbone: GPT2Model, n_layer: int, llm_ablation: str = "none", seed: int = 0
) -> GPT2:
    """Make a `GPT2` or `GPT2Branch` of a backbone, or of what an ablation leaves of it.

    Args:
        n_layer: number of blocks used; "attention", "transformer" and "identity" ignore it.
        llm_ablation: "none"; "random": every weight is initialised afresh; or what takes the place
            of the blocks: "attention", an attention sub-layer of GPT-2, freshly initialised;
            "transformer", a whole block, likewise; "identity", nothing. Position embeddings,
            dropout and the final layer norm stay.
        seed: of fresh weights, which are initialised as GPT-2 initialises its own.

    Raises:
        UserError: an unknown ablation.

    Source: Tan et al., "Are Language Models Actually Useful for Time Series Forecasting?"
    (NeurIPS 2024).
    """
    if llm_ablation not in ABLATIONS:
        raise UserError(f"--llm_ablation {llm_ablation}: use one of {', '.join(ABLATIONS)}")
    if llm_ablation == "random":
        backbone = random_gpt2(backbone.config, seed)
    if llm_ablation not in REPLACED:
        return kind(backbone, n_layer)
    gpt2 = kind(backbone, 0)
    if llm_ablation != "identity":
        config = deepcopy(backbone.config)
        config.update({"n_layer": 1, "vocab_size": 1, "n_positions": 1})
        block = random_gpt2(config, seed).h[0]
        whole = llm_ablation == "transformer"
        gpt2.h.append(Block(block, config.activation_function) if whole else AttentionBlock(block))
    return gpt2


def describe_blocks(n_layer: int, llm_ablation: str, seed: int) -> str:
    """Describe the blocks that `build_gpt2` uses."""
    blocks = f"{n_layer} block" + ("s" if n_layer != 1 else "")
    if llm_ablation == "random":
        return f"{blocks}, all but the token table initialised afresh (seed {seed})"
    return REPLACED.get(llm_ablation, blocks)


def build_branches(
    backbone: GPT2Model,
    n_layer: int,
    r: int,
    lora_alpha: int,
    lora_dropout: float,
    llm_ablation: str = "none",
    seed: int = 0,
) -> tuple[PeftModel | GPT2Branch, GPT2Branch]:
    """Make the temporal and the textual branch of one GPT-2 (`docs/method.md`, section 3).

    Trained in the temporal branch: LoRA on every `c_attn`, layer norms and position embeddings.
    In the textual one: position embeddings. The frozen projections are the same modules in both.
    Where an ablation replaces the blocks, there is no LoRA: both branches are trained whole, each
    from its own copy of the same weights.

    Args:
        llm_ablation, seed: see `build_gpt2`.

    Returns:
        `(temporal, textual)`.
    """
    temporal = build_gpt2(GPT2Branch, backbone, n_layer, llm_ablation, seed)
    if llm_ablation in REPLACED:
        temporal.requires_grad_(True)
        return temporal, deepcopy(temporal)
    projections = {
        id(module): module
        for name, module in temporal.named_modules()
        if name.endswith(("c_attn", "c_proj", "c_fc"))
    }
    textual = deepcopy(temporal, memo=projections)
    for name, parameter in textual.named_parameters():
        parameter.requires_grad_(name.startswith("wpe."))

    lora = LoraConfig(
        r=r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        target_modules=["c_attn"],
        fan_in_fan_out=True,  # GPT-2 stores its projections as [in, out]
    )
    temporal = get_peft_model(temporal, lora)
    for name, parameter in temporal.named_parameters():
        parameter.requires_grad_("lora_" in name or "ln_" in name or "wpe" in name)
    return temporal, textual


def adapter_is_merged(temporal: nn.Module) -> bool:
    """Tell whether an adapter is merged into the weights that both branches share."""
    return any(isinstance(m, BaseTunerLayer) and m.merged for m in temporal.modules())
