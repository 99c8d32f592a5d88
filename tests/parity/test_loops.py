"""Whole training loops against the reference's: losses by step, and learning rates by epoch.

The reference's loops of imputation and anomaly detection are not sound (docs/protocols.md): ours
are as far from them as the reference is from itself with that fault mended. The loops run in
float64, where rounding moves nothing that counts.
"""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.optim import Adam
from torch.utils.data import TensorDataset

from data_provider.anomaly import cut_windows
from data_provider.windows import WindowDataset
from exp.exp_anomaly_detection import ExpAnomalyDetection
from exp.exp_classification import ExpClassification
from exp.exp_imputation import ExpImputation, masked
from exp.step import learning_rate_schedule
from models.interface import DataShape
from models.objectives import PROJECTION_LEARNING_RATE
from run import parse_args
from tests.parity.recordings import Recording, load_tensors, tiny_options
from tests.rounding import use_float64
from utils.batch import Batch

LOOPS = {
    "imputation": "imputation",
    "anomaly": "anomaly_detection",
    "classification": "classification",
}
LOSS = 2e-6  # float32's relative rounding of a loss


class Replay:
    """Makes an experiment train on the recorded batches, from the recorded state, without dropout.

    All else, the loop included, is the experiment's own.
    """

    def __init__(self, golden: Path, loop: str, *more: str):
        folder, tiny = golden / "protocol", golden / "tiny"
        self.recorded = load_tensors(folder / f"{loop}_loop.safetensors")
        self.steps: list[float] = []
        argv = [
            *f"--task_name {LOOPS[loop]} --is_training 1 --model_id loop --seq_len 24".split(),
            *"--data recorded --batch_size 4 --patience 100 --learning_rate 0.001".split(),
            *"--feature_loss smooth_l1 --output_loss smooth_l1".split(),
            *(() if loop == "classification" else ("--task_loss", "smooth_l1")),
            *"--train_epochs 2 --cos 0 --overwrite".split(), *tiny_options(tiny), *more,
        ]  # fmt: skip
        super().__init__(parse_args(argv))
        state = Recording(golden, LOOPS[loop]).group("state")
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
        losses = self.step.sums["losses"]
        before = losses.clone()
        losses.zero_()  # the sum of an epoch has fewer digits
        super().train_step(step, index)
        self.steps.append(losses[0].item())
        losses += before


class Imputation(Replay, ExpImputation):
    def recorded_batch(self, name: str, number: int) -> Batch:
        x, masks = self.recorded[f"x_{name}"], self.recorded[f"mask_{name}"]
        mask = masks[self.progress.epoch - 1, number].float()
        return masked(Batch(x[number]), mask)

    def validation_score(self) -> float:
        return 0.0

    def test_score(self) -> float:
        return 0.0


class Anomaly(Replay, ExpAnomalyDetection):
    def split(self, name: str) -> WindowDataset:
        return cut_windows(self.recorded[f"x_{name}"].reshape(-1, 5), 24, 24)

    def recorded_batch(self, name: str, number: int) -> Batch:
        x = self.recorded[f"x_{name}"][number]
        return Batch(x, x)


class Classification(Replay, ExpClassification):
    def split(self, name: str) -> TensorDataset:
        name = name.replace("val", "test")  # which chose the epoch
        x, labels = self.recorded[f"x_{name}"].flatten(0, 1), self.recorded[f"labels_{name}"]
        return TensorDataset(x, labels.flatten(), torch.full((len(x),), x.shape[1]))

    def recorded_batch(self, name: str, number: int) -> Batch:
        labels = self.recorded[f"labels_{name}"][number].flatten().long()
        return Batch(self.recorded[f"x_{name}"][number], labels)


REPLAYS = {"imputation": Imputation, "anomaly": Anomaly, "classification": Classification}


@pytest.mark.parametrize("fast_cpu", ["auto", "off"])
@pytest.mark.parametrize("loop", LOOPS)
def test_losses_by_step(golden, workdir, loop, fast_cpu):
    notes = json.loads((golden / "protocol" / f"{loop}_loop.json").read_text())
    about = notes["recorded_loop"]
    mended = [
        other["largest_loss_difference"]
        for name, other in notes["distance_of_other_loops"].items()
        if name.startswith("projection") and "not stepped" not in name
    ]
    with pytest.MonkeyPatch.context() as patch:
        use_float64(patch)
        run = REPLAYS[loop](golden, loop, "--fast_cpu", fast_cpu)
        run.train()
    distance = max(abs(a - b) for a, b in zip(run.steps, about["loss"], strict=True))
    close = about["loss_max_difference_from_float64_run"] + LOSS * max(about["loss"])
    assert distance == pytest.approx(*(mended or [0.0]), abs=close)


@pytest.mark.parametrize("kind", ["type1", "type2", "type3"])
@pytest.mark.parametrize("cos", "01")
@pytest.mark.parametrize("task", ["long_term_forecast", "short_term_forecast"])
def test_learning_rates_by_epoch(golden, task, cos, kind):
    recorded = json.loads((golden / "protocol" / "schedules.json").read_text())["tasks"][task]
    about = recorded[f"cos{cos}_{kind}"]
    if "error" in about:  # the published command line lacks --decay_fac
        about = recorded["cos0_type2_with_decay_fac_0.75"]
    options = parse_args(
        f"--task_name {task} --is_training 1 --model_id m --model CALF --data x --tmax 20 "
        f"--cos {cos} --lradj {kind} --learning_rate 0.001".split()
    )
    optimiser = Adam([torch.nn.Parameter(torch.zeros(1))], lr=options.learning_rate)
    scheduler = learning_rate_schedule(optimiser, options)
    rates = []
    for _ in about["main"]:
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates == pytest.approx(about["main"], rel=1e-9)
    (last, *_) = about["after_the_last_epoch"]
    assert optimiser.param_groups[0]["lr"] == pytest.approx(last, rel=1e-9)
    assert set(about["projection"]) == {PROJECTION_LEARNING_RATE}
