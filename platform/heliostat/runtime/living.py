"""Whether a process still lives."""

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
        process = psutil.Process(pid)
        return runs(process) and bool(process.create_time() <= seen + _CLOCK_SECONDS)
    except psutil.NoSuchProcess:
        return False


def runs(process: psutil.Process) -> bool:
    """Whether a process runs: one that has ended, but was never asked for its status, does not.

    In a container whose first process asks for nobody's, such a one is there for ever.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
