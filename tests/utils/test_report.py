"""The rules of the report: what is averaged, named, compared and drawn."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.utils.report_runs import BARE, GPT2, leave_run
from utils.report import main, make_report
from utils.reporting import charts, formats, grids
from utils.reporting.tables import AVERAGE, Row, Table, make_tables, published_results
from utils.runs import epochs_of, read_runs


def tables(metrics=(), models=(), names=None) -> list[Table]:
    """The tables of the runs in results/."""
    return make_tables(read_runs([Path("results")])[0], metrics, models, names)


def table() -> Table:
    """The one table of the runs in results/."""
    (found,) = tables()
    return found


# What is averaged


def test_means_are_over_seeds_alone(workdir):
    for seed, error in ((1, 0.4), (2, 0.5)):
        leave_run(workdir, "DLinear", error, seed=seed)
    leave_run(workdir, "DLinear", 0.9, digest="other", seed=1, learning_rate=0.1)
    found, row = table(), Row("ETTh1", "96")
    assert found.methods == ["DLinear", "DLinear (learning_rate 0.1)"]
    summary = found.summary(row, "DLinear", "mse")
    assert (summary.mean, summary.n) == (pytest.approx(0.45), 2)
    assert summary.deviation == pytest.approx(np.std([0.4, 0.5], ddof=1))
    assert found.summary(row, found.methods[1], "mse").deviation is None


@pytest.mark.parametrize(
    "other", [{"protocol": "published"}, {"seq_len": 192}, {"percent": 10}, {"features": "MS"}]
)
def test_other_conditions_have_a_table_of_their_own(workdir, other):
    leave_run(workdir, "DLinear")
    leave_run(workdir, "DLinear", digest="other", **other)
    headings = [found.heading for found in tables()]
    assert len(set(headings)) == 2
    assert all("protocol" in heading for heading in headings)


def test_loss_weights_tell_models_of_a_data_set_apart(workdir):
    """Also in rows of which there is one alone."""
    for horizon in (96, 192):
        leave_run(workdir, "CALF", horizon=horizon)
    leave_run(workdir, "CALF", digest="other", horizon=336, output_w=0.0)
    assert len(table().methods) == 2
    assert "output_w 0.0" in table().methods[1]


def test_the_usual_settings_are_those_of_the_script(workdir):
    """An option that a command gives twice replaces the script's."""
    script = "python run.py --batch_size 32"
    for seed in (1, 2):
        more = {"entry_command": f"{script} --batch_size 64", "batch_size": 64}
        leave_run(workdir, "DLinear", digest="64", seed=seed, **more)
    leave_run(workdir, "DLinear", entry_command=script)
    assert table().methods == ["DLinear", "DLinear (batch_size 64)"]


def test_an_average_needs_every_horizon(workdir):
    for horizon, error in ((96, 0.4), (192, 0.6)):
        leave_run(workdir, "DLinear", error, horizon=horizon)
    leave_run(workdir, "CALF", 0.3)
    average = Row("ETTh1", AVERAGE)
    assert table().summary(average, "DLinear", "mse").mean == pytest.approx(0.5)
    assert all(table().summary(average, m, "mse") is None for m in table().methods if "CALF" in m)


def test_m4_is_averaged_by_numbers_of_series(workdir):
    m4 = {"task_name": "short_term_forecast", "data": "m4"}
    names = ("Yearly", "Quarterly", "Monthly", "Weekly", "Daily", "Hourly")
    for number, name in enumerate(names, 1):
        scores = {"smape": float(number), "mase": 1.0, "mape": 1.0, "owa": 1.0}
        test = {"windows": number, "seconds": 1.0}
        more = {"seasonal_patterns": name, "entry_test": test, "model_id": name}
        leave_run(workdir, "DLinear", scores, **m4, **more)
    found = table()
    mean = sum(n * n for n in range(1, 7)) / 21
    assert found.summary(Row("m4", AVERAGE), "DLinear", "smape").mean == pytest.approx(mean)
    assert found.summary(Row("m4", AVERAGE), "DLinear", "owa") is None  # needs Naive2's scores


