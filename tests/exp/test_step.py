"""Micro-batches that add up to their batch, and guarded optimiser steps."""

import pytest
import torch
import torch.nn.functional as F
from torch.optim import Adam
from transformers import GPT2Config, GPT2Model

from exp.step import Optimisers, micro_batches
from models.CALF import CALFConfig, Model
from models.interface import CPU_TRAINING_TOKENS, ParameterGroup
from models.objectives import CALFObjective
from tests.exp.small_runs import experiment
from tests.rounding import doubled
from utils.batch import Batch, Weight
from utils.losses import CALFLoss


@pytest.fixture
def model():
    """A model in float64, without dropout, whose LoRA has learned something."""
    torch.manual_seed(1)
    config = GPT2Config(
        n_embd=48, n_layer=3, n_head=4, n_positions=300, vocab_size=20, bos_token_id=0,
        eos_token_id=0, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
    )  # fmt: skip
    calf = CALFConfig(
        seq_len=16, pred_len=5, d_model=48, gpt_layers=3, lora_dropout=0.0, match_heads=4
    )
    model = Model(calf, GPT2Model(config), torch.randn(48, 9))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model.double().train()


def gradients(model: Model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("largest", [1, 3, 7, None])
def test_micro_batches_add_up(model, largest):
    batch = doubled(Batch(torch.randn(7, 16, 3), torch.randn(7, 5, 3)))
    loss = CALFLoss(F.l1_loss, F.l1_loss, F.l1_loss)
    whole = loss(model.branches(batch.x), batch)
    whole["total"].backward()
    expected = gradients(model)
    parts = micro_batches(batch, largest)
    assert [number for number, _, _ in parts] == list(range(-(-7 // (largest or 7))))
    assert sum(weight.windows for *_, weight in parts) == pytest.approx(1)
    sums = dict.fromkeys(whole, 0.0)
    for _, part, weight in parts:
        losses = loss(model.branches(part.x), part, weight)
        losses["total"].backward()
        for name, value in losses.items():
            sums[name] += value.item()
    for name, value in sums.items():
        assert value == pytest.approx(whole[name].item(), rel=1e-9)
    assert sums["total"] == pytest.approx(sums["task"] + sums["output"] + sums["feature"])
    for name, found in gradients(model).items():
        torch.testing.assert_close(found, expected[name])


@pytest.mark.parametrize("rates", [[0.1, 0.9, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]])
def test_micro_batches_of_unequal_masks(model, rates):
    """Means over masked entries weight micro-batches by their masked entries. A micro-batch or a
    batch without any gives no 0/0."""
    torch.manual_seed(0)
    x = torch.randn(4, 5, 3)
    mask = (torch.rand(4, 5, 3) >= torch.tensor(rates)[:, None, None]).float()
    batch = doubled(Batch(x * mask, x, mask))
    loss = CALFLoss(F.mse_loss, F.l1_loss, F.l1_loss, feature_w=0.3)

    def losses(part: Batch, weight: Weight) -> dict[str, torch.Tensor]:
        x = torch.cat([part.x] * 3 + [part.x[:, :1]], dim=1)
        return loss(model.branches(x), part, weight)

    whole = losses(batch, Weight())
    assert all(value.isfinite() for value in whole.values())
    assert (whole["task"] > 0) == (max(rates) > 0)
    parts = [losses(part, weight) for _, part, weight in micro_batches(batch, 1)]
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), value)
    sum(part["total"] for part in parts).backward()
    assert all(found.isfinite().all() for found in gradients(model).values())


@pytest.mark.parametrize("at_least", [1, 2, 3, 8])
@pytest.mark.parametrize("largest", [1, 4, 64])
def test_micro_batches_cover_a_batch(at_least, largest):
    for windows in (1, 2, 5, 7, 64):
        x = torch.arange(windows)[:, None, None]
        mask = (x % 3 > 0).float() if windows > 1 else None
        batch = Batch(x, x + 1, mask, period=4, channel=0)
        parts = micro_batches(batch, largest, at_least)
        assert [number for number, *_ in parts] == list(range(len(parts)))
        assert len(parts) >= min(windows, at_least)
        for name in ("x", "y", "mask"):
            whole = getattr(batch, name)
            if whole is not None:
                found = [getattr(part, name) for _, part, _ in parts]
                assert torch.equal(torch.cat(found), whole)
                assert max(map(len, found)) <= largest
        assert {(part.period, part.channel) for _, part, _ in parts} == {(4, 0)}
        for name in ("windows", "scored"):
            total = sum(float(getattr(weight, name)) for *_, weight in parts)
            assert total == pytest.approx(1), name


@pytest.mark.parametrize(("channels", "batch_size"), [(7, 256), (862, 8), (1, 2), (2000, 3)])
def test_calf_splits_by_tokens_on_the_cpu(small_data, workdir, monkeypatch, channels, batch_size):
    monkeypatch.setattr(Model, "check_channels", lambda *_: None)
    run = experiment("long_term_forecast", small_data, "--batch_size", str(batch_size))
    shape = run.data_shape()
    shape = type(shape)(shape.seq_len, shape.pred_len, channels)
    objective = CALFObjective(run.args, shape, run.device)
    expected = min(batch_size, max(1, CPU_TRAINING_TOKENS // channels))
    assert objective.training_windows == expected


def test_a_step_needs_no_private_state(small_data, workdir):
    """As the benchmark does: build a run and take its steps."""
    run = experiment("long_term_forecast", small_data)
    before = [p.detach().clone() for p in run.optimisers.parameters()]
    step, index = next(run.order.steps(epoch=1))
    run.train_step(step, index)
    assert run.losses.isfinite().all()
    assert run.losses[0].item() == pytest.approx(run.losses[1:].sum().item(), rel=1e-5)
    after = run.optimisers.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_guarded_steps_are_adams(model):
    """Three steps of the fused optimisers, one of them skipped, against PyTorch's plain Adam."""
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    groups = {
        "main": [n for n in trained if "_proj" not in n],
        "projections": [n for n in trained if "_proj" in n],
    }
    rates = {"main": None, "projections": 1e-4}
    ours = Optimisers(
        [ParameterGroup(g, [trained[n] for n in names], rates[g]) for g, names in groups.items()],
        1e-3,
        torch.device("cpu"),
    )
    copies = {n: p.detach().clone() for n, p in trained.items()}
    plain = [
        Adam([copies[n] for n in names], lr=rates[g] or 1e-3, foreach=False)
        for g, names in groups.items()
    ]
    for step, loss in enumerate([1.0, float("nan"), 2.0]):
        torch.manual_seed(step)
        for name in copies:
            trained[name].grad = torch.randn_like(trained[name])
            copies[name].grad = trained[name].grad.clone()
        nonfinite = ours.step(torch.tensor(loss), torch.tensor(False))
        assert nonfinite.item() == (loss != loss)
        if loss == loss:
            for optimiser in plain:
                optimiser.step()
    trained["out_layer.weight"].grad[0, 0] = float("inf")
    assert ours.step(torch.tensor(1.0), torch.tensor(False)).item()
    for name, theirs in copies.items():
        torch.testing.assert_close(trained[name].detach(), theirs, rtol=1e-5, atol=1e-7)
