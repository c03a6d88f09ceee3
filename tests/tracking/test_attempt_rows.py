"""What a journal tells of a job's attempts."""

from __future__ import annotations

from typing import Any

from heliostat.tracking.attempt_rows import AttemptRows


def event(name: str, attempt: int, time: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "event", "name": name, "attempt": attempt, "time": time, **fields}


def loss(attempt: int, step: int, name: str = "train/loss") -> dict[str, Any]:
    return {"kind": "metric", "name": name, "attempt": attempt, "step": step, "time": step}


KILLED = [
    event("attempt_launched", 1, 1000, workers=1),
    event("attempt_started", 1, 1500, world_size=2),
    event("first_step", 1, 1600, step=1),
    loss(1, 40),
    loss(1, 9999, name="system/rank_0/cpu_utilization_percentage"),
    event("attempt_closed", 1, 5000, why="worker_lost"),
]
MENDED = [
    event("attempt_launched", 2, 5001, workers=1),
    event("attempt_started", 2, 5500, world_size=2),
    event("restored", 2, 5600, step=30, checkpoint="step-30"),
    loss(2, 60),
    event("repeated", 2, 8000, steps=1, largest_difference=0.0),
    event("attempt_ended", 2, 8000, why="finished"),
]


def test_each_attempt_tells_whence_it_went_on_how_far_it_came_and_what_it_repeated() -> None:
    rows = AttemptRows()
    for _ in range(2):  # a record that comes again changes nothing
        rows.take([*KILLED, *MENDED])
    killed, mended = rows.rows()
    assert (killed.started, killed.ended, killed.workers) == (1000, 5000, 2)
    assert (killed.from_step, killed.checkpoint, killed.last_step) == (0, None, 40)
    assert (killed.why, killed.steps_repeated) == ("worker_lost", 0)
    assert (mended.from_step, mended.checkpoint, mended.last_step) == (30, "step-30", 60)
    assert (mended.why, mended.steps_repeated, mended.largest_difference) == ("finished", 10, 0.0)


def test_an_attempt_of_which_nobody_wrote_the_end_is_lost_once_another_begins_or_the_job_ends() -> (
    None
):
    rows = AttemptRows()
    rows.take(KILLED[:-1])
    assert [row.why for row in rows.rows()] == [None]
    assert [row.why for row in rows.rows(over=True)] == ["driver_lost"]
    rows.take(MENDED[:1])
    assert [(row.why, row.ended) for row in rows.rows()] == [("driver_lost", None), (None, None)]


def test_the_drivers_word_goes_before_that_of_the_rank_that_spoke_first() -> None:
    rows = AttemptRows()
    rows.take([event("attempt_ended", 1, 10, why="worker_lost")])
    rows.take([event("attempt_closed", 1, 20, why="out_of_memory")])
    (row,) = rows.rows()
    assert (row.why, row.ended) == ("out_of_memory", 20)