def test_a_naive_forecast_has_no_deviation_over_seeds(workdir):
    for seed in (1, 2):
        leave_run(workdir, "LastValue", 0.9, seed=seed)
        leave_run(workdir, "DLinear", 0.4, seed=seed)
    page = formats.markdown(grids.scores_grid(table()))
    assert "DLinear, n=2 MSE | " in page
    assert "LastValue MSE" in page
    assert "0.400 ± 0.000" in page
    assert "<u>0.900</u> |" in page


# What models are called, and what was published


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"backbone_file": GPT2["file"]}, "CALF (GPT-2, published file cdcdcdcd)"),
        ({"backbone_llm_weights": "random"}, "CALF (GPT-2, random weights)"),
        ({"backbone_llm": "my/gpt2"}, "CALF (gpt2, weights cdcdcdcd)"),
        ({"backbone_llm": "my/gpt2", "d_model": 48}, "CALF (gpt2 of width 48, weights cdcdcdcd)"),
        ({"backbone_llm": "my/smollm2-135m"}, "CALF (smollm2-135m, weights cdcdcdcd)"),
    ],
)
def test_the_backbone_is_part_of_the_name(workdir, more, name):
    leave_run(workdir, "CALF", **more)
    assert table().methods == [name]


def test_published_numbers_stand_beside_models_on_the_same_backbone(workdir):
    leave_run(workdir, "CALF", 0.4, backbone_file=GPT2["file"])
    leave_run(workdir, "PatchTST", 0.4)
    leave_run(workdir, "CALF", 0.5, digest="random", backbone_llm_weights="random")
    beside, apart = grids.published_grids(table())
    assert beside.title.startswith("Published beside ours.")
    own, _ = models = [where[2] for where in beside.cells.index]
    assert models == ["CALF (GPT-2, published file cdcdcdcd)", "PatchTST"]
    assert apart.title.startswith(
        "CALF on GPT-2, random weights and, for orientation, the paper's numbers, which are on "
        "the published GPT-2"
    )
    assert [where[2] for where in apart.cells.index] == ["CALF"]  # the title tells the rest
    theirs = published_results().loc[("long_term", "ETTh1", "96", "CALF", "mse"), "value"]
    scores = grids.scores_grid(table(), brackets=True).cells
    assert scores.iloc[0][f"{own}, n=1", "MSE"] == f"0.400 ({theirs:.3f})"
    assert apart.cells.iloc[0]["MSE", "published"] == f"{theirs:.3f}"
    assert apart.cells.iloc[0]["MSE", "difference"] == f"{0.5 - theirs:+.3f}"


@pytest.mark.parametrize("other", [BARE, {"output_w": 0.0}, {"seq_len": 192}, {"inverse": True}])
def test_nothing_published_stands_beside_ablations_and_other_settings(workdir, other):
    leave_run(workdir, "CALF", backbone_file=GPT2["file"])
    units = {"windows": 1, "seconds": 1.0, "original_units": "inverse" in other}
    more = {"backbone_file": GPT2["file"], "entry_test": units}
    leave_run(workdir, "CALF", digest="other", **more | other)
    shown = [len(g.cells) for found in tables() for g in grids.published_grids(found)]
    assert shown == [1]


def test_a_published_average_is_compared_over_the_same_horizons(workdir):
    for horizon in (96, 192, 336, 720):
        leave_run(workdir, "PatchTST", horizon=horizon)
        (grid,) = grids.published_grids(table())
        assert (AVERAGE in grid.cells.index.get_level_values("horizon")) == (horizon == 720)


