"""Published results: what claims are judged by, and pages that are those of their records."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest

from scripts import publish
from scripts.reproduction.lists import read_list
from tests.conftest import ROOT
from tests.utils.report_runs import leave_run
from utils.errors import UserError
from utils.reporting import claims
from utils.reporting.backbone import REAL_WORDS, backbone_line
from utils.reporting.charts import Dot, dot_plot
from utils.reporting.claims import NOT_REPRODUCED, PARTLY, REPRODUCED, UNTESTED, Verdict
from utils.reporting.grids import ABSENT
from utils.reporting.protocols import choice_grid, look_backs_grid, protocols_grid
from utils.reporting.publication import END, START, make_publication
from utils.reporting.published import Published
from utils.reporting.runs import read_runs
from utils.reporting.tables import make_tables
from utils.reporting.variants import split, variants_grid

HORIZONS = (96, 192, 336, 720)


def verdicts(root: Path) -> dict[str, Verdict]:
    """The verdicts on the runs of a working folder, by the first words of the claim."""
    tables, _ = make_tables(read_runs([root / "results"])[0])
    return {v.claim.partition(" ahead")[0]: v for v in claims.judge(tables, Published())}


def leave(root: Path, model: str, errors: list[list[float]], **options) -> None:
    """Leave the runs of a model: errors by horizon and seed."""
    for horizon, of_horizon in zip(HORIZONS, errors, strict=False):
        for seed, error in enumerate(of_horizon):
            leave_run(root, model, error, seed=seed, horizon=horizon, **options)


@pytest.mark.parametrize(
    ("calf", "verdict"),
    [
        ([[0.30, 0.31]] * 4, REPRODUCED),
        ([[0.30, 0.31]] * 3 + [[0.39, 0.42]], REPRODUCED),  # equal within two standard errors
        ([[0.30, 0.31]] * 3 + [[0.50, 0.51]], PARTLY),
        ([[0.30, 0.31]] * 2 + [[0.39, 0.42]] * 2, NOT_REPRODUCED),
        ([[0.50, 0.51]] * 4, NOT_REPRODUCED),
    ],
)
def test_better_in_most_rows_and_worse_in_none(workdir, calf, verdict):
    leave(workdir, "CALF", calf)
    for rival in claims.RIVALS:
        leave(workdir, rival, [[0.40, 0.41]] * 4)
    found = verdicts(workdir)["CALF on all training rows"]
    assert found.verdict == verdict
    evidence, _ = found.evidence
    assert evidence.startswith("PatchTST: ")
    assert "2 seeds" in evidence
    assert found.in_words == f"{verdict}, preliminary"
    assert "published 0.433 against 0.451" in evidence  # means of the four rows of the paper


def test_one_seed_tells_no_small_difference(workdir):
    leave(workdir, "CALF", [[0.4]] * 4)
    leave(workdir, "GPT4TS", [[0.4001, 0.3, 0.51]] * 4)
    leave(workdir, "PatchTST", [[0.403]] * 2 + [[0.405], [0.395]])
    gpt4ts, patchtst = verdicts(workdir)["CALF on all training rows"].evidence[::-1]
    assert "better in 1 and worse in 1 of 4 rows, 1 seed" in patchtst
    assert "better in 0 and worse in 0 of 4 rows, 1 seed" in gpt4ts


def test_three_seeds_are_not_preliminary(workdir):
    leave(workdir, "CALF", [[0.4, 0.41, 0.42]] * 4)
    leave(workdir, "PatchTST", [[0.5, 0.51, 0.52]] * 4)
    found = verdicts(workdir)["CALF on all training rows"]
    assert found.in_words == f"{PARTLY}, preliminary"
    assert "No runs yet: GPT4TS." in found.reasons
    assert found.reasons.startswith("PatchTST: better in 4")
    leave(workdir, "GPT4TS", [[0.5, 0.51, 0.52]] * 4)
    assert verdicts(workdir)["CALF on all training rows"].in_words == REPRODUCED


def test_every_comparison_counts(workdir):
    leave(workdir, "CALF", [[0.4]] * 4)
    leave(workdir, "PatchTST", [[0.5]] * 4)
    leave(workdir, "GPT4TS", [[0.3]] * 4)
    assert verdicts(workdir)["CALF on all training rows"].verdict == PARTLY


def test_only_rows_that_both_have(workdir):
    leave(workdir, "CALF", [[0.4]] * 4)
    leave(workdir, "PatchTST", [[0.5]])
    found = verdicts(workdir)
    evidence, _ = found["CALF on all training rows"].evidence
    assert "of 1 row, 1 seed; mean 0.400 against 0.500" in evidence
    assert found["CALF on M4"].verdict == UNTESTED
    assert found["CALF on 10 % of the training rows"].verdict == UNTESTED


def test_other_conditions_do_not_count(workdir):
    for more in ({"protocol": "published"}, {"seq_len": 192}):
        leave(workdir, "CALF", [[0.4]], digest=str(more.keys()), **more)
        leave(workdir, "PatchTST", [[0.5]], digest=str(more.keys()), **more)
    assert {v.verdict for v in verdicts(workdir).values()} == {UNTESTED}


def test_losses(workdir):
    for output, feature, error in (
        (1.0, 0.01, 0.40),
        (0.0, 0.0, 0.42),
        (1.0, 0.0, 0.41),
        (0.0, 0.01, 0.43),
    ):
        weights = {"output_w": output, "feature_w": feature}
        leave(workdir, "CALF", [[error]], digest=f"{output}{feature}", **weights)
    found = verdicts(workdir)["Each alignment loss lowers the error"]
    assert found.verdict == PARTLY
    output, feature, both = found.evidence
    assert "better in 1 and worse in 0 of 1 row" in output
    assert "mean 0.410 against 0.420" in output
    assert "better in 0 and worse in 1 of 1 row" in feature
    assert "mean 0.400 against 0.420" in both


def test_blocks(workdir):
    used = ["feature_w", "gpt_layers", "llm", "llm_ablation", "llm_weights", "output_w", "task_w"]
    for ablation, error in (("none", 0.40), ("identity", 0.38), ("attention", 0.39)):
        more = {"llm_ablation": ablation, "llm_weights": "random", "model_options": used}
        leave(workdir, "CALF", [[error]], digest=ablation, **more)
    found = verdicts(workdir)["The language model matters: blocks of GPT-2 lower the error"]
    assert found.verdict == NOT_REPRODUCED
    assert len(found.evidence) == 2


def test_pretraining(workdir):
    """Once there are runs with GPT-2's weights, they count, and the claim can be judged."""
    losses = {"output_w": 0.0, "feature_w": 0.0}
    for weights, error in (("pretrained", 0.38), ("random", 0.40)):
        leave(workdir, "CALF", [[error]], digest=weights, llm_weights=weights)
        more = {"llm_weights": weights, **losses}
        leave(workdir, "CALF", [[error + 0.01]], digest=f"{weights} alone", **more)
    leave(workdir, "PatchTST", [[0.39]])
    found = verdicts(workdir)
    (evidence,) = found["The language model matters: its pre-training lowers the error"].evidence
    assert "better in 1 and worse in 0 of 1 row, 1 seed; mean 0.380 against 0.400" in evidence
    assert "0.380 against 0.390" in found["CALF on all training rows"].evidence[0]
    assert "0.380 against 0.390" in found["Each alignment loss lowers the error"].evidence[0]


