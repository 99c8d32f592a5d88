"""Measure speed and memory: `python scripts/benchmark.py [--quick] [--json] [--only CASE ...]`.

Every case is a separate process that runs the project's training or evaluation on synthetic data,
with a GPT-2 of full width and random weights. Efficiencies are ratios of medians: products of the
shapes in GPT-2's blocks are timed between the steps, since a machine's speed varies by the minute.
"""

# ruff: noqa: E402 - OpenMP reads its settings when PyTorch is imported
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from run import configure_openmp, parse_args

configure_openmp()

import torch
from torch.optim import Adam
from transformers import GPT2Config, GPT2Model, PreTrainedModel

from data_provider.synthetic import synthetic_ett
from exp.device import prepare_torch
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from exp.record import circumstances
from exp.step import micro_batches
from layers import fast_cpu
from layers.backbone import quiet_transformers
from layers.match import CrossModalMatch
from models.objectives import parameter_groups
from utils.machine import peak_memory

LAYERS, WIDTH, ENCODER_WIDTH, COMPONENTS, LOOK_BACK = 6, 768, 2048, 500, 96
ETTH1_TEST_ROWS = 2880  # of which 2,785 windows at horizon 96
RESULT = "benchmark result: "
# of the cases: (case, name in the summary, number)
SUMMARY = (
    ("train", "train_efficiency", "efficiency"),
    ("train", "train_peak_gb", "peak_gb"),
    ("evaluate", "eval_efficiency", "efficiency"),
    ("evaluate", "eval_speedup", "speedup"),
)


class RepeatedWordEmbeddings(CrossModalMatch):
    """As published: the word embeddings are repeated for every sample."""

    def textual_tokens(self, x_time: torch.Tensor) -> torch.Tensor:
        repeated = self.word_embedding.expand(len(x_time), -1, -1).contiguous()
        return self.cross_attention(x_time, repeated, repeated)[0]


def forward_flops(horizon: int) -> tuple[float, float]:
    """Operations for each token: of one branch's blocks, and of the rest in training.

    The rest is embedding, encoder layer, queries and output of the cross-attention, projections and
    heads of both branches. Source: `docs/method.md`, section 6.
    """
    square = WIDTH**2
    blocks = 2 * 12 * square * LAYERS
    encoder = 2 * (LOOK_BACK * WIDTH + 4 * square + 2 * WIDTH * ENCODER_WIDTH)
    rest = encoder + 2 * 2 * square + 2 * 2 * (LAYERS + 1) * square + 2 * 2 * WIDTH * horizon
    return blocks, rest


def training_flops(tokens: int, horizon: int) -> float:
    """Operations of a training step: backward the frozen blocks once, the rest twice."""
    blocks, rest = forward_flops(horizon)
    keys_and_values = 2 * 2 * COMPONENTS * WIDTH**2
    return tokens * (2 * 2 * blocks + 3 * rest) + 3 * keys_and_values


def evaluation_flops(tokens: int, horizon: int) -> float:
    """Operations of a prediction by the temporal branch alone."""
    encoder = LOOK_BACK * WIDTH + 4 * WIDTH**2 + 2 * WIDTH * ENCODER_WIDTH
    return tokens * (forward_flops(horizon)[0] + 2 * (encoder + WIDTH * horizon))


