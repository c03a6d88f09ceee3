"""A machine's clock that is stepped back an hour once the file is there that CHAOS_CLOCK names.

For Python's own `time.time`, in every process that starts with this folder on PYTHONPATH.
"""

from __future__ import annotations

import os
import time

HOUR = 3600

_file = os.environ.get("CHAOS_CLOCK", "")
_seconds, _nanoseconds = time.time, time.time_ns


def _behind() -> int:
    return HOUR if os.path.exists(_file) else 0


if _file:
    time.time = lambda: _seconds() - _behind()
    time.time_ns = lambda: _nanoseconds() - _behind() * 1_000_000_000
