"""The downloader, against a folder served as if it were the source."""

import shutil

import pytest

from datasets import download
from datasets.download import main


def test_fetches_and_verifies(tmp_path, monkeypatch, real_data, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(real_data / "ETT-small", source)
    options = ["--source", source.as_uri(), "--output", str(target)]
    assert main(options) == 0
    assert capsys.readouterr().out.count("fetched") == 4
    for name in download.ETT_FILES:
        assert (target / name).read_bytes() == (source / name).read_bytes()
    (target / "ETTh2.csv").write_text("damaged")
    assert main(options) == 0
    out = capsys.readouterr().out
    assert out.count("already there") == 3
    assert (target / "ETTh2.csv").read_bytes() == (source / "ETTh2.csv").read_bytes()


@pytest.mark.parametrize("what", ["another file", "no file"])
def test_nothing_is_written_when_it_fails(tmp_path, what, capsys):
    if what == "another file":
        (tmp_path / "ETTh1.csv").write_text("date,OT\n")
    options = ["--source", tmp_path.as_uri(), "--output", str(tmp_path / "out")]
    assert main(options) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()
