"""Non-finite losses and gradients: the run stops, or skips such steps."""

import json
import re

import numpy as np
import pytest
import torch

from exp.exp_basic import ExpBasic
from models.objectives import CALFObjective
from run import main
from tests.exp.small_runs import STEPS, argv, differ, experiment, trained
from utils.checkpoint import read_checkpoint
from utils.errors import UserError

LONG = "long_term_forecast"
PLACE = (2, 5)  # epoch and step


def spoil_loss(run, places):
    plain = run.step.gradients

    def gradients(batch, *where):
        losses = plain(batch, *where)
        return losses * float("nan") if where[1:] in places else losses

    run.step.gradients = gradients


def spoil_gradient(run, places):
    plain, spoiled = run.step.gradients, run.objective.model.out_layer.weight

    def gradients(batch, *where):
        bad = where[1:] in places

        def spoil(gradient):
            return gradient.index_fill(0, torch.tensor(0), float("inf")) if bad else gradient

        hook = spoiled.register_hook(spoil)
        losses = plain(batch, *where)
        hook.remove()
        return losses

    run.step.gradients = gradients


def spoil_data(run, places):
    plain = run.training_batch

    def batch(index):
        made = plain(index)
        if (run.progress.epoch, run.progress.steps + 1) in places:
            made.x[3, 4, 1] = float("nan")
        return made

    run.training_batch = batch


SPOILERS = [spoil_loss, spoil_gradient]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_stopped_at_the_step(small_data, workdir, reference, spoil):
    """And a healthy run goes on from what was saved to the undisturbed end."""
    run = experiment(LONG, small_data)
    spoil(run, {PLACE})
    with pytest.raises(UserError) as stop:
        run.train()
    order = run.order(2)[4].tolist()
    found = re.search(r"at epoch 2, step 5 \(windows ([\d, ]+), …\)", str(stop.value))
    assert [int(number) for number in found[1].split(", ")] == order[:8]
    largest = re.search(r"largest gradients: (\S+) \((\S+)\), \S+ \(\S+\), \S+ \(", str(stop.value))
    assert largest[1] in dict(run.objective.model.named_parameters())
    if spoil is spoil_gradient:
        assert largest.groups() == ("out_layer.weight", "inf")
    progress = read_checkpoint(run.folders.state).metadata["progress"]
    assert (progress["epoch"], progress["steps"]) == (2, 4)
    assert differ(trained(LONG, small_data, "--resume"), reference(LONG)) == []


@pytest.mark.parametrize("spoil", SPOILERS)
def test_some_are_left_out(small_data, workdir, capsys, spoil):
    """A skipped step changes nothing."""
    run = experiment(LONG, small_data, "--skip_bad_steps", "2", "--train_epochs", "2")
    spoil(run, {(1, 1), PLACE})  # at the first one the moments are not there yet
    plain_step, changed = run.train_step, []

    def step(number, index):
        before = everything(run)
        plain_step(number, index)
        pairs = zip(before, everything(run), strict=number > 1)
        changed.append(not all(a.equal(b) for a, b in pairs))

    run.train_step = step
    run.train()
    bad = (0, STEPS + PLACE[1] - 1)
    assert changed == [number not in bad for number in range(2 * STEPS)]
    out = capsys.readouterr().out
    assert "at epoch 1, step 1 (" in out
    assert "skipped, 1 of 2 allowed" in out and "skipped, 2 of 2 allowed" in out
    assert run.progress.skipped == 2


def test_the_mean_loss_is_that_of_the_steps_that_were_taken(small_data, workdir, capsys):
    run = experiment(LONG, small_data, "--skip_bad_steps", "1", "--train_epochs", "1")
    spoil_gradient(run, {(1, 5)})  # whose loss is a number
    losses, plain = [], run.step.gradients
    run.step.gradients = lambda *given: losses.append(plain(*given)) or losses[-1]
    run.train()
    taken = torch.stack([*losses[:4], *losses[5:]])[:, 0].mean().item()
    assert run.progress.history[0].train == pytest.approx(taken, rel=1e-5)
    assert f"train loss {taken:.4f} |" in capsys.readouterr().out


def everything(run: ExpBasic) -> list[torch.Tensor]:
    """Copies of all that a step changes."""
    tensors = [p for p in run.objective.model.parameters() if p.requires_grad]
    for optimiser in run.step.optimisers.values():
        tensors += [value for state in optimiser.state.values() for value in state.values()]
    return [tensor.detach().clone() for tensor in tensors]


def test_running_statistics_are_left_alone(small_data, workdir):
    """Those of batch normalisation, which the forward pass of a bad step updates."""
    run = experiment(LONG, small_data, "--model", "PatchTST", "--skip_bad_steps", "1")
    spoil_data(run, {(1, 3)})
    run.train()
    assert all(values.isfinite().all() for values in run.objective.model.buffers())
    assert all(np.isfinite(epoch.validation) for epoch in run.progress.history)


def test_one_too_many(small_data, workdir):
    run = experiment(LONG, small_data, "--skip_bad_steps", "2")
    spoil_loss(run, {(1, 3), (1, 4), PLACE})
    with pytest.raises(UserError, match="epoch 2, step 5"):
        run.train()
    again = experiment(LONG, small_data, "--skip_bad_steps", "2", "--resume")
    spoil_loss(again, {PLACE})
    with pytest.raises(UserError, match="epoch 2, step 5"):  # they are counted on
        again.train()
    more = experiment(LONG, small_data, "--skip_bad_steps", "3", "--resume")
    spoil_loss(more, {PLACE})
    more.train()
    assert more.progress.skipped == 3


def test_one_line_and_exit_code(small_data, refused, monkeypatch, results):
    plain = CALFObjective.losses

    def spoiled(self, *given):
        losses = plain(self, *given)
        return losses | {"total": losses["total"] / 0}

    monkeypatch.setattr(CALFObjective, "losses", spoiled)
    message = refused(argv(LONG, small_data))
    assert "epoch 1, step 1 (windows " in message
    assert "checkpoints/" in message
    assert main(argv(LONG, small_data, "--resume", "--skip_bad_steps", "100")) == 0
    record = json.loads((results() / "run.json").read_text())
    assert record["skipped_steps"] == 3 * STEPS
    assert all(np.isnan(epoch["train"]) for epoch in record["epochs"])  # of no step at all
