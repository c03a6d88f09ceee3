"""A rank that stands still, and the thread that finds out."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from heliostat.spec import Duration, Stall
from heliostat.training.context import Context
from heliostat.training.goodput import Stopwatch
from heliostat.training.journal import events, read_all
from heliostat.training.reporter import Reporter
from heliostat.training.stalling import StandStill, describe
from heliostat.training.watchdog import watched

LIMITS = Stall(after=Duration(30, "minute"), start_up=Duration(2, "hour"))


def test_the_start_may_take_longer_than_any_step_after_it() -> None:
    watch = Stopwatch()
    still = StandStill(watch, LIMITS)
    assert still.look(3600) is None
    assert still.look(3600) == Duration(2, "hour")
    watch.step_done(1)
    assert still.look(3600) is None  # it moved since the last look
    assert still.look(1700) is None
    assert still.look(100) == Duration(30, "minute")


def test_a_wait_for_a_checkpoint_is_no_stand_still() -> None:
    watch = Stopwatch()
    watch.step_done(1)
    still = StandStill(watch, LIMITS)
    with watch.during("waited_on_checkpoints"):
        assert still.look(9999) is None
        assert still.look(9999) is None
    assert still.look(1) is None
    assert still.look(9999) == Duration(30, "minute")


def test_without_a_limit_nothing_stands_still() -> None:
    still = StandStill(Stopwatch(), Stall(after=None, start_up=None))
    assert still.look(1e9) is None


def test_a_rank_that_stands_still_tells_its_stacks_and_the_line_names_the_place(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    said: list[str] = []

    def end(message: str) -> None:
        said.append(message)
        ended.set()

    context = Context(folder=tmp_path, reporter=Reporter(tmp_path, attempt=1), end_stalled=end)
    context.stopwatch.step_done(7)
    with watched(context, Stall(after=Duration(1, "second"))):
        assert ended.wait(60)
    context.reporter.close()
    records = read_all(tmp_path / "journal")
    (stalled,) = events(records, "stalled")
    assert "test_a_rank_that_stands_still" in stalled["stacks"]
    assert (stalled["step"], stalled["state"], stalled["limit"]) == (7, "trained", "1 second")
    assert said == [f"no progress for 1 second: {describe(stalled)}"]
    assert "rank 0 in step 8 at test_stalling.py:" in said[0]
    assert "ended.wait(60)" in capfd.readouterr().err
    (last,) = events(records, "goodput")
    assert last["final"]
    assert last["seconds"]["stood_still"] >= 1


def test_where_all_wait_for_data_the_line_names_the_reader() -> None:
    record = {
        "rank": 1,
        "step": 4,
        "state": "waited_for_data",
        "where": "prefetch.py:38 (prefetch)",
        "reader": "users_own.py:12 (__getitem__)",
    }
    line = "rank 1 waits for data, whose reader is at users_own.py:12 (__getitem__)"
    assert describe(record) == line