def test_protocols_side_by_side(workdir):
    for protocol, errors in (("sound", [0.40, 0.42]), ("published", [0.35, 0.37])):
        leave(workdir, "CALF", [errors], digest=protocol, protocol=protocol)
    leave(workdir, "DLinear", [[0.5]])
    tables, _ = make_tables(read_runs([workdir / "results"])[0])
    row, of_mae = protocols_grid(tables).rows
    assert of_mae[3].text == "MAE"
    texts = [cell.text for cell in row]
    assert texts[:4] == ["ETTh1, look-back 96", "96", "CALF", "MSE"]
    assert texts[4:] == ["0.410 ± 0.014", "0.360 ± 0.014", "-0.050"]
    assert protocols_grid(tables[:1]) is None


@pytest.mark.parametrize("place", [{"horizon": 192}, {"dataset": "ETTh2"}])
def test_protocols_compare_the_same_rows(workdir, place):
    """A row that has runs under one protocol alone is not compared with another row's runs."""
    for protocol, errors in (("sound", [0.40]), ("published", [0.35])):
        leave(workdir, "CALF", [errors], digest=protocol, protocol=protocol)
    leave_run(workdir, "CALF", 0.5, digest="other", seed=0, **place)
    tables, _ = make_tables(read_runs([workdir / "results"])[0])
    rows = [[cell.text for cell in row] for row in protocols_grid(tables).rows]
    assert {(row[0], row[1]) for row in rows} == {("ETTh1, look-back 96", "96")}


