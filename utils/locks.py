"""Locks between processes; the system releases those of a process that ends."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextlib.contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[bool]:
    """Lock the file `path`, which is removed afterwards; without effect on a file system without
    locks. Yields False if another process has the lock and this one does not `wait`."""
    # no soft lock: that of a killed process would stay
    file_lock = FileLock(path, blocking=wait, fallback_to_soft=False)
    try:
        file_lock.acquire(poll_interval=0.005)
    except Timeout:
        yield False
        return
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield True
    finally:
        # filelock leaves the file. Removing it while locked is safe: filelock checks the link count
        # of a file that it has locked, and tries again if it was removed
        with contextlib.suppress(OSError):  # on Windows filelock removes it
            path.unlink()
        file_lock.release()
