"""Levels of prediction intervals, in %."""

from collections.abc import Iterable

from utils.command_line import real
from utils.errors import UserError

LOWEST, HIGHEST = 1, 99  # a number below 1 would be a fraction; see `exp.intervals.PROBABILITIES`
level = real(LOWEST, most=HIGHEST)  # option type


def require_levels(levels: Iterable[float]) -> None:
    """Require levels within `LOWEST` and `HIGHEST`.

    Raises:
        UserError: one is not.
    """
    for one in levels:
        if not LOWEST <= one <= HIGHEST:
            raise UserError(f"level={one}: give it in %, from {LOWEST} to {HIGHEST}, such as 80")
