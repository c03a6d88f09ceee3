"""One attempt at a time: an attempt that wakes up after a later one has begun ends itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SECONDS = 0.5
"""Between two looks. A process that was stopped for longer looks before it writes a metric."""


class Superseded(RuntimeError):
    """A later attempt of the job has begun: what this one would write is no longer wanted."""


class Fence:
    """What an attempt may no longer pass once the journal of a later one is there."""

    def __init__(self, journal: Path, attempt: int) -> None:
        """Watch the folder `journal` for attempts later than `attempt`."""
        self._journal = journal
        self._attempt = attempt
        self._later: int | None = None
        self._due = 0.0

    def check(self) -> None:
        """Raise Superseded where a later attempt has begun; cheap, for every metric."""
        if self._later is not None or time.monotonic() >= self._due:
            self.check_now()

    def check_now(self) -> None:
        """Raise Superseded where a later attempt has begun by now."""
        with suppress(OSError):  # a folder that is away says nothing
            self.see(path.name for path in self._journal.iterdir())
        self._due = time.monotonic() + SECONDS
        if self._later is not None:
            raise Superseded(
                f"attempt {self._later} of this job has begun: attempt {self._attempt} ends"
            )

    def see(self, segments: Iterable[str]) -> None:
        """Look through names of journal segments, also those of another place."""
        later = latest_attempt(segments)
        if later > self._attempt:
            self._later = later


def latest_attempt(segments: Iterable[str]) -> int:
    """Return the largest number of an attempt among names of journal segments, 0 for none."""
    numbers = []
    for name in segments:
        number = name.rpartition("/")[2].partition("-")[0]
        if name.endswith(".jsonl") and number.isdigit():
            numbers.append(int(number))
    return max(numbers, default=0)
