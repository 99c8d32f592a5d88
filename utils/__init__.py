"""Scores, files, plots and the command line. Every program of the project imports this first."""

import sys
from importlib.util import find_spec

# From the repository root, `import datasets` finds our data folder as a namespace package if
# Hugging Face's library is not installed, and transformers would mistake it for that library.
if "datasets" not in sys.modules and (spec := find_spec("datasets")) and spec.origin is None:
    sys.modules["datasets"] = None
