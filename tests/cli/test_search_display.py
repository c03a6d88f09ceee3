from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from heliostat.cli.live import LiveView
from heliostat.cli.plain import PlainDisplay
from heliostat.cli.search_view import search_view
from heliostat.cli.trials import most_telling, settings, short_keys, spark_line
from heliostat.runtime.events import Phase, SearchProgress, TrialLine


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def trial(number: int, value: float | None = None, status: str = "FINISHED", **more: Any):
    known: dict[str, Any] = {
        "epoch": 3,
        "epochs": 9,
        "rung": None,
        "curve": () if value is None else (value,),
        "values": {"optimizer.lr": 0.1 / (number + 1)},
    }
    return TrialLine(number, status, value=value, **{**known, **more})


def progress(*trials: TrialLine, goal: str = "maximize", **more: Any) -> SearchProgress:
    valued = [one for one in trials if one.value is not None]
    best = max(valued, key=lambda one: one.value, default=None)
    known: dict[str, Any] = {
        "ended": sum(one.status != "RUNNING" for one in trials),
        "total": 8,
        "best": best,
        "epochs": sum(one.epoch for one in trials),
        "seconds_left": 83.0,
    }
    return SearchProgress("val/accuracy", goal, trials, **{**known, **more})


def drawn(shown: SearchProgress, width: int = 100, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(search_view(shown, height))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_table_shows_the_best_the_running_and_then_the_rest_with_their_curves() -> None:
    rising = trial(2, 0.5, "RUNNING", curve=(0.1, 0.3, 0.5))
    lost = trial(3, None, "FAILED", epoch=0, note="out of memory\nTraceback…")
    lines = drawn(progress(trial(0, 0.4), trial(1, 0.9), rising, lost))

    assert lines[:2] == [
        "  maximize val/accuracy: 3/8 trials ended · 9 epochs · 1:23 left",
        "  best val/accuracy 0.9000 in trial 1 (lr=0.05)",
    ]
    assert [line.split() for line in lines[2:]] == [
        ["trial", "status", "epoch", "objective", "curve", "values", "note"],
        ["★", "1", "FINISHED", "3/9", "0.9000", "█", "lr=0.05"],
        ["2", "RUNNING", "3/9", "0.5000", "▁▃▅", "lr=0.0333"],
        ["0", "FINISHED", "3/9", "0.4000", "▄", "lr=0.1"],
        ["3", "FAILED", "0/9", "lr=0.025", "out", "of", "memory"],
    ]


def test_rungs_have_a_column_where_the_scheduler_has_rungs() -> None:
    lines = drawn(progress(trial(0, 0.4, rung=1), trial(1, 0.2, rung=0)))

    assert lines[2].split()[:4] == ["trial", "status", "rung", "epoch"]
    assert [line.split()[-5] for line in lines[3:]] == ["1", "0"]


@pytest.mark.parametrize(("height", "rows"), [(60, 20), (18, 10), (3, 1)])
def test_what_does_not_fit_is_counted(height: int, rows: int) -> None:
    lines = drawn(progress(*[trial(n, n / 100) for n in range(50)]), height=height)

    assert len(lines) == 3 + rows + 1
    assert lines[-1] == f"  … {50 - rows} more"
    assert lines[3].split()[:2] == ["★", "49"]


def test_a_narrow_terminal_cuts_values_and_notes_and_no_line_is_broken() -> None:
    values = {f"model.args.width_of_layer_{n}": 512 for n in range(9)}
    shown = progress(trial(0, 0.4, values=values, note="a clone of trial 7 at step 1200"))
    lines = drawn(shown, width=70)

    assert len(lines) == 4
    assert max(map(len, lines)) <= 70
    assert all("…" in line for line in (lines[1], lines[3]))


def test_before_the_first_trial_there_is_no_table() -> None:
    assert drawn(progress(total=None, seconds_left=None)) == [
        "  maximize val/accuracy: 0 trials ended · 0 epochs",
        "  no val/accuracy yet",
    ]


def test_of_a_loss_the_smallest_is_first_and_what_has_no_number_last() -> None:
    trials = [trial(0, math.nan), trial(1, 2.0), trial(2, 1.0), trial(3)]
    shown = most_telling(progress(*trials, goal="minimize", best=None), 9)

    assert [one.number for one in shown] == [2, 1, 0, 3]


def test_a_long_curve_keeps_its_newest_value_and_what_is_not_finite_is_a_gap() -> None:
    assert spark_line([*range(100)], 0, 99, width=8) == "▂▃▄▄▅▆▇█"
    assert spark_line([0.0, math.nan, 1.0], 0, 1) == "▁ █"
    assert spark_line([0.5, 0.5], 0.5, 0.5) == "▅▅"
    assert spark_line([], 0, 1) == ""


def test_keys_are_as_short_as_they_can_be_told_apart() -> None:
    names = short_keys(["optimizer.name", "schedule.name", "optimizer.lr", "seed"])

    assert names == {
        "optimizer.name": "optimizer.name",
        "schedule.name": "schedule.name",
        "optimizer.lr": "lr",
        "seed": "seed",
    }
    assert settings({"seed": 3, "optimizer.lr": 0.012345}, names) == "seed=3, lr=0.0123"


def test_without_a_terminal_a_trials_end_and_a_new_best_are_lines_five_seconds_apart() -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    display.show(Phase("searching"))
    states = [
        (0, progress()),
        (1, progress(trial(0, 0.5, "RUNNING"))),
        (2, progress(trial(0, 0.5))),
        (6, progress(trial(0, 0.5), epochs=4)),
        (20, progress(trial(0, 0.5), epochs=5)),
        (30, progress(trial(0, 0.5), trial(1, 0.7, "RUNNING"))),
    ]
    for second, state in states:
        clock.now = 100.0 + second
        display.show(state)
    display.close()

    first = "searching: 1/8 trials ended, 4 epochs, 1:23 left, best val/accuracy 0.5000 in trial 0"
    then = "searching: 1/8 trials ended, 6 epochs, 1:23 left, best val/accuracy 0.7000 in trial 1"
    assert stream.getvalue().splitlines() == [
        "[0:00] searching",
        "[0:00] searching: 0/8 trials ended, 0 epochs, 1:23 left, no val/accuracy yet",
        f"[0:06] {first} (lr=0.1)",
        f"[0:30] {then} (lr=0.05)",
    ]


def test_a_search_that_is_over_leaves_a_line_in_the_terminal() -> None:
    screen = Console(file=io.StringIO(), width=120, record=True, get_time=Clock())
    view = LiveView(screen)
    view.show(Phase("searching"))
    view.show(progress(trial(0, 0.5), seconds_left=None))
    screen.print(view.render())
    assert "★ 0" in screen.export_text()

    view.show(Phase("registering"))
    view.close()
    assert screen.export_text().splitlines() == [
        "1/8 trials ended, 3 epochs, best val/accuracy 0.5000 in trial 0 (lr=0.1)",
        "registering  0:00",
    ]
