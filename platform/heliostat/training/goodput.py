"""Where a rank's seconds go: a stopwatch that is always in exactly one state.

The seconds of all states add up to those since it was started, whatever happens in between. They
are the processor's: on a GPU steps are queued, and nothing here waits for them, so that a wait
for the device counts where the loop meets it (in the step after, in a report of the loss, in the
copy of a checkpoint). In a world of several, a rank that waits in a step's collective for one
that waits for data or a checkpoint counts that as training: what is said of waits is what the
ranks did themselves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, TypeVar, get_args

from heliostat.training.journal import Record, read_all
from heliostat.training.reporter import PROGRESS
from heliostat.training.storage import read_json

State = Literal[
    "trained",  # steps that no attempt had done before
    "repeated",  # steps that an earlier attempt had done, since the checkpoint gone on from
    "started_up",  # from the process's first line to the end of its first step
    "waited_for_data",  # in training; in an evaluation it counts as that
    "waited_on_checkpoints",  # for the copy to memory, and for the one before to be written
    "evaluated",
    "stood_still",  # found in a hang: from the last sign of progress on
    "packaged",  # the model, the pictures and the fingerprints, at the end
]
STATES: tuple[State, ...] = get_args(State)

EVENT = "goodput"
"""The event in which a rank says now and then where its seconds went so far."""

T = TypeVar("T")


class Stopwatch:
    """Counts one rank's seconds by state; also says whether it still moves.

    A step has three changes of state, 1.2 µs together.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, began: float | None = None
    ) -> None:
        """Start in `started_up`; `clock` gives seconds, and `began` is a time of it."""
        self._clock = clock
        self._state: State = "started_up"
        self._since = clock() if began is None else began
        self._seconds = dict.fromkeys(STATES, 0.0)
        self._lock = threading.Lock()
        self._reached = 0
        self.step = 0
        """Optimizer steps done, those of earlier attempts included."""
        self.under_way = False
        """Whether the first step of this process is done."""
        self.moves = 0
        """Grows with every sign of progress: a step, a batch, a change of state."""

    @property
    def state(self) -> State:
        """What the rank does now."""
        return self._state

    def enter(self, state: State) -> State:
        """Be in `state` from now on; return what it was until now."""
        with self._lock:
            now = self._clock()
            before = self._state
            self._seconds[before] += now - self._since
            self._since, self._state = now, state
        self.moves += 1
        return before

    @contextmanager
    def during(self, state: State) -> Iterator[None]:
        """Be in `state` for the block, and then in what it was before."""
        before = self.enter(state)
        try:
            yield
        finally:
            self.enter(before)

    def move(self) -> None:
        """Say that the rank gets on with what it does."""
        self.moves += 1

    def stand_still(self, seconds: float) -> State:
        """Say that nothing has moved for these last seconds; return in which state that was.

        They were no training, whatever the loop was about; nor is what follows, up to its next
        word.
        """
        with self._lock:
            now = self._clock()
            before = self._state
            self._seconds[before] += now - self._since - seconds
            self._seconds["stood_still"] += seconds
            self._since, self._state = now, "stood_still"
        return before

    def seconds(self) -> dict[State, float]:
        """Return the seconds of each state by now; may be called from any thread."""
        with self._lock:
            seconds = dict(self._seconds)
            seconds[self._state] += self._clock() - self._since
        return seconds

    def goes_on_from(self, step: int, *, reached: int = 0) -> None:
        """Say that `step` steps stand done, and that earlier attempts had done `reached`."""
        self.step, self._reached = step, reached

    def batches(self, batches: Generator[T, None, None]) -> Iterator[T]:
        """Yield training's batches: the time in which there is none yet is a wait for data."""
        with closing(batches):
            while True:
                if self.under_way:
                    self.enter("waited_for_data")
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                finally:
                    self._work()
                yield batch

    def step_done(self, step: int) -> None:
        """Say that an optimizer step is done, the one that makes `step` in all."""
        self.step, self.under_way = step, True
        self._work()

    def _work(self) -> None:
        if self.under_way:
            self.enter("repeated" if self.step < self._reached else "trained")


def reached_before(folder: Path, attempt: int) -> int:
    """Return the optimizer steps that attempts before this one had done, as far as is known.

    What was done in an attempt's last half second, before it was killed, is known of nobody.
    """
    if attempt == 1:
        return 0
    steps = [
        int(record["step"])
        for record in read_all(folder / "journal")
        if record["attempt"] < attempt and _tells_step(record)
    ]
    progress = read_json(folder / PROGRESS) or {}
    return max([*steps, int(progress.get("step", 0))])


def _tells_step(record: Record) -> bool:
    # The step of a system metric is the job's age in seconds.
    is_metric = record["kind"] == "metric" and not record["name"].startswith("system/")
    return is_metric or record["name"] == EVENT
