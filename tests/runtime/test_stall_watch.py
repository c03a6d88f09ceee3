"""The driver that hears every rank, and ends an attempt that stands still."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from heliostat.runtime.job import Job
from heliostat.runtime.stall_watch import SILENT_SECONDS, StallWatch, end_process
from heliostat.training.journal import Journal
from heliostat.training.stalling import StalledError
from waiting import wait_until


class Ranks:
    """Two ranks that write into a job's journal, and a driver that hears them."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self._journals = [Journal(folder / "journal", attempt=1, rank=rank) for rank in (0, 1)]
        self.watch = StallWatch(Job("job", folder), 1, clock=lambda: self.now)
        self._journals[0].write("event", name="attempt_started", world_size=2)

    def say(self, rank: int, moves: int, *, final: bool = False) -> None:
        fields: dict[str, Any] = {"step": 5, "moves": moves, "seconds": {}, "final": final}
        self._journals[rank].write("event", name="goodput", **fields)

    def stall(self, rank: int, moves: int, state: str = "trained") -> None:
        place = {"where": "net.py:3 (forward)", "reader": "images.py:9 (read)", "stacks": ""}
        self._journals[rank].write(
            "event", name="stalled", limit="30 minutes", step=5, moves=moves, state=state, **place
        )

    def close(self) -> None:
        for journal in self._journals:
            journal.close()

    def check(self, seconds: float) -> None:
        self.now += seconds
        self.watch.check()


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    ranks = Ranks(tmp_path)
    yield ranks
    ranks.close()


def test_an_attempt_whose_ranks_all_stand_still_is_over(ranks: Ranks) -> None:
    ranks.say(0, 3)
    ranks.say(1, 3)
    ranks.stall(0, 3)
    ranks.check(2)
    ranks.stall(1, 3)
    with pytest.raises(StalledError) as found:
        ranks.check(2)
    assert str(found.value) == (
        "no progress for 30 minutes: rank 0 in step 6 at net.py:3 (forward);"
        " rank 1 in step 6 at net.py:3 (forward)"
    )


def test_a_rank_that_says_nothing_is_named(ranks: Ranks) -> None:
    ranks.say(1, 3)
    ranks.check(2)
    ranks.stall(0, 3)
    ranks.check(2)
    with pytest.raises(StalledError, match="rank 1 says nothing: it is stopped"):
        ranks.check(SILENT_SECONDS)


def test_a_rank_at_work_keeps_alive_those_that_wait_for_it(ranks: Ranks) -> None:
    ranks.stall(1, 3)
    for moves in range(10):
        ranks.say(0, moves)
        ranks.check(SILENT_SECONDS / 2)


def test_a_rank_that_moves_again_no_longer_stands_still(ranks: Ranks) -> None:
    ranks.stall(0, 3)
    ranks.say(0, 3)
    ranks.say(1, 3)
    ranks.check(2)
    ranks.say(0, 4)
    ranks.stall(1, 3)
    ranks.check(2)


def test_a_rank_that_has_ended_is_not_waited_for(ranks: Ranks) -> None:
    ranks.say(0, 3, final=True)
    ranks.stall(1, 3)
    with pytest.raises(StalledError, match="minutes: rank 1 in step 6 at"):
        ranks.check(2)


def test_where_all_ranks_wait_for_data_that_is_said(ranks: Ranks) -> None:
    ranks.stall(0, 3, "waited_for_data")
    ranks.stall(1, 3, "waited_for_data")
    with pytest.raises(StalledError, match="all ranks wait for data; .*images.py:9"):
        ranks.check(2)


def test_a_stopped_process_is_ended_and_one_that_took_its_number_is_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    started = int(time.time() * 1000) + 1000
    process.send_signal(signal.SIGSTOP)
    there = psutil.Process(process.pid)
    wait_until(lambda: there.status() == psutil.STATUS_STOPPED, 60, there.status)
    end_process(process.pid, alive_at=started - 3_600_000)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    end_process(process.pid, alive_at=started)
    assert not psutil.pid_exists(process.pid)
    end_process(process.pid, alive_at=started)
    process.wait(30)
