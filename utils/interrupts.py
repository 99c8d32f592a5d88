"""Interruption by signals: the first is obeyed at a good moment, the second at once."""

import os
import signal
from types import FrameType, TracebackType

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interrupted(Exception):
    """A signal asked the run to stop. `code`: the exit code that says so."""

    def __init__(self, code: int):
        super().__init__(f"exit code {code}")
        self.code = code


class Interrupts:
    """Within this context SIGINT and SIGTERM are noted; `check` raises where stopping is fine."""

    def __init__(self):
        self.code = 0
        self._received = False

    def __enter__(self) -> "Interrupts":
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            os._exit(SIGNALS[number])
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
