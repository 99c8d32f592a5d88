"""The downloader, with a local folder as its source."""

import shutil

import pytest

from tests.datasets import load_command

download = load_command("download")


def test_downloads_and_verifies(tmp_path, real_data, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(real_data / "ETT-small", source)
    options = ["--source", source.as_uri(), "--output", str(target)]
    assert download.main(options) == 0
    assert capsys.readouterr().out.count("downloaded") == 4
    for name in download.ETT_FILES:
        assert (target / name).read_bytes() == (source / name).read_bytes()
    (target / "ETTh2.csv").write_text("damaged")
    assert download.main(options) == 0
    assert capsys.readouterr().out.count("already present") == 3
    assert (target / "ETTh2.csv").read_bytes() == (source / "ETTh2.csv").read_bytes()


@pytest.mark.parametrize("content", ["date,OT\n", None])
def test_nothing_is_written_after_a_failure(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "ETTh1.csv").write_text(content)
    options = ["--source", tmp_path.as_uri(), "--output", str(tmp_path / "out")]
    assert download.main(options) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()
