"""The models by name: the files of this folder. Importing one takes seconds, so that only the one
to build is imported; what else is known of it is read from its source."""

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from utils.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from models.interface import Objective

FOLDER = Path(__file__).parent
ALIASES = {"LLaTA": "CALF"}  # its first name

ROOMS = ("layers", "utils", "models", "data_provider", "exp")  # of this repository
# what brings modules that models of Time-Series-Library import, where its name is another one
PACKAGES = {
    "pywt": "PyWavelets",
    "sklearn": "scikit-learn",
    "reformer_pytorch": "reformer-pytorch",
    "local_attention": "local-attention",
    "mamba_ssm": "mamba-ssm",
    "sktime": "sktime",
}

# module and class of the objectives of models that are more than a task's loss and one Adam; a
# model's file may also have a class `Objective` of its own
SUPERVISED = "models.supervised:SupervisedObjective"
OBJECTIVES = {
    "CALF": "models.objectives:CALFObjective",
    "GPT4TS": "models.objectives:GPT4TSObjective",
    "LastValue": "models.supervised:UntrainedObjective",
    "SeasonalNaive": "models.supervised:UntrainedObjective",
}
# options that an objective reads beside those of its model
CALF_LOSS = "feature_loss output_loss task_w feature_w output_w"
ON_GPT2 = "grad_checkpoint llm_seed"
OPTIONS = {"CALF": f"{CALF_LOSS} {ON_GPT2}", "GPT4TS": ON_GPT2}


@cache
def model_names() -> list[str]:
    """List the models: the files of this folder that have a class `Model`, and aliases."""
    files = [path.stem for path in FOLDER.glob("*.py")]
    models = [name for name in files if "Model" in _classes(name)]
    return sorted([*models, *ALIASES], key=str.lower)


def model_file(name: str) -> Path:
    """Return the file of a model, relative to the root."""
    return Path(FOLDER.name) / f"{ALIASES.get(name, name)}.py"


def objective_class(name: str) -> type["Objective"]:
    """Import the objective of a model."""
    name = ALIASES.get(name, name)
    if name not in OBJECTIVES and "Objective" in _classes(name):
        return _import(name).Objective
    module, _, attribute = OBJECTIVES.get(name, SUPERVISED).partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_model(name: str) -> type["nn.Module"]:
    """Import the class `Model` of a model's file.

    Raises:
        UserError: that fails; the message names what is missing.
    """
    return _import(ALIASES.get(name, name)).Model


@cache
def options_of(name: str) -> frozenset[str]:
    """Return the names that a model reads from its configs, by its source and that of its layers;
    among them are the options that it uses."""
    name = ALIASES.get(name, name)
    called = {"configs", "config", *_constructor_arguments(name)}
    nodes = (
        node
        for module in _modules_of(name)
        if not module.startswith("utils.")
        for node in ast.walk(_tree(_path(module)))
    )
    read = {_read_of_configs(node, called) for node in nodes} - {None}
    return frozenset(read.union(OPTIONS.get(name, "").split()))


def _modules_of(name: str) -> list[str]:
    """List a model's module, and those of `layers/` and `utils/` that it needs."""
    found = [f"models.{name}"]
    for module in found:  # which grows
        for node in ast.walk(_tree(_path(module))):
            imported = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if imported.startswith(("layers.", "utils.")) and imported not in found:
                found.append(imported)
    return found


def _path(module: str) -> Path:
    """Return the file of a module."""
    return FOLDER.parent.joinpath(*module.split(".")).with_suffix(".py")


def _constructor_arguments(name: str) -> list[str]:
    """What a model's class calls its configs."""
    return [
        function.args.args[1].arg
        for node in _tree(FOLDER / f"{name}.py").body
        if isinstance(node, ast.ClassDef) and node.name == "Model"
        for function in node.body
        if getattr(function, "name", "") == "__init__" and len(function.args.args) > 1
    ]


def _read_of_configs(node: ast.AST, called: set[str]) -> str | None:
    """Return NAME of `configs.NAME`, `self.configs.NAME` or `getattr(configs, "NAME", ...)`.

    Args:
        called: what configs are called.
    """
    if isinstance(node, ast.Attribute):
        owner, name = node.value, node.attr
    elif (
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "getattr"
        and len(node.args) > 1
    ):
        owner, name = node.args[0], getattr(node.args[1], "value", None)
        name = name if isinstance(name, str) else None
    else:
        return None
    if getattr(owner, "id", None) in called:
        return name
    of_self = isinstance(owner, ast.Attribute) and getattr(owner.value, "id", None) == "self"
    return name if of_self and owner.attr in called else None


def refusal_of(name: str) -> str:
    """Say why a file in the folder of models is no model; empty if there is no such file."""
    path = FOLDER / f"{name}.py"
    if path not in FOLDER.glob("*.py"):
        return ""
    try:
        ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        return f"{model_file(name)}, line {error.lineno}: {error.msg}"
    except (OSError, ValueError) as error:
        return f"{model_file(name)}: {error}"
    return f"{model_file(name)} has no class Model"


@cache
def _tree(path: Path) -> ast.Module:
    """Parse a file; one that is missing or can't be parsed fails when it is imported."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _classes(name: str) -> set[str]:
    """Names of the classes of a model's file."""
    return {
        node.name for node in _tree(FOLDER / f"{name}.py").body if isinstance(node, ast.ClassDef)
    }


def _import(name: str):
    """Import a model's file.

    Raises:
        UserError: that fails.
    """
    path = model_file(name)
    try:
        return importlib.import_module(f"{FOLDER.name}.{name}")
    except ModuleNotFoundError as error:
        missing, room = error.name or "", (error.name or "").partition(".")[0]
        if room not in ROOMS:
            package = PACKAGES.get(room)
            remedy = f": pip install {package}" if package else ""
            what = f"the module {room}, which is not installed{remedy}"
        else:
            files = [f"{module.replace('.', '/')}.py" for module in _modules_of(name)]
            absent = [file for file in files if not (FOLDER.parent / file).exists()]
            absent = absent or [f"{missing.replace('.', '/')}.py"]
            what = f"{', '.join(absent)}: missing, copy them too (docs/models.md)"
        raise UserError(f"{path} needs {what}") from error
    except ImportError as error:
        raise UserError(
            f"{path}: {str(error).partition(' (')[0]}: two files of the same name? (docs/models.md)"
        ) from error
    except Exception as error:
        raise UserError(f"{path} can't be imported: {type(error).__name__}: {error}") from error
