"""Checks of options that several models share."""

from collections.abc import Collection

from utils.errors import UserError
from utils.tasks import TASKS


def check_task(model: str, task: str, supported: Collection[str] = TASKS) -> None:
    """Raise a `UserError` if a model has no head for a task."""
    if task not in supported:
        raise UserError(f"{model} does not support --task_name {task}")


def check_transformer(d_model: int, n_heads: int, activation: str) -> None:
    """Raise a `UserError` if the heads of a transformer encoder do not divide its width, or the
    activation is unknown."""
    if d_model % n_heads:
        raise UserError(f"--d_model {d_model} is not a multiple of --n_heads {n_heads}")
    if activation not in ("relu", "gelu"):
        raise UserError(f"--activation {activation} is unknown: use relu or gelu")