class Case:
    """One case: an experiment on synthetic data, and how to time it.

    Args:
        options: channels, batch, horizon, repeats, rows, and further options of `run.py`.
    """

    def __init__(self, options: dict):
        self.options = options
        self.horizon = options["horizon"]
        channels, rows = options["channels"], options["rows"]
        synthetic_ett(rows=rows, channels=channels, seed=1).to_csv("data.csv", index=False)
        torch.manual_seed(1)
        config = GPT2Config(
            n_layer=LAYERS, vocab_size=1000, n_positions=1024, bos_token_id=0, eos_token_id=0
        )
        with quiet_transformers():
            GPT2Model(config).save_pretrained("gpt2")
        torch.save(torch.randn(WIDTH, COMPONENTS) / 7, "word_embeddings.pt")
        argv = (
            "--task_name long_term_forecast --is_training 1 --model_id benchmark --model CALF "
            f"--data custom --root_path . --data_path data.csv --seq_len {LOOK_BACK} "
            f"--label_len 0 --pred_len {self.horizon} --batch_size {options['batch']} "
            f"--llm gpt2 --gpt_layers {LAYERS} --word_embedding_path word_embeddings.pt"
        ).split()
        args = parse_args([*argv, *options["more"]])
        prepare_torch(args)
        self.experiment = ExpLongTermForecasting(args)
        self.device = self.experiment.device
        self.tokens = options["batch"] * channels

    def time(self, task: Callable[[], object]) -> float:
        """Seconds of a task, including work queued on the device."""
        finish = torch.cuda.synchronize if self.device.type == "cuda" else lambda: None
        finish()
        start = time.perf_counter()
        task()
        finish()
        return time.perf_counter() - start

    def rates(self, tokens: int) -> dict[str, float]:
        """Operations a second of the blocks' products, by PyTorch and by oneDNN."""
        onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
        seconds, operations = {}, 0.0
        shapes = [(768, 2304), (768, 768), (768, 3072), (3072, 768)]
        for inner, outer in [*shapes, *((outer, inner) for inner, outer in shapes)]:
            x = torch.randn(tokens, inner, device=self.device)
            weight = torch.randn(outer, inner, device=self.device)
            ways = {"pytorch": lambda x=x, w=weight: torch.mm(x, w.t())}
            if onednn and self.device.type == "cpu":
                ways["onednn"] = lambda x=x, w=weight: onednn(x, w, None, "none", [], "")
            with torch.no_grad():
                for name, way in ways.items():
                    way()  # memory and code in place
                    seconds[name] = seconds.get(name, 0.0) + self.time(way)
            operations += 2 * tokens * inner * outer
        return {name: operations / took for name, took in seconds.items()}

    def interleaved(self, task: Callable[[], object], tokens: int, operations: float) -> dict:
        """Median seconds of a task, and its efficiency against products timed between repetitions.

        Args:
            tokens: rows of these products. operations: of the task.
        """
        task()  # warm up
        took, rates = [], []
        for _ in range(self.options["repeats"]):
            rates.append(self.rates(tokens))
            took.append(self.time(task))
        median = {name: statistics.median(r[name] for r in rates) for name in rates[0]}
        seconds = statistics.median(took)
        return {
            "seconds": seconds,
            "gflops": operations / seconds / 1e9,
            "rates_gflops": {name: value / 1e9 for name, value in median.items()},
            "efficiency": operations / seconds / max(median.values()),
        }

    def train_task(self) -> Callable[[], object]:
        """A training step: gather the batch, compute gradients, step both optimisers."""
        experiment = self.experiment
        experiment.objective.model.train()
        steps = enumerate(cycle(experiment.order(epoch=1)))
        return lambda: experiment.train_step(*next(steps))

    def train(self) -> dict:
        """Time and memory of training steps."""
        task = self.train_task()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        # memory first: the products between the steps allocate some too
        task()
        task()
        peak = self.peak_gb()
        parts = micro_batches(self.gather(), self.experiment.objective.training_windows)
        tokens = len(parts[0][1]) * self.experiment.n_channels
        result = self.interleaved(task, tokens, training_flops(self.tokens, self.horizon))
        gather = self.time(lambda: [self.gather() for _ in range(10)]) / 10
        return result | {"peak_gb": peak, "input_share": gather / result["seconds"]}

    def peak_gb(self) -> float:
        """Peak memory in GB (10^9 bytes), of the GPU's allocator or else of the process."""
        found = peak_memory(self.device)
        return (found["device"] or found["host"]) / 1e3

    def gather(self) -> object:
        """Gather the first batch of an epoch."""
        index = self.experiment.order(epoch=1)[0]
        return self.experiment.training_batch(index)

    def evaluate(self) -> dict:
        """Evaluate the test split, and then some windows the published way, one by one."""
        experiment = self.experiment
        windows = experiment.test_set
        rows = len(next(experiment.evaluation.batches(windows)))
        operations = evaluation_flops(len(windows) * windows.n_channels, self.horizon)
        result = self.interleaved(experiment.test_score, rows * windows.n_channels, operations)
        result |= {"windows": len(windows), "peak_gb": self.peak_gb()}
        result["ms_per_window"] = 1e3 * result["seconds"] / len(windows)
        if some := self.options.get("reference_windows", 0):
            model = self.published_model().eval()

            def published(number: int) -> None:
                x = windows.batch(torch.tensor([number], device=self.device))[0]
                with torch.no_grad():
                    model.branches(x, text_branch=True)

            published(0)  # warm up
            took = [self.time(lambda number=number: published(number)) for number in range(some)]
            result["reference_ms_per_window"] = 1e3 * statistics.median(took)
            result["speedup"] = result["reference_ms_per_window"] / result["ms_per_window"]
        return result

    def published_model(self) -> object:
        """The same model computed the published way: by PyTorch's kernels, with stored attention
        maps, and with the word embeddings repeated for every sample."""
        model = deepcopy(self.experiment.objective.model)
        fast_cpu.uninstall(model)
        model.in_layer.__class__ = RepeatedWordEmbeddings
        for module in model.modules():
            if isinstance(module, PreTrainedModel):
                module.set_attn_implementation("eager")
        return model

    def published_step(self) -> dict:
        """A training step the published way, with two plain Adams."""
        experiment, model = self.experiment, self.published_model().train()
        both = [Adam(group.parameters) for group in parameter_groups(model)]

        def task() -> None:
            batch = self.gather()
            for optimiser in both:
                optimiser.zero_grad()
            experiment.objective.loss(model.branches(batch.x), batch)["total"].backward()
            for optimiser in both:
                optimiser.step()

        ours = self.train_task()
        ours()
        task()
        pairs = [(self.time(task), self.time(ours)) for _ in range(self.options["repeats"])]
        slow, fast = (statistics.median(column) for column in zip(*pairs, strict=True))
        return {"seconds": slow, "ours_seconds": fast, "speedup": slow / fast}


