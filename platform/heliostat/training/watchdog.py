"""A thread beside each rank that says where its seconds go, and finds out when it stands still.

It looks at the rank's stopwatch, which costs the loop nothing. When nothing has moved for as long
as the spec allows, the rank's stacks go to the journal and to its log; who ends the attempt is not
its business, for only the driver hears from every rank. A process that is stopped (SIGSTOP), or
in which no Python code runs, says nothing: the ranks that wait for it do.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from heliostat.spec import Duration, Stall
from heliostat.training.context import Context
from heliostat.training.goodput import EVENT
from heliostat.training.stalling import STALLED, StandStill, describe

BEAT_SECONDS = 5.0
"""Between two words in the journal on where the seconds go."""

_LOOK_SECONDS = 1.0
_FOREIGN = ("site-packages", "/python3", "<frozen ")
_DEBUGGERS = ("/pdb.py", "/bdb.py", "/pydevd.py", "/pydevd_bundle/")


@contextmanager
def watched(context: Context, stall: Stall) -> Iterator[None]:
    """Watch the rank in this thread for the block; its last word on its seconds is of the end.

    Where it stands still, `context.end_stalled` is called with what is to be said of it.
    """
    over = threading.Event()
    watchdog = _Watchdog(context, stall, threading.get_ident())
    thread = threading.Thread(target=watchdog.watch, args=(over,), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        tell_seconds(context, final=True)


def tell_seconds(context: Context, *, final: bool = False) -> None:
    """Write where the rank's seconds went by now; `final`: there will be no more of them."""
    watch = context.stopwatch
    seconds = {state: round(spent, 4) for state, spent in watch.seconds().items()}
    context.reporter.event(EVENT, step=watch.step, moves=watch.moves, seconds=seconds, final=final)


class _Watchdog:
    def __init__(self, context: Context, stall: Stall, watched: int) -> None:
        self._context = context
        self._still = StandStill(context.stopwatch, stall)
        self._watched = watched
        self._barked = False

    def watch(self, over: threading.Event) -> None:
        last = beaten = time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            limit = self._still.look(min(now - last, 2 * _LOOK_SECONDS))
            last = now
            if limit is None:
                self._barked = False
            elif not self._barked and not self._is_debugged():
                self._barked = True
                self._bark(limit)
            if now - beaten >= BEAT_SECONDS:
                beaten = now
                tell_seconds(self._context)

    def _is_debugged(self) -> bool:
        """Whether a person looks at the rank in a debugger, and it waits for them."""
        frame = sys._current_frames().get(self._watched)
        names = [f.filename for f in traceback.extract_stack(frame)] if frame else []
        return any(sign in name for name in names for sign in _DEBUGGERS)

    def _bark(self, limit: Duration) -> None:
        watch, frames = self._context.stopwatch, sys._current_frames()
        state = watch.stand_still(self._still.seconds)
        stacks = stacks_of(frames, self._watched)
        fields: dict[str, Any] = {
            "limit": str(limit),
            "moves": watch.moves,
            "step": watch.step,
            "state": state,
            "where": _where(frames.get(self._watched)),
            "reader": _where(_reader(frames)),
            "stacks": stacks,
        }
        self._context.reporter.event(STALLED, **fields)
        sys.stderr.write(f"no progress for {limit}; the threads stand at:\n{stacks}")
        sys.stderr.flush()
        if self._context.end_stalled is not None:
            where = describe(fields | {"rank": self._context.rank})
            self._context.end_stalled(f"no progress for {limit}: {where}")


def stacks_of(frames: dict[int, FrameType], first: int) -> str:
    """Return the stacks of all threads but the caller's, that of the thread `first` first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    order = sorted(frames.keys() - {threading.get_ident()}, key=lambda ident: ident != first)
    parts = []
    for ident in order:
        parts.append(f"thread {names.get(ident, ident)}:\n")
        parts += traceback.format_stack(frames[ident])
    return "".join(parts)


def _reader(frames: dict[int, FrameType]) -> FrameType | None:
    idents = [t.ident for t in threading.enumerate() if t.name == "heliostat-prefetch"]
    return next((frames[ident] for ident in idents if ident in frames), None)


def _where(frame: FrameType | None) -> str | None:
    """Return the innermost place that is neither Python's own nor a package's: `model.py:12`."""
    if frame is None:
        return None
    summary = traceback.extract_stack(frame)
    own = [f for f in summary if not any(sign in f.filename for sign in _FOREIGN)]
    place = (own or list(summary))[-1]
    return f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno} ({place.name})"
