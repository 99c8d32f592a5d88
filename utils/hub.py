"""Requests to the Hugging Face hub in bounded time; its libraries' own retries take a minute."""

import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

HUB_TIMEOUT = 6  # seconds, of a request


def within(seconds: float, request: Callable[[], T]) -> T:
    """Call `request` in a thread, since looking up a host name has no timeout.

    Raises:
        TimeoutError: there is no answer within `seconds`. Errors of `request` pass.
    """
    answer: list[T] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answer.append(request())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answer:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answer[0]


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids requests."""
    return os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")
