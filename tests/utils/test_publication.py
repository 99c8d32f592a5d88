"""Published results: what claims are judged by, and pages that are those of their records."""

import json
import re
import shlex
import shutil
import textwrap
from pathlib import Path
from urllib.parse import unquote

import pytest

from scripts import publish
from scripts.reproduction.lists import read_list
from tests.conftest import ROOT
from tests.utils.report_runs import arguments, leave_run
from utils.errors import UserError
from utils.reporting import claims
from utils.reporting.backbone import REAL_WORDS, backbone_line
from utils.reporting.charts import Dot, dot_plot
from utils.reporting.formats import anchor
from utils.reporting.grids import ABSENT
from utils.reporting.page import prose_html
from utils.reporting.protocols import choice_grid, look_backs_grid, protocols_grid
from utils.reporting.publication import END, START, make_publication
from utils.reporting.published import Published
from utils.reporting.runs import read_runs
from utils.reporting.tables import make_tables
from utils.reporting.variants import split, variants_grid
from utils.reporting.verdicts import (
    NOT_REPRODUCED,
    PARTLY,
    REPRODUCED,
    RIVALS,
    UNTESTED,
    Verdict,
)

HORIZONS = (96, 192, 336, 720)


def judged(root: Path) -> list[Verdict]:
    """The verdicts on the runs of a working folder."""
    tables, _ = make_tables(read_runs([root / "results"])[0])
    return claims.judge(tables, Published())


def verdicts(root: Path) -> dict[str, Verdict]:
    """The same, by the first words of the claim."""
    return {re.split(",| ahead", v.claim)[0]: v for v in judged(root)}


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
    for rival in RIVALS:
        leave(workdir, rival, [[0.40, 0.41]] * 4)
    found = verdicts(workdir)["CALF on all training rows"]
    assert found.verdict == verdict
    evidence, _ = found.evidence
    assert evidence.startswith("PatchTST: ")
    assert "2 seeds" in evidence
    assert found.in_words == f"{verdict}, preliminary"
    # means of the four rows of the paper
    assert evidence.endswith("published 0.433 against 0.451; 4 of the paper's 28 rows")


def test_one_seed_tells_no_small_difference(workdir):
    leave(workdir, "CALF", [[0.4]] * 4)
    leave(workdir, "GPT4TS", [[0.4001, 0.3, 0.51]] * 4)
    leave(workdir, "PatchTST", [[0.403]] * 2 + [[0.405], [0.395]])
    gpt4ts, patchtst = verdicts(workdir)["CALF on all training rows"].evidence[::-1]
    assert "better in 1 and worse in 1 of 4 rows, 1 seed" in patchtst
    assert "better in 0 and worse in 0 of 4 rows, 1 seed" in gpt4ts


def test_three_seeds_in_half_of_the_rows_are_not_preliminary(workdir):
    def leave_both(model: str, errors: list[float]) -> None:
        for dataset in ("ETTh1", "ETTh2"):
            leave(workdir, model, [errors] * 4, dataset=dataset, percent=10)

    claim = "CALF on 10 % of the training rows"
    leave_both("CALF", [0.4, 0.41, 0.42])
    leave_both("PatchTST", [0.5, 0.51, 0.52])
    found = verdicts(workdir)[claim]
    assert found.in_words == f"{PARTLY}, preliminary"
    assert "No runs yet: GPT4TS." in found.reasons
    assert found.reasons.startswith("PatchTST: better in 8")
    leave_both("GPT4TS", [0.5, 0.51, 0.52])
    assert verdicts(workdir)[claim].in_words == REPRODUCED
    shutil.rmtree(next((workdir / "results").glob("*ETTh2*GPT4TS*720*")))
    shutil.rmtree(next((workdir / "results").glob("*ETTh2*GPT4TS*720*")))
    assert verdicts(workdir)[claim].in_words == f"{REPRODUCED}, preliminary"  # one seed in a row
    shutil.rmtree(next((workdir / "results").glob("*ETTh2*GPT4TS*720*")))
    assert verdicts(workdir)[claim].in_words == f"{REPRODUCED}, preliminary"  # 7 of 16 rows
    assert "7 of the paper's 16 rows" in verdicts(workdir)[claim].reasons


