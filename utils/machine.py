"""Processor cores and memory of the machine."""

import ctypes
import os
import platform
from pathlib import Path

TOPOLOGY = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
PROCESSORS = Path("/proc/cpuinfo")


def usable_cores(topology: Path = TOPOLOGY, quota: Path = QUOTA) -> int:
    """Count the physical cores that this process may use, within the CPU quota of a container.

    Hyper-threads of a core count once: a second one does not speed up matrix products.
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
        limit, period = quota.read_text().split()
        cores = min(cores, int(limit) // int(period))
    except (OSError, ValueError):  # not in a container, or no limit
        pass
    return max(1, cores)


def processor_name(processors: Path = PROCESSORS) -> str:
    """Name the processor; only its architecture where the system does not tell more."""
    try:
        lines = processors.read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def keep_memory() -> None:
    """Make glibc reuse freed memory instead of returning it to the system.

    A training step frees and allocates more than a gigabyte; page faults on fresh memory would slow
    it down.
    """
    mmap_threshold, trim_threshold = -3, -1  # from malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another C library
        return
    mallopt(mmap_threshold, 1 << 26)
    mallopt(trim_threshold, (1 << 31) - 1)
