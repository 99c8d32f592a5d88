"""The published results in `datasets/published_results.csv`, matched to the rows of our tables."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError
from utils.reporting.tables import AVERAGE, M4_ORDER, OTHERS, Row, Table

PATH = Path(__file__).resolve().parents[2] / "datasets" / "published_results.csv"
LOOK_BACK = 96
HORIZONS = {"96", "192", "336", "720"}  # of the published averages


@dataclass(frozen=True)
class Value:
    """A published number.

    Attributes:
        checked_twice: `yes`, or `no` if its transcription was not checked a second time.
        source: publication and table.
    """

    value: float
    checked_twice: str
    source: str


class Published:
    """Published results, by setting, row, model and metric.

    Args:
        path: of the CSV.

    Raises:
        UserError: the file is damaged or absent.
    """

    def __init__(self, path: Path = PATH):
        self.values: dict[tuple[str, str, str], dict[str, dict[str, Value]]] = {}
        try:
            with path.open(newline="") as file:
                for line in csv.DictReader(file):
                    models = self.values.setdefault(
                        (line["setting"], line["dataset"], line["horizon"]), {}
                    )
                    models.setdefault(line["model"], {})[line["metric"]] = Value(
                        float(line["value"]), line["checked_twice"], line["source"]
                    )
            if not self.values:
                raise ValueError("no lines")
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f"{path}: damaged or absent; restore it, for instance by git checkout"
            ) from error

    def setting(self, table: Table) -> str:
        """The published setting of a table; empty if there is none under its conditions."""
        conditions = table.conditions
        if conditions.look_back not in (None, LOOK_BACK) or conditions.features != "M":
            return ""
        if conditions.units != "standardised" or conditions.kind == "anomaly":
            return ""
        if conditions.percent < 100:
            return f"{conditions.kind}_{conditions.percent}"
        return conditions.kind

    def models(self, table: Table, row: Row) -> dict[str, dict[str, Value]]:
        """The published scores of a row, by model and metric."""
        horizon = "avg" if row.horizon == AVERAGE else row.horizon
        return self.values.get((self.setting(table), row.dataset, horizon), {})

    def rows(
        self, setting: str, models: Sequence[str], metric: str
    ) -> dict[Row, tuple[float, ...]]:
        """The published scores of models, by the rows that have them of all; without averages."""
        found = {}
        for (name, dataset, horizon), scores in self.values.items():
            of_models = [scores.get(model, {}).get(metric) for model in models]
            if name == setting and horizon != "avg" and None not in of_models:
                found[Row(dataset, horizon)] = tuple(value.value for value in of_models)
        return found

    def averages_match(self, table: Table, row: Row) -> bool:
        """Whether our average is over the horizons of the published one."""
        horizons = {part.horizon for part in table.parts(row)}
        return horizons in (HORIZONS, set(M4_ORDER), set(OTHERS))

    def source(self, table: Table) -> str:
        """Where the published numbers of a table are from."""
        setting = self.setting(table)
        found = {
            value.source
            for (name, *_), models in self.values.items()
            for scores in models.values()
            for value in scores.values()
            if name == setting
        }
        return "; ".join(sorted(found))
