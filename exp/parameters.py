"""The parameters of a forecaster: scikit-learn's conventions, and the options of `run.py`."""

import inspect
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from data_provider.timestamps import usual_step
from utils.errors import UserError
from utils.levels import require_levels
from utils.options import parse_args

if TYPE_CHECKING:
    from data_provider.frames import Panel

FILLS = (None, "linear", "ffill")
PANELS = ("auto", "channels", "pooled")
DEFAULTS = {"label_len": 0}


class Parameters:
    """Parameters of a class whose constructor takes some by name, and options of `run.py`."""

    options: dict[str, object]

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Names of the parameters that are not options of `run.py`."""
        signature = inspect.signature(cls.__init__).parameters.values()
        return [p.name for p in signature if p.name != "self" and p.kind != p.VAR_KEYWORD]

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the parameters by name, as scikit-learn's estimators do."""
        return {name: getattr(self, name) for name in self.parameter_names()} | self.options

    def set_params(self, **params: object) -> "Parameters":
        """Change parameters; the next `fit` uses them.

        Raises:
            UserError: one is unknown, or its value is wrong.
        """
        before = self.get_params()
        self._set(params)
        try:
            self.arguments()
        except UserError:
            self.options = {}
            self._set(before)
            raise
        return self

    def _set(self, params: dict[str, object]) -> None:
        for name, value in params.items():
            if name in self.parameter_names():
                setattr(self, name, value)
            else:
                self.options = self.options | {name: value}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({values})"

    def arguments(self, panel: "Panel | None" = None) -> Namespace:
        """Make the arguments of the experiment.

        Args:
            panel: decides the frequency of time marks.

        Raises:
            UserError: a parameter is unknown or has a wrong value.
        """
        for name, known in (("fill_missing", FILLS), ("panel", PANELS)):
            if getattr(self, name) not in known:
                listed = ", ".join(map(str, known))
                raise UserError(f"{name}={getattr(self, name)!r}: use one of {listed}")
        require_levels(self.level or ())
        own = {
            "task_name": "long_term_forecast",
            "is_training": 1,
            "model_id": "forecaster",
            "model": self.model,
            "data": "custom",
            "seq_len": self.input_size,
            "pred_len": self.h,
            "seed": self.seed,
            "freq": _frequency(self.freq, panel),
        }
        fixed = sorted(self.options.keys() & own.keys())
        if fixed:
            raise UserError(f"{fixed[0]} is set by the parameters of the forecaster")
        words = []
        for name, value in (own | DEFAULTS | self.options).items():
            if isinstance(value, bool) and name != "use_gpu":
                words += [f"--{name}"] if value else []
            elif value is not None:
                words += [f"--{name}", str(value)]
        args, message = None, StringIO()
        with redirect_stderr(message):
            try:
                args = parse_args(words)
            except SystemExit:
                text = message.getvalue().removeprefix("error: ").strip()
                text = text.partition("; python run.py")[0]
                raise UserError(
                    text.replace(
                        "unrecognized arguments: --", "no such parameter, nor option of run.py: "
                    )
                ) from None
        args.command = None
        return args

    @contextmanager
    def output(self) -> Iterator[None]:
        """Without `verbose`, leave out what training prints."""
        with ExitStack() as stack:
            if not self.verbose:
                nothing = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
                stack.enter_context(redirect_stdout(nothing))
                stack.enter_context(redirect_stderr(nothing))
            yield


def _frequency(given: str | None, panel: "Panel | None") -> str:
    """The frequency of time marks: what was given, or the step of the first table; hourly where
    time is counted in steps."""
    if given is None and panel is not None and not panel.whole_numbers:
        step = usual_step(panel.tables[0].dates)
        return "h" if step is None else step.freqstr
    return given or "h"
