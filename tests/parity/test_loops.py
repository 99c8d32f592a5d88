"""Whole training loops against the reference's: losses, scores, learning rates, parameters.

The loops run in float64, where rounding moves nothing that counts: how far the recordings, which
are float32, are from that is known, and the same on every machine. In float32 each step starts from
the state that the float64 run had, so that no step follows the rounding of the ones before.
"""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from data_provider.anomaly import WindowedSeries
from data_provider.uea import ClassificationDataset
from exp.exp_anomaly_detection import ExpAnomalyDetection
from exp.exp_classification import ExpClassification
from exp.exp_imputation import ExpImputation, masked
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from exp.exp_short_term_forecasting import ExpShortTermForecasting
from exp.step import learning_rate_schedule
from models.interface import DataShape
from models.objectives import PROJECTION_LEARNING_RATE
from run import parse_args
from tests.parity.recordings import load_tensors
from tests.rounding import smooth, use_float64
from utils.batch import Batch

EXPERIMENTS = {
    "long_term_forecast": ExpLongTermForecasting,
    "short_term_forecast": ExpShortTermForecasting,
    "imputation": ExpImputation,
    "anomaly_detection": ExpAnomalyDetection,
    "classification": ExpClassification,
}
LOOPS = {
    "imputation": "imputation",
    "anomaly": "anomaly_detection",
    "classification": "classification",
}
LOSS, GRADIENT = 2e-6, 3e-5  # float32's relative rounding of a loss and of a gradient's norm


class Replay:
    """Makes an experiment train on the recorded batches, from the recorded state, without dropout.

    All else, the loop included, is the experiment's own.
    """

    def __init__(self, golden: Path, loop: str, lradj: str, epochs: int, *more: str):
        folder, tiny = golden / "protocol", golden / "tiny"
        self.recorded = load_tensors(folder / f"{loop}_loop.safetensors")
        self.steps: list[float] = []
        self.rates: list[tuple[float, ...]] = []
        self.validated = self.tested = 0
        argv = [
            *f"--task_name {LOOPS[loop]} --is_training 1 --model_id loop --model CALF".split(),
            *f"--data recorded --llm {tiny / 'gpt2_tiny'} --use_gpu 0 --seq_len 24".split(),
            *f"--word_embedding_path {tiny / 'words.npy'} --gpt_layers 2 --d_model 48".split(),
            *"--r 4 --lora_alpha 16 --batch_size 4 --patience 100 --learning_rate 0.001".split(),
            *"--feature_loss smooth_l1 --output_loss smooth_l1".split(),
            *(() if loop == "classification" else ("--task_loss", "smooth_l1")),
            *f"--train_epochs {epochs} --lradj {lradj}".split(),
            *more,
        ]
        super().__init__(parse_args(argv))
        start = load_tensors(tiny / f"{LOOPS[loop]}.safetensors")
        state = {n.removeprefix("state."): p for n, p in start.items() if n.startswith("state.")}
        model = self.objective.model
        own = model.state_dict()
        self.start = {name: state[name] for name in own}
        model.load_state_dict(self.start)
        model.eval()
        model.train = model.gpt2.train = model.gpt2_text.train = lambda *_: model  # no dropout

    def resolve_args(self, args: Namespace) -> Namespace:
        return args

    def checkpoint_notes(self) -> dict:
        return {}

    def data_shape(self) -> DataShape:
        return DataShape(24, 0, 5, num_class=3)

    def prepare_data(self) -> None:
        self.n_channels = 5
        self.train_set, self.val_set, self.test_set = map(self.split, ("train", "val", "test"))

    def split(self, name: str):
        return range(self.recorded[f"x_{name}"].shape[:2].numel())

    def trivial_scores(self) -> dict[str, float]:
        return {}  # the windows are recorded ones, without data sets

    def training_batch(self, index: Tensor) -> Batch:
        assert len(index) == 4
        return self.recorded_batch("train", self.progress.steps)

    def train_step(self, step: int, index: Tensor) -> None:
        self.rates.append(tuple(o.param_groups[0]["lr"] for o in self.optimisers.by_name.values()))
        before = self.losses.clone()
        self.losses.zero_()  # the sum of an epoch has fewer digits
        super().train_step(step, index)
        self.steps.append(self.losses[0].item())
        self.losses += before


