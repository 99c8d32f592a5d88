"""Levels of prediction intervals, in %."""

from collections.abc import Sequence
from numbers import Real

from utils.command_line import real
from utils.errors import UserError

LOWEST, HIGHEST = 1, 99  # a number below 1 would be a fraction; see `utils.intervals.PROBABILITIES`
level = real(LOWEST, most=HIGHEST)  # option type


def require_levels(levels: Sequence[float] | None) -> None:
    """Require a list of levels within `LOWEST` and `HIGHEST`, or None.

    Raises:
        UserError: it is none, or one is not.
    """
    if levels is None:
        return
    if isinstance(levels, str) or not isinstance(levels, Sequence):
        raise UserError(f"level={levels!r}: give a list, such as [80, 95]")
    for one in levels:
        if isinstance(one, bool) or not isinstance(one, Real):
            raise UserError(f"level={one!r}: give a number in %, such as 80")
        if not LOWEST <= one <= HIGHEST:
            raise UserError(f"level={one}: give it in %, from {LOWEST} to {HIGHEST}, such as 80")
