"""CALF on a task of fev (pypi.org/project/fev), made from Parquet files on this machine:

python -m scripts.fev_adapter --data sales.parquet --horizon 24 --windows 3

fev is no requirement of this repository; `python -m pip install fev huggingface_hub==1.33.0` adds
it, with a release of huggingface_hub that both accept.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from utils.command_line import Parser, guarded, whole
from utils.errors import UserError
from utils.files import require_file, whole_file

if TYPE_CHECKING:
    import fev
    import pandas as pd

    from exp.forecaster import CALFForecaster

TARGET = "target"  # fev's name for the column of a univariate frame


def evaluate(
    task: "fev.Task", make_forecaster: Callable[["fev.Task"], "CALFForecaster"]
) -> dict[str, object]:
    """Train on the first evaluation window of a task and forecast all of them.

    A series of several targets becomes a series for each target. Covariates are not used. Later
    windows give the model newer rows to look back on; it is not trained again.

    Args:
        task: a task of fev. make_forecaster: makes a forecaster with the horizon of the task.

    Returns:
        fev's summary, with `test_error` and the metrics of the task.

    Raises:
        UserError: the forecaster refuses the data.
    """
    import fev

    seconds = {"training_time_s": 0.0, "inference_time_s": 0.0}
    forecaster, predictions = None, []
    for window in task.iter_windows():
        past, _, _ = fev.convert_input_data(window, adapter="pandas", as_univariate=True)
        past = past[[task.id_column, task.timestamp_column, TARGET]]
        start = time.perf_counter()
        if forecaster is None:
            forecaster = make_forecaster(task)
            forecaster.fit(
                past,
                id_col=task.id_column,
                time_col=task.timestamp_column,
                target_col=TARGET,
            )
            seconds["training_time_s"] = time.perf_counter() - start
            start = time.perf_counter()
        forecast = forecaster.predict_df(
            past,
            id_column=task.id_column,
            timestamp_column=task.timestamp_column,
            target=TARGET,
            prediction_length=task.horizon,
            quantile_levels=task.quantile_levels,
        )
        seconds["inference_time_s"] += time.perf_counter() - start
        entries = window_predictions(forecast, past[task.id_column].unique(), task)
        predictions.append(
            fev.combine_univariate_predictions_to_multivariate(entries, task.target_columns)
        )
    return task.evaluation_summary(
        predictions, model_name=forecaster.model, trained_on_this_dataset=True, **seconds
    )


def window_predictions(
    forecast: "pd.DataFrame", ids: "list[str]", task: "fev.Task"
) -> list[dict[str, list[float]]]:
    """Forecasts as fev takes them: an entry for each series, in the order of `ids`.

    Args:
        forecast: from `CALFForecaster.predict_df`, a row for each series and step.
    """
    columns = list(task.predictions_schema)
    ordered = forecast.sort_values(task.timestamp_column, kind="stable")
    of_series = {name: rows[columns] for name, rows in ordered.groupby(task.id_column)}
    return [of_series[name].to_dict("list") for name in ids]


def option(text: str) -> tuple[str, str]:
    """Option type: `NAME=VALUE`."""
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign):
        raise argparse.ArgumentTypeError(f"{text}: give NAME=VALUE")
    return name, value


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the summary as JSON, and write it if asked to.

    Raises:
        UserError: fev is not installed, the file is absent, or fev or the forecaster refuses it.
    """
    require_file(Path(args.data), "give a Parquet file, long or one row a series")
    try:
        import fev
    except ImportError as error:
        raise UserError(
            f"fev can't be imported ({error}): python -m pip install fev huggingface_hub==1.33.0"
        ) from error

    from exp.forecaster import CALFForecaster

    try:
        task = fev.Task(
            dataset_path=args.data,
            horizon=args.horizon,
            num_windows=args.windows,
            seasonality=args.season,
            eval_metric=args.metric,
            quantile_levels=args.quantiles,
            id_column=args.id_column,
            timestamp_column=args.timestamp_column,
            target=args.target if len(args.target) > 1 else args.target[0],
        )
        task.load_full_dataset()
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UserError(f"{args.data}: fev refuses the task: {error}") from error

    def make_forecaster(task: fev.Task) -> CALFForecaster:
        return CALFForecaster(
            h=task.horizon, input_size=args.look_back, model=args.model, **dict(args.options)
        )

    with contextlib.redirect_stdout(sys.stderr):  # what training prints
        summary = evaluate(task, make_forecaster)
    text = json.dumps(summary, indent=2)
    if args.output:
        with whole_file(args.output) as part:
            part.write_text(text + "\n")
    print(text)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="python -m scripts.fev_adapter", description="Evaluate a model on a task of fev."
    )
    parser.add_argument("--data", required=True, metavar="FILE", help="Parquet, as fev reads it")
    parser.add_argument("--horizon", type=whole(1), required=True, help="steps to forecast")
    parser.add_argument("--windows", type=whole(1), default=1, help="evaluation windows")
    parser.add_argument("--season", type=whole(1), default=1, help="season of MASE, in steps")
    parser.add_argument("--metric", default="MASE", help="a metric of fev, such as MASE or SQL")
    parser.add_argument(
        "--quantiles", type=float, nargs="*", default=[], metavar="LEVEL", help="such as 0.1 0.9"
    )
    parser.add_argument("--id_column", default="id")
    parser.add_argument("--timestamp_column", default="timestamp")
    parser.add_argument("--target", nargs="+", default=[TARGET], help="one column or several")
    parser.add_argument("--model", default="CALF", help="a file of models/")
    parser.add_argument("--look_back", type=whole(1), default=96, help="steps")
    parser.add_argument(
        "--options",
        type=option,
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of CALFForecaster, or options of run.py, such as train_epochs=5",
    )
    parser.add_argument("--output", metavar="FILE", help="also write the summary here, as JSON")
    args = parser.parse_args(argv)
    return guarded(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