def cases(quick: bool, device: list[str]) -> dict[str, dict]:
    """All cases by name."""
    full = {"rows": 5 * ETTH1_TEST_ROWS, "repeats": 7}
    wide = {f"channels {n}": {"channels": n, "batch": size}
            for n, size in ((21, 64), (321, 32), (862, 8))}  # fmt: skip
    chosen = {
        "train": full,
        "evaluate": full | {"kind": "evaluate", "reference_windows": 32},
        "published step": {"kind": "published_step"},
        "batch 32": {"batch": 32},
        "horizon 720": {"horizon": 720, "rows": 9000},
        **wide,
        "evaluate channels 862": {"kind": "evaluate", "channels": 862, "rows": 1000},
        "grad_checkpoint": {"more": ["--grad_checkpoint"]},
        "bf16": {"more": ["--amp", "bf16"]},
    }
    if quick:
        evaluated = {"kind": "evaluate", "rows": 5 * 700, "repeats": 2, "reference_windows": 8}
        chosen = {"train": {"batch": 128, "rows": 5 * 700}, "evaluate": evaluated}
    usual = {"kind": "train", "channels": 7, "batch": 256, "horizon": 96, "rows": 2000}
    usual |= {"repeats": 3, "more": []}
    found = {name: usual | options for name, options in chosen.items()}
    return {name: of | {"more": [*device, *of["more"]]} for name, of in found.items()}


def run_case(name: str, options: dict) -> dict:
    """Run a case in a separate process and folder."""
    with tempfile.TemporaryDirectory(prefix="calf_benchmark_") as folder:
        ran = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "--case", json.dumps(options)],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    lines = [line for line in ran.stdout.splitlines() if line.startswith(RESULT)]
    if not lines:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"error: case {name} failed: {last}")
    return json.loads(lines[0].removeprefix(RESULT))


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure speed and memory of CALF.")
    parser.add_argument("--quick", action="store_true", help="smaller cases, within a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="cases to run, by their names")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        options = json.loads(args.case)
        print(RESULT + json.dumps(getattr(Case(options), options["kind"])()))
        return 0
    chosen = cases(args.quick, ["--use_gpu", "0"] if args.cpu else [])
    for name in args.only or []:
        if name not in chosen:
            parser.error(f"no case {name}: there are {', '.join(chosen)}")
    gpu = torch.cuda.is_available() and not args.cpu
    machine = circumstances(torch.device("cuda" if gpu else "cpu"))
    report: dict = {"machine": machine, "quick": args.quick, "cases": {}}
    for name in args.only or chosen:
        report["cases"][name] = run_case(name, chosen[name])
        if not args.json:
            print(json.dumps({name: report["cases"][name]}), flush=True)
    for case, name, value in SUMMARY:
        if case in report["cases"]:
            report[name] = report["cases"][case][value]
    if args.json:
        print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
