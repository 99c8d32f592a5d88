"""What the programs have in common: options that are checked, and errors of one line."""

import argparse
import io
import math
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from utils.errors import UserError
from utils.interrupts import Interrupted


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {one_line(message)}; python {self.prog} --help lists the options\n")


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Make a type of option: whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None
        if number < least or (most is not None and number > most):
            limits = f"below {least}" if most is None else f"not within {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text} is {limits}")
        return number

    return parse


def real(
    least: float = 0.0, below: float = math.inf, open_below: bool = False, most: float = math.inf
) -> Callable[[str], float]:
    """Make a type of option: finite numbers from `least` (or above it, if open) up to `most` and
    `below`."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a number") from None
        within = least <= number <= most and number < below
        if not within or (open_below and number == least):
            start = "above" if open_below else "from"
            end = "" if below == math.inf else f" and below {below:g}"
            end += "" if most == math.inf else f" up to {most:g}"
            raise argparse.ArgumentTypeError(f"{text} is not a number {start} {least:g}{end}")
        return number

    return parse


def switch(text: str) -> bool:
    """Parse a truth value: 1 / 0, true / false, yes / no, on / off."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text} is neither true nor false")


def guarded(
    run: Callable[[], int | None],
    debug: bool = False,
    speaks: Callable[[BaseException], bool] = lambda error: True,
) -> int:
    """Run a program and return its exit code, by default 0.

    What a person can mend ends with one line on the error stream and code 2, an interruption
    with code 130. `debug` shows where an error comes from. `speaks` tells whether it is for this
    process to say how it ends.
    """
    for stream in (sys.stdout, sys.stderr):  # names that a terminal can't show are no error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return run() or 0
    except (UserError, OSError) as error:
        if speaks(error):
            if debug:
                traceback.print_exc()
            print(f"error: {message_of(error)}", file=sys.stderr)
        return 2
    except (Interrupted, KeyboardInterrupt) as interruption:
        if speaks(interruption):
            print("interrupted", file=sys.stderr)
        return interruption.code if isinstance(interruption, Interrupted) else 130


def message_of(error: Exception) -> str:
    """Say what went wrong, for a person."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return one_line(f"{where}{error.strerror}")
    return one_line(str(error))


def one_line(text: str) -> str:
    """Bring text onto one line, and spell out what would steer a terminal."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
