"""Whether the kernel killed processes of this machine because its memory ran out.

A worker that it killed is gone by a SIGKILL like any other: only the kernel's count tells why.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/")


def kills(root: Path = _ROOT) -> int | None:
    """Return how many were killed for memory so far; None where the kernel does not say.

    Those of this process's control group, if it has one of its own, as in a container; else those
    of the whole machine. https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events)
    """
    group = _group(root)
    if group is not None:
        count = _count(root / "sys/fs/cgroup" / group / "memory.events")
        if count is not None:
            return count
    return _count(root / "proc/vmstat")


def _group(root: Path) -> str | None:
    """Return this process's control group, relative to the root of all; None: not version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), None)


def _count(file: Path) -> int | None:
    try:
        words = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return None
    return next((int(count) for name, count in words if name == "oom_kill"), None)
