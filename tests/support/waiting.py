"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    true: Callable[[], object], seconds: float, what: Callable[[], object], *, every: float = 0.2
) -> None:
    """Return once `true()` is; AssertionError, with what `what()` says, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what()}"
        time.sleep(every)
