"""Published results of `datasets/published_results.csv` for the rows of a table."""

from functools import cache
from pathlib import Path

import pandas as pd

from utils.errors import UserError
from utils.reporting.tables import AVERAGE, M4_ORDER, Row, Table

PATH = Path(__file__).resolve().parents[2] / "datasets" / "published_results.csv"
LOOK_BACK = 96
HORIZONS = {"96", "192", "336", "720"}  # of the published averages


@cache
def published_results(path: Path = PATH) -> pd.DataFrame:
    """Read the published results: `value`, `checked_twice` and `source` by setting, data set,
    horizon, model and metric.

    Raises:
        UserError: the file is damaged or absent.
    """
    try:
        keys = ["setting", "dataset", "horizon", "model", "metric"]
        found = pd.read_csv(path, dtype={"horizon": str}).set_index(keys).sort_index()
        return found[["value", "checked_twice", "source"]].astype({"value": float})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: damaged or absent; restore it, for instance by git checkout"
        ) from error


def published_setting(table: Table) -> str:
    """The setting of published results with a table's conditions; empty if there are none."""
    run = table.runs.iloc[0]
    is_other = run["units"] != "standardised" or run["features"] != "M" or table.kind == "anomaly"
    if is_other or run["look_back"] < LOOK_BACK or run["look_back"] > LOOK_BACK:  # may be absent
        return ""
    return table.kind if run["percent"] == 100 else f"{table.kind}_{run['percent']:g}"


def published_of(table: Table, row: Row, model: str) -> pd.DataFrame:
    """Published results of a model on a row, by metric; of averages only over the same horizons."""
    found, is_average = published_results(), row.horizon == AVERAGE
    horizons = {part.horizon for part in table.parts(row)}
    key = (published_setting(table), row.dataset, "avg" if is_average else row.horizon, model)
    if key not in found.index or (is_average and horizons not in (HORIZONS, set(M4_ORDER))):
        return found.iloc[:0]
    return found.loc[key]
