"""iTransformer against the equations of attention, on PyTorch's primitives alone."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.iTransformer import Model
from tests.models.configs import small


def by_hand(state: dict, options, x: torch.Tensor, marks: torch.Tensor | None) -> torch.Tensor:
    """The forecast as in the paper's algorithm 1: a softmax over variates, head by head."""
    mean = x.mean(dim=1, keepdim=True)
    std = torch.sqrt(((x - mean) ** 2).mean(dim=1, keepdim=True) + 1e-5)
    series = (x - mean) / std
    if marks is not None:
        series = torch.cat([series, marks], dim=2)
    h = series.transpose(1, 2) @ state["embedding.weight"].T + state["embedding.bias"]
    width = options.d_model // options.n_heads
    for i in range(options.e_layers):
        own = {k.removeprefix(f"encoder.{i}."): v for k, v in state.items()}
        qkv = h @ own["self_attn.in_proj_weight"].T + own["self_attn.in_proj_bias"]
        q, k, v = qkv.split(options.d_model, dim=2)
        heads = []
        for start in range(0, options.d_model, width):
            part = slice(start, start + width)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width)
            heads.append(torch.softmax(scores, dim=2) @ v[..., part])
        attended = torch.cat(heads, dim=2) @ own["self_attn.out_proj.weight"].T
        h = norm(h + attended + own["self_attn.out_proj.bias"], own, "norm1")
        hidden = h @ own["linear1.weight"].T + own["linear1.bias"]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        h = norm(h + hidden @ own["linear2.weight"].T + own["linear2.bias"], own, "norm2")
    h = norm(h, state, f"encoder.{options.e_layers}")[:, : x.shape[2]]
    y = h @ state["projection.weight"].T + state["projection.bias"]
    return y.transpose(1, 2) * std + mean


def norm(h: torch.Tensor, state: dict, name: str) -> torch.Tensor:
    return F.layer_norm(h, h.shape[2:], state[f"{name}.weight"], state[f"{name}.bias"])


def scattered(options) -> Model:
    """A model whose biases and norms do not have their simple initial values."""
    torch.manual_seed(0)
    model = Model(options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("marks", [None, torch.rand(5, 24, 4) - 0.5], ids=["alone", "marks"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_forecast_by_hand(mode, marks):
    options = small()
    model = scattered(options).train(mode == "train")
    x = torch.randn(5, 24, 3) * 4 + 3
    with torch.set_grad_enabled(mode == "train"):  # PyTorch has a fused kernel for evaluation
        y = model(x, marks)
    expected = by_hand(model.state_dict(), options, x, marks)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)


def test_classification():
    model = scattered(small(task_name="classification"))
    x = torch.randn(5, 24, 3) + 2
    features = F.gelu(model.encode(x)).flatten(1)
    expected = features @ model.projection.weight.T + model.projection.bias
    torch.testing.assert_close(model(x, torch.ones(5, 24)), expected)
