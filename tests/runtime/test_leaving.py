"""A rank's process that gets a SIGTERM: what it says, what it goes on with, and when it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from heliostat.runtime.leaving import TOLD_TO_LEAVE
from heliostat.training.journal import events, read_all

# As in a worker: Ray's own handler stands when ours is set, in the main thread.
WORKER = """
    import os, signal, sys, time
    from pathlib import Path
    from heliostat.runtime.leaving import noticed, take_over_sigterm
    from heliostat.training.reporter import Reporter

    def rays(number, frame):
        os._exit(7)

    signal.signal(signal.SIGTERM, rays)
    take_over_sigterm()
    folder, grace, times, trains = Path(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:])
    reporter = Reporter(folder, attempt=1, rank=1)
    if trains:
        with noticed("group", reporter, node=None, grace=grace):
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGTERM)
            while not list(folder.glob("journal/*.jsonl"))[0].stat().st_size:
                time.sleep(0.01)
            if grace < 100:
                time.sleep(100)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(100)
"""


def worker(folder: Path, *, grace: float = 1000, times: int = 1, trains: bool = True) -> int:
    """Return the exit status of a worker that gets SIGTERM so many times while it trains, and
    once more afterwards."""
    arguments = [folder, grace, times, int(trains)]
    code = textwrap.dedent(WORKER)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], timeout=90, check=False
    )
    return done.returncode


def said(folder: Path) -> list[str]:
    return [event["by"] for event in events(read_all(folder / "journal"), TOLD_TO_LEAVE)]


def test_a_rank_that_trains_says_that_it_is_to_leave_and_trains_on(tmp_path: Path) -> None:
    assert worker(tmp_path) == 7  # by the one that came after training
    assert said(tmp_path) == ["SIGTERM"]


def test_a_rank_that_does_not_come_to_a_stop_in_the_time_for_it_is_ended(tmp_path: Path) -> None:
    assert worker(tmp_path, grace=0.1) == 128 + signal.SIGTERM
    assert said(tmp_path) == ["SIGTERM"]


def test_the_second_sigterm_does_what_ray_does_at_once(tmp_path: Path) -> None:
    assert worker(tmp_path, times=2) == 7
    assert not said(tmp_path)


def test_a_worker_that_does_not_train_ends_as_ray_has_it(tmp_path: Path) -> None:
    assert worker(tmp_path, trains=False) == 7