class Imputation(Replay, ExpImputation):
    def recorded_batch(self, name: str, number: int) -> Batch:
        x, masks = self.recorded[f"x_{name}"], self.recorded[f"mask_{name}"]
        mask = masks[self.progress.epoch - 1, number].float()
        return masked(Batch(x[number]), mask)

    def _randomly_masked(self, windows: range, index: Tensor) -> Batch:
        self.validated += 1
        return self.recorded_batch("val", (self.validated - 1) % 2)

    def validation_score(self) -> float:
        return 0.0  # of the sound loop, whose masks are others

    def test_score(self) -> float:
        errors = []
        for number in range(2):
            batch = self.recorded_batch("test", number)
            error = (self.evaluation.predict(batch) - batch.y).square()
            errors.append(error[batch.mask == 0].mean().item())
        return sum(errors) / 2


class Anomaly(Replay, ExpAnomalyDetection):
    def split(self, name: str) -> WindowedSeries:
        return WindowedSeries(self.recorded[f"x_{name}"].reshape(-1, 5), 24, 24)

    def recorded_batch(self, name: str, number: int) -> Batch:
        x = self.recorded[f"x_{name}"][number]
        return Batch(x, x)


class Classification(Replay, ExpClassification):
    def split(self, name: str) -> ClassificationDataset:
        if name == "val":
            return None
        return ClassificationDataset(
            self.recorded[f"x_{name}"].flatten(0, 1), self.recorded[f"labels_{name}"].flatten()
        )

    def prepare_data(self) -> None:
        super().prepare_data()
        self.val_set = self.test_set

    def recorded_batch(self, name: str, number: int) -> Batch:
        labels = self.recorded[f"labels_{name}"][number].flatten().long()
        return Batch(self.recorded[f"x_{name}"][number], labels)


REPLAYS = {"imputation": Imputation, "anomaly": Anomaly, "classification": Classification}


@pytest.fixture
def build(golden, workdir):
    """Make a run that trains on a recorded loop, and read the notes of the recording."""

    def build(loop: str, which: str, *more: str):
        notes = json.loads((golden / "protocol" / f"{loop}_loop.json").read_text())
        about = notes[which]
        run = REPLAYS[loop](golden, loop, about["lradj"], about["epochs"], "--overwrite", *more)
        return run, notes

    return build


@pytest.fixture
def replay(build):
    """Train on a recorded loop in float64; the run and the notes of the recording."""

    def replay(*given: str):
        with pytest.MonkeyPatch.context() as patch:
            use_float64(patch)
            run, notes = build(*given)
            run.train()
        return run, notes

    return replay


