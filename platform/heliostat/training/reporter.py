"""The one way out of training: metrics, pictures, events and progress, into the job's folder."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from heliostat.training.fence import Fence
from heliostat.training.journal import SEGMENT_BYTES, Journal, metric_values, read_all
from heliostat.training.storage import write_hint
from heliostat.training.unsaved import JOURNAL, Unsaved, next_pause, why

PROGRESS = "progress.json"
PROGRESS_SECONDS = 0.5


class Reporter:
    """Writes what one rank has to say, and each (metric, step) of a job once.

    After a restart the steps since the checkpoint are run again. Their metrics are compared
    with what the journal holds and not recorded a second time.
    """

    def __init__(
        self, folder: Path, *, attempt: int, rank: int = 0, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Open the journal of `rank` in the job folder `folder`."""
        self._folder = folder
        self._recorded: Mapping[str, dict[int, float]] = {}
        self._repeated_steps: set[int] = set()
        self._largest_difference = 0.0
        self._progress_due = 0.0
        self.unsaved = Unsaved(self.event)
        """What of this process waits to be saved, checkpoints too, and until when."""
        self.fence = Fence(folder / "journal", attempt)
        """What ends this attempt once a later one has begun."""
        self._journal = Journal(
            folder / "journal",
            attempt=attempt,
            rank=rank,
            segment_bytes=segment_bytes,
            refused=self._waits,
            accepted=partial(self.unsaved.saved, JOURNAL),
        )

    def goes_on_from(self, step: int) -> None:
        """Say that training goes on after `step`: what is recorded from there on is known.

        `step` itself is among it: a test evaluation stands at the last step, after its checkpoint.
        """
        self._recorded = metric_values(read_all(self._folder / "journal"), after=step - 1)

    def metrics(self, values: Mapping[str, float], *, step: int, reproducible: bool = True) -> None:
        """Record metrics at a step, each by its full name (`val/accuracy`).

        Those measured with a clock are not `reproducible`: a repeat says nothing about them.
        Raises Superseded where a later attempt has begun, StorageAway where something has waited
        for too long to be saved.
        """
        self.fence.check()
        self.unsaved.check()
        for name, value in values.items():
            earlier = self._recorded.get(name, {}).get(step)
            if earlier is None:
                self._journal.write("metric", name=name, step=step, value=float(value))
            elif reproducible:
                self._compare(step, earlier, float(value))

    def picture(self, name: str, image: Image.Image, *, step: int) -> None:
        """Store a picture as PNG in the job's folder and record where it is."""
        path = Path("pictures") / f"{name}-{step:08d}.png"
        png = BytesIO()
        image.save(png, format="png")
        self._journal.write(
            "picture",
            file=(self._folder / path, png.getvalue()),
            name=name,
            step=step,
            path=path.as_posix(),
        )

    def event(self, name: str, **fields: Any) -> None:
        """Record that something happened once: a start, a restart, the first step, an end."""
        self._journal.write("event", name=name, **fields)

    def progress(self, **fields: Any) -> None:
        """Say how far training is, for whoever watches; at most twice a second is kept."""
        now = time.monotonic()
        if now >= self._progress_due:
            self._progress_due = now + PROGRESS_SECONDS
            with suppress(OSError):  # no work ends because nobody can be told how far it is
                write_hint(self._folder / PROGRESS, fields)

    def sync(self) -> None:
        """Return when everything recorded is on the disk."""
        self._journal.sync()

    def close(self) -> None:
        """Say what was repeated, and close the journal.

        Waits for a disk that does not take all of it. Raises StorageAway where that takes too long.
        """
        if self._journal.closed:
            return
        if self._repeated_steps:
            self.event(
                "repeated",
                steps=len(self._repeated_steps),
                largest_difference=self._largest_difference,
            )
            self._repeated_steps = set()
        pause = 0.0
        self._journal.close()
        while not self._journal.closed:
            self.unsaved.check()
            time.sleep(pause := next_pause(pause))
            self._journal.close()

    def _waits(self, error: OSError) -> None:
        self.unsaved.failed(JOURNAL, why(error, self._folder / "journal"))

    def _compare(self, step: int, earlier: float, value: float) -> None:
        self._repeated_steps.add(step)
        difference = abs(earlier - value)
        if math.isnan(difference):
            difference = 0.0 if math.isnan(earlier) and math.isnan(value) else math.inf
        self._largest_difference = max(self._largest_difference, difference)