def test_variants_stand_beside_the_usual_settings(workdir):
    leave_run(workdir, "CALF", 0.4, backbone_llm_weights="random")
    more = {"llm_ablation": "identity", "backbone_llm_weights": "random"}
    leave_run(workdir, "CALF", 0.38, digest="other", **more)
    grid = grids.variants_grid(table())
    assert grid.cells.index[0][2] == "CALF (GPT-2, random weights, no blocks)"
    assert list(grid.cells.iloc[0])[:3] == ["0.380", "0.400", "-0.020"]


# What a table says


def test_best_and_second_best_are_as_three_decimals_show(workdir):
    for model, error in (("CALF", 0.4001), ("PatchTST", 0.4002), ("DLinear", 0.5), ("New", 0.6)):
        leave_run(workdir, model, error)
    marks = table().marks(Row("ETTh1", "96"), "mse")
    assert {name.partition(" ")[0]: mark for name, mark in marks.items()} == {
        "CALF": "best", "PatchTST": "best", "DLinear": "second",
    }  # fmt: skip


def test_a_larger_accuracy_is_better(workdir):
    task = {"task_name": "classification", "data": "UEA", "root_path": "uea/Heartbeat"}
    for model, accuracy in (("CALF", 0.7), ("DLinear", 0.8)):
        leave_run(workdir, model, {"accuracy": accuracy}, **task)
    (row,) = table().rows
    assert table().marks(row, "accuracy")["DLinear"] == "best"
    assert "better than DLinear in 0 of 1 rows" in grids.better_in(table())


def test_a_forecast_alone_has_no_scores_and_no_fault(workdir):
    leave_run(workdir, "DLinear", {}, entry_forecast_from="new.csv")
    leave_run(workdir, "PatchTST", entry_test={"windows": 5})  # of a task of one's own
    runs, problems = read_runs([workdir / "results"])
    assert (list(runs["model"]), problems) == (["PatchTST"], [])


def test_random_words_of_any_seed_are_one_model(workdir):
    leave_run(workdir, "CALF", entry_word_embeddings="w.pt (SHA-256 ab)")
    for seed in (2021, 2022):
        words = f"random (seed {seed}), variances of w.pt (SHA-256 ab)"
        leave_run(workdir, "CALF", digest="r", seed=seed, entry_word_embeddings=words)
    assert len(table().methods) == 2


def test_missing_rows_are_named(workdir):
    for horizon in (96, 192):
        leave_run(workdir, "DLinear", horizon=horizon)
    for model in ("PatchTST", "iTransformer"):
        leave_run(workdir, model, horizon=96)
    assert grids.missing_rows(table()) == "Missing: PatchTST, iTransformer: ETTh1 192."


def test_a_rank_test_needs_five_data_sets(workdir):
    errors = np.random.default_rng(0).random((5, 3))
    for number, of_models in enumerate(errors):
        for model, error in zip(("PatchTST", "iTransformer", "DLinear"), of_models, strict=True):
            leave_run(workdir, model, float(error), dataset=f"set{number}")
        assert (grids.mean_ranks(table()) == "") == (number < 4)
    p = stats.friedmanchisquare(*errors.T).pvalue
    line = grids.mean_ranks(table())
    assert "over 5 data sets" in line
    assert f"p = {p:.2g};" in line


def test_a_task_of_ones_own_appears(workdir):
    leave_run(workdir, "DLinear", {"mse": 0.1, "mae": 0.2}, entry_task="denoising")
    leave_run(workdir, "DLinear", {"gain": 3.0, "loss": 1.0}, "b", entry_task="trading")
    files, notes = make_report([Path("results")])
    assert notes == []
    assert "## Denoising" in files["report.md"]
    assert "gain" in files["report.md"].partition("## Trading")[2]


def test_intervals_have_a_table_of_their_own(workdir):
    entry = {"levels": [80], "coverage": [0.79], "width": [1.5], "pinball": [0.2]}
    leave_run(workdir, "DLinear", entry_intervals=entry)
    grid = grids.intervals_grid(table())
    assert list(grid.cells.iloc[0]) == ["79.000", "1.500", "0.200"]
    assert "%" not in " ".join(table().metrics)