def test_look_backs_side_by_side(workdir):
    """Each pair of lengths, of the rows that both have."""
    for length, error in ((96, 0.40), (192, 0.37), (336, 0.36)):
        leave_run(workdir, "CALF", error, digest=f"of_{length}", seq_len=length)
    leave_run(workdir, "CALF", 0.2, digest="other", seq_len=96, horizon=192)
    leave_run(workdir, "CALF", 0.1, digest="third", seq_len=192, protocol="published")
    tables, _ = make_tables(read_runs([workdir / "results"])[0])
    rows = [[cell.text for cell in row] for row in look_backs_grid(tables).rows]
    assert [row for row in rows if row[3] == "MSE"] == [
        ["ETTh1", "96", "CALF", "MSE", "96", "0.400", "192", "0.370", "-0.030"],
        ["ETTh1", "96", "CALF", "MSE", "96", "0.400", "336", "0.360", "-0.040"],
        ["ETTh1", "96", "CALF", "MSE", "192", "0.370", "336", "0.360", "-0.010"],
    ]
    assert look_backs_grid(tables[:1]) is None


def test_variants_stand_beside_the_usual_options(workdir):
    """Not in the table of models; and the model alone, only on rows that have a variant."""
    leave(workdir, "CALF", [[0.40, 0.42], [0.50]])
    leave(workdir, "CALF", [[0.38]], digest="other", learning_rate=0.01)
    leave(workdir, "DLinear", [[0.5]])
    (table,), _ = make_tables(read_runs([workdir / "results"])[0])
    models, variants = split(table)
    assert models.methods == ["CALF", "DLinear"]
    rows = [[cell.text for cell in row[:6]] for row in variants_grid(variants).rows]
    assert rows == [
        ["ETTh1", "96", "CALF", "2", "0.410 ± 0.014", ABSENT],
        ["ETTh1", "96", "CALF (learning_rate 0.01)", "1", "0.380", "-0.030"],
    ]
    assert not split(models)[1].runs


def test_what_choosing_by_test_data_gains(workdir):
    """Of the same training, and of none whose test data were not scored after each epoch."""
    options = {"task_name": "classification", "data": "UEA", "root_path": "uea/Heartbeat"}
    for seed, tests in enumerate(([0.8, 0.9, 0.7], [0.6, 0.6, 0.5], [0.1, None, 0.1])):
        epochs = [{"epoch": number, "test": test} for number, test in enumerate(tests, 1)]
        entries = {"entry_epochs": epochs, "entry_best_epoch": epochs[2]}
        leave_run(workdir, "CALF", {"accuracy": tests[2]}, seed=seed, **options, **entries)
    tables, _ = make_tables(read_runs([workdir / "results"])[0])
    (row,) = choice_grid(tables).rows
    texts = [cell.text for cell in row]
    assert texts[:1] + texts[3:] == [
        "Heartbeat", "accuracy", "0.600 ± 0.141", "0.750 ± 0.212", "0.150",
    ]  # fmt: skip


def test_the_backbone_is_named(workdir):
    random = {"llm_weights": "random", "entry_config": {"d_model": 768}}
    words = f"wte_pca_500.pt (SHA-256 {REAL_WORDS[0]})"
    leave_run(workdir, "CALF", entry_word_embeddings=words, **random)
    (run,), _ = read_runs([Path("results")])
    line = backbone_line([run])
    assert line == (
        "CALF on a randomly initialised GPT-2 of full size, not the pre-trained one, with the real "
        "principal word embeddings."
    )
    run.record["word_embeddings"] = "other.pt (SHA-256 00)"
    assert "with word embeddings other.pt" in backbone_line([run])
    run.record["config"]["d_model"] = 24
    assert "full size" not in backbone_line([run])
    run.record["backbone"]["llm_weights"] = "pretrained"
    assert "randomly" not in backbone_line([run])


def test_published_pages_are_those_of_their_records():
    """Byte for byte; the README's results among them."""
    for path, content in publish.pages(ROOT).items():
        assert path.read_bytes() == content.encode(), path


def test_every_published_run_has_its_record_and_command():
    page = (ROOT / "docs" / "RESULTS.md").read_text()
    section = page.partition("## All runs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!data set|---).*$", section, re.M)
    links = [unquote(link) for link in re.findall(r"\]\((results/.*?)\)", page)]
    records = sorted((ROOT / "docs" / "results").rglob("run.json"))
    assert sorted(ROOT / "docs" / link for link in links) == records
    assert len(rows) == len(records)
    assert all("`python run.py --" in row for row in rows)


def test_the_first_line_of_every_table_names_the_backbone():
    page = (ROOT / "docs" / "RESULTS.md").read_text()
    tables = [part for part in re.split(r"^## ", page, flags=re.M)[1:] if "\n| ---" in part]
    assert len(tables) > 3
    for part in tables:
        line = part.split("\n")[2]
        if "CALF" in part:
            assert "on a randomly initialised GPT-2" in line
            assert "not the pre-trained one" in line


def test_verdict_of_the_readme():
    """At most fifteen lines, then the table and the figure."""
    block = (ROOT / "README.md").read_text().partition(START)[2].partition(END)[0]
    verdict, table, _ = block.partition("\n#### ")
    assert len(verdict.strip().splitlines()) <= 15
    assert table
    assert block.count("](docs/results/few_shot.svg)") == 1


