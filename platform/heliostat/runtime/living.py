"""Whether a process that was written down still lives."""

from __future__ import annotations

import psutil

# psutil counts from the machine's clock, which may be set a little meanwhile.
_CLOCK_SECONDS = 2.0


def still_lives(pid: int, seen: float) -> bool:
    """Whether the process `pid` of this machine, which lived at `seen` (unix seconds), still does.

    After a restart of the machine, or of a container, another process soon has the same number.
    That one was made later.
    """
    try:
        return bool(psutil.Process(pid).create_time() <= seen + _CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return False
