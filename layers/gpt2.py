"""The two GPT-2 branches: blocks of a pre-trained GPT-2 fed with embeddings.

The modules keep the names of Hugging Face's GPT-2 (`wpe`, `h.0.attn.c_attn`, `ln_f`, ...), so that
its weights, and checkpoints of the authors' code, load by name.
"""

from copy import deepcopy
from types import SimpleNamespace

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2Model
from transformers.activations import ACT2FN

from layers.attention import self_attention
from layers.dropout import dropout
from layers.linear import Derived, conv1d, frozen_mlp, linear

LORA = "default"  # peft's name for an only adapter


class CausalSelfAttention(nn.Module):
    """GPT-2's attention over `[batch, channels, d_model]`."""

    def __init__(self, attn: nn.Module, config: GPT2Config, index: int):
        super().__init__()
        self.c_attn = attn.c_attn
        self.c_proj = attn.c_proj
        self.n_head = config.n_head
        self.attn_pdrop, self.resid_pdrop = config.attn_pdrop, config.resid_pdrop
        self.scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= index + 1
        self.folded = Derived(fold)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.c_attn_with_lora(x) if hasattr(self.c_attn, "lora_A") else conv1d(x, self.c_attn)
        attn_pdrop = self.attn_pdrop if self.training else 0.0
        y = self_attention(qkv, self.n_head, attn_pdrop, is_causal=True, scale=self.scale)
        return dropout(conv1d(y, self.c_proj), self.resid_pdrop, self.training)

    def c_attn_with_lora(self, x: Tensor) -> Tensor:
        """Apply `c_attn` and peft's low-rank update of it to `x` `[.., in]`.

        Without gradients and dropout, the update is added to the weight and not to every product.
        """
        layer, base = self.c_attn, self.c_attn.base_layer
        a, b, scaling = layer.lora_A[LORA].weight, layer.lora_B[LORA].weight, layer.scaling[LORA]
        if not (layer.training or torch.is_grad_enabled()):
            return conv1d(x, self.folded.of(base.weight, base.bias, a, b, scaling=scaling))
        dropped = dropout(x, getattr(layer.lora_dropout[LORA], "p", 0.0), layer.training)
        return conv1d(x, base).add(linear(linear(dropped, a), b), alpha=scaling)

    def train(self, mode: bool = True) -> "CausalSelfAttention":
        """Switch modes; training gives back what only evaluation needs."""
        if mode:
            self.folded.clear()
        return super().train(mode)


def fold(weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, scaling: float) -> SimpleNamespace:
    """Make a projection of a weight `[in, out]` and its low-rank update `scaling b a`."""
    return SimpleNamespace(weight=torch.addmm(weight, a.t(), b.t(), alpha=scaling), bias=bias)


class MLP(nn.Module):
    """GPT-2's feed-forward part."""

    def __init__(self, mlp: nn.Module, config: GPT2Config):
        super().__init__()
        self.c_fc = mlp.c_fc
        self.c_proj = mlp.c_proj
        # "gelu_new" is the tanh approximation, which PyTorch has as one kernel
        self.tanh_gelu = config.activation_function in (
            "gelu_new",
            "gelu_fast",
            "gelu_pytorch_tanh",
        )
        self.act = nn.GELU("tanh") if self.tanh_gelu else ACT2FN[config.activation_function]
        self.resid_pdrop = config.resid_pdrop

    def forward(self, x: Tensor) -> Tensor:
        if self.tanh_gelu:
            y = frozen_mlp(x, self.c_fc, self.c_proj)
        else:
            y = conv1d(self.act(conv1d(x, self.c_fc)), self.c_proj)
        return dropout(y, self.resid_pdrop, self.training)


class Block(nn.Module):
    """One pre-norm transformer block of GPT-2."""

    def __init__(self, block: nn.Module, config: GPT2Config, index: int):
        super().__init__()
        self.ln_1 = block.ln_1
        self.attn = CausalSelfAttention(block.attn, config, index)
        self.ln_2 = block.ln_2
        self.mlp = MLP(block.mlp, config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2Branch(nn.Module):
    """The first blocks of a GPT-2, with a residual around the whole.

    Args:
        backbone: the GPT-2 whose modules this branch takes over; its token table is left behind.
        n_layer: number of blocks used.

    Source: paper section "Two branches" (method section 3).
    """

    def __init__(self, backbone: GPT2Model, n_layer: int):
        super().__init__()
        config = backbone.config
        self.wpe = backbone.wpe
        self.embd_pdrop = config.embd_pdrop
        self.h = nn.ModuleList(Block(backbone.h[i], config, i) for i in range(n_layer))
        self.ln_f = backbone.ln_f
        self.grad_checkpoint = False

    def forward(self, x: Tensor, keep_hidden: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Run the branch on tokens `[batch, channels, d_model]`.

        Returns:
            The output `ln_f(blocks(x + positions)) + x`, and, if `keep_hidden`, the n_layer + 1
            hidden states: the embedding output, the output of every block but the last, and the
            branch's output itself (else an empty list).
        """
        state = dropout(x + self.wpe.weight[: x.shape[1]], self.embd_pdrop, self.training)
        hidden = []
        for block in self.h:
            if keep_hidden:
                hidden.append(state)
            if self.grad_checkpoint and torch.is_grad_enabled():
                state = checkpoint(block, state, use_reentrant=False)
            else:
                state = block(state)
        output = self.ln_f(state) + x
        if keep_hidden:
            hidden.append(output)
        return output, hidden


def build_branches(
    backbone: GPT2Model, n_layer: int, r: int, lora_alpha: int, lora_dropout: float
) -> tuple[PeftModel, GPT2Branch]:
    """Make the temporal and the textual branch of one GPT-2.

    Temporal: LoRA on every `c_attn`; layer norms and position embeddings are trained too.
    Textual: only the position embeddings are trained. The frozen projections are the same tensors
    in both branches (the same modules); what either branch trains it has for itself.

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
