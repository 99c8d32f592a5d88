"""The commands in `datasets/`, which is a folder of data and no package."""

import importlib.util
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parents[2] / "datasets"


def load_command(name: str) -> ModuleType:
    """Load `datasets/NAME.py` by its path."""
    spec = importlib.util.spec_from_file_location(f"{name}_command", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
