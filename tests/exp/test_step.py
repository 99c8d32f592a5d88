"""Micro-batches that add up to their batch, and guarded optimiser steps."""

import pytest
import torch
import torch.nn.functional as F

from exp.step import learning_rate_schedule, micro_batches
from models.CALF import Model
from run import parse_args
from tests.models.same_results import learned_calf
from tests.rounding import doubled
from utils.batch import Batch, Weight
from utils.losses import CALFLoss


@pytest.fixture
def model() -> Model:
    return learned_calf().double().train()


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


def test_type4_decays_after_every_epoch():
    """`learning_rate * decay_fac ** epoch`, as the published code says."""
    words = "--task_name long_term_forecast --is_training 1 --model_id m --model CALF --data x"
    more = "--cos 0 --lradj type4 --decay_fac 0.5 --learning_rate 0.004"
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.004)
    scheduler = learning_rate_schedule(optimiser, parse_args(f"{words} {more}".split()))
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates == pytest.approx([0.004, 0.002, 0.001, 0.0005])
