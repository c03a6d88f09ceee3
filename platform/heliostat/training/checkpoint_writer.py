"""The thread beside training that writes checkpoints, and tries again where it cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from heliostat.training.priorities import come_after_training
from heliostat.training.storage_away import StorageAway
from heliostat.training.unsaved import CHECKPOINT, Unsaved, next_pause, told_as_os_errors, why


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A state in memory, on its way to become a checkpoint."""

    step: int
    weights: dict[str, Tensor]
    tensors: dict[str, Tensor]
    """Those of the state beside the weights."""
    rest: Any
    objective: float | None
    taken: float = field(default_factory=time.monotonic)


class Writer:
    """Writes one snapshot at a time, from a thread that is there while there is work.

    A snapshot that waits, because the one before is being written or was refused, gives way to a
    newer one; the best so far does not. So at most two wait, and usually none.
    """

    def __init__(
        self,
        write: Callable[[Snapshot], None],
        place: Path,
        unsaved: Unsaved,
        *,
        keeps_best: bool,
        maximize: bool,
    ) -> None:
        """`write` makes a checkpoint below `place`, and leaves nothing where it raises."""
        self._write = write
        self._place = place
        self._unsaved = unsaved
        self._keeps_best = keeps_best
        self._sign = 1.0 if maximize else -1.0
        self._waiting: list[Snapshot] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._abandoned = False

    def check(self) -> None:
        """Raise what ended the writing, or StorageAway where it has failed for too long."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        try:
            self._unsaved.check()
        except StorageAway:
            self._give_up()
            raise

    def hand_over(self, snapshot: Snapshot) -> None:
        """Have a snapshot written; returns at once."""
        self._unsaved.begins(CHECKPOINT)
        with self._changed:
            best = self._best_of([*self._waiting, snapshot])
            self._waiting = [each for each in self._waiting if each is best]
            self._waiting.append(snapshot)
            self._abandoned = False
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoint")
                self._thread.start()

    def wait(self) -> None:
        """Return when nothing waits any more; raise what `check` does."""
        while self._thread is not None and self._error is None:
            self.check()
            with self._changed:
                self._changed.wait(0.2)
        self.check()

    def abandon(self) -> None:
        """Return when what waits is written; what is refused is given up at once."""
        thread = self._thread
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _give_up(self) -> None:
        with self._changed:
            self._abandoned = True
            self._waiting.clear()
            self._changed.notify_all()

    def _best_of(self, snapshots: list[Snapshot]) -> Snapshot | None:
        """Return the best by objective, the earliest of equals; None where none is to be kept."""
        rated = [(self._sign * s.objective, s) for s in snapshots if s.objective is not None]
        if not self._keeps_best or not rated:
            return None
        return max(rated, key=lambda entry: entry[0])[1]

    def _run(self) -> None:
        come_after_training()
        pause = 0.0
        while (snapshot := self._next()) is not None:
            try:
                with told_as_os_errors():
                    self._write(snapshot)
            except OSError as error:
                self._unsaved.failed(CHECKPOINT, why(error, self._place))
                if self._abandoned:
                    self._give_up()
                pause = next_pause(pause)
                self._rest(pause)
            except BaseException as error:
                self._end(error)
                return
            else:
                pause = 0.0
                self._done(snapshot)

    def _next(self) -> Snapshot | None:
        with self._changed:
            if self._waiting:
                return self._waiting[0]
            self._thread = None
            self._changed.notify_all()
            return None

    def _done(self, snapshot: Snapshot) -> None:
        with self._changed:
            self._waiting = [each for each in self._waiting if each is not snapshot]
            since = min((each.taken for each in self._waiting), default=None)
        self._unsaved.saved(CHECKPOINT, since)

    def _end(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._waiting.clear()
            self._thread = None
            self._changed.notify_all()

    def _rest(self, pause: float) -> None:
        """Wait for the next try; a process whose main thread is at its end is not kept."""
        until = time.monotonic() + pause
        with self._changed:
            while not self._abandoned and time.monotonic() < until:
                if not threading.main_thread().is_alive():
                    self._waiting.clear()
                    return
                self._changed.wait(0.2)
