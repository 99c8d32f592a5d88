"""Levels of prediction intervals, in %."""

from collections.abc import Collection
from numbers import Real

from utils.command_line import real
from utils.errors import UserError

LOWEST, HIGHEST = 1, 99  # a number below 1 would be a fraction; see `utils.intervals.PROBABILITIES`
level = real(LOWEST, most=HIGHEST)  # option type


def require_levels(
    levels: Collection[float],
    name: str = "level",
    within: tuple[float, float] = (LOWEST, HIGHEST),
    example: str = "[80, 95], in %",
) -> None:
    """Require a list of numbers within limits, by default of levels in %.

    Raises:
        UserError: it is none, or one is not.
    """
    lowest, highest = within
    if isinstance(levels, str) or not isinstance(levels, Collection):
        raise UserError(f"{name}={levels!r}: give a list, such as {example}")
    for one in levels:
        if isinstance(one, bool) or not isinstance(one, Real) or not lowest <= one <= highest:
            why = f"{one!r} is not a number from {lowest} to {highest}"
            raise UserError(f"{name}: {why}: give a list, such as {example}")
