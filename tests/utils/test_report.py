"""The report: which runs are averaged, its tables, and its files in every format."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from run import main as run_main
from tests.utils.report_runs import leave_run, several_models
from utils.report import main, make_report
from utils.reporting import comparisons, figures, formats, grids, missing
from utils.reporting.charts import labels, log_ticks
from utils.reporting.grids import Cell, Grid
from utils.reporting.published import PATH, Published
from utils.reporting.runs import read_runs
from utils.reporting.tables import AVERAGE, Row, Table, make_tables

RESULTS = [Path("results")]


def tables() -> tuple[list[Table], list[str]]:
    """The tables of the working folder, and all lines on runs."""
    runs, problems = read_runs(RESULTS)
    made, notes = make_tables(runs)
    return made, problems + notes


def only_table() -> Table:
    (table,), notes = tables()
    assert not notes
    return table


def summary(table: Table, dataset: str, horizon: str, method: str, metric: str = "mse"):
    found = table.summary(Row(dataset, horizon), method, metric)
    return found and (found.mean, found.deviation, found.n)


# Which runs belong together


def test_seeds_are_averaged(workdir):
    for seed, error in ((1, 0.3), (2, 0.4), (3, 0.8)):
        leave_run(workdir, "CALF", error, seed=seed)
    table = only_table()
    deviation = float(np.std([0.3, 0.4, 0.8], ddof=1))
    assert summary(table, "ETTh1", "96", "CALF") == pytest.approx((0.5, deviation, 3))


def test_random_backbones_of_several_seeds_are_one_model(workdir):
    for seed in (1, 2):
        backbone = {"llm": "gpt2", "llm_weights": "random", "fingerprint": f"{seed}" * 64}
        leave_run(workdir, "CALF", 0.4, seed=seed, llm_weights="random", entry_backbone=backbone)
    table = only_table()
    assert table.methods == ["CALF (random weights)"]
    assert summary(table, "ETTh1", "96", "CALF (random weights)")[2] == 2


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"llm_weights": "random"}, "CALF (random weights)"),
        ({"output_w": 0.0}, "CALF (output_w 0.0)"),
        ({"learning_rate": 0.1}, "CALF (learning_rate 0.1)"),
        ({"gpt_layers": 2}, "CALF (gpt_layers 2)"),
        ({"word_embedding_path": "random"}, "CALF (words random)"),
        ({"entry_data": {"other.csv": {"sha256": "12" * 32, "bytes": 1}}}, "CALF (data 12121212)"),
        (
            {"entry_backbone": {"llm_weights": "pretrained", "fingerprint": "34" * 32}},
            "CALF (backbone pre-trained 34343434)",
        ),
    ],
)
def test_what_differs_is_not_averaged_but_has_a_column(workdir, options, method):
    leave_run(workdir, "CALF", 0.4, seed=1)
    leave_run(workdir, "CALF", 0.5, seed=2)
    other = leave_run(workdir, "CALF", 0.9, "x", seed=3, **options)
    (table,), notes = tables()
    assert table.methods == ["CALF", method]
    assert summary(table, "ETTh1", "96", "CALF")[0] == pytest.approx(0.45)
    assert summary(table, "ETTh1", "96", method) == (0.9, None, 1)
    is_variant = "llm_weights" in options or "word_embedding_path" in options
    assert is_variant or [
        note for note in notes if note.startswith(str(other.relative_to(workdir)))
    ]


def test_usual_are_the_runs_that_replace_no_setting_of_their_script(workdir):
    """Also where others are more."""
    script, more = "python run.py --batch_size 32 --learning_rate 0.0005", "--batch_size=64"
    leave_run(workdir, "CALF", 0.4, "x", seed=2021, entry_command=script)
    for seed in (2021, 2022):
        line = f"{script} {more}"
        leave_run(workdir, "CALF", 0.5, "y", seed=seed, batch_size=64, entry_command=line)
    (table,), _ = tables()
    assert table.methods == ["CALF", "CALF (batch_size 64)"]
    assert summary(table, "ETTh1", "96", "CALF") == (0.4, None, 1)
    assert summary(table, "ETTh1", "96", "CALF (batch_size 64)")[2] == 2


def test_loss_weights_are_told_apart_over_the_horizons_of_a_data_set(workdir):
    """The average over horizons mixes no loss weights; other data sets may have others."""
    leave_run(workdir, "CALF", 0.4, horizon=96)
    leave_run(workdir, "CALF", 0.4, horizon=192)
    leave_run(workdir, "CALF", 0.4, horizon=336, feature_w=0.0)
    leave_run(workdir, "CALF", 0.4, dataset="ETTh2", feature_w=0.0)
    (table,), _ = tables()
    assert summary(table, "ETTh1", "336", "CALF") is None
    assert summary(table, "ETTh1", "336", "CALF (feature_w 0.0)") == (0.4, None, 1)
    assert summary(table, "ETTh2", "96", "CALF") == (0.4, None, 1)
    assert any("differ by data set" in note for note in grids.table_notes(table))


def test_one_column_has_one_backbone(workdir):
    """Also over data sets, where no cell has both."""
    for dataset, fingerprint in (("ETTh1", "aa" * 32), ("ETTh2", "bb" * 32)):
        backbone = {"llm_weights": "pretrained", "fingerprint": fingerprint}
        leave_run(workdir, "CALF", 0.4, dataset=dataset, entry_backbone=backbone)
    leave_run(workdir, "CALF", 0.4, dataset="ETTh1", horizon=192, entry_backbone=backbone)
    (table,), notes = tables()
    assert table.methods == ["CALF", "CALF (backbone pre-trained aaaaaaaa)"]
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seq_len": 48}, "look-back 48"),
        ({"protocol": "published"}, "protocol published"),
        ({"features": "S"}, "features S"),
        ({"entry_test": {"windows": 5, "seconds": 1.0, "original_units": True}}, "original units"),
    ],
)
def test_other_conditions_have_a_table_of_their_own(workdir, options, words):
    for seed in (1, 2):
        leave_run(workdir, "CALF", 0.4, seed=seed)
    stray = leave_run(workdir, "CALF", 0.9, "x", seed=3, **options)
    found, notes = tables()
    assert [len(table.of("CALF")) for table in found] == [2, 1]
    assert words in grids.title_of(found[1])
    assert len({table.conditions.slug for table in found}) == 2
    (note,) = notes
    assert note.startswith(str(stray.relative_to(workdir)))
    assert words in note


def test_the_same_run_twice_counts_once(workdir):
    leave_run(workdir, "CALF", 0.4, entry_finished="2026-01-02")
    leave_run(workdir, "CALF", 0.5, "again", entry_finished="2026-01-03")
    (table,), (note,) = tables()
    assert summary(table, "ETTh1", "96", "CALF") == (0.5, None, 1)
    assert "left out" in note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ({"model": None}, "earlier version"),
        ({"test": {}}, "no entry test.windows"),
        ({"scores": {}}, "without a test"),
        ({"scores": {"mse": float("nan"), "mae": 1.0}}, "not a finite number"),
        ({"scores": {"mse": True}}, "not a finite number"),
        ({"task": "other"}, "damaged"),
        ({"arguments": {}}, "damaged"),
        ({"data": {"a.csv": {}}}, "damaged"),
        (None, "has not finished"),
    ],
)
def test_unusable_runs_are_named(workdir, change, words):
    leave_run(workdir, "CALF", 0.4)
    folder = leave_run(workdir, "CALF", 0.9, "bad", seed=2)
    path = folder / "run.json"
    if change is None:
        path.unlink()
    elif isinstance(change, str):
        path.write_text(change)
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (table,), (note,) = tables()
    assert len(table.of("CALF")) == 1
    assert str(folder.relative_to(workdir)) in note
    assert words in note
    assert "\n" not in note


def test_a_test_of_an_earlier_model_has_the_seed_and_data_of_its_training(workdir):
    trained = json.loads((leave_run(workdir, "CALF", 0.4, seed=5) / "run.json").read_text())
    folder = "long_term_forecast_x_CALF_ETTh1_gpt6_2_0a1b2c3d"
    leave_run(
        workdir, "CALF", 0.6, "zero", seed=2021, is_training=0, zero_shot=1, target_data="ETTm2",
        entry_trained_with=trained["arguments"],
        entry_checkpoint=f"checkpoints/{folder}/checkpoint.safetensors",
    )  # fmt: skip
    run = next(run for run in read_runs(RESULTS)[0] if run.kind == "zero_shot")
    assert (run.dataset, run.seed) == ("ETTh1->ETTm2", 7)


# Tables


def test_trainings_for_zero_shot_have_a_column_of_their_own(workdir):
    """Even where they are the only ones, or the ones that replace fewer settings of a script."""
    trained = json.loads((leave_run(workdir, "CALF", 0.4) / "run.json").read_text())["arguments"]
    replaced = "run.py --train_epochs 100 --train_epochs 20"
    more = {"entry_trained_with": trained, "is_training": 0, "entry_command": replaced}
    for target in ("ETTh2", "ETTm1"):
        leave_run(workdir, "CALF", 0.6, target, zero_shot=1, target_data=target, **more)
    for target in ("ETTm1", "ETTm2"):
        leave_run(workdir, "CALF", 0.5, f"own {target}", zero_shot=1, target_data=target)
    table = next(table for table in tables()[0] if table.conditions.kind == "zero_shot")
    assert [len(table.of(method)) for method in table.methods] == [2, 2]
    assert "zero_shot" in table.methods[1]


def test_kinds_of_tables(workdir):
    leave_run(workdir, "CALF", 0.4)
    leave_run(workdir, "CALF", 0.4, "few", percent=10)
    leave_run(workdir, "CALF", 0.4, "zero", zero_shot=1)
    leave_run(workdir, "CALF", 0.4, "imp", task_name="imputation", mask_rate=0.125)
    scores = {"precision": 0.9, "recall": 0.5, "f1": 0.6}
    leave_run(workdir, "CALF", scores, task_name="anomaly_detection", data="PSM")
    folder = "./datasets/uea/Heartbeat/"
    leave_run(
        workdir, "CALF", {"accuracy": 0.7}, task_name="classification", data="UEA", root_path=folder
    )
    leave_run(workdir, "CALF", m4_scores(1), task_name="short_term_forecast", data="m4")
    found, notes = tables()
    assert not notes
    rows = {table.conditions.kind: table.rows for table in found}
    assert rows == {
        "long_term": [Row("ETTh1", "96")],
        "few_shot": [Row("ETTh1", "96")],
        "zero_shot": [Row("ETTh1->ETTm1", "96")],
        "short_term": [Row("m4", "Monthly")],
        "imputation": [Row("ETTh1", "0.125")],
        "anomaly": [Row("PSM", "")],
        "classification": [Row("Heartbeat", "")],
    }
    make_report(RESULTS)


def test_averages_need_every_horizon(workdir):
    for model, horizons in (("CALF", (96, 192)), ("DLinear", (96,))):
        for horizon in horizons:
            for seed in (1, 2):
                leave_run(workdir, model, horizon / 1000 * seed, horizon=horizon, seed=seed)
    table = only_table()
    of_seeds = [0.144, 0.288]
    expected = (np.mean(of_seeds), np.std(of_seeds, ddof=1), 2)
    assert summary(table, "ETTh1", AVERAGE, "CALF") == pytest.approx(expected)
    assert summary(table, "ETTh1", AVERAGE, "DLinear") is None


def test_averages_of_other_seeds_have_no_deviation(workdir):
    leave_run(workdir, "CALF", 0.4, horizon=96, seed=1)
    for seed, error in ((1, 0.5), (2, 0.7)):
        leave_run(workdir, "CALF", error, horizon=192, seed=seed)
    assert summary(only_table(), "ETTh1", AVERAGE, "CALF") == (pytest.approx(0.5), None, 1)


def test_marks(workdir):
    for model, error in (("CALF", 0.4001), ("GPT4TS", 0.4002), ("DLinear", 0.5), ("Naive", 0.6)):
        leave_run(workdir, model, error)
    marks = only_table().marks(Row("ETTh1", "96"), "mse")
    assert marks == {"CALF": "best", "GPT4TS": "best", "DLinear": "second"}


def test_larger_accuracies_are_better(workdir):
    for model, accuracy in (("CALF", 0.9), ("DLinear", 0.5)):
        options = {"task_name": "classification", "data": "UEA", "root_path": "uea/A"}
        leave_run(workdir, model, {"accuracy": accuracy}, **options)
    assert only_table().marks(Row("A", ""), "accuracy") == {"CALF": "best", "DLinear": "second"}


PATTERNS = "Yearly Quarterly Monthly Weekly Daily Hourly".split()
SERIES = (23000, 24000, 48000, 359, 4227, 414)


def m4_scores(number: int) -> dict:
    return {"smape": 10.0 + number, "mase": 1.0 + number, "mape": 9.0, "owa": 0.9}


def leave_m4(root: Path, patterns: list[str], **entries) -> None:
    for number, pattern in enumerate(patterns):
        leave_run(
            root, "CALF", m4_scores(number), pattern, task_name="short_term_forecast", data="m4",
            seasonal_patterns=pattern, **entries,
            entry_test={"windows": SERIES[PATTERNS.index(pattern)], "seconds": 1.0},
        )  # fmt: skip


def test_m4_has_the_competitions_averages(workdir):
    leave_m4(workdir, PATTERNS)
    table = only_table()
    assert [row.horizon for row in table.rows] == PATTERNS
    values = [10.0 + number for number in range(6)]
    expected = np.average(values, weights=SERIES)
    assert summary(table, "m4", AVERAGE, "CALF", "smape")[0] == pytest.approx(expected)
    others = np.average(values[3:], weights=SERIES[3:])
    assert summary(table, "m4", "Others", "CALF", "smape")[0] == pytest.approx(others)
    assert summary(table, "m4", AVERAGE, "CALF", "owa") is None


def test_owa_is_that_of_the_summary_if_it_is_of_these_runs(workdir):
    values, weights = np.arange(6.0), np.array(SERIES)
    right = {
        "smape": {"Average": float(np.average(10 + values, weights=weights))},
        "mase": {"Average": float(np.average(1 + values, weights=weights))},
        "owa": {"Average": 0.85},
    }
    leave_m4(workdir, PATTERNS, entry_summary=right)
    assert summary(only_table(), "m4", AVERAGE, "CALF", "owa")[0] == 0.85
    wrong = right | {"mase": {"Average": 3.0}}
    for path in Path("results").glob("*/run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"summary": wrong}))
    assert summary(only_table(), "m4", AVERAGE, "CALF", "owa") is None


def test_m4_without_a_frequency_has_no_average(workdir):
    leave_m4(workdir, PATTERNS[:5])
    table = only_table()
    assert table.averages() == []
    ((row, *_),) = [(row,) for row in missing.missing_rows(table, "CALF")]
    assert row == Row("m4", "Hourly")
    assert "--seasonal_patterns Hourly" in missing.fill_command(table, "CALF", row)


# What was published


def test_published_results_are_complete():
    with PATH.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 892
    assert {line["checked_twice"] for line in lines} == {"yes", "no"}
    assert all(line["source"] for line in lines)


def test_published_beside_ours(workdir):
    leave_run(workdir, "CALF", 0.4)
    leave_run(workdir, "LastValue", 0.9)
    grid = grids.published_grid(only_table(), Published())
    assert [row[2].text for row in grid.rows][:2] == ["CALF", "TimeLLM"]
    assert [cell.text for cell in grid.rows[0][3:7]] == ["1", "0.400", "0.369", "+0.031"]
    (record,) = [r for r in grid.records if (r["method"], r["metric"]) == ("CALF", "mse")]
    assert record["published"] == 0.369
    assert record["checked_twice"] in ("yes", "no")
    assert "2403.07300" in record["source"]


@pytest.mark.parametrize("options", [{"seq_len": 48}, {"features": "S"}, {"percent": 50}])
def test_other_conditions_are_not_compared_with_published_results(workdir, options):
    leave_run(workdir, "CALF", 0.4, **options)
    assert grids.published_grid(only_table(), Published()) is None


def test_published_averages_need_all_horizons(workdir):
    for horizon in (96, 192):
        leave_run(workdir, "CALF", 0.4, horizon=horizon)
    labels = [row[1].text for row in grids.published_grid(only_table(), Published()).rows]
    assert AVERAGE not in labels
    for horizon in (336, 720):
        leave_run(workdir, "CALF", 0.4, horizon=horizon)
    grid = grids.published_grid(only_table(), Published())
    (row,) = [row for row in grid.rows if (row[1].text, row[2].text) == (AVERAGE, "CALF")]
    assert row[5].text == "0.432"


def test_a_damaged_file_of_published_results_is_refused(tmp_path):
    from utils.errors import UserError

    path = tmp_path / "published.csv"
    for content in ("", "setting,dataset\nx,y\n"):
        path.write_text(content)
        with pytest.raises(UserError, match="damaged"):
            Published(path)
    with pytest.raises(UserError, match="damaged or absent"):
        Published(tmp_path / "none.csv")


# Differences and ranks


def arrays(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    true = np.random.default_rng(9).standard_normal((60, 4, 3))
    return true + noise * np.random.default_rng(seed).standard_normal(true.shape), true


def test_paired_differences_are_of_windows_and_seeds(workdir, monkeypatch):
    monkeypatch.setattr(comparisons, "CHUNK", 100)  # several chunks
    kept = {}
    for model, noise in (("CALF", 0.5), ("DLinear", 0.7)):
        for seed in (1, 2):
            kept[model, seed] = pred, true = arrays(noise, seed)
            leave_run(workdir, model, seed=seed, horizon=4, arrays=(pred, true))
    table = only_table()
    row = Row("ETTh1", "4")
    got, n = comparisons.paired_differences(table.runs[row, "CALF"], table.runs[row, "DLinear"])

    def error(model: str, seed: int) -> np.ndarray:
        pred, true = (array.astype(np.float32) for array in kept[model, seed])
        return np.square(pred - true).mean((1, 2))

    expected = np.mean([error("CALF", s) - error("DLinear", s) for s in (1, 2)], axis=0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert n == 2
    problems = []
    grid = comparisons.differences_grid(table, problems)
    assert not problems
    assert grid.rows[0][-1].text == "CALF"


def test_naive_models_are_compared_with_every_seed(workdir):
    for seed in (1, 2):
        leave_run(workdir, "CALF", seed=seed, horizon=4, arrays=arrays(0.5, seed))
    leave_run(workdir, "LastValue", seed=2021, horizon=4, arrays=arrays(0.9))
    leave_run(workdir, "DLinear", seed=3, horizon=4, arrays=arrays(0.9))
    grid = comparisons.differences_grid(only_table(), [])
    n = {(row[2].text, row[3].text): row[6].text for row in grid.rows}
    assert n == {("CALF", "LastValue"): "2", ("DLinear", "LastValue"): "1"}


def test_other_windows_and_absent_arrays_are_named(workdir):
    leave_run(workdir, "CALF", horizon=4, arrays=arrays(0.5))
    pred, true = arrays(0.5)
    leave_run(workdir, "DLinear", horizon=4, arrays=(pred, true + 1))
    leave_run(workdir, "PatchTST", horizon=4, arrays=(pred[1:], true[1:]))
    leave_run(workdir, "TimesNet", horizon=4)
    damaged = leave_run(workdir, "iTransformer", horizon=4, arrays=(pred, true))
    (damaged / "pred.npy").write_bytes(b"\x93NUMPY")
    problems = []
    assert comparisons.differences_grid(only_table(), problems) is None
    assert sum("true.npy differs" in line for line in problems) == 3
    assert sum("absent or damaged" in line for line in problems) == 1
    assert sum(": 1 runs without pred.npy and true.npy" in line for line in problems) == 1


def test_models_are_ranked_over_data_sets(workdir):
    several_models(workdir)
    ranking = comparisons.rank_methods(only_table())
    assert ranking.methods == ["CALF", "DLinear", "LastValue"]  # PatchTST lacks a horizon
    assert ranking.mean_ranks.tolist() == [1, 2, 3]
    assert ranking.datasets == ["ETTm1 average", "ETTh1 average", "ETTh2 average"]


def test_ranks_of_accuracies_start_at_the_largest(workdir):
    for data in ("A", "B"):
        for model, accuracy in (("CALF", 0.9), ("DLinear", 0.5)):
            options = {"task_name": "classification", "data": "UEA", "root_path": f"uea/{data}"}
            leave_run(workdir, model, {"accuracy": accuracy}, data, **options)
    ranking = comparisons.rank_methods(only_table())
    assert dict(zip(ranking.methods, ranking.mean_ranks, strict=True)) == {"CALF": 1, "DLinear": 2}


# What is missing


def test_commands_fill_what_is_missing(workdir):
    from run import parse_args

    several_models(workdir)
    table = only_table()
    (row,) = missing.missing_rows(table, "PatchTST")
    words = missing.fill_command(table, "PatchTST", row).split()
    assert words[:2] == ["python", "run.py"]
    args = parse_args(words[2:])
    assert (args.model, args.data, args.pred_len) == ("PatchTST", "ETTm1", 192)
    assert (args.data_path, args.model_id) == ("ETTm1.csv", "ETTm1_96_192")
    assert words.count("--pred_len") == 1


def test_commands_change_the_data_set(workdir):
    custom = {"data": "custom", "root_path": "./datasets/weather/", "data_path": "weather.csv"}
    leave_run(workdir, "CALF", 0.4)
    leave_run(workdir, "DLinear", 0.4)
    leave_run(workdir, "CALF", 0.4, model_id="weather_96_96", freq="10min", **custom)
    table = only_table()
    line = missing.fill_command(table, "DLinear", Row("weather", "96"))
    for words in ("--root_path ./datasets/weather/", "--freq 10min", "--model_id weather_96_96"):
        assert words in line


def test_commands_train_where_a_sibling_tested(workdir):
    leave_run(workdir, "DLinear", 0.4, "z", zero_shot=1, target_data="ETTm2")
    trained = {"given": ["learning_rate", "checkpoint"], "learning_rate": 0.25, "checkpoint": "a"}
    trained |= {"data": "ETTh1", "root_path": "r", "data_path": "ETTh1.csv", "seed": 1}
    leave_run(
        workdir, "CALF", 0.4, "z", zero_shot=1, is_training=0, entry_trained_with=trained,
        entry_command="python run.py --is_training 0 --checkpoint=a --resume --model_id x",
    )  # fmt: skip
    line = missing.fill_command(only_table(), "CALF", Row("ETTh1->ETTm2", "96"))
    assert "--is_training 1" in line
    assert "--learning_rate 0.25" in line
    assert "--target_data ETTm2" in line
    assert not re.search("checkpoint|resume|is_training 0", line)


def test_columns_of_stray_runs_are_not_missing_elsewhere(workdir):
    for horizon in (96, 192):
        leave_run(workdir, "CALF", 0.4, horizon=horizon)
        leave_run(workdir, "CALF", 0.4, horizon=horizon, seed=7)
    leave_run(workdir, "CALF", 0.4, "x", seed=9, learning_rate=0.1)
    (table,), _ = tables()
    assert missing.missing_grid(table) is None


# Formats


@pytest.fixture
def report(workdir, monkeypatch) -> Path:
    several_models(workdir)
    assert main(["results", "--output", "made"]) == 0
    return workdir / "made"


def test_the_same_runs_give_the_same_bytes(report):
    def content(folder: Path) -> dict[str, bytes]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert main(["--output", "again"]) == 0
    assert content(report) == content(Path("again"))
    assert {"report.md", "report.tex", "report.html", "runs.csv"} <= content(report).keys()


def test_csv_files_load_in_pandas(report):
    runs = pd.read_csv(report / "runs.csv")
    assert len(runs) == 46
    columns = (
        "model_name horizon test_error training_time_s inference_time_s num_forecasts "
        "dataset_fingerprint dataset_path eval_metric seed"
    )
    assert set(columns.split()) <= set(runs.columns)
    assert not runs[columns.split()].isna().any().any()
    record = json.loads(next(Path("results").glob("*_DLinear_*/run.json")).read_text())
    assert record["scores"]["mse"] in set(runs[runs.model_name == "DLinear"].test_error)
    scores = pd.read_csv(report / "tables" / "long_term_sound_sl96.csv")
    pivoted = scores[scores.metric == "mse"].pivot_table("mean", ["dataset", "horizon"], "method")
    assert pivoted.shape == (9, 4)
    for path in (report / "tables").glob("*.csv"):
        assert len(pd.read_csv(path)) > 0


def test_errors_in_runs_csv_are_smaller_for_better_models(workdir):
    scores = {"f1": 0.75, "precision": 0.5, "recall": 0.5}
    leave_run(workdir, "CALF", scores, task_name="anomaly_detection", data="PSM")
    (record,) = formats.run_records(read_runs(RESULTS)[0])
    assert (record["eval_metric"], record["test_error"]) == ("1-F1", 0.25)


def check_latex(text: str) -> None:
    """Balanced environments and braces, and as many cells a line as columns."""
    open_environments = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments
    bare = re.sub(r"\\[{}\\&%$#_]", "", re.sub(r"(?m)^%.*$", "", text))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert "#" not in bare
    assert not re.search(r"[^\x00-\x7f]", text)
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.S
    ):
        for line in body.splitlines():
            if line.endswith(r"\\"):
                spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                cells = len(re.findall(r"(?<!\\)&", line)) + 1
                assert cells + sum(spans) == len(columns), line


def test_latex_is_balanced(report):
    text = (report / "report.tex").read_text()
    check_latex(text)
    assert text.count(r"\begin{tabular}") == 4
    assert r"\textbf{0." in text
    assert r"\underline{0." in text
    assert r"$\pm$" in text


def nasty_grid() -> Grid:
    name = "a&b_c|<i>*{x}\\ $y$ #1 50 % ~^"
    return Grid("nasty", name, [name], [("", name), (name, "v")], [[Cell(name), Cell("1")]], 1)


def test_names_are_escaped():
    check_latex(formats.latex(nasty_grid()))
    (line,) = [line for line in formats.markdown(nasty_grid()).splitlines() if line.endswith("1 |")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 3
    assert "<i>" not in line


def test_markdown_tables_have_as_many_cells_as_columns(report):
    widths = []
    for line in (report / "report.md").read_text().splitlines():
        if line.startswith("|"):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []
    assert "**" in (report / "report.md").read_text()


def test_every_table_says_which_weights_and_protocol_first(report):
    for part in re.split(r"(?m)^## ", (report / "report.md").read_text())[1:3]:
        first = part.splitlines()[2]
        assert "CALF pre-trained (fingerprint cdcdcdcd)" in first
        assert "rotocol sound" in first


class Page(HTMLParser):
    """Counts cells a row, and collects what a page would load."""

    def __init__(self, text: str):
        super().__init__()
        self.rows, self.loaded, self.tags, self.in_body = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.loaded += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag in ("thead", "tbody"):
            self.in_body = tag == "tbody"
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += int(attrs.get("colspan", 1))


def test_the_page_loads_nothing(report):
    text = (report / "report.html").read_text()
    page = Page(text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.loaded)
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("svg") > 10
    assert page.tags.count("img") == 8  # two a model


def test_names_are_escaped_in_the_page(workdir):
    leave_run(workdir, "CALF", 0.4, data="custom", data_path="<script>x.csv", model_id="<b>")
    text = make_report(RESULTS)[0]["report.html"]
    assert "&lt;script&gt;x" in text
    assert "<script>x" not in text


def test_charts(workdir):
    several_models(workdir)
    table = only_table()
    assert len(figures.loss_curves(table)) == 6
    assert len(figures.errors_by_step(table)) == 6
    assert len(figures.costs(table)) == 2
    assert len(figures.pictures(table)) == 8


def test_costs_are_of_the_rows_that_most_models_share(workdir):
    for model, horizons in {"CALF": (96, 192), "PatchTST": (96, 192), "DLinear": (96, 336)}.items():
        for horizon in horizons:
            leave_run(workdir, model, 0.4, horizon=horizon)
    for chart in figures.costs(only_table()):
        assert re.findall("<title>(.*?)</title>", chart) == ["CALF", "PatchTST", "DLinear"]
        assert ">ETTh1 96</text>" in chart


def test_names_of_points_fit_and_cover_nothing():
    """Those that do not are left to the legend."""
    points = [("CALF", 100, 100), ("PatchTST", 104, 100), ("a long name " * 9, 200, 150)]
    drawn = [re.search('x="(.*?)" y="(.*?)".*>(.*)<', label).groups() for label in labels(points)]
    assert [name for _, _, name in drawn] == ["CALF", "PatchTST"]
    (x, y, _), (other_x, other_y, _) = drawn
    assert (x, y) != (other_x, other_y)
    assert len(labels([("CALF", 100 + i / 100, 100) for i in range(99)])) < 9


@pytest.mark.parametrize(
    ("low", "high", "places"),
    [
        (-0.1, 3e4, [0, 1, 100, 1e4]),
        (80, 1100, [100, 1000]),
        (800, 1500, [800, 1000, 1200, 1400]),
        (1000, 1.3e4, [1000, 1e4]),
        (1.2e6, 1.6e6, [1.2e6, 1.3e6, 1.4e6, 1.5e6, 1.6e6]),
        (0, 0, [0]),
        (0, 1e9, [0, 1, 100, 1e4, 1e6, 1e8]),
    ],
)
def test_places_on_a_logarithmic_axis(low, high, places):
    assert log_ticks(low, high) == places


# The program


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nothing"], "no such folder"),
        (["empty"], "no finished run"),
        (["--outputs", "x", "y"], "outputs"),
    ],
)
def test_errors_are_one_line(workdir, capsys, argv, words):
    Path("empty").mkdir()
    try:
        code = main(argv)
    except SystemExit as error:
        code = error.code
    message = capsys.readouterr().err
    assert code == 2
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert words in message


def test_an_output_that_is_a_file_is_refused(workdir, capsys):
    leave_run(workdir, "CALF", 0.4)
    Path("made").write_text("")
    assert main(["--output", "made"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_report_of_real_runs(workdir, synthetic_csv):
    """Entries that `run.json` may lack until all of it is merged are added here."""
    for model in ("LastValue", "DLinear"):
        line = f"--task_name long_term_forecast --is_training 1 --model_id t --model {model}"
        line += f" --data custom --root_path {synthetic_csv.parent} --data_path made_up.csv"
        line += " --seq_len 24 --label_len 0 --pred_len 8 --train_epochs 1 --use_gpu 0"
        assert run_main(line.split()) == 0
    for path in Path("results").glob("*/run.json"):
        record = json.loads(path.read_text())
        given = record["arguments"]
        added = {"model": given["model"], "task": given["task_name"], "command": "python run.py"}
        added["data"] = {"made_up.csv": {"sha256": "00" * 32, "bytes": 1}}
        path.write_text(json.dumps(added | record))
    assert main([]) == 0
    runs = pd.read_csv("report/runs.csv")
    for path in Path("results").iterdir():
        pred, true = (np.load(path / f"{name}.npy") for name in ("pred", "true"))
        error = np.square(pred - true, dtype=np.float64).mean()
        assert runs[runs.folder == path.name].test_error.item() == pytest.approx(error, rel=1e-5)
    (differences,) = Path("report/tables").glob("*_differences.csv")
    errors = runs.set_index("model_name").test_error
    expected = errors["DLinear"] - errors["LastValue"]
    assert pd.read_csv(differences).difference.item() == pytest.approx(expected, rel=1e-4)


def test_several_folders_and_lines_on_runs(workdir, capsys):
    leave_run(workdir / "a", "CALF", 0.4, seed=1)
    leave_run(workdir / "b", "CALF", 0.6, seed=2)
    Path("b/results/half").mkdir()
    Path("b/results/half/pred.npy").write_bytes(b"")
    assert main(["a/results", "b/results", "b/results"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("b/results/half: no run.json")
    assert len(pd.read_csv("report/runs.csv")) == 2
