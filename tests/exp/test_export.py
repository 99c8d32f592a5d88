"""Exported models: `python -m exp.export`, and the page's lines, where there is no PyTorch."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch

import exp.export
from exp.export import main
from exp.forecaster import CALFForecaster
from tests.test_docs import blocks

SMALL = {"h": 8, "input_size": 24, "train_epochs": 1, "verbose": False, "use_gpu": False,
         "learning_rate": 0.005}  # fmt: skip
ELSEWHERE = """
import sys
for name in ("torch", "transformers", "exp", "models", "layers", "utils", "data_provider"):
    sys.modules[name] = None  # as if it were not installed
"""


@pytest.fixture
def quick(monkeypatch) -> None:
    """No time is spent on measuring it."""
    monkeypatch.setattr(exp.export, "CALLS", 1)


def exported(forecaster: CALFForecaster, folder: Path, kind: str = ".onnx") -> Path:
    forecaster.save(folder / "model")
    path = folder / "new" / f"model{kind}"
    assert main(["--checkpoint", str(folder / "model"), "--output", str(path)]) == 0
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    return path


def of_file(path: Path):
    """The metadata of a file, and what forecasts."""
    if path.suffix == ".pt2":
        extra = {"metadata.json": ""}
        module = torch.export.load(path, extra_files=extra).module()
        return json.loads(extra["metadata.json"]), lambda x: module(torch.tensor(x)).numpy()
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    (x,), (y,) = session.get_inputs(), session.get_outputs()
    assert (x.shape[0], y.shape[0]) == ("batch", "batch") and len(x.shape) == 3
    notes = session.get_modelmeta().custom_metadata_map
    return (
        {name: json.loads(text) for name, text in notes.items()},
        lambda x: session.run(["forecast"], {"x": x})[0],
    )


MODELS = {
    "llama": {"gpt_layers": 2, "d_model": 48, "lora_dropout": 0.2},
    "PatchTST": {"d_model": 16, "n_heads": 2, "d_ff": 16, "e_layers": 1, "patch_len": 8},
    "DLinear": {"moving_avg": 5, "individual": True},
}


@pytest.mark.parametrize("name", MODELS)
def test_forecasts_as_predict_does(name, wide, folders, tmp_path, quick):
    options, model = SMALL | MODELS[name], name
    if name in folders:
        model = "CALF"
        options |= {"llm": str(folders[name]), "word_embedding_path": "none"}
    forecaster = CALFForecaster(model=model, **options).fit(wide.tail(300))
    names = list(wide.columns[1:])
    ends = (600, 590, 550)
    expected = np.stack([forecaster.predict(wide.head(end))[names] for end in ends])
    windows = np.stack([wide[names].to_numpy()[end - 24 : end] for end in ends])
    for kind in {"llama": [".onnx"], "PatchTST": [".pt2"]}.get(name, [".onnx", ".pt2"]):
        path = exported(forecaster, tmp_path / kind, kind)
        notes, forecast = of_file(path)
        assert notes["columns"] == notes["outputs"] == names and notes["model"] == model
        x, y = ((v - np.array(notes["mean"])) / notes["scale"] for v in (windows, expected))
        for part in (slice(0, 1), slice(None)):
            found = forecast(x[part].astype(np.float32))
            np.testing.assert_allclose(found, y[part], rtol=1e-5, atol=1e-5)
        content = path.read_bytes()
        assert not any(w in content for w in (b"lora", b"fast_cpu", b"mkldnn", b"gpt2_text"))


def test_a_target_alone_and_pooled_series(wide, tmp_path, quick):
    wide = wide.tail(300)
    names = list(wide.columns[1:])
    options = SMALL | MODELS["DLinear"]
    alone = CALFForecaster(model="DLinear", features="MS", target=names[0], **options).fit(wide)
    notes, forecast = of_file(exported(alone, tmp_path / "alone"))
    assert notes["outputs"] == names[:1] and sorted(notes["columns"]) == names
    x = ((wide[notes["columns"]].tail(24) - notes["mean"]) / notes["scale"]).to_numpy()[None]
    at = notes["columns"].index(names[0])
    found = forecast(x.astype(np.float32))[0] * notes["scale"][at] + notes["mean"][at]
    np.testing.assert_allclose(found, alone.predict(wide)[names[:1]], rtol=1e-5)

    pooled = CALFForecaster(model="DLinear", panel="pooled", **options).fit(wide)
    notes, forecast = of_file(exported(pooled, tmp_path / "pooled"))
    assert notes["series"] == names and notes["mode"] == "pooled"
    x = ((wide[names].tail(24) - notes["mean"]) / notes["scale"]).to_numpy().T[..., None]
    found = forecast(x.astype(np.float32))[..., 0].T * notes["scale"] + notes["mean"]
    np.testing.assert_allclose(found, pooled.predict(wide)[names], rtol=1e-5)


@pytest.mark.parametrize("panel", ["channels", "pooled"])
def test_the_pages_lines_elsewhere(panel, tmp_path, quick):
    """Without PyTorch and without this project."""
    code = blocks("docs/own_data.md", "python")[0].replace('"sales.csv"', "path")
    exec(code, {"path": tmp_path / "sales.csv"})
    sales = pd.read_csv(tmp_path / "sales.csv", sep=";", decimal=",")
    forecaster = CALFForecaster(model="DLinear", panel=panel, **SMALL).fit(sales)
    exported(forecaster, tmp_path).rename(tmp_path / "model.onnx")
    (served, *_) = blocks("docs/export.md", "python")
    assert len(served.splitlines()) <= 20
    done = subprocess.run([sys.executable, "-c", ELSEWHERE + served], cwd=tmp_path, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "forecast.csv", parse_dates=["date"])
    expected = forecaster.predict()
    assert list(found) == list(expected)
    assert (found["date"] == pd.to_datetime(expected["date"])).all()
    np.testing.assert_allclose(found.iloc[:, 1:], expected.iloc[:, 1:], rtol=1e-5)


def test_one_line_of_what_is_wrong(wide, workdir, capsys, monkeypatch):
    sizes = {"d_model": 16, "d_ff": 16, "n_heads": 2, "e_layers": 1}
    CALFForecaster(model="iTransformer", **SMALL, **sizes).fit(wide.tail(300)).save("marks")
    Path("folder.onnx").mkdir()

    def refused(checkpoint: str, output: str) -> str:
        capsys.readouterr()
        assert main(["--checkpoint", checkpoint, "--output", output]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        return error

    assert "reads time marks: it can't be exported" in refused("marks", "a.onnx")
    assert "the ending has to be one of .onnx, .pt2" in refused("marks", "a.pt")
    assert "a folder, not a file" in refused("marks", "folder.onnx")
    assert "no such file or folder; check --checkpoint" in refused("absent", "a.pt2")
    assert "give the folder of save_pretrained" in refused("folder.onnx", "a.pt2")
    find = importlib.util.find_spec
    without = lambda name: None if name == "onnxscript" else find(name)  # noqa: E731
    monkeypatch.setattr(exp.export, "find_spec", without)
    assert "pip install onnx onnxscript onnxruntime" in refused("marks", "b.onnx")
    assert {path.name for path in workdir.iterdir()} == {"marks", "folder.onnx"}


def test_a_file_that_forecasts_otherwise_is_not_left(wide, tmp_path, capsys, monkeypatch, quick):
    forecaster = CALFForecaster(model="DLinear", **SMALL).fit(wide)
    monkeypatch.setattr(exp.export, "AGREEMENT", 0.0)
    with pytest.raises(AssertionError):
        exported(forecaster, tmp_path)
    assert "forecasts differ from PyTorch's" in capsys.readouterr().err
    assert list((tmp_path / "new").iterdir()) == []
