"""The models by name. Importing one takes seconds, so it is done only to build it."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.interface import Objective

# name on the command line: module and class of its objective
OBJECTIVES = {
    "CALF": "models.objectives:CALFObjective",
    "LLaTA": "models.objectives:CALFObjective",  # its first name
}


def objective_class(name: str) -> type["Objective"]:
    """Import the objective of the model `name`."""
    module, _, attribute = OBJECTIVES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
