"""Command line of CALF: train, test and forecast. `python run.py --help` lists the options."""

import importlib
import os
import shlex
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from exp.launch import (
    check_devices,
    device_numbers,
    follow_parent,
    launch,
    leave,
    reports,
    visible_devices,
    world,
)
from models import registry
from utils import options
from utils.bars import quiet
from utils.command_line import guarded
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import require_file, require_model_folder
from utils.interrupts import Interrupted, handle
from utils.machine import usable_cores
from utils.tasks import EXPERIMENTS

if TYPE_CHECKING:
    from exp.exp_basic import ExpBasic


def parse_args(argv: list[str] | None = None, command: str | None = None) -> Configuration:
    """Parse a command line of this program; `command` is as it is recorded."""

    def guess(args: object) -> tuple[dict[str, object], str]:
        from data_provider.guesses import guess_options  # with pandas, which --help does not need

        return guess_options(args)

    return options.parse_args(sys.argv[1:] if argv is None else argv, registry, command, guess)


def run(args: Configuration) -> None:
    """Run the experiment that `args` describe, `itr` times."""
    from exp.device import prepare_torch  # with PyTorch, which takes seconds to import

    prepare_torch(args)
    module, name = EXPERIMENTS[args.task_name].split(":")
    task = getattr(importlib.import_module(f"exp.{module}"), name)
    for iteration in range(1 if args.checkpoint else args.itr):
        experiment = task(args, iteration)
        with experiment.folders.claim():
            trained = [experiment] if experiment.args.is_training else []
            for one in trained:
                train(one)
            with experiment.stopping:
                experiment.test()
            for one in trained:
                one.trivial.check(one.progress.best)
            if trained and args.refit:
                trained.append(refit(experiment, args, iteration))
            if args.do_predict:
                forecaster = (trained or [experiment])[-1]
                with forecaster.stopping:
                    forecaster.predict()
            for one in trained:
                one.clear_states()


def train(experiment: "ExpBasic") -> None:
    """Train; a line says how to continue after an interruption."""
    try:
        experiment.train()
    except Interrupted:
        print(experiment.state.resume_hint(experiment.progress), file=sys.stderr)
        raise


def refit(experiment: "ExpBasic", args: Configuration, iteration: int) -> "ExpBasic":
    """Train again on all rows, for as many epochs as validation chose; nothing is scored, and
    checkpoint and state are files of their own in the run's folders."""
    from exp.exp_long_term_forecasting import InMemory
    from utils.results import REFIT

    epochs, panel = experiment.progress.best.epoch, experiment.panel
    print(f"refit on all rows of {panel.source}, for {epochs} epochs, as validation chose")
    again = type(experiment)(
        args.replace(train_epochs=epochs),
        iteration,
        memory=InMemory(panel, held_out=0),
        folders=experiment.folders.of_part(REFIT),
    )
    again.intervals = experiment.intervals
    train(again)
    _, history = again.epochs()
    checkpoint = str(again.folders.best_checkpoint)
    again.folders.add_to_record(refit={"checkpoint": checkpoint, "epochs": history})
    return again


def _terminate(*_: object) -> None:
    raise SystemExit(143)


def configure_openmp(threads: int = 0) -> None:
    """Set the number of threads, and how long idle ones spin; call it before torch is imported.

    With the default spinning two runs on the same cores take some eighty times as long as one;
    with this, seven times or less.

    Args:
        threads: of `--threads`; 0 leaves the choice to `OMP_NUM_THREADS`, or to the cores.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))


def check_paths(args: Configuration) -> None:
    """Check that the files and folders exist that a run is going to read.

    Raises:
        UserError: one does not.
    """
    if args.checkpoint:
        require_file(Path(args.checkpoint), "train first, or name a checkpoint by --checkpoint")
    if args.future:
        require_file(Path(args.future), "check --future")
    _check_data(args)
    from utils.word_embeddings import DEFAULT_PATH, NO_FILE, RANDOM, require_word_embeddings

    used = registry.options_of(args.model)
    reads_words = "word_embedding_path" in used.intersection(args.given) and args.words != "none"
    names_file = args.word_embedding_path not in (DEFAULT_PATH, NO_FILE, RANDOM)
    if args.is_training and reads_words and names_file:
        require_word_embeddings(args.word_embedding_path)
    if "llm" in used:
        require_model_folder(args.llm)


def _check_data(args: Configuration) -> None:
    # with NumPy, which --help does not need
    from data_provider.checks import require_data_file, require_set, target_file

    root = Path(args.root_path)
    if args.task_name not in ("long_term_forecast", "imputation"):
        if not root.is_dir():
            raise UserError(
                f"{root}: no such folder; check --root_path (datasets/README.md says where the "
                "data sets come from)"
            )
        return
    require_set(args.data)
    options = "--root_path and --data_path, or --target_data"
    if args.is_training or not args.zero_shot:
        require_data_file(root / args.data_path, options)
    if args.zero_shot:
        require_data_file(root / target_file(args.target_data), options)


def run_here_or_launch(args: Configuration, argv: list[str]) -> int:
    """Run in this process, or, for several `--devices`, in one process each.

    Raises:
        UserError: a file is missing, or a GPU is not visible.
    """
    if world()[1] == 1:  # of several processes all begin, so that one of them says it
        check_paths(args)
    gpus = None
    if args.use_multi_gpu and "WORLD_SIZE" not in os.environ:  # nobody has launched several yet
        numbers = device_numbers(args.devices)
        if args.use_gpu:
            check_devices(numbers)
            gpus = visible_devices(numbers)
        if len(numbers) > 1:
            command = [sys.executable, str(Path(__file__).resolve()), *argv]
            return launch(command, len(numbers), gpus)
        args = args.replace(gpu=numbers[0])
    options.warn_unused(args, registry)
    configure_openmp(args.threads)  # not before `launch`: its processes divide the cores
    run(args)
    leave()
    return 0


def speaks(error: BaseException) -> bool:
    """Return whether this process prints `error`."""
    return world()[1] == 1 or reports(error)


def main(argv: list[str] | None = None) -> int:
    """Parse and run; an error that users can correct gives one line and exit code 2.

    Of several processes only rank 0 prints anything else.
    """
    argv = sys.argv[1:] if argv is None else argv
    silence = nullcontext if world()[0] == 0 else quiet
    with silence():
        args = parse_args(argv, shlex.join(["python", "run.py", *argv]))
    handle(signal.SIGTERM, _terminate)
    follow_parent()

    def here() -> int:
        with silence():
            return run_here_or_launch(args, argv)

    return guarded(here, args.debug, speaks)


if __name__ == "__main__":
    sys.exit(main())
