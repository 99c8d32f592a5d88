"""Whole training loops against the reference's: losses, scores, learning rates, parameters."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import Tensor
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
LOSS, PARAMETER = 2e-5, 2e-4  # the tolerances that the recordings suggest
SENSITIVE_ENTRIES = 3  # of a tensor: a gradient that is 0 but for rounding, whose sign Adam follows


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
        before = self.losses[0].item()
        super().train_step(step, index)
        self.steps.append(self.losses[0].item() - before)


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
def replay(golden, workdir):
    """Train on a recorded loop; the run and the recording."""

    def replay(loop: str, which: str, *more: str):
        notes = json.loads((golden / "protocol" / f"{loop}_loop.json").read_text())
        about = notes[which]
        run = REPLAYS[loop](golden, loop, about["lradj"], about["epochs"], *more)
        run.train()
        return run, notes

    return replay


@pytest.mark.parametrize("fast_cpu", ["auto", "off"])
@pytest.mark.parametrize("which", ["recorded_loop", "longer_loop_type1", "longer_loop_type3"])
@pytest.mark.parametrize("loop", LOOPS)
def test_loop(replay, loop, which, fast_cpu):
    run, notes = replay(loop, which, "--protocol", "published", "--fast_cpu", fast_cpu)
    about = notes[which]
    assert run.steps == pytest.approx(about["loss"], abs=LOSS)
    main, projections = zip(*run.rates, strict=True)
    assert main == pytest.approx(about["main_lr"], rel=1e-9)
    assert projections == pytest.approx(about["projection_lr"], rel=1e-9)
    history = run.progress.history
    scores = [(epoch.validation, epoch.test) for epoch in history]
    recorded = [(v[-1], t[-1]) for v, t in zip(about["vali"], about["test"], strict=True)]
    assert scores == [pytest.approx(pair, abs=LOSS) for pair in recorded]
    if which != "recorded_loop":
        return
    assert run.progress.best.epoch == notes["epoch_whose_checkpoint_is_kept"][0]
    own = run.objective.model.state_dict()
    after = {k.removeprefix("after."): v for k, v in run.recorded.items() if k[:6] == "after."}
    assert set(after) == set(notes["changed"])
    for name, theirs in after.items():
        off = (own[name] - theirs).abs() > PARAMETER
        assert off.sum() <= SENSITIVE_ENTRIES, (name, off.sum(), (own[name] - theirs).abs().max())
        assert (own[name] - theirs).abs().max() < 1e-3, name
    for name in notes["unchanged_though_trainable"]:
        assert torch.equal(own[name], run.start[name]), name


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
