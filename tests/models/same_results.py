"""Ways to compute a model that must not change its results."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model

from layers.fast_cpu import install
from models.CALF import CALFConfig, Model


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return model


def learned_calf() -> Model:
    """A CALF without dropout, whose LoRA has learned something."""
    torch.manual_seed(1)
    backbone = GPT2Config(
        n_embd=48, n_layer=3, n_head=4, n_positions=300, vocab_size=20, bos_token_id=0,
        eos_token_id=0, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    )  # fmt: skip
    config = CALFConfig(
        seq_len=16, pred_len=5, d_model=48, gpt_layers=3, lora_dropout=0.0, match_heads=4
    )
    model = Model(config, GPT2Model(backbone), torch.randn(48, 9))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return without_dropout(model)


def assert_every_way_agrees(model: nn.Module, outputs: Callable[[], list[Tensor]]) -> None:
    """Compare outputs and gradients of a model: plain, recomputed, and on fast modules, to 1e-5.

    Dropout is off. Outputs are compared in training and in evaluation, with and without gradients.
    """
    without_dropout(model)
    expected = None
    for way in (None, lambda: model.grad_checkpoint(True), lambda: install(model)):
        if way is not None:
            assert way() != 0
        for training in (True, False):
            model.train(training).zero_grad()
            values = outputs()
            sum(value.square().mean() for value in values).backward()
            with torch.no_grad():
                again = outputs()
            gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
            found = [*(value.detach() for value in values), *again, *gradients]
            expected = expected or found
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
