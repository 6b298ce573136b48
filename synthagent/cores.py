"""How many cores this process may keep busy."""

import contextlib
import os
from pathlib import Path

_CPU = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Physical cores that this process may use: by affinity, without hyper-threads, within the container's quota."""
    ids = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    try:
        cores = len({(_CPU / f"cpu{i}/topology/thread_siblings_list").read_text() for i in ids})
    except OSError:
        cores = len(ids)
    with contextlib.suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text().split()
        if quota != "max":
            cores = min(cores, int(quota) // int(period))
    return max(1, cores)