# Files


def test_the_same_runs_give_the_same_bytes(workdir):
    for model in ("CALF", "DLinear"):
        leave_run(workdir, model)
    first, second = (make_report([Path("results")])[0] for _ in range(2))
    assert first == second
    assert {"report.md", "report.html", "report.tex", "runs.csv"} < first.keys()


def test_csv_has_full_precision(workdir):
    leave_run(workdir, "DLinear", 1 / 3)
    (name,) = [name for name in make_report([Path("results")])[0] if name.endswith("sound.csv")]
    assert str(1 / 3) in make_report([Path("results")])[0][name]


def test_names_are_escaped(workdir):
    leave_run(workdir, "A<b>|c_d")
    grid = grids.scores_grid(table())
    assert "A&lt;b&gt;|c_d" in formats.html(grid)
    assert r"A\<b\>\|c\_d" in formats.markdown(grid)


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (["--models", "PatchTST"], "PatchTST", "DLinear"),
        (["--rename", "DLinear=Linear"], "Linear, n=1", "DLinear"),
        (["--metric", "mae"], "MAE", "MSE"),
        (["--transpose"], r"\|  \|  \| ETTh1 96 \|", r"\| ETTh1 \| 96 \|"),
    ],
)
def test_options(workdir, options, present, absent):
    for model in ("PatchTST", "DLinear"):
        leave_run(workdir, model)
    assert main(["results", "--output", "out", *options]) == 0
    page = Path("out/report.md").read_text().partition("### Published")[0]
    assert re.search(present, page)
    assert not re.search(absent, page)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "Other"], "--models Other: no such model; there are DLinear"),
        (["--rename", "Other=B"], "--rename Other: no such model"),
        (["--metric", "f2"], "--metric f2: no run has such a score"),
        (["--metric", "device"], "--metric device: no run has such a score"),
        (["elsewhere"], "elsewhere: no such folder"),
    ],
)
def test_wrong_options_are_one_line(workdir, capsys, options, message):
    leave_run(workdir, "DLinear")
    assert main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_runs_that_cannot_be_used_are_named(workdir):
    leave_run(workdir, "DLinear")
    (leave_run(workdir, "DLinear", digest="a") / "run.json").write_text("{}")
    folder = leave_run(workdir, "DLinear", digest="b")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"scores": {"mse": float("nan")}}))
    files, notes = make_report([Path("results")])
    assert len(notes) == 2
    assert "## Left out" in files["report.md"]


# Pictures


def test_at_most_eight_models_in_a_picture_each_with_a_colour(workdir):
    for number in range(9):
        leave_run(workdir, f"Model{number}")
    found = table()
    figure = charts.training_curves(found, epochs_of(found.runs))
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    colours = [line.get_color() for line in legend.get_lines()[:8]]
    assert names == [*found.methods[:8], "validation score", "training loss"]
    assert len(set(colours)) == 8
    page = make_report([Path("results")])[0]["report.html"]
    assert "without 1 more models: --models chooses" in page


def test_methods_are_compared_seed_by_seed():
    """By the seeds that both have; the interval by hand: 1.5 ± 12.706 · 0.5."""
    same = {
        "kind": "few_shot", "protocol": "sound", "dataset": "d", "horizon": "96", "look_back": 96,
        "percent": 10, "features": "M", "units": "standardised", "amp": "no",
    }  # fmt: skip
    scores = [("A", 1, 1.0), ("A", 2, 2.0), ("A", 3, 9.0), ("B", 1, 2.0), ("B", 2, 4.0)]
    runs = pd.DataFrame([same | {"method": m, "seed": s, "mse": e} for m, s, e in scores])
    grid = grids.paired_grid(Table(runs, ["mse"]), "A", ["B", "C"])
    assert [list(row) for row in grid.cells.to_numpy()] == [
        ["1.500", "3.000", "-1.500", "-50.0 %", "-7.853 to +4.853", "1.414", "2 of 2"]
    ]
