"""Locks between processes, which the system releases when a process ends, however it ends."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)  # the last: Windows, after ten seconds
_BEYOND = 1 << 30  # Windows keeps others from reading what is locked: a byte behind every content


def lock(handle: int, wait: bool = True) -> bool:
    """Lock an open file until it is closed; where a file system knows no locks, do without.

    Args:
        handle: descriptor of a file opened for writing.
        wait: wait for the process that has it; else give up at once.

    Returns:
        False where another process has it.
    """
    while True:
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            else:
                os.lseek(handle, _BEYOND, os.SEEK_SET)
                msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in _TAKEN:
                return True
            if not wait:
                return False
        else:
            return True


@contextlib.contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file `path`, which is there as long as it is held.

    Yields:
        Whether it is: False where another process has it and this one does not `wait`.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        ours = lock(handle, wait)
        if not ours or _same_file(handle, path):
            break
        os.close(handle)  # who had it removed it in between
    try:
        yield ours
    finally:
        if ours:
            with contextlib.suppress(OSError):  # Windows removes no open file: it stays, unlocked
                path.unlink()
        os.close(handle)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
