"""Forecast files: `python -m exp.forecast --checkpoint DIR --input my.csv --output out.csv`."""

import os
import sys
from argparse import SUPPRESS, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from data_provider.checks import PARQUET
from exp.launch import world
from utils.command_line import Parser, guarded, message_of, whole
from utils.errors import UserError
from utils.files import require_file, require_picture
from utils.option_table import LEVEL, TABLE_OPTIONS, TABLES
from utils.options import add_option

if TYPE_CHECKING:
    from exp.forecaster import CALFForecaster

SUFFIXES = (".csv", *PARQUET)


def parser_of(program: str, description: str) -> Parser:
    """Make the parser of a program that reads a trained model."""
    parser = Parser(prog=f"python -m exp.{program}", description=description)
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="a checkpoint of run.py or its folder, what save_pretrained wrote, or a hub id",
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def parse(argv: list[str] | None = None) -> Namespace:
    """Parse a command line."""
    parser = parser_of(
        "forecast",
        "Forecast what follows the series of a file, or of each file of a folder, in original "
        "units.",
    )
    parser.add_argument("--input", required=True, help="CSV or Parquet, or a folder of such files")
    parser.add_argument(
        "--output", required=True, help="CSV or Parquet by its ending; a folder if --input is one"
    )
    parser.add_argument(
        "--level", type=LEVEL, nargs="+", help="of prediction intervals, in %%, as 80 95"
    )
    parser.add_argument(
        "--future",
        help="CSV or Parquet of the covariates that are known ahead; of a folder, one for all "
        "files, or a folder with a file of the same name for each",
    )
    parser.add_argument("--h", type=whole(1), help="steps, at most those of the training")
    parser.add_argument("--plot", help="picture of the forecasts of some series: .png, .pdf, .svg")
    for option in TABLE_OPTIONS:
        if option[0] != "panel":
            add_option(parser, option, default=SUPPRESS)
    parser.add_argument("--freq", help="pandas alias of the step; by default it is inferred")
    parser.add_argument(
        "--start_padding", action="store_true", help="accept series shorter than the look-back"
    )
    parser.add_argument("--llm", help="where the language model of the training is now")
    parser.add_argument("--use_gpu", choices=("0", "1"), help="0: on the CPU")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: each of --workers forecasts a shard of a folder's files, by Ray Data; torchrun "
        "does so without it",
    )
    parser.add_argument("--workers", type=whole(1), default=2, help="of --engine ray")
    return parser.parse_args(argv)


def files(args: Namespace) -> list[tuple[Path, Path]]:
    """Pair the input files with the output files, and check all paths."""
    source, target = Path(args.input), Path(args.output)
    if not source.is_dir():
        require_file(source, "check --input")
        pairs = [(source, target)]
    else:
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise UserError(f"{source}: no .csv or .parquet file in this folder")
        if target.suffix.lower() in SUFFIXES or target.is_file():
            raise UserError(f"--output {target}: --input is a folder: give a folder")
        pairs = [(path, target / path.name) for path in found]
        if args.plot:
            raise UserError("--plot is for one file")
    for path in (path for pair in pairs for path in pair):
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path}: the ending has to be one of {', '.join(SUFFIXES)}")
    if args.future and not Path(args.future).is_dir():
        require_file(Path(args.future), "check --future")
    same = [path for path, written in pairs if path.resolve() == written.resolve()]
    if same:
        raise UserError(f"--output {same[0]} is the input: give another one")
    require_checkpoint(args.checkpoint)
    return pairs


def require_checkpoint(name: str) -> None:
    """Check that a checkpoint is there, or may be on the hub."""
    if not Path(name).exists() and (name.count("/") != 1 or Path(name).parent.is_dir()):
        raise UserError(f"{name}: no such file or folder; check --checkpoint")


def load_forecaster(checkpoint: str, **options: object) -> "CALFForecaster":
    """Load a forecaster from a file, a folder or the hub; `options` replace those of the
    training."""
    from exp.forecaster import CALFForecaster  # with PyTorch, which takes seconds to import

    require_checkpoint(checkpoint)
    exists = Path(checkpoint).exists()
    load = CALFForecaster.load if exists else CALFForecaster.from_pretrained
    return load(checkpoint, **options)