def test_means_beside_published_ones_are_of_the_same_rows(workdir):
    """The paper does not test from ETTh1 on ETTh2."""
    for target, ours, theirs in (("ETTh2", 0.2, 0.9), ("ETTm1", 0.9, 0.8)):
        more = {"zero_shot": 1, "target_data": target}
        leave(workdir, "CALF", [[ours]], digest=target, **more)
        leave(workdir, "PatchTST", [[theirs]], digest=target, **more)
    (evidence, _) = verdicts(workdir)["CALF on data sets that it was not trained on"].evidence
    assert evidence == (
        "PatchTST: better in 1 and worse in 1 of 2 rows, 1 seed; mean 0.550 against 0.850; in 1 of "
        "the paper's 16 rows 0.900 against 0.800, published 0.767 against 0.908"
    )


def test_claims_say_how_calf_was_trained(workdir):
    """Without alignment losses, or for another table."""
    leave(workdir, "CALF", [[0.4]], percent=10, output_w=0.0, feature_w=0.0)
    leave(
        workdir,
        "CALF",
        [[0.4]],
        digest="_to_ETTm1",
        zero_shot=1,
        entry_trained_with=arguments("CALF"),
    )
    claimed = [v.claim.partition(" ahead")[0] for v in judged(workdir)]
    assert claimed[:3] == [
        "CALF on all training rows",
        "CALF on 10 % of the training rows, without alignment losses,",
        "CALF on data sets that it was not trained on, with the models of the long-term table,",
    ]


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


def test_blocks_are_compared_on_the_same_weights(workdir):
    """With GPT-2's weights, the ablations that stand beside random ones do not count."""
    used = ["feature_w", "gpt_layers", "llm", "llm_ablation", "llm_weights", "output_w", "task_w"]
    for weights, ablation, error in (
        ("pretrained", "none", 0.38),
        ("pretrained", "identity", 0.50),
        ("random", "none", 0.40),
        ("random", "identity", 0.30),
    ):
        more = {"llm_ablation": ablation, "llm_weights": weights, "model_options": used}
        leave(workdir, "CALF", [[error]], digest=f"{weights}{ablation}", **more)
    found = verdicts(workdir)["The language model matters: blocks of GPT-2 lower the error"]
    (evidence,) = found.evidence
    assert "better in 1 and worse in 0 of 1 row, 1 seed; mean 0.380 against 0.500" in evidence


def test_pretraining(workdir):
    """Once there are runs with GPT-2's weights, they count, and the claim can be judged."""
    losses = {"output_w": 0.0, "feature_w": 0.0}
    for weights, error in (("pretrained", 0.38), ("random", 0.40)):
        leave(workdir, "CALF", [[error]], digest=weights, llm_weights=weights)
        more = {"llm_weights": weights, **losses}
        leave(workdir, "CALF", [[error + 0.01]], digest=f"{weights} alone", **more)
    leave(workdir, "PatchTST", [[0.39]])
    found = verdicts(workdir)
    (evidence,) = found["The language model matters: pre-training lowers the error"].evidence
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
    assert texts[4:] == ["2", "0.410 ± 0.014", "0.360 ± 0.014", "-0.050"]
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
        ["ETTh1", "96", "CALF", "MSE", "1", "96", "0.400", "192", "0.370", "-0.030"],
        ["ETTh1", "96", "CALF", "MSE", "1", "96", "0.400", "336", "0.360", "-0.040"],
        ["ETTh1", "96", "CALF", "MSE", "1", "192", "0.370", "336", "0.360", "-0.010"],
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
        "Heartbeat", "accuracy", "2", "0.600 ± 0.141", "0.750 ± 0.212", "0.150",
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


