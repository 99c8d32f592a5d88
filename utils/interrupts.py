"""Interruption by signals: the first is obeyed at a good moment, the second at once."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}

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

    A signal that no `check` saw comes up where the context ends well. Outside the main thread
    nothing is noted.
    """

    def __init__(self):
        self.code = 0
        self._received = False

    def __enter__(self) -> "Interrupts":
        self._before = {number: handle(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            handle(number, handler)
        if error is None:
            self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            exit_at_once(number, frame)
        self._received = True
        self.code = self.code or SIGNALS[number]

    def adopt(self, code: int) -> None:
        """Take over what another process of the same run was told; our own signal may follow."""
        self.code = code

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            Interrupted: it did.
        """
        if self.code:
            raise Interrupted(self.code)
