"""The display where there is no terminal: a log file, CI, a job's output on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TextIO

from heliostat.cli.trials import state
from heliostat.cli.wording import details, duration, position
from heliostat.runtime.events import Event, Note, Phase, Progress, SearchProgress

SECONDS_BETWEEN_LINES = 5.0


class PlainDisplay:
    """Writes one line at a change of phase, one every 5 s of progress, and every note.

    Phases with progress take turns (training, evaluating, training…): such a phase has a line of
    its own the first time only, and its progress lines name it. Of a search, what is progress is a
    trial's end or a new best.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        """Write to `stream`; `clock` gives seconds, from which each line's time is counted."""
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._written_at: float | None = None
        self._phase = ""
        self._moving: set[str] = set()
        self._pending: str | None = None
        self._reached: object = None
        self._lock = Lock()

    def show(self, event: Event) -> None:
        """Show `event`, at once or when its time comes; may be called from any thread."""
        with self._lock:
            match event:
                case Phase(text):
                    self._enter(text)
                case Note(text):
                    self._write(text)
                case Progress():
                    self._advance(", ".join([position(event), *details(event)]))
                case SearchProgress():
                    self._search(event)

    def close(self) -> None:
        """Write the newest progress, if it still waits for its time."""
        with self._lock:
            self._write_pending()

    def _enter(self, phase: str) -> None:
        if phase != self._phase and phase not in self._moving:
            self._write_pending()
            self._written_at = None
            self._write(phase)
        self._phase = phase

    def _search(self, progress: SearchProgress) -> None:
        best = progress.best and (progress.best.number, progress.best.value)
        reached = (progress.ended, best)
        # What waits for its time to be written is told as it is by then.
        if reached != self._reached or self._pending is not None:
            self._reached = reached
            self._advance(state(progress))

    def _advance(self, figures: str) -> None:
        self._moving.add(self._phase)
        self._pending = f"{self._phase}: {figures}" if self._phase else figures
        now = self._clock()
        if self._written_at is None or now - self._written_at >= SECONDS_BETWEEN_LINES:
            self._written_at = now
            self._write_pending()

    def _write_pending(self) -> None:
        if self._pending is not None:
            self._write(self._pending)
            self._pending = None

    def _write(self, text: str) -> None:
        elapsed = duration(self._clock() - self._started)
        self._stream.write(f"[{elapsed}] {text}\n")
        self._stream.flush()
