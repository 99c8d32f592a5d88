"""The one exception that a person is meant to read."""


class UserError(Exception):
    """Something that whoever started the program can mend.

    The message is one line that says what is wrong and what to do. `run.py` and `pca.py` print it
    without a traceback and exit with code 2.
    """
