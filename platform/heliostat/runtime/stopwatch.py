"""How long a search has run, over all its drivers: what a budget of minutes is of."""

from __future__ import annotations

import time
from pathlib import Path

from heliostat.training.storage import read_json, write_hint

_EVERY_SECONDS = 5.0


class Stopwatch:
    """Goes on from where the last one in this folder was."""

    def __init__(self, folder: Path) -> None:
        """Start."""
        self._file = folder / "seconds.json"
        self._before = float(read_json(self._file) or 0.0)
        self._began = self._noted = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds by now; noted down now and then."""
        now = time.monotonic()
        seconds = self._before + now - self._began
        if now - self._noted > _EVERY_SECONDS:
            self._noted = now
            write_hint(self._file, seconds)
        return seconds
