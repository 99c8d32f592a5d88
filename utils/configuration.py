"""The options of a run, frozen."""

from argparse import Namespace
from typing import NoReturn, Self


class Configuration(Namespace):
    """The options of `run.py` by name, which a run is built from; `replace` makes another one.

    Attributes:
        given: names of the options that were chosen, whatever their values, sorted.
        model_options: names of those that the model reads, sorted.
        command: the command line; None if the run was not started by one.
    """

    given: list[str]
    model_options: list[str]
    command: str | None

    def replace(self, **changes: object) -> Self:
        """Return a configuration with other values."""
        return type(self)(**{**vars(self), **changes})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a configuration is frozen: use replace({name}=...)")

    def __init__(self, **options: object):
        vars(self).update(options)