class Worker:
    """Forecasts files with one model, on the GPU of a number or the default device."""

    def __init__(self, args: Namespace, gpu: int | None = None):
        import torch

        given = {name: getattr(args, name) for name in TABLES if hasattr(args, name)}
        options = {"verbose": False, "freq": args.freq, **given}
        options["start_padding_enabled"] = args.start_padding
        if args.llm is not None:
            options["llm"] = args.llm
        if args.use_gpu is not None:
            options["use_gpu"] = args.use_gpu == "1"
        if gpu is not None and args.use_gpu != "0" and torch.cuda.is_available():
            options["gpu"] = gpu
        self.args, self.forecaster = args, load_forecaster(args.checkpoint, **options)
        self.forecaster.verbose = True  # what it says of a file

    def __call__(self, pair: dict[str, str]) -> dict[str, object]:
        """Forecast the file `input` into the file `output`; returns them and the rows written, or
        the error."""
        try:
            return pair | {"rows": self._forecast(Path(pair["input"]), Path(pair["output"]))}
        except (UserError, OSError) as error:
            if self.args.debug:
                raise
            source, message = pair["input"], message_of(error)
            named = message if message.startswith(source) else f"{source}: {message}"
            return pair | {"error": named}

    def _forecast(self, source: Path, target: Path) -> int:
        from exp.forecasts import write_table
        from utils.plots import save

        args, forecaster = self.args, self.forecaster
        future = args.future and Path(args.future)
        if future and future.is_dir():
            future /= source.name
        panel, steps = forecaster.panel_of(source, future), forecaster.steps(args.h)
        forecast = forecaster.forecast(panel, args.level)
        table = forecast.table(steps)
        write_table(target, table, panel)
        if args.plot:
            written = save(forecast.figure(steps, source.name), args.plot)
            print("\n".join(map(str, written)))
        return len(table)


def run(args: Namespace) -> int:
    """Forecast all files, or the shard of this rank; returns the exit code: 1 if some of several
    failed. A single file that can't be forecast raises."""
    if args.plot:
        require_picture(Path(args.plot))
    pairs = [{"input": str(source), "output": str(target)} for source, target in files(args)]
    if args.engine == "ray":
        results = forecast_by_ray(args, pairs)
    else:
        rank, count = world()
        gpu = int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):  # each forecasts files of its own
            os.environ.pop(name, None)
        worker = Worker(args, gpu)
        results = (worker(pair) for pair in pairs[rank::count])
    failed = done = 0
    for result in results:
        done += 1
        if "error" not in result:
            print(f"{result['output']}: {result['rows']:,} rows", flush=True)
            continue
        if not Path(args.input).is_dir():
            raise UserError(result["error"])
        failed += 1
        print(f"error: {result['error']}", file=sys.stderr, flush=True)
    if failed:
        print(f"{failed} of {done} files failed", file=sys.stderr)
    return 1 if failed else 0


def forecast_by_ray(args: Namespace, pairs: list[dict[str, str]]) -> list[dict[str, object]]:
    """Let Ray Data's actors, which load the model once each, forecast the files."""
    try:
        import ray
    except ImportError as error:
        raise UserError('--engine ray needs Ray: pip install "ray[data]"') from error
    pairs = [{name: str(Path(path).resolve()) for name, path in pair.items()} for pair in pairs]
    paths = {name: getattr(args, name) for name in ("checkpoint", "llm") if getattr(args, name)}
    found = {name: str(Path(p).resolve()) for name, p in paths.items() if Path(p).exists()}
    args = Namespace(**vars(args) | found)
    try:
        results = ray.data.from_items(pairs).map(
            Worker, fn_constructor_args=(args,), concurrency=args.workers
        )
        return results.take_all()
    except ray.exceptions.RayError as error:
        raise UserError(f"a worker of Ray failed: {str(error).strip().splitlines()[-1]}") from error


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse(argv)
    return guarded(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