def test_only_dots_of_scores_have_a_score():
    """The legend's have the method alone."""
    dots = [Dot("A", 0.5, 0.1, 0), Dot("B", 0.7, 0, 1)]
    titles = re.findall("<title>(.*?)</title>", dot_plot("Errors", [("row", dots)], "MSE"))
    assert titles == ["A: 0.500", "B: 0.700", "A", "B"]


def test_records_are_collected(workdir):
    (workdir / "docs" / "results").mkdir(parents=True)
    (workdir / "README.md").write_text(f"# A\n\n{START}\nold\n{END}\n\nrest\n")
    leave_run(workdir, "DLinear", 0.4)
    assert publish.collect(Path("results"), workdir / "docs" / "results" / "few") == 1
    made = publish.pages(workdir)
    readme = made[workdir / "README.md"]
    assert readme.startswith(f"# A\n\n{START}\n")
    assert readme.endswith(f"\n{END}\n\nrest\n")
    assert "old" not in readme
    assert "| 0.4000 MSE |" in made[workdir / "docs" / "RESULTS.md"]
    leave_run(workdir, "DLinear", 0.5, digest="other", learning_rate=1)
    assert publish.collect(Path("results"), workdir / "docs" / "results" / "few") == 2
    assert "| 0.5000 MSE |" in publish.pages(workdir)[workdir / "docs" / "RESULTS.md"]


def test_what_is_left_out_is_named_without_the_path_of_the_machine(workdir):
    """So that the pages are the same wherever they are made."""
    leave(workdir, "CALF", [[0.4]])
    leave(workdir, "CALF", [[0.41]], digest="again")
    leave(workdir, "CALF", [[0.42]], digest="other", learning_rate=1)
    leave(workdir, "CALF", [[0.43]], digest="published", protocol="published")
    publish.collect(Path("results"), workdir / "docs" / "results" / "few")
    report = make_publication(workdir / "docs" / "results")["RESULTS.md"]
    assert str(workdir) not in report
    (line,) = re.findall(r"^- .*", report.partition("## Left out")[2], re.M)
    assert line.startswith("- results/few/")
    assert "newer" in line


def test_only_records_of_the_list_are_collected(workdir):
    """A run of two lists is published once; options replace those of the list."""
    text = """[[runs]]
script = "baselines/LastValue"
DATASETS = ["ETTh1"]
HORIZONS = [96]
"""
    lists = workdir / "docs" / "results"
    lists.mkdir(parents=True)
    for name in ("first", "second"):
        (lists / f"{name}.toml").write_text(text)
    (run,) = read_list(str(lists / "first.toml")).runs
    for number, more in enumerate(([], ["--percent", "10"])):
        folder = leave_run(workdir, "LastValue", 0.4, digest=str(number))
        path = folder / "run.json"
        record = json.loads(path.read_text())
        record |= {"command": shlex.join(["run.py", *run.options, *more]), "checkpoint": None}
        path.write_text(json.dumps(record | {"seed": run.args.seed}))
    for name, options in (("first", ()), ("second", ()), ("second", ("--percent", "10"))):
        assert publish.collect(Path("results"), lists / name, options) == 1
    found = sorted(str(path.relative_to(lists)) for path in lists.glob("*/*/run.json"))
    assert [(path[: path.index("/")], path.split("/")[1][-1]) for path in found] == [
        ("first", "0"),
        ("second", "1"),
    ]
    (lists / "third.toml").write_text(f"seeds = [2021, 2022]\n{text}")  # the first is published
    rows = [[cell.text for cell in row] for row in publish.lists_grid(lists).rows]
    assert rows == [
        ["first", "", ABSENT, "1", "1"],
        ["second", "", ABSENT, "1", "1"],
        ["third", "", "LastValue 1", "2", "1"],
    ]
    with pytest.raises(UserError, match=r"no finished run of .*first\.toml"):
        publish.collect(Path("results"), lists / "first", ("--percent", "20"))


def test_nothing_to_publish(workdir):
    with pytest.raises(UserError, match="no such folder"):
        publish.collect(Path("results"), workdir / "docs")
    Path("results").mkdir()
    with pytest.raises(UserError, match="no finished run"):
        publish.collect(Path("results"), workdir / "docs")
    with pytest.raises(UserError, match="no such folder"):
        make_publication(workdir / "none")


def test_records_of_an_unknown_list_are_not_published(capsys):
    with pytest.raises(SystemExit) as stopped:
        publish.main(["--add", "few_shots"])
    assert stopped.value.code == 2
    assert "few_shots: classification, few_shot, full" in capsys.readouterr().err
    assert not (ROOT / "docs" / "results" / "few_shots").exists()
