"""Command lines of all programs: parser, option types, errors in one line."""

import argparse
import difflib
import io
import math
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from utils.errors import UserError
from utils.interrupts import Interrupted


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line, an unknown option before missing ones."""

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        argv = sys.argv[1:] if args is None else list(args)
        known = [name for action in self._actions for name in action.option_strings]
        for word in argv:
            name = word.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                similar = difflib.get_close_matches(name, known, 1)
                meant = f": did you mean {similar[0]}?" if similar else ""
                self.error(f"unrecognized arguments: {word}{meant}")
        found, rest = self.parse_known_args(argv, namespace)
        if rest:
            self.error(
                f"unrecognized arguments: {shlex.join(rest)} (a pattern with * may stand for "
                "several files: name one)"
            )
        return found

    def error(self, message: str) -> NoReturn:
        self.refuse(f"{message}; {self.prog} --help lists the options")

    def refuse(self, message: str) -> NoReturn:
        """Report an error that `--help` does not explain."""
        self.exit(2, f"error: {one_line(message)}\n")


def whole(least: int = 0, most: float = math.inf) -> Callable[[str], int]:
    """Option type: an integer from `least` to `most`."""
    return real(least, most=most, kind=int)


def real(
    least: float = 0.0,
    below: float = math.inf,
    open_below: bool = False,
    most: float = math.inf,
    kind: type = float,
) -> Callable[[str], float]:
    """Option type: a finite number of this kind from `least` (above it if `open_below`) to `most`,
    and less than `below`."""
    what = "an integer" if kind is int else "a number"

    def parse(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not {what}") from None
        within = least <= number <= most and number < below
        if not within or (open_below and number == least):
            start = "above" if open_below else "from"
            end = "" if below == math.inf else f" and below {below:.10g}"
            end += "" if most == math.inf else f" up to {most:.10g}"
            raise argparse.ArgumentTypeError(f"{text} is not {what} {start} {least:.10g}{end}")
        return number

    parse.of_python = "a whole number" if kind is int else "a number"
    return parse


def split_parts(text: str) -> list[float] | list[int]:
    """Option type: sizes of training, validation and test, such as 0.8,0.1,0.1 or 700,100,200."""
    parts = [part.strip() for part in text.split(",")]
    kind = int if all(part.lstrip("-").isdecimal() for part in parts) else float
    try:
        sizes = [kind(part) for part in parts]
    except ValueError:
        sizes = []
    if len(sizes) != 3:
        raise argparse.ArgumentTypeError(f"{text} is not three numbers with commas between them")
    if not all(0 < size < math.inf for size in sizes):
        raise argparse.ArgumentTypeError(f"{text}: each of the three must be above 0")
    if isinstance(sizes[0], float) and abs(sum(sizes) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(
            f"{text}: fractions must sum to 1, and these sum to {sum(sizes):g}"
        )
    return sizes


def names(text: str) -> list[str]:
    """Option type: names with commas between them, each once."""
    found = [name.strip() for name in text.split(",")]
    if "" in found:
        raise argparse.ArgumentTypeError(f"{text!r}: give names with commas between them")
    for name in found:
        if found.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{text}: {name} stands there twice")
    return found


def switch(text: str) -> bool:
    """Option type: a boolean, as 1 / 0, true / false, yes / no or on / off."""
    values = dict.fromkeys("1 true yes on".split(), True)
    values |= dict.fromkeys("0 false no off".split(), False)
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return values[text.lower()]


# what Python values of an option type are called; others are texts
switch.of_python, names.of_python = "True or False", "a list of names"
split_parts.of_python = "a list"


def split_options(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line at `--`: its own options, and those of `run.py` behind it."""
    end = argv.index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


def guarded(
    run: Callable[[], int | None],
    debug: bool = False,
    speaks: Callable[[BaseException], bool] = lambda error: True,
) -> int:
    """Run a program and return its exit code.

    Args:
        run: returns the exit code; None is 0. After a `UserError` or an `OSError` the code is 2,
            with one line on the error stream; after a signal, that of the signal.
        debug: print the traceback of errors.
        speaks: whether this process prints an error; of several processes one does.
    """
    for stream in (sys.stdout, sys.stderr):  # escape characters that the terminal can't show
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
    """Describe an error in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return one_line(f"{where}{error.strerror}")
    return one_line(str(error))


def one_line(text: str) -> str:
    """Join lines, and escape control characters."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
