"""Locks between processes; the system releases them when a process ends, however it ends."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


def lock(descriptor: int) -> None:
    """Wait for the lock on an open file, held until it is closed.

    A file system without locks is used without.
    """
    with _without_locks():
        lock_descriptor(descriptor, poll_interval=0.005)


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file `path`, which exists only while it is held.

    A file system without locks is used without.

    Yields:
        False where another process holds it and this one does not `wait`.
    """
    # no soft lock instead: the one of a killed process would hold others up
    file_lock = FileLock(path, blocking=wait, fallback_to_soft=False)
    try:
        with _without_locks():
            file_lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        # filelock leaves the file. Removed while held, it misleads nobody: who then locks the
        # removed file is told so by its link count, and filelock tries again
        with contextlib.suppress(OSError):  # Windows removes no open file; filelock does there
            path.unlink()
        file_lock.release()


@contextlib.contextmanager
def _without_locks() -> Iterator[None]:
    """Ignore that a file system has no locks."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
