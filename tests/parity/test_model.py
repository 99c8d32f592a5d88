"""Outputs, features, losses, gradients and optimiser steps against the reference's."""

from argparse import Namespace

import pytest
import torch
from torch.optim import Adam

from exp.exp_basic import PROJECTION_LEARNING_RATE, learning_rate_schedule
from tests.parity.recordings import Recording, assert_agree
from utils.losses import CALFLoss

TASKS = ["long_term_forecast"]
FORWARD_TASKS = [
    *TASKS,
    "short_term_forecast",
    "imputation",
    "anomaly_detection",
    "classification",
]


def total_loss(recording: Recording, model, settings: dict) -> torch.Tensor:
    loss = CALFLoss.of(Namespace(**settings))
    output = model(
        recording.tensors["x"],
        text_branch=loss.needs_text_branch,
        features=loss.needs_features,
    )
    return loss(output, recording.tensors["y"])


def assert_updates_agree(ours, theirs, before, name: str) -> None:
    """Compare trained parameters by the norm of what differs.

    Entry by entry Adam makes whole steps out of rounding where a gradient is 0: so it is for
    the keys' biases, which softmax cancels and which are left out here.
    """
    if name.endswith("in_proj_bias"):
        ours, theirs, before = (
            torch.cat([part.chunk(3)[0], part.chunk(3)[2]]) for part in (ours, theirs, before)
        )
    error = (ours - theirs).norm().item()
    assert error <= 1e-4 * theirs.norm().item(), name
    assert error <= 1e-3 * (theirs - before).norm().item(), name


@pytest.mark.parametrize("task", FORWARD_TASKS)
def test_outputs_and_features(golden, task):
    recording = Recording(golden, task)
    with torch.no_grad():
        output = recording.model()(
            recording.tensors["x"], recording.tensors.get("mask"), text_branch=True
        )
    theirs = recording.tensors
    assert_agree(output.outputs_time, theirs["outputs_time"], 1e-5, "outputs_time")
    assert_agree(output.outputs_text, theirs["outputs_text"], 1e-5, "outputs_text")
    for branch in ("time", "text"):
        features = getattr(output, f"features_{branch}")
        assert len(features) == recording.config["gpt_layers"] + 1
        for i, feature in enumerate(features):
            assert_agree(feature, theirs[f"features_{branch}.{i}"], 1e-5, f"{branch} {i}")


@pytest.mark.parametrize("task", TASKS)
def test_trainable_parameters(golden, task):
    recording = Recording(golden, task)
    named = recording.model().named_parameters()
    assert {name for name, p in named if p.requires_grad} == set(recording.trainable)


@pytest.mark.parametrize("task", TASKS)
def test_losses(golden, task):
    recording = Recording(golden, task)
    model = recording.model()
    for settings in recording.notes["losses"]:
        value = total_loss(recording, model, settings).item()
        assert value == pytest.approx(settings["value"], rel=1e-5), settings


@pytest.mark.parametrize("task", TASKS)
def test_gradients(golden, task):
    recording = Recording(golden, task)
    model = recording.model()
    total_loss(recording, model, recording.notes["losses"][0]).backward()
    parameters = dict(model.named_parameters())
    theirs = recording.group("grad")
    assert theirs
    for name, gradient in theirs.items():
        assert_agree(parameters[name].grad, gradient, 1e-4, name)


@pytest.mark.parametrize("task", TASKS)
def test_three_optimiser_steps(golden, task):
    recording = Recording(golden, task)
    model, notes = recording.model(), recording.notes
    rate = notes["main_lr"][0]
    assert notes["proj_lr"] == PROJECTION_LEARNING_RATE
    main = Adam(model.main_parameters(), lr=rate)
    projections = Adam(model.projection_parameters(), lr=PROJECTION_LEARNING_RATE)
    scheduler = learning_rate_schedule(main, Namespace(cos=1, tmax=5))
    for value, rate in zip(notes["trajectory"], notes["main_lr"], strict=True):
        assert main.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9)
        main.zero_grad()
        projections.zero_grad()
        loss = total_loss(recording, model, notes["losses"][0])
        assert loss.item() == pytest.approx(value, rel=1e-4)
        loss.backward()
        main.step()
        projections.step()
        scheduler.step()
    parameters = dict(model.named_parameters())
    theirs = recording.group("after")
    assert set(theirs) == set(recording.trainable)
    before = recording.group("state")
    for name, after in theirs.items():
        assert_updates_agree(parameters[name].detach(), after, before[name], name)
    with torch.no_grad():
        output = model(recording.tensors["x"])
    assert_agree(output.outputs_time, recording.tensors["outputs_time_after"], 1e-4, "outputs")
