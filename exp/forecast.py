"""Forecast files: `python -m exp.forecast --checkpoint DIR --input my.csv --output forecast.csv`.

A large file is read in pieces: of each series only the last rows are kept, and those of a model of
pooled series are forecast, written and forgotten as soon as the file has no more of them.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from utils.command_line import Parser, guarded, whole
from utils.errors import UserError
from utils.files import require_file, require_picture, whole_file
from utils.launch import world
from utils.levels import level

if TYPE_CHECKING:
    import pandas as pd

    from exp.forecaster import CALFForecaster

SUFFIXES = (".csv", ".parquet", ".pq")
SERIES = 512  # forecast at a time
ROWS = 65536  # read at a time


def parse(argv: list[str] | None = None) -> Namespace:
    """Parse a command line."""
    parser = Parser(
        prog="python -m exp.forecast",
        description="Forecast what follows the series of a file, or of each file of a folder, in "
        "original units.",
    )
    parser.add_argument(
        "--checkpoint", required=True, help="what save_pretrained wrote, a hub id, or a checkpoint"
    )
    parser.add_argument("--input", required=True, help="CSV or Parquet, or a folder of such files")
    parser.add_argument(
        "--output", required=True, help="CSV or Parquet by its ending; a folder if --input is one"
    )
    parser.add_argument(
        "--level", type=level, nargs="+", help="of prediction intervals, in %%, as 80 95"
    )
    parser.add_argument("--h", type=whole(1), help="steps, at most those of the training")
    parser.add_argument("--plot", help="picture of the forecasts of some series: .png, .pdf, .svg")
    parser.add_argument("--id_col", default="unique_id", help="of a long file")
    parser.add_argument("--time_col", default="ds", help="of a long file; a wide one has date")
    parser.add_argument("--target_col", default="y", help="of a long file")
    parser.add_argument("--freq", help="pandas alias of the step; by default it is inferred")
    parser.add_argument(
        "--fill_missing", choices=("linear", "ffill"), help="fill missing values and rows"
    )
    parser.add_argument(
        "--start_padding", action="store_true", help="accept series shorter than the look-back"
    )
    parser.add_argument("--use_gpu", choices=("0", "1"), help="0: on the CPU")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: share the files of a folder out over --workers by Ray Data; torchrun shares "
        "them out without it",
    )
    parser.add_argument("--workers", type=whole(1), default=2, help="of --engine ray")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser.parse_args(argv)


def files(args: Namespace) -> list[tuple[Path, Path]]:
    """Pair the input files with the output files.

    Raises:
        UserError: a path is wrong, or its ending unknown.
    """
    source, target = Path(args.input), Path(args.output)
    if not source.is_dir():
        require_file(source, "check --input")
        pairs = [(source, target)]
    else:
        found = sorted(path for path in source.iterdir() if path.suffix in SUFFIXES)
        if not found:
            raise UserError(f"{source}: no .csv or .parquet file in this folder")
        if target.suffix in SUFFIXES or target.is_file():
            raise UserError(f"--output {target}: --input is a folder: give a folder")
        pairs = [(path, target / path.name) for path in found]
        if args.plot:
            raise UserError("--plot is for one file")
    for path in (path for pair in pairs for path in pair):
        if path.suffix not in SUFFIXES:
            raise UserError(f"{path}: the ending has to be one of {', '.join(SUFFIXES)}")
    same = [path for path, written in pairs if path.resolve() == written.resolve()]
    if same:
        raise UserError(f"--output {same[0]} is the input: give another one")
    if not Path(args.checkpoint).exists() and args.checkpoint.count("/") != 1:
        raise UserError(f"{args.checkpoint}: no such file or folder; check --checkpoint")
    return pairs


class Worker:
    """Forecasts files with one model.

    Args:
        args: parsed. gpu: number of the GPU; None takes the default.
    """

    def __init__(self, args: Namespace, gpu: int | None = None):
        import torch

        from exp.forecast_tables import Form
        from exp.forecaster import CALFForecaster

        options = {"verbose": False, "freq": args.freq, "fill_missing": args.fill_missing}
        options["start_padding_enabled"] = args.start_padding
        if args.use_gpu is not None:
            options["use_gpu"] = args.use_gpu == "1"
        if gpu is not None and args.use_gpu != "0" and torch.cuda.is_available():
            options["gpu"] = gpu
        load = CALFForecaster.load
        if not Path(args.checkpoint).exists():
            load = CALFForecaster.from_pretrained
        self.args, self.forecaster = args, load(args.checkpoint, **options)
        self.forecaster.form = Form(args.id_col, args.time_col, args.target_col)

    def __call__(self, pair: dict[str, str]) -> dict[str, object]:
        """Forecast the file `input` into the file `output`; returns them and the rows written."""
        rows = forecast_file(self.forecaster, Path(pair["input"]), Path(pair["output"]), self.args)
        return pair | {"rows": rows}


def forecast_file(forecaster: "CALFForecaster", source: Path, target: Path, args: Namespace) -> int:
    """Forecast a file; returns the rows written.

    Raises:
        UserError: see `CALFForecaster.predict`.
    """
    rows = 0
    forecaster.form = replace(forecaster.form, source=source)
    with table_writer(target) as write:
        for number, piece in enumerate(pieces(forecaster, source)):
            try:
                table = forecaster.predict(piece, args.h, args.level)
            except UserError as error:
                if str(error).startswith(str(source)):
                    raise
                raise UserError(f"{source}: {error}") from error
            write(table)
            rows += len(table)
            if args.plot and number == 0:
                for path in forecaster.plot(args.plot, piece, args.h, args.level, source.name):
                    print(path)
    return rows


def pieces(forecaster: "CALFForecaster", source: Path) -> "Iterator[pd.DataFrame]":
    """Read the last rows of the series of a file: all at once, or some series at a time if the
    model forecasts each by itself."""
    import pandas as pd

    from data_provider.frames import frame_file
    from data_provider.timestamps import RECENT

    keep, form = 2 * max(forecaster.input_size, RECENT), forecaster.form
    read = frame_file(source)
    first = next(read(1))
    if form.is_wide(first):
        tail = None
        for chunk in read(ROWS):
            tail = chunk if tail is None else pd.concat([tail, chunk])
            tail = tail.tail(keep)
        yield tail
        return
    form.require_long(first)
    together = forecaster.run.mode == "channels"
    last_row: dict[object, int] = {}
    rows = 0
    for chunk in read(ROWS):
        last = (~chunk[form.id_col].duplicated(keep="last")).to_numpy().nonzero()[0]
        ids = chunk[form.id_col].to_numpy()
        last_row |= {ids[row]: rows + row for row in last}
        rows += len(chunk)
    tails: dict[object, pd.DataFrame] = {}
    rows = 0
    for chunk in read(ROWS):
        rows += len(chunk)
        for name, part in chunk.groupby(form.id_col, sort=False, dropna=False):
            known = [tails[name]] if name in tails else []
            tails[name] = pd.concat([*known, part]).tail(keep)
        complete = [] if together else [name for name in tails if last_row[name] < rows]
        while len(complete) >= SERIES:
            some, complete = complete[:SERIES], complete[SERIES:]
            yield pd.concat([tails.pop(name) for name in some])
    names = list(tails)
    size = len(names) if together else SERIES
    for start in range(0, len(names), max(size, 1)):
        yield pd.concat([tails[name] for name in names[start : start + size]])


@contextmanager
def table_writer(path: Path) -> "Iterator[Callable[[pd.DataFrame], None]]":
    """Open a CSV or Parquet file, to be written table by table, and atomically."""
    with whole_file(path) as part:
        if path.suffix == ".csv":
            with part.open("w", newline="", encoding="utf-8") as file:

                def write_csv(table: "pd.DataFrame") -> None:
                    table.to_csv(file, index=False, header=file.tell() == 0)

                yield write_csv
            return
        import pyarrow as pa
        from pyarrow import parquet

        writer = None

        def write_parquet(table: "pd.DataFrame") -> None:
            nonlocal writer
            rows = pa.Table.from_pandas(table, preserve_index=False)
            writer = writer or parquet.ParquetWriter(part, rows.schema)
            writer.write_table(rows.cast(writer.schema))

        try:
            yield write_parquet
        finally:
            if writer is not None:
                writer.close()


def run(args: Namespace) -> None:
    """Forecast all files, or this process's share of them."""
    if args.plot:
        require_picture(Path(args.plot))
    pairs = [{"input": str(source), "output": str(target)} for source, target in files(args)]
    if args.engine == "ray":
        results = shared_out_by_ray(args, pairs)
    else:
        rank, count = world()
        gpu = int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):  # each forecasts files of its own
            os.environ.pop(name, None)
        worker = Worker(args, gpu)
        results = (worker(pair) for pair in pairs[rank::count])
    for done in results:
        print(f"{done['output']}: {done['rows']:,} rows", flush=True)


def shared_out_by_ray(args: Namespace, pairs: list[dict[str, str]]) -> list[dict[str, object]]:
    """Let Ray Data's actors, which load the model once each, forecast the files.

    Raises:
        UserError: Ray is not installed, or a file can't be forecast.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError('--engine ray needs Ray: pip install "ray[data]"') from error
    pairs = [{name: str(Path(path).resolve()) for name, path in pair.items()} for pair in pairs]
    if Path(args.checkpoint).exists():
        args = Namespace(**vars(args) | {"checkpoint": str(Path(args.checkpoint).resolve())})
    try:
        found = ray.data.from_items(pairs).map(
            Worker, fn_constructor_args=(args,), concurrency=args.workers
        )
        return found.take_all()
    except ray.exceptions.RayError as error:
        raise UserError(f"a worker of Ray failed: {str(error).strip().splitlines()[-1]}") from error


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse(argv)
    return guarded(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
