"""Progress of all that may take over two seconds: on the error stream, or a notebook's widgets."""

import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # in a notebook without ipywidgets: text serves there, too
    from tqdm.auto import tqdm

OFTEN, SELDOM = 0.5, 30.0  # seconds between lines on a terminal or in a notebook, and in a file
_hidden = 0  # how many `hidden_bars` are open


def interval() -> float:
    """Return the seconds between updates, which is also how long nothing is shown at first."""
    live = sys.stderr is not None and sys.stderr.isatty()
    return OFTEN if live or type(sys.stderr).__module__.startswith("ipykernel") else SELDOM


def are_hidden() -> bool:
    """Tell whether progress is left out now."""
    return _hidden > 0


@contextmanager
def hidden_bars() -> Iterator[None]:
    """Leave progress out; a notebook's widgets do not pass through the error stream."""
    global _hidden
    _hidden += 1
    try:
        yield
    finally:
        _hidden -= 1


@contextmanager
def quiet(errors: bool = True) -> Iterator[None]:
    """Leave out progress and what is printed, on the error stream only with `errors`."""
    with (
        hidden_bars(),
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere) if errors else nullcontext(),
    ):
        yield


def progress_bar(label: str, total: int) -> tqdm:
    """Make a progress bar, with the time left."""
    wait = interval()
    return tqdm(
        total=total, desc=label, leave=False, mininterval=wait, delay=wait, dynamic_ncols=True,
        disable=are_hidden(),
    )  # fmt: skip


@contextmanager
def clock(label: str) -> Iterator[None]:
    """Show the seconds so far of what can't tell how much is left: a call of a library."""
    if are_hidden():
        yield
        return
    begun, done = time.time(), threading.Event()

    def show() -> None:
        wait = interval()
        if done.wait(wait):
            return
        with tqdm(desc=label, leave=False, bar_format="{desc}: {elapsed}") as bar:
            bar.start_t = begun
            while not done.wait(wait):
                bar.refresh()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
