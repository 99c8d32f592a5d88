"""Experiments, and the forecaster, which scripts elsewhere import first of this repository."""

from importlib.util import find_spec
from pathlib import Path

# A script's own folder comes before PYTHONPATH, so that a utils.py in it hides the package.
_root = Path(__file__).resolve().parents[1]
for _room in ("data_provider", "layers", "models", "utils"):
    _found = find_spec(_room)
    if _found and Path(_found.origin or "").resolve() != _root / _room / "__init__.py":
        raise ImportError(
            f"{_found.origin} hides {_root / _room}: rename it, or let the script begin with "
            f"import sys; sys.path.insert(0, {str(_root)!r})"
        )
