"""Passes that add up, and guarded optimiser steps."""

from argparse import Namespace

import pytest
import torch
import torch.nn.functional as F
from torch.optim import Adam
from transformers import GPT2Config, GPT2Model

from exp.exp_basic import PROJECTION_LEARNING_RATE
from exp.step import CPU_PASS_TOKENS, Optimisers, passes
from models.CALF import CALFConfig, Model
from utils.losses import CALFLoss, Share

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def model():
    """A model without dropout whose LoRA has learned something."""
    torch.manual_seed(1)
    config = GPT2Config(
        n_embd=48, n_layer=3, n_head=4, n_positions=300, vocab_size=20, bos_token_id=0,
        eos_token_id=0, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    )  # fmt: skip
    config = (
        CALFConfig(
            seq_len=16, pred_len=5, d_model=48, gpt_layers=3, lora_dropout=0.0, match_heads=4
        ),
        GPT2Model(config),
    )
    model = Model(*config, torch.randn(48, 9))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_passes_add_up(model, batch_size):
    model.train()
    x, y = torch.randn(7, 16, 3), torch.randn(7, 5, 3)
    loss = CALFLoss(F.l1_loss, F.l1_loss, lambda gap: gap.abs().mean())
    loss(model(x), y).backward()
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    cut = passes((x, y), 3, batch_size)
    assert [number for number, _, _ in cut] == list(range(-(-7 // batch_size)))
    assert sum(share.windows for _, _, share in cut) == pytest.approx(1)
    for _, (part_x, part_y), share in cut:
        loss(model(part_x), part_y, share=share).backward()
    parts = [p.grad for p in model.parameters() if p.grad is not None]
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_passes_of_unequal_targets(model):
    """Means over masked entries alone weigh the passes by their entries."""
    model.train()
    x = torch.randn(4, 5, 3)
    masked = torch.rand(4, 5, 3) < torch.tensor([0.1, 0.9, 0.5, 0.0])[:, None, None]
    masked[0, 0, 0] = True
    loss = CALFLoss(F.mse_loss, F.l1_loss, lambda gap: gap.abs().mean(), feature_w=0.3)

    def of(rows, share):
        output = model(torch.cat([x, x, x, x[:, :1]], dim=1)[rows])
        pick = lambda y: y[masked[rows]]  # noqa: E731
        return loss(
            output, x[masked & torch.zeros_like(masked).index_fill(0, rows, 1)], pick, share
        )

    every = torch.arange(4)
    whole = of(every, None)
    scored = masked.sum(dim=(1, 2))
    cut = passes((every,), 3, 1, scored=scored)
    total = sum(of(rows, share) for _, (rows,), share in cut)
    torch.testing.assert_close(total, whole, **CLOSE)


def test_passes_on_the_cpu_hold_so_many_tokens():
    x = torch.zeros(256, 1)
    assert len(passes((x,), 7, 256)) == -(-256 // (CPU_PASS_TOKENS // 7))
    assert len(passes((x[:8],), 862, 8)) == 8
    assert len(passes((x[:2],), 1, 2, at_least=3)) == 2
    assert isinstance(passes((x[:2],), 1, 2)[0][2], Share)


def test_guarded_steps_are_adams(model):
    """Three steps of the fused optimisers, one of them left out, against PyTorch's plain Adam."""
    args = Namespace(learning_rate=1e-3, amp="no")
    ours = Optimisers(model, args, PROJECTION_LEARNING_RATE)
    copies = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    main = [n for n in copies if "_proj" not in n]
    rates = [(main, 1e-3), ([n for n in copies if n not in main], PROJECTION_LEARNING_RATE)]
    plain = [Adam([copies[n] for n in names], lr=rate, foreach=False) for names, rate in rates]
    named = dict(model.named_parameters())
    for step, loss in enumerate([1.0, float("nan"), 2.0]):
        torch.manual_seed(step)
        for name in copies:
            named[name].grad = torch.randn_like(named[name])
            copies[name].grad = named[name].grad.clone()
        bad = ours.step(torch.tensor(loss), torch.tensor(False))
        assert bad.item() == (loss != loss)
        if loss == loss:
            for optimiser in plain:
                optimiser.step()
    named["out_layer.weight"].grad[0, 0] = float("inf")
    assert ours.step(torch.tensor(1.0), torch.tensor(False)).item()
    for name, theirs in copies.items():
        torch.testing.assert_close(named[name].detach(), theirs, rtol=1e-5, atol=1e-7)
