"""The driver's side of the recorder: a process of its own that tells MLflow about the job.

It is a process because importing mlflow takes 4 s of a core that belong to the workers while
they start, because a server that hangs must not hang the job, and because it outlives a driver
that is killed and can say so in the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from heliostat.runtime.job import Job


class Recording:
    """Starts the recorder once, and waits for it at the job's end."""

    def __init__(self, job: Job, uri: str) -> None:
        """Record `job` at the tracking store `uri`; nothing is started yet."""
        self._job = job
        self._uri = uri
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def begun(self) -> bool:
        """Whether the recorder was started."""
        return self._process is not None

    def begin(self) -> None:
        """Start the recorder, if it was not started."""
        if self._process is None:
            log = self._job.folder / "logs" / "recorder.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "heliostat.runtime.recorder", str(self._job.folder)]
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*command, "--uri", self._uri, "--driver", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Ctrl-C in the terminal is for the driver; the recorder writes it down.
                    start_new_session=True,
                )

    def finish(self) -> dict[str, Any]:
        """Return what MLflow holds once the recorder has told it all: `run_id`, `model`…

        `complete` is missing where MLflow could not be reached in time; the journal keeps the
        rest for `helio sync`.
        """
        for _ in range(2):  # one that was killed is followed by another, which sends the rest
            self.begin()
            assert self._process is not None
            if self._process.wait() == 0:
                break
            self._process = None
        return self._job.recorded
