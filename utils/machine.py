"""What a process takes of its machine: processor cores, and memory once it has it."""

import ctypes
import os
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(topology: Path = TOPOLOGY, quota: Path = QUOTA) -> int:
    """Count the physical cores that this process may run on, within a container's share of time.

    Two hardware threads of one core count once: matrix products gain nothing from the second.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed is None:
        return os.cpu_count() or 1
    siblings = set()
    for cpu in allowed:
        try:
            text = (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text()
        except OSError:
            text = str(cpu)
        siblings.add(text.strip())
    cores = len(siblings)
    try:
        time, period = quota.read_text().split()
        cores = min(cores, int(int(time) / int(period)))
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    return max(1, cores)


def keep_memory() -> None:
    """Have freed memory used again instead of given back, where the C library is glibc.

    A training step frees and takes over a gigabyte, and each page that the system has to hand out
    anew costs more than a pass over it.
    """
    mmap_threshold, trim_threshold = -3, -1  # names of mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another C library
        return
    mallopt(mmap_threshold, 1 << 26)
    mallopt(trim_threshold, (1 << 31) - 1)
