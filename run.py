"""Command line of CALF: train, test and forecast. `python run.py --help` lists the options."""

import argparse
import importlib
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from utils.command_line import guarded
from utils.interrupts import Interrupted, handle
from utils.launch import (
    check_devices,
    device_numbers,
    follow_parent,
    launch,
    quiet,
    under_launcher,
    visible_devices,
    world,
)
from utils.machine import keep_memory, usable_cores
from utils.options import parse_args, warn_unused

EXPERIMENTS = {
    "long_term_forecast": "exp_long_term_forecasting:ExpLongTermForecasting",
    "short_term_forecast": "exp_short_term_forecasting:ExpShortTermForecasting",
    "imputation": "exp_imputation:ExpImputation",
    "anomaly_detection": "exp_anomaly_detection:ExpAnomalyDetection",
    "classification": "exp_classification:ExpClassification",
}


def run(args: argparse.Namespace) -> None:
    """Run the experiment that `args` describe, `itr` times."""
    prepare_torch(args)
    module, name = EXPERIMENTS[args.task_name].split(":")
    task = getattr(importlib.import_module(f"exp.{module}"), name)
    for iteration in range(1 if args.checkpoint else args.itr):
        experiment = task(args, iteration)
        checkpoint = experiment.checkpoint
        with experiment.folders.hold(experiment.args, checkpoint and checkpoint.trained_with()):
            if args.is_training:
                try:
                    experiment.train()
                except Interrupted:
                    print(experiment.state.resume_hint(experiment.progress), file=sys.stderr)
                    raise
            with experiment.stopping:
                experiment.test()
                if args.do_predict:
                    experiment.predict()


def prepare_torch(args: argparse.Namespace) -> None:
    """Set what torch holds for the whole process: threads, products, determinism."""
    import torch

    keep_memory()
    if args.threads and args.threads != torch.get_num_threads():
        # for a torch that was there already: MKL's small products are slower ever after
        torch.set_num_threads(args.threads)
    if args.tf32:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if args.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def _terminate(*_: object) -> None:
    raise SystemExit(143)


def share_processor(threads: int = 0) -> None:
    """Set how torch uses the processor; to be called before it is imported.

    A thread a core, and idle threads that do not spin for long: by default two runs side by side
    on the same cores are some eighty times slower than one, with this seven times or less.

    Args:
        threads: of `--threads`; 0 leaves the choice to `OMP_NUM_THREADS`, or to the cores.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // beside)))


def run_here_or_launch(args: argparse.Namespace, argv: list[str]) -> int:
    """Run in this process, or, for several of `--devices`, in one each.

    Raises:
        UserError: a device is not there.
    """
    gpus = None
    if args.use_multi_gpu and not under_launcher():
        numbers = device_numbers(args.devices)
        if args.use_gpu:
            check_devices(numbers)
            gpus = visible_devices(numbers)
        if len(numbers) > 1:
            command = [sys.executable, str(Path(__file__).resolve()), *argv]
            return launch(command, len(numbers), gpus)
        args.gpu = numbers[0]
    share_processor(args.threads)  # not for `launch`, whose processes share out the cores
    run(args)
    return 0


def speaks(error: BaseException) -> bool:
    """Whether it is for this process to say that it ends by `error`."""
    if world()[1] == 1:
        return True
    from exp.processes import reports

    return reports(error)


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and turn what a person can mend into one line and exit code 2.

    Of several processes the first one alone writes anything else.
    """
    argv = sys.argv[1:] if argv is None else argv
    silence = nullcontext if world()[0] == 0 else quiet
    with silence():
        args = parse_args(argv)
        warn_unused(args)
    handle(signal.SIGTERM, _terminate)
    follow_parent()

    def here() -> int:
        with silence():
            return run_here_or_launch(args, argv)

    return guarded(here, args.debug, speaks)


if __name__ == "__main__":
    sys.exit(main())
