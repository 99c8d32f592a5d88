"""The model computed the published way: slow and plain, with our weights.

An oracle for the tests, and what the benchmark compares with: Hugging Face's attention with whole
maps that are kept, peft's own LoRA, GPT-2's activation in single operations, keys and values of
the words repeated for every sample, PyTorch's own encoder layer, both branches always.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from layers.gpt2 import Block, GPT2Branch
from layers.instance_norm import standardise
from layers.match import CrossModalMatch
from models.CALF import CALFOutput, Model


class ReferenceWay(nn.Module):
    """Runs a `Model` the published way; the parameters are the same objects.

    Args:
        model: the model.

    Attributes:
        maps: the attention maps of the last pass, kept as the published code keeps them.
    """

    def __init__(self, model: Model):
        super().__init__()
        self.model = model
        self.maps: list[Tensor] = []

    def forward(self, x: Tensor, mask: Tensor | None = None) -> CALFOutput:
        """Compute both branches and all features; see `Model.forward`."""
        model = self.model
        self.maps = []
        if model.config.task_name == "classification":
            mean = scale = None
        else:
            x, mean, scale = standardise(x, mask)
        x_time, x_text = self._match(model.in_layer, rearrange(x, "b l c -> b c l"))
        y_time, hidden_time = self._branch(model.gpt2.get_base_model(), x_time)
        y_text, hidden_text = self._branch(model.gpt2_text, x_text)
        return CALFOutput(
            model._head(y_time, mean, scale),
            model._head(y_text, mean, scale),
            hidden_time,
            hidden_text,
            model.time_proj,
            model.text_proj,
        )

    def _match(self, match: CrossModalMatch, x: Tensor) -> tuple[Tensor, Tensor]:
        x_time = match.transformer_encoder(match.linear(x))
        words = match.word_embedding.expand(len(x), -1, -1).contiguous()
        x_text, maps = match.cross_attention(x_time, words, words)
        self.maps.append(maps)
        return x_time, x_text

    def _branch(self, branch: GPT2Branch, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        state = self._drop(x + branch.wpe.weight[: x.shape[1]], branch.embd_pdrop, branch)
        hidden = []
        for block in branch.h:
            hidden.append(state)
            state = self._block(block, state)
        output = branch.ln_f(state) + x
        return output, [*hidden, output]

    def _block(self, block: Block, x: Tensor) -> Tensor:
        attn, mlp = block.attn, block.mlp
        qkv = attn.c_attn(block.ln_1(x))
        q, k, v = rearrange(qkv, "b c (n h k) -> n b h c k", n=3, h=attn.n_head)
        scores = q @ k.transpose(-1, -2) * attn.scale
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        maps = scores.masked_fill(future, torch.finfo(scores.dtype).min).softmax(dim=-1)
        self.maps.append(maps)
        mixed = rearrange(self._drop(maps, attn.attn_pdrop, attn) @ v, "b h c k -> b c (h k)")
        x = x + self._drop(attn.c_proj(mixed), attn.resid_pdrop, attn)
        inner = (
            _gelu(mlp.c_fc(block.ln_2(x))) if mlp.tanh_gelu else mlp.act(mlp.c_fc(block.ln_2(x)))
        )
        return x + self._drop(mlp.c_proj(inner), mlp.resid_pdrop, mlp)

    @staticmethod
    def _drop(x: Tensor, p: float, module: nn.Module) -> Tensor:
        return nn.functional.dropout(x, p, module.training)


def _gelu(x: Tensor) -> Tensor:
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
    return 0.5 * x * (1.0 + torch.tanh(inner))