def test_ablations_are_not_said_to_be_on_gpt2(workdir):
    used = ["feature_w", "gpt_layers", "llm", "llm_ablation", "llm_weights", "output_w", "task_w"]
    more = {"llm_ablation": "identity", "llm_weights": "random", "model_options": used}
    leave_run(workdir, "CALF", **more)
    runs, _ = read_runs([Path("results")])
    assert backbone_line(runs) == "Ablations of CALF on what replaces GPT-2's blocks."


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
    assert sum(len(textwrap.wrap(line, 100)) for line in verdict.splitlines()) <= 15
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


def test_records_of_a_ready_made_list(workdir):
    """They are published in a folder of its name, and it is among the planned lists."""
    lists = workdir / "docs" / "results"
    (run,) = [r for r in read_list("paper-m4").runs if r.args.seasonal_patterns == "Weekly"]
    for number, more in enumerate(([], ["--learning_rate", "1"])):
        options = {"task_name": "short_term_forecast", "seasonal_patterns": "Weekly"}
        folder = leave_run(workdir, "CALF", {"smape": 9.0}, digest=str(number), **options)
        record = json.loads((folder / "run.json").read_text())
        record |= {"command": shlex.join(["run.py", *run.options, *more]), "checkpoint": None}
        (folder / "run.json").write_text(json.dumps(record | {"seed": run.args.seed}))
    assert publish.collect(Path("results"), lists / "paper-m4") == 1
    assert len(list(lists.glob("paper-m4/*/run.json"))) == 1
    (row,) = publish.lists_grid(lists).rows
    assert [cell.text for cell in row][::2] == ["paper-m4", "CALF 5", "1"]


def test_links_of_the_contents_lead_to_headings():
    page = (ROOT / "docs" / "RESULTS.md").read_text()
    headings = [anchor(heading.replace("\\", "")) for heading in re.findall("^## (.*)", page, re.M)]
    links = re.findall(r"^- \[.*\]\(#(.*)\)$", page, re.M)
    assert len(links) > 10
    assert set(links) <= set(headings)


def test_remarks_as_html():
    remarks = "## A & B\n\n- *One.* Runs `--x 1`\n  and more.\n- Two.\n\nEnd.\n"
    assert prose_html(remarks) == (
        "<h3>A &amp; B</h3>\n<ul><li><em>One.</em> Runs <code>--x 1</code> and more.</li>\n"
        "<li>Two.</li>\n</ul><p>End.</p>"
    )


def test_loss_weights_and_other_source_are_named(workdir):
    """In the line above a table, and beside the commit of a run."""
    commit = {"entry_commit": "0123456789abcdef+changes"}
    leave_run(workdir, "CALF", 0.4, output_w=0.0, feature_w=0.0, **commit)
    publish.collect(Path("results"), workdir / "docs" / "results" / "few")
    report = make_publication(workdir / "docs" / "results")["RESULTS.md"]
    assert "Loss weights of CALF: task\\_w 1.0, output\\_w 0.0, feature\\_w 0.0." in report
    assert "| 01234567+changes |" in report


def test_nothing_to_publish(workdir):
    with pytest.raises(UserError, match="no such folder"):
        publish.collect(Path("results"), workdir / "docs")
    Path("results").mkdir()
    with pytest.raises(UserError, match="no finished run"):
        publish.collect(Path("results"), workdir / "docs")
    with pytest.raises(UserError, match="no such folder"):
        make_publication(workdir / "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--add", "few_shots"], "few_shots: classification, few_shot, full"),
        (["--results", "results"], "are for --add"),
        (["--", "--llm_weights", "pretrained"], "are for --add"),
    ],
)
def test_wrong_arguments_publish_nothing(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        publish.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (ROOT / "docs" / "results" / "few_shots").exists()
