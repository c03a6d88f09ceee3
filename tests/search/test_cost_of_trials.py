"""The hundredth trial costs a search what the thousandth does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import heliostat.search
from heliostat.search.legs import Leg, Told
from simulated_search import drive, search_in, trained, tune_spec

ROOM = str(Path(heliostat.search.__file__).parent)


class Lines:
    """Counts the lines of the search room that run: each turn of a loop is one."""

    def __init__(self) -> None:
        self.count = 0

    def trace(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(ROOM):
            return None
        self.count += event == "line"
        return self.trace


@pytest.mark.parametrize(
    ("scheduler", "trials"), [("none", 2000), ("asha", 800), ("median", 800), ("hyperband", 800)]
)
def test_the_work_for_a_trial_does_not_grow_with_their_number(
    scheduler: str, trials: int, tmp_path: Path
) -> None:
    lines = Lines()
    at: dict[int, int] = {}

    def outcome(leg: Leg, before: int) -> Told:
        at.setdefault(leg.trial, lines.count)
        return trained(leg, before)

    search = search_in(tmp_path, tune_spec(scheduler=scheduler, trials=trials))
    before = sys.gettrace()
    sys.settrace(lines.trace)
    try:
        drive(search, outcome)
    finally:
        sys.settrace(before)
    quarter = trials // 4
    first = at[2 * quarter] - at[quarter]
    last = at[trials - 1] - at[trials - 1 - quarter]
    assert first > 10 * quarter
    assert last < 1.5 * first