@pytest.mark.parametrize("fast_cpu", ["auto", "off"])
@pytest.mark.parametrize("which", ["recorded_loop", "longer_loop_type1", "longer_loop_type3"])
@pytest.mark.parametrize("loop", LOOPS)
def test_loop(replay, loop, which, fast_cpu):
    run, notes = replay(loop, which, "--protocol", "published", "--fast_cpu", fast_cpu)
    about = notes[which]
    known = about["loss_max_difference_from_float64_run"]
    close = known + LOSS * max(about["loss"])
    assert run.steps == pytest.approx(about["loss"], abs=close)
    main, projections = zip(*run.rates, strict=True)
    assert main == pytest.approx(about["main_lr"], rel=1e-9)
    assert projections == pytest.approx(about["projection_lr"], rel=1e-9)
    history = run.progress.history
    scores = [(epoch.validation, epoch.test) for epoch in history]
    recorded = [(v[-1], t[-1]) for v, t in zip(about["vali"], about["test"], strict=True)]
    assert scores == [pytest.approx(pair, abs=close) for pair in recorded]
    if which != "recorded_loop":
        return
    assert run.progress.best.epoch == notes["epoch_whose_checkpoint_is_kept"][0]
    own = run.objective.model.state_dict()
    after = {k.removeprefix("after."): v for k, v in run.recorded.items() if k[:6] == "after."}
    assert set(after) == set(notes["changed"])
    for name, theirs in after.items():
        distance = (own[name] - theirs).abs().max().item()
        assert distance < 1.001 * notes["largest_difference_from_float64_run"][name], name
    for name in notes["unchanged_though_trainable"]:
        assert torch.equal(own[name].float(), run.start[name]), name


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("fast_cpu", ["auto", "off"])
@pytest.mark.parametrize("loop", LOOPS)
def test_steps_in_float32(build, replay, monkeypatch, loop, fast_cpu):
    """From the states of a float64 run they have its losses and gradients."""
    states, gradients, plain = [], [], Replay.train_step

    def in_float64(run: Replay, step: int, index: Tensor) -> None:
        smooth(run.objective.model)
        parameters = trained(run.objective.model)
        states.append({name: p.detach().clone() for name, p in parameters.items()})
        plain(run, step, index)
        gradients.append({n: p.grad.clone() for n, p in parameters.items() if p.grad is not None})

    def in_float32(run: Replay, step: int, index: Tensor) -> None:
        smooth(run.objective.model)
        parameters, theirs = trained(run.objective.model), gradients[len(run.steps)]
        run.objective.model.load_state_dict(states[len(run.steps)], strict=False)
        plain(run, step, index)
        assert {n for n, p in parameters.items() if p.grad is not None} == set(theirs)
        largest = max(gradient.norm() for gradient in theirs.values())
        for name, gradient in theirs.items():
            off, scale = (parameters[name].grad - gradient).norm(), gradient.norm()
            assert off < GRADIENT * (scale + 1e-3 * largest), name  # keys' biases have none

    options = (loop, "recorded_loop", "--protocol", "published", "--fast_cpu", fast_cpu)
    monkeypatch.setattr(Replay, "train_step", in_float64)
    exact, notes = replay(*options)
    monkeypatch.setattr(Replay, "train_step", in_float32)
    run, _ = build(*options)
    run.train()
    assert len(run.steps) == len(notes["recorded_loop"]["loss"])
    assert run.steps == pytest.approx(exact.steps, rel=LOSS)


@pytest.mark.parametrize("loop", ["imputation", "anomaly"])
def test_the_sound_loop_is_another_one(replay, loop):
    run, notes = replay(loop, "recorded_loop", "--cos", "0")
    difference = max(
        abs(ours - theirs)
        for ours, theirs in zip(run.steps, notes["recorded_loop"]["loss"], strict=True)
    )
    recorded = [
        other["largest_loss_difference"]
        for name, other in notes["distance_of_other_loops"].items()
        if "projection" in name and "attention" not in name
    ]
    assert [difference] == [pytest.approx(distance, abs=LOSS) for distance in recorded]


def schedules() -> list[tuple[str, str, str]]:
    kinds = ("cos{}_type1", "cos{}_type3", "cos{}_type2", "cos0_type2_with_decay_fac_0.75")
    return sorted(
        {(task, kind.format(cos)) for task in EXPERIMENTS for kind in kinds for cos in (0, 1)}
    )


@pytest.mark.parametrize(("task", "which"), schedules())
def test_learning_rates_by_epoch(golden, task, which):
    recorded = json.loads((golden / "protocol" / "schedules.json").read_text())["tasks"][task]
    about = recorded[which]
    if "error" in about:  # the published command line lacks --decay_fac
        about = recorded["cos0_type2_with_decay_fac_0.75"]
    options = parse_args(
        f"--task_name {task} --is_training 1 --model_id m --model CALF --data x --tmax 20 "
        f"--protocol published --cos {which[3]} --lradj {which[5:10]} --learning_rate 0.001".split()
    )
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = Adam([parameter], lr=options.learning_rate)
    scheduler = learning_rate_schedule(optimiser, options, EXPERIMENTS[task].published_rules)
    rates = []
    for _ in about["main"]:
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates == pytest.approx(about["main"], rel=1e-9)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(
        about["after_the_last_epoch"][0], rel=1e-9
    )
    assert set(about["projection"]) == {PROJECTION_LEARNING_RATE}
