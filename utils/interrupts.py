"""Interruption by signals: the first is obeyed at a good moment, the second at once."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}  # exit codes
REPEATED = 1.0  # seconds within which a launcher hands on what this process was sent too

Handler = Callable[[int, FrameType | None], object] | int | None


class Interrupted(Exception):
    """A signal asked the run to stop. `code`: the exit code that says so."""

    def __init__(self, code: int):
        super().__init__(f"exit code {code}")
        self.code = code


def handle(number: int, handler: Handler) -> Handler:
    """Handle a signal from here on, and return who did before.

    Signals are the main thread's business: in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or handler is None:
        return None
    return signal.signal(number, handler)


def exit_at_once(number: int, frame: FrameType | None) -> None:
    """End the process here and now, with the signal's exit code."""
    os._exit(SIGNALS[number])


class Interrupts:
    """Within this context SIGINT and SIGTERM are noted, and `check` raises where stopping is fine.

    A signal that no `check` saw is raised where the context ends well. Outside the main thread
    nothing is noted.

    A process of several keeps noting signals where the context ends with an error: it ends by
    itself, and its launcher may tell it to while it prints why.
    """

    def __init__(self):
        self.code = 0
        self._received = 0.0  # when
        self._several = int(os.environ.get("WORLD_SIZE", "1")) > 1

    def __enter__(self) -> "Interrupts":
        self._before = {number: handle(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not self._several:
            for number, handler in self._before.items():
                handle(number, handler)
        if error is None:
            self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._received and now >= self._received + (REPEATED if self._several else 0):
            exit_at_once(number, frame)
        self._received = self._received or now
        self.code = self.code or SIGNALS[number]

    def adopt(self, code: int) -> None:
        """Take over the signal that another process of the run received."""
        self.code = code

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            Interrupted: it did.
        """
        if self.code:
            raise Interrupted(self.code)
