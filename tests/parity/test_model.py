"""Outputs, features, losses, gradients and optimiser steps against the reference's."""

from argparse import Namespace

import pytest
import torch
from torch.optim import Adam

from exp.step import learning_rate_schedule
from layers import fast_cpu
from models.CALF import Model
from models.objectives import PROJECTION_LEARNING_RATE, parameter_groups
from tests.parity.recordings import Recording, assert_agree
from tests.rounding import doubled
from utils.losses import CALFLoss

TASKS = [
    "long_term_forecast",
    "short_term_forecast",
    "imputation",
    "anomaly_detection",
    "classification",
]


@pytest.fixture(params=["plain", "fast_cpu"])
def load(request, golden):
    """Load a recording and our model in its state, plain and with the fast kernels."""

    def load(task: str, dtype: torch.dtype = torch.float32) -> tuple[Recording, Model]:
        recording = Recording(golden, task)
        model = recording.model().to(dtype)
        if request.param == "fast_cpu":
            assert fast_cpu.install(model) > 10
        return recording, model

    return load


def total_loss(recording: Recording, model: Model, settings: dict) -> torch.Tensor:
    """What a training step of the task computes, in the precision of the model."""
    loss = CALFLoss.from_args(Namespace(task_name=recording.task, **settings))
    batch = recording.batch()
    if model.out_layer.weight.dtype == torch.float64:
        batch = doubled(batch)
    output = model.branches(
        batch.x, batch.mask, text_branch=loss.needs_text_branch, features=loss.needs_features
    )
    return loss(output, batch)["total"]


def assert_updates_agree(ours, theirs, before, gradient, name: str) -> None:
    """Compare trained parameters by the norm of what differs.

    In float32 Adam makes whole steps out of rounding where a gradient is 0 but for that (keys'
    biases, which softmax cancels, or queries of a single channel): such entries are left out.
    """
    told = gradient.abs() > 1e-6 * gradient.abs().max()
    ours, theirs, before = ours[told], theirs[told], before[told]
    error = (ours - theirs).norm().item()
    assert error <= 1e-5 * theirs.norm().item(), name
    assert error <= 1e-4 * (theirs - before).norm().item(), name


@pytest.mark.parametrize("task", TASKS)
def test_outputs_and_features(load, task):
    recording, model = load(task)
    with torch.no_grad():
        output = model.branches(
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
def test_initialisation(golden, task):
    """Outside the backbone and LoRA, initial values have the recorded means and deviations.

    Both are of samples. A sample's standard deviation has a relative error below 1 / sqrt(entries).
    """
    recording = Recording(golden, task)
    torch.manual_seed(0)
    ours = recording.new_model().state_dict()
    compared = 0
    for name, theirs in recording.group("state").items():
        if name.startswith("gpt2") or not theirs.is_floating_point():
            continue
        value, entries = ours[name], theirs.numel()
        deviation = theirs.std().item()
        assert value.mean().item() == pytest.approx(
            theirs.mean().item(), abs=6 * deviation / entries**0.5
        ), name
        assert value.std().item() == pytest.approx(deviation, rel=3 / entries**0.5), name
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("task", TASKS)
def test_losses(load, task):
    recording, model = load(task)
    for settings in recording.notes["losses"]:
        value = total_loss(recording, model, settings).item()
        assert value == pytest.approx(settings["value"], rel=1e-5), settings


@pytest.mark.parametrize("task", TASKS)
def test_gradients(load, task):
    recording, model = load(task)
    total_loss(recording, model, recording.notes["losses"][0]).backward()
    parameters = dict(model.named_parameters())
    theirs = recording.group("grad")
    assert theirs
    for name, gradient in theirs.items():
        assert_agree(parameters[name].grad, gradient, 1e-4, name)


@pytest.mark.parametrize("task", TASKS)
def test_three_optimiser_steps(load, task):
    """In float64, which ends as far from the recording on every machine: Adam follows no rounding
    but that of the recording."""
    recording, model = load(task, torch.float64)
    notes = recording.notes
    rate = notes["main_lr"][0]
    assert notes["proj_lr"] == PROJECTION_LEARNING_RATE
    main, projections = (
        Adam(group.parameters, lr=group.learning_rate or rate) for group in parameter_groups(model)
    )
    scheduler = learning_rate_schedule(main, Namespace(cos=1, tmax=5))
    for value, rate in zip(notes["trajectory"], notes["main_lr"], strict=True):
        assert main.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9)
        main.zero_grad()
        projections.zero_grad()
        loss = total_loss(recording, model, notes["losses"][0])
        assert loss.item() == pytest.approx(value, rel=1e-6)
        loss.backward()
        main.step()
        projections.step()
        scheduler.step()
    parameters = dict(model.named_parameters())
    theirs = recording.group("after")
    assert set(theirs) == set(recording.trainable)
    before, gradients = recording.group("state"), recording.group("grad")
    for name, after in theirs.items():
        assert_updates_agree(parameters[name].detach(), after, before[name], gradients[name], name)
    with torch.no_grad():
        batch = doubled(recording.batch())
        output = model(batch.x, mask=batch.mask)
    assert_agree(output, recording.tensors["outputs_time_after"], 1e-6, "outputs")
