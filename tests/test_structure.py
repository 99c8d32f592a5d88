"""The structure: which folder may import which, and no circles."""

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.conftest import ROOT, of_this_project

ROOMS = ("exp", "models", "layers", "data_provider", "utils")


def files(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if of_this_project(path)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in ROOMS:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def test_which_room_imports_which():
    """`exp` knows models by their interface alone, models neither experiments nor data, and the
    lower rooms none above."""
    known = {"models.interface", "models.registry", "layers.fast_cpu"}
    for path in files("exp"):
        found = {module for module in imported(path) if module.startswith(("models", "layers"))}
        assert found <= known, path
    above = {"models": {"exp", "data_provider", "run", "argparse"}}
    above["layers"] = above["models"]
    above["utils"] = above["data_provider"] = {"exp", "run", "models", "layers"}
    for room, others in above.items():
        for path in files(room):
            assert not {module.partition(".")[0] for module in imported(path)} & others, path


def test_no_circles():
    paths = {name(path)[:-3].replace("/", "."): path for path in files(*ROOMS)}
    left = {
        module: {found for found in imported(path) if found in paths}
        for module, path in paths.items()
    }
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left


def test_pip_installs_every_room_and_its_programs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    assert setuptools["packages"]["find"]["include"] == [f"{room}*" for room in sorted(ROOMS)]
    for path in files(*ROOMS):
        assert (path.parent / "__init__.py").is_file(), path
    programs = {name: program.split(":") for name, program in project["project"]["scripts"].items()}
    assert programs.keys() == {"calf", "calf-forecast"}
    for module, function in programs.values():
        assert callable(getattr(importlib.import_module(module), function))
    assert set(setuptools["py-modules"]) == {path.stem for path in ROOT.glob("*.py")}


def test_what_is_slow_is_imported_when_it_is_used(synthetic_csv):
    """The libraries behind a model take seconds: an error in the data is reported before that."""
    of_rooms = [name(path)[:-3].replace("/", ".") for path in files("data_provider", "utils")]
    modules = ", ".join([*of_rooms, "exp.exp_long_term_forecasting", "exp.exp_classification"])
    code = f"""
import sys, run, pca, {modules}
slow = {{"transformers", "peft", "accelerate", "torch.distributed.checkpoint"}}
slow |= {{"matplotlib", "scipy", "sklearn"}}
print(slow & sys.modules.keys())
from exp.forecaster import CALFForecaster
forecaster = CALFForecaster(h=8, model="LastValue", use_gpu=False, verbose=False)
forecaster.fit({str(synthetic_csv)!r}).predict()
print("polars" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["set()", "False"]
