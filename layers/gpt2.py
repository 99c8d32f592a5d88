"""The two GPT-2 branches: blocks of a pre-trained GPT-2 fed with embeddings.

The modules keep the names of Hugging Face's GPT-2 (`wpe`, `h.0.attn.c_attn`, `ln_f`, ...), so that
its weights, and checkpoints of the authors' code, load by name.
"""

from copy import deepcopy

from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model
from transformers.activations import ACT2FN

from layers.attention import self_attention
from layers.dropout import dropout
from layers.linear import conv1d, linear

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

    def forward(self, x: Tensor) -> Tensor:
        qkv = (
            project_with_lora(x, self.c_attn) if _has_lora(self.c_attn) else conv1d(x, self.c_attn)
        )
        attn_pdrop = self.attn_pdrop if self.training else 0.0
        y = self_attention(qkv, self.n_head, attn_pdrop, is_causal=True, scale=self.scale)
        return dropout(conv1d(y, self.c_proj), self.resid_pdrop, self.training)


def _has_lora(module: nn.Module) -> bool:
    return hasattr(module, "lora_A")


def project_with_lora(x: Tensor, layer: nn.Module) -> Tensor:
    """Apply a projection of GPT-2 with its low-rank update, as peft does, to `x` `[.., in]`."""
    a, b = layer.lora_A[LORA].weight, layer.lora_B[LORA].weight
    dropped = dropout(x, getattr(layer.lora_dropout[LORA], "p", 0.0), layer.training)
    update = linear(linear(dropped, a), b)
    return conv1d(x, layer.base_layer).add(update, alpha=layer.scaling[LORA])


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
        inner = self.act(conv1d(x, self.c_fc))
        return dropout(conv1d(inner, self.c_proj), self.resid_pdrop, self.training)


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
    in both branches; what either branch trains it has for itself.

    Returns:
        `(temporal, textual)`.
    """
    temporal = GPT2Branch(backbone, n_layer)
    linear = {
        id(parameter): parameter
        for name, parameter in temporal.named_parameters()
        if name.rpartition(".")[0].endswith(("c_attn", "c_proj", "c_fc"))
    }
    textual = deepcopy(temporal, memo=linear)
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
