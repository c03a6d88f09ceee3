"""What waits to be saved while a disk or a storage refuses it: for how long, and until when."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from heliostat.training.storage_away import StorageAway

LIMIT_SECONDS = 3600.0

CHECKPOINT = "a checkpoint"
JOURNAL = "the journal"
MODEL = "the model"
UPLOAD = "a checkpoint in the job's storage"

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSING = (*_FULL, errno.EIO, errno.EROFS, errno.ESTALE)


class Unsaved:
    """One process's account of what waits to be saved. May be shared by threads.

    What waits is told once, when it is first refused, and once more when it is saved at last. The
    work goes on meanwhile, until something has waited for `limit` seconds.
    """

    def __init__(self, tell: Callable[..., None], limit: float = LIMIT_SECONDS) -> None:
        """Nothing waits yet. `tell(event, **fields)` writes an event to the journal."""
        self.limit = limit
        self._tell = tell
        self._since: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def begins(self, what: str, since: float | None = None) -> None:
        """Count from now on (or a monotonic time), unless it is counted already."""
        with self._lock:
            self._since.setdefault(what, time.monotonic() if since is None else since)

    def failed(self, what: str, reason: str) -> None:
        """Take note that it could not be saved, and will be tried again."""
        self.begins(what)
        with self._lock:
            first = what not in self._reasons
            self._reasons[what] = reason
        if first:
            self._say("unsaved", what=what, reason=reason, limit=self.limit)

    def because(self, what: str, reason: str) -> None:
        """Take note of why it waits, if it does; it was told already."""
        with self._lock:
            if what in self._since:
                self._reasons[what] = reason

    def saved(self, what: str, since: float | None = None) -> None:
        """Take note that it was saved; what came after it waits `since` then, if anything does."""
        with self._lock:
            began = self._since.pop(what, time.monotonic())
            failed = self._reasons.pop(what, None)
            if since is not None:
                self._since[what] = since
        if failed is not None:
            self._say("saved_again", what=what, seconds=round(time.monotonic() - began, 3))

    def left(self, what: str) -> float:
        """Return the seconds until the limit is reached; all of them where it does not wait."""
        now = time.monotonic()
        with self._lock:
            return self.limit - (now - self._since.get(what, now))

    def check(self) -> None:
        """Raise StorageAway where something has waited for too long."""
        for what in list(self._since):
            if self.left(what) <= 0:
                reason = self._reasons.get(what, "writing does not come to its end")
                raise StorageAway(f"{what} could not be saved for {_words(self.limit)}: {reason}")

    def _say(self, event: str, **fields: object) -> None:
        with suppress(ValueError):  # the journal is closed: the work is at its end
            self._tell(event, **fields)


def persist(work: Callable[[], None], unsaved: Unsaved, what: str, place: Path) -> None:
    """Do what writes to `place`, again and again while that is full or refuses to be written.

    Raises StorageAway at the limit.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            with told_as_os_errors():
                work()
            break
        except OSError as error:
            if error.errno not in _REFUSING:
                raise
            unsaved.failed(what, why(error, place))
        unsaved.check()
        time.sleep(pause)
        pause = next_pause(pause)
    unsaved.saved(what)


def next_pause(pause: float = 0.0) -> float:
    """Return the seconds until the next try, given those before the last one."""
    return min(2 * pause, _LONGEST_PAUSE) or _FIRST_PAUSE


def why(error: OSError, place: Path) -> str:
    """Return in one line why `place` could not be written; of a full disk what is free on it."""
    if error.errno not in _FULL:
        return f"{place} cannot be written: {error.strerror or error}"
    if error.errno == errno.EDQUOT:
        return f"the disk quota is used up: {place}"
    free = ""
    with suppress(OSError):
        there = next(path for path in (place, *place.parents) if path.exists())
        free = f" ({shutil.disk_usage(there).free:,} bytes free)"
    return f"the disk is full: {place}{free}"


@contextmanager
def told_as_os_errors() -> Iterator[None]:
    """Raise what safetensors says of a file system as the OSError that it had from there."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _words(seconds: float) -> str:
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:g} minutes"
    return f"{seconds:g} s"
