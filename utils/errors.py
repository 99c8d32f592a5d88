"""The exception for errors that users can correct."""


class UserError(Exception):
    """An error that the user can correct: a wrong argument, file or environment.

    The message is one line that says what is wrong and what to do. The programs print it without
    a traceback and exit with code 2.
    """


class ProcessGone(UserError):
    """Another process of a run ended, or does not answer."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its name."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
