"""The notebook runs from top to bottom, on a small language model."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from transformers import GPT2Config, GPT2Model

from tests.conftest import ROOT


def notebook() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "docs" / "quickstart.ipynb", as_version=4)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path):
    small = GPT2Config(n_embd=24, n_layer=6, n_head=4, n_positions=32, vocab_size=50,
                       bos_token_id=0, eos_token_id=0)  # fmt: skip
    GPT2Model(small).save_pretrained(tmp_path)
    tested = notebook()
    tested.cells = [cell for cell in tested.cells if "setup" not in tags(cell)]
    (parameters,) = (cell for cell in tested.cells if "parameters" in tags(cell))
    parameters.source = f"%cd -q ..\nLLM, ROWS, EPOCHS = {str(tmp_path)!r}, 600, 1"
    client = NotebookClient(tested, timeout=300, resources={"metadata": {"path": ROOT / "docs"}})
    client.execute()
    difference = [cell for cell in tested.cells if cell.cell_type == "code"][-1].outputs[-1]
    assert float(difference.data["text/plain"]) < 1e-3  # of ONNX Runtime's forecast, in °C


def test_outputs_are_saved():
    """It can be read without running it."""
    cells = [cell for cell in notebook().cells if cell.cell_type == "code"]
    assert sum("image/png" in output.get("data", {}) for c in cells for output in c.outputs) >= 4
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    assert "/tmp/" not in (ROOT / "docs" / "quickstart.ipynb").read_text()
