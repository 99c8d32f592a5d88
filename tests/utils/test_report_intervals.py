"""Prediction intervals in the report."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.utils.report_runs import leave_run
from utils.report import make_report
from utils.reporting.intervals import interval_scores
from utils.reporting.runs import read_run

NAME = "tables/long_term_sound_sl96_intervals.csv"


def intervals(coverage=(0.79, 0.94), width=(1.1, 2.0), pinball=(0.1, 0.05), **more) -> dict:
    return {
        "method": "split conformal",
        "levels": [80, 95],
        "coverage": list(coverage),
        "width": list(width),
        "pinball": list(pinball),
        "coverage_by_step": [[coverage[0]] * 4, [coverage[1]] * 4],
        "calibration_windows": 2785,
        "original_units": False,
        **more,
    }


def report() -> tuple[dict[str, str], list[str]]:
    """The files of a report, and its lines but those on arrays, which these runs do not have."""
    files, notes = make_report([Path("results")])
    return files, [note for note in notes if "pred.npy" not in note]


def test_means_and_deviations_over_seeds(workdir):
    coverages, widths = [0.78, 0.80, 0.83], [1.0, 1.2, 1.6]
    for seed in range(3):
        entry = intervals((coverages[seed], 0.95), (widths[seed], 2.0))
        leave_run(workdir, "CALF", 0.4, seed=seed, entry_intervals=entry)
    leave_run(workdir, "DLinear", 0.5, entry_intervals=intervals())
    leave_run(workdir, "PatchTST", 0.5)
    files, notes = report()
    assert notes == []

    table = pd.read_csv(workdir / save(files, NAME))
    assert set(table["method"]) == {"CALF", "DLinear"}
    ours = table[table["method"] == "CALF"].set_index(["level", "metric"])
    expected = pd.DataFrame({"coverage": coverages, "width": widths})
    for metric, scale in (("coverage", 100), ("width", 1)):
        row = ours.loc[(80, metric)]
        assert row["mean"] == pytest.approx(expected[metric].mean() * scale)
        assert row["std"] == pytest.approx(expected[metric].std() * scale)
        assert row["n"] == 3
    assert ours.loc[(95, "pinball"), "mean"] == pytest.approx(0.05)
    assert ours.loc[(95, "pinball"), "std"] == pytest.approx(0, abs=1e-9)

    text = files["report.md"]
    (line,) = (x for x in text.splitlines() if x.startswith("| ETTh1 | 96 | CALF | 3 | 80.3"))
    assert line.split(" | ")[4:7] == ["80.3 ± 2.5", "1.267 ± 0.306", "0.100 ± 0.000"]
    assert "80 % coverage | 80 % width | 80 % pinball | 95 % coverage" in text
    assert "split conformal, calibrated on 2,785 validation windows" in text
    assert "| ETTh1 | 96 | DLinear | 1 | 79.0 | 1.100 | 0.100 | 94.0 | 2.000 | 0.050 |" in text
    assert r"80.3 $\pm$ 2.5 & 1.267" in files["report.tex"]
    assert r"\multicolumn{3}{c}{80 \%}" in files["report.tex"]
    page = files["report.html"]
    assert '<td class="" data-value="80.33333333333333">80.3 ± 2.5</td>' in page
    charts = page.split("Coverage by step of the horizon")[1].split("<h3>")[0]
    assert charts.count("<svg") == 2
    assert charts.count("nominal") >= 2


def save(files: dict[str, str], name: str) -> Path:
    path = Path(Path(name).name)
    path.write_text(files[name])
    return path


def test_no_table_without_intervals(workdir):
    leave_run(workdir, "CALF", 0.4)
    leave_run(workdir, "DLinear", 0.5)
    files, notes = report()
    assert notes == []
    assert NAME not in files
    assert not re.search("interval.*coverage|Coverage", files["report.md"])
    assert "Coverage by step" not in files["report.html"]


def test_other_levels_have_columns_of_their_own(workdir):
    leave_run(workdir, "CALF", 0.4, entry_intervals=intervals())
    other = intervals(levels=[90], calibration_windows=50)
    for name in ("coverage", "width", "pinball", "coverage_by_step"):
        other[name] = other[name][:1]
    leave_run(workdir, "DLinear", 0.5, entry_intervals=other)
    text = report()[0]["report.md"]
    dash = "\N{EN DASH}"
    assert f"| DLinear | 1 | {dash} | {dash} | {dash} | 79.0 | 1.100 | 0.100 | {dash} |" in text
    assert "on 50 to 2,785 validation windows" in text


@pytest.mark.parametrize(
    "entry",
    [
        [1],
        "x",
        {"levels": [80]},
        intervals(coverage=(0.8,) * 3),
        intervals(width=(float("nan"), 1.0)),
        intervals(pinball=("x", "y")),
        intervals(levels=80),
        intervals(coverage_by_step=[[0.8]]),
        intervals(coverage_by_step=[[[0.8]], [[0.9]]]),
    ],
    ids=str,
)
def test_a_damaged_entry_is_named_and_left_out(workdir, entry):
    leave_run(workdir, "CALF", 0.4, entry_intervals=entry)
    leave_run(workdir, "DLinear", 0.5, entry_intervals=intervals())
    files, (note,) = report()
    assert "intervals of run.json is damaged: not among the prediction intervals" in note
    table = pd.read_csv(save(files, NAME))
    assert set(table["method"]) == {"DLinear"}
    assert "| ETTh1 | 96 | **0.400**" in files["report.md"]  # its scores count


@pytest.mark.parametrize("entry", [{}, None])
def test_runs_without_the_entry(workdir, entry):
    assert interval_scores(read_run(leave_run(workdir, "CALF", 0.4, entry_intervals=entry))) == {}


def test_steps_are_optional(workdir):
    entry = intervals(calibration_windows="many")
    del entry["coverage_by_step"]
    folder = leave_run(workdir, "CALF", 0.4, entry_intervals=entry)
    assert list(interval_scores(read_run(folder))) == [80, 95]
    files, notes = report()
    assert notes == []
    assert "Coverage by step" not in files["report.html"]
    assert json.loads((folder / "run.json").read_text())["intervals"] == entry
    assert np.isclose(pd.read_csv(save(files, NAME))["mean"].iloc[0], 79)


def test_recalibrated_intervals_have_rows_of_their_own(workdir):
    fixed = intervals()
    again = {name: fixed[name] for name in ("coverage", "width", "pinball", "coverage_by_step")}
    again = again | {"coverage": [0.812, 0.943]}
    leave_run(workdir, "CALF", 0.4, entry_intervals=fixed | {"recalibrated": again})
    leave_run(workdir, "DLinear", 0.5, entry_intervals=intervals(recalibrated=[1]))
    files, notes = report()
    assert notes == []
    assert "| ETTh1 | 96 | CALF | 1 | 79.0 |" in files["report.md"]
    assert "| ETTh1 | 96 | CALF, recalibrated | 1 | 81.2 |" in files["report.md"]
    assert "DLinear, recalibrated" not in files["report.md"]
