"""How many processor cores this process may use."""

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
