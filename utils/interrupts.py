"""Signals: the first stops the run at the next safe point, the second at once."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}  # exit codes
REPEATED = 1.0  # seconds within which a repeated signal counts as forwarded by the launcher

Handler = Callable[[int, FrameType | None], object] | int | None


class Interrupted(Exception):
    """The run was stopped by a signal, with this exit code."""

    def __init__(self, code: int):
        super().__init__(f"exit code {code}")
        self.code = code


def handle(number: int, handler: Handler) -> Handler:
    """Install a signal handler, and return the one before; outside the main thread do nothing."""
    if threading.current_thread() is not threading.main_thread() or handler is None:
        return None
    return signal.signal(number, handler)


def exit_at_once(number: int, frame: FrameType | None) -> None:
    """End the process immediately, with the signal's exit code."""
    os._exit(SIGNALS[number])


class Interrupts:
    """Records SIGINT and SIGTERM within this context; `check` raises them at safe points.

    So does the end of the context, unless by an error. Outside the main thread nothing is recorded.

    With several processes, signals are still recorded after an error: the launcher may send SIGTERM
    while the process prints its message.
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

    def check(self) -> None:
        """Raise `Interrupted` if a signal was received."""
        if self.code:
            raise Interrupted(self.code)
