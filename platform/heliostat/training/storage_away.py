"""A job's storage that cannot be used for a while: waited for, and said in one line."""

from __future__ import annotations

import time
from collections.abc import Callable

from heliostat.spec import InputError

PATIENCE_SECONDS = 60.0
"""How long a storage that is away is waited for where work cannot go on without it."""

AWAY = (InputError, OSError)
"""What a store raises where it cannot be used."""


class StorageAway(OSError):
    """The storage that a job's files are mirrored to cannot be used, and was waited for."""


def patiently(use: Callable[[], None], seconds: float = PATIENCE_SECONDS) -> None:
    """Do what needs a store, again and again where that is away; StorageAway after `seconds`."""
    until = time.monotonic() + seconds
    pause = 0.5
    while True:
        try:
            use()
            return
        except AWAY as error:
            if time.monotonic() + pause > until:
                raise StorageAway(
                    f"the job's storage could not be used for {seconds:g} s: {reason(error)}"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 8.0)


def reason(error: Exception) -> str:
    """Return in one line why a store could not be used."""
    told = error.problems[0].message if isinstance(error, InputError) else str(error)
    return " ".join(told.split())
