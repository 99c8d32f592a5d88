"""The two GPT-2 branches: blocks of a pre-trained GPT-2 that run on tokens of channels.

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

# activations of transformers that are the tanh approximation, for which PyTorch has a kernel
TANH_GELU = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")


class CausalSelfAttention(nn.Module):
    """GPT-2's causal attention over `[batch, channels, d_model]`."""

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


class Block(nn.Module):
    """One pre-norm transformer block of GPT-2."""

    def __init__(self, block: nn.Module, activation: str):
        super().__init__()
        self.ln_1 = block.ln_1
        self.attn = CausalSelfAttention(block.attn)
        self.ln_2 = block.ln_2
        self.mlp = block.mlp
        if activation in TANH_GELU:
            self.mlp.act = nn.GELU("tanh")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2Branch(nn.Module):
    """The first blocks of a GPT-2, and a residual around them (`docs/method.md`, section 3).

    Args:
        backbone: a GPT-2; this branch takes over its modules, without the token table.
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
        """Run the branch on tokens `[batch, channels, d_model]`.

        Returns:
            The output `ln_f(blocks(x + positions)) + x`, and, if `output_hidden_states`, the
            n_layer + 1 hidden states: the embedding output, the output of every block but the
            last, and the branch's output itself (else an empty list).
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
        output = self.ln_f(state) + x
        if output_hidden_states:
            hidden.append(output)
        return output, hidden


def build_branches(
    backbone: GPT2Model, n_layer: int, r: int, lora_alpha: int, lora_dropout: float
) -> tuple[PeftModel, GPT2Branch]:
    """Make the temporal and the textual branch of one GPT-2 (`docs/method.md`, section 3).

    Trained in the temporal branch: LoRA on every `c_attn`, layer norms and position embeddings.
    In the textual one: position embeddings. The frozen projections are the same modules in both.

    Returns:
        `(temporal, textual)`.
    """
    temporal = GPT2Branch(backbone, n_layer)
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
