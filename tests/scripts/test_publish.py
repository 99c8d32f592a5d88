"""Published results: the store of runs, and pages that are made of it and of nothing else."""

import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from scripts import publish
from scripts.reproduction.lists import read_list
from scripts.reproduction.plan import record_of
from tests.conftest import ROOT
from tests.utils.report_runs import leave_run
from utils.errors import UserError
from utils.runs import epochs_of, read_runs, steps_of, write_runs


@pytest.fixture(scope="module")
def pages() -> dict[str, str | bytes]:
    """The contents of the published pages by name, made of the store."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("training_curves", "errors_by_step"):  # which the HTML page alone has
            patch.setattr(f"utils.reporting.charts.{name}", lambda *_: None)
        return {name: text for of in publish.pages(ROOT).values() for name, text in of.items()}


def test_the_pages_are_those_of_the_store(pages):
    """Byte for byte; the README's results among them."""
    for name, path in (("RESULTS.md", "docs/RESULTS.md"), ("README.md", "README.md")):
        assert pages[name] == (ROOT / path).read_text(encoding="utf-8"), path


def test_each_number_of_the_prose_is_in_a_table(pages):
    """In remarks, of their section; in the README, of its own or of the page."""
    found, three_digits = pages["RESULTS.md"], re.compile(r"\d+\.\d{3}(?!\d)")
    answers = pages["README.md"].partition(publish.END)[2].partition("\n## ")[0]
    _, *sections = re.split("^## ", found, flags=re.M)
    pairs = [section.partition("\n### ")[::2] for section in sections]
    for prose, tables in [*pairs, (answers, found)]:
        lacking = {*three_digits.findall(prose)} - {*three_digits.findall(tables)}
        assert not lacking, prose.partition("\n")[0]
    assert three_digits.search(answers)


def test_remarks_on_no_section_are_refused(workdir, monkeypatch):
    for name in ("make_tables", "answers", "sections_of", "lists_grid"):  # which take seconds
        monkeypatch.setattr(publish, name, lambda *_, **__: [])
    Path("docs/results").mkdir(parents=True)
    Path("docs/results/notes.md").write_text("## Other\n\nText.\n")
    with pytest.raises(UserError, match="no section is called Other"):
        publish.pages(workdir)


def test_no_setting_is_lost(workdir):
    """What is read from the store is what was read from the records."""
    for seed in (1, 2):
        leave_run(workdir, "CALF", 1 / 3 / seed, seed=seed, backbone_llm_weights="random")
    m4 = {"task_name": "short_term_forecast", "data": "m4", "entry_summary": {"owa": {}}}
    leave_run(workdir, "DLinear", {"smape": 1 / 7, "mase": 1.0, "owa": 1.0}, **m4)
    path = next(Path("results").glob("*CALF*")) / "run.json"
    record = json.loads(path.read_text())
    epochs = [epoch | {"test": 1 / 3} for epoch in record["epochs"]]  # others lack it
    path.write_text(
        json.dumps(record | {"epochs": epochs[:1], "training_record": {"epochs": epochs}})
    )
    before, _ = read_runs([Path("results")])
    assert epochs_of(before)["test"].count() == len(epochs) > 1
    write_runs(Path("store"), before)
    after, _ = read_runs([Path("store")])
    for column in before.columns.drop("source"):
        found, expected = (runs[column].astype(object) for runs in (after, before))
        assert found.where(found.notna()).equals(expected.where(expected.notna())), column
    for read in (epochs_of, steps_of):
        both = [read(runs).set_index("run").astype(float) for runs in (after, before)]
        pd.testing.assert_frame_equal(*both, rtol=1e-3)
    first = {path.name: path.read_bytes() for path in Path("store").iterdir()}
    write_runs(Path("store"), after)
    assert first == {path.name: path.read_bytes() for path in Path("store").iterdir()}
    gzip_header = first["epochs.csv.gz"][:10]
    assert gzip_header[4:8] == bytes(4)  # no time
    assert gzip.decompress(first["epochs.csv.gz"]).startswith(b"run,epoch,train,validation")


# Adding runs

LIST = """
[[runs]]
options = '''--task_name long_term_forecast --is_training 1 --model DLinear --model_id {id}
    --data ETTh1 --root_path ./datasets/ETT-small/ --data_path ETTh1.csv --seed 2021'''
matrix = { id = ["a", "b"] }
"""


def finish(root: Path, run, error: float, day: int = 1) -> Path:
    """Leave what a run of a list leaves when it has finished."""
    name, seed = run.args.model_id, run.args.seed
    stamps = {"entry_started": "2026-01-01T00:00:00+00:00",
              "entry_finished": f"2026-01-{day:02d}T01:00:00+00:00"}  # fmt: skip
    line = f"python run.py {' '.join(run.options)}"
    return leave_run(root, "DLinear", error, model_id=name, seed=seed, entry_command=line, **stamps)


@pytest.fixture
def planned(workdir) -> list:
    """The runs of a list, and a folder of published results with the list."""
    Path("docs/results").mkdir(parents=True)
    Path("docs/results/tiny.toml").write_text(LIST)
    return read_list("docs/results/tiny.toml").runs


def published(name: str) -> dict[str, float]:
    """The MSE of published runs, by what is called `model_id`."""
    runs, _ = read_runs([Path("docs/results") / name])
    return {run.split("_")[3]: mse for run, mse in zip(runs["run"], runs["mse"], strict=True)}


def test_the_finished_runs_of_a_list_are_added_and_no_others(workdir, planned):
    finish(workdir, planned[0], 0.5)
    leave_run(workdir, "DLinear", 0.9, model_id="other")
    target = Path("docs/results/tiny")
    assert publish.add("tiny", Path("results"), target).startswith("tiny: 1 runs added")
    assert published("tiny") == {"a": 0.5}
    before = (target / "runs.csv").read_bytes()
    publish.add("tiny", Path("results"), target)
    assert (target / "runs.csv").read_bytes() == before  # again: the same


def test_a_newer_run_replaces_a_published_one_and_an_older_does_not(workdir, planned):
    target = Path("docs/results/tiny")
    for day, error, expected in ((2, 0.5, 0.5), (3, 0.4, 0.4), (1, 0.3, 0.4)):
        folder = finish(workdir, planned[0], error, day)
        publish.add("tiny", Path("results"), target)
        assert published("tiny") == {"a": expected}
        for path in (folder / "run.json", folder):
            path.unlink() if path.is_file() else path.rmdir()
    assert len(epochs_of(read_runs([target])[0])) == 3


def test_a_run_that_another_list_has_published_stays_there(workdir, planned):
    finish(workdir, planned[0], 0.5)
    Path("docs/results/second.toml").write_text(LIST)
    for name in ("tiny", "second"):
        publish.add(name, Path("results"), Path("docs/results") / name)
    assert published("tiny") == {"a": 0.5}
    assert not Path("docs/results/second").exists()


def test_nothing_to_add_is_an_error(workdir, planned):
    leave_run(workdir, "DLinear", model_id="other")
    with pytest.raises(UserError, match="no finished run of tiny"):
        publish.add("tiny", Path("results"), Path("docs/results/tiny"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--add", "few_shots"], "no such list"), (["--results", "x"], "are for --add")],
)
def test_wrong_options_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        publish.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


# What is done


def test_published_runs_have_records(workdir, planned):
    finish(workdir, planned[0], 0.5)
    publish.add("tiny", Path("results"), Path("docs/results/tiny"))
    records = publish.published_records(Path("docs/results"))
    assert [record_of(run, records) is not None for run in planned] == [True, False]
