"""Processor cores, devices and memory of the machine."""

import ctypes
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def usable_cores() -> int:
    """Count the physical cores that this process may use, within the CPU quota of a container.

    Hyper-threads of a core count once: a second one does not speed up matrix products.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        siblings.add(topology.read_text().strip() if topology.exists() else str(cpu))
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(len(siblings), int(limit) // int(period)))
    except (OSError, ValueError):  # not in a container, or no limit
        return len(siblings)


def processor_name() -> str:
    """Name the processor, or its architecture if the system names no model."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def keep_memory() -> None:
    """Make glibc reuse freed memory instead of returning it to the system: a training step frees
    and allocates more than a gigabyte, and page faults on fresh memory are slow."""
    mmap_threshold, trim_threshold = -3, -1  # from malloc.h
    with suppress(OSError, TypeError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 1 << 26)
        mallopt(trim_threshold, (1 << 31) - 1)


def peak_memory(device: "torch.device") -> dict[str, float | None]:
    """Return peak memory in MB (10^6 bytes): resident memory of this process as `host`, None if the
    system does not tell; of the GPU's allocator as `device`, None on the CPU."""
    allocated = None
    if device.type == "cuda":
        import torch  # takes seconds

        allocated = torch.cuda.max_memory_allocated(device) / 1e6
    return {"host": _peak_host_memory(), "device": allocated}


def _peak_host_memory() -> float | None:
    # Linux; getrusage counts that of the process which started this one, too
    with suppress(OSError, IndexError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    with suppress(ImportError):  # Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return None
