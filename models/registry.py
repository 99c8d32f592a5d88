"""The models by name: the files of this folder. Importing one takes seconds, so that only the one
to build is imported; what else is known of it is read from its source."""

import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from utils.errors import UserError

if TYPE_CHECKING:
    from models.interface import Objective

FOLDER = Path(__file__).parent
ALIASES = {"LLaTA": "CALF"}  # its first name

# what a model's class calls its configs, what is read of them, and the imports of a module
CONSTRUCTOR = r"(?ms)^class Model\b.*?\n    def __init__\(\s*self,\s*(\w+)"
READ_OF_CONFIGS = (
    r"(?<![\w.])(?:self\.)?(?:{called})\.(\w+)"
    r"|\bgetattr\(\s*(?:self\.)?(?:{called}),\s*[\"'](\w+)"
)
IMPORT = r"(?m)^\s*from ((?:layers|utils)\.[\w.]+) import"
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

# objectives of models that are more than a task's loss and one Adam; a file may have its own
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
        return import_file(name).Objective
    module, _, attribute = OBJECTIVES.get(name, SUPERVISED).partition(":")
    return getattr(importlib.import_module(module), attribute)


@cache
def options_of(name: str) -> frozenset[str]:
    """Return the names that a model reads from its configs, by its source and that of its layers;
    among them are the options that it uses."""
    name = ALIASES.get(name, name)
    own = re.search(CONSTRUCTOR, _source(f"models.{name}"))
    called = "|".join({"configs", "config", *(own.groups() if own else ())})
    read = re.compile(READ_OF_CONFIGS.format(called=called))
    layers = [module for module in _modules_of(name) if not module.startswith("utils.")]
    found = {one or other for module in layers for one, other in read.findall(_source(module))}
    return frozenset(found.union(OPTIONS.get(name, "").split()))


def _modules_of(name: str) -> list[str]:
    """List a model's module, and those of `layers/` and `utils/` that it needs."""
    found = [f"models.{name}"]
    for module in found:  # which grows
        imported = re.findall(IMPORT, _source(module))
        found += [other for other in dict.fromkeys(imported) if other not in found]
    return found


def refusal_of(name: str) -> str:
    """Say why a file in the folder of models is no model; empty if there is no such file."""
    is_there = FOLDER / f"{name}.py" in FOLDER.glob("*.py")
    return f"{model_file(name)} has no class Model" if is_there else ""


@cache
def _source(module: str) -> str:
    """Read a module's file; one that is missing or damaged fails when it is imported."""
    path = FOLDER.parent.joinpath(*module.split(".")).with_suffix(".py")
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _classes(name: str) -> list[str]:
    """Names of the classes of a model's file."""
    return re.findall(r"(?m)^class (\w+)", _source(f"models.{name}"))


def import_file(name: str) -> ModuleType:
    """Import a model's file; if that fails, a `UserError` names what is missing."""
    name, path = ALIASES.get(name, name), model_file(name)
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
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    except ImportError as error:
        raise UserError(
            f"{path}: {str(error).partition(' (')[0]}: two files of the same name? (docs/models.md)"
        ) from error
    except Exception as error:
        raise UserError(f"{path} can't be imported: {type(error).__name__}: {error}") from error
