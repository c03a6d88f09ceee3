"""What a journal says became of a job's worker-seconds."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat.runtime.goodput import goodput_of


def event(name: str, attempt: int, second: float, rank: int | None = 0, **fields: Any) -> Any:
    place = {"attempt": attempt, "rank": rank, "time": int(1000 * second)}
    return {"kind": "event", "name": name, **place, **fields}


def seconds(attempt: int, rank: int, at: float, **spent: float) -> Any:
    return event("goodput", attempt, at, rank, step=1, moves=1, seconds=spent, final=False)


def attempt(number: int, start: float, end: float | None, driver: int = 7) -> list[Any]:
    records = [
        event("attempt_launched", number, start, None, workers=1, driver_pid=driver),
        event("attempt_started", number, start, world_size=2),
    ]
    if end is not None:
        records.append(event("attempt_closed", number, end, None, why="worker_lost"))
    return records


def test_what_no_rank_has_a_word_on_is_idle_and_all_adds_up() -> None:
    found = goodput_of(
        [
            *attempt(1, 0, 100),
            seconds(1, 0, 50, started_up=10, trained=30),
            seconds(1, 0, 90, started_up=10, trained=70),  # the last word counts
            seconds(1, 1, 80, started_up=15, trained=55, evaluated=5),
        ]
    )
    assert found is not None
    assert found.worker_seconds == pytest.approx(200)
    assert found.seconds["trained"] == 125
    assert found.seconds["idled"] == pytest.approx(200 - 125 - 25 - 5)
    assert found.share == pytest.approx(0.625)
    assert found.line() == (
        "goodput 62% of 200 worker-seconds: trained 125 s, started up 25 s, evaluated 5 s,"
        " idled 45 s"
    )


def test_the_pause_before_an_attempt_is_idle_and_the_time_without_a_driver_is_not() -> None:
    first = [*attempt(1, 0, 100), seconds(1, 0, 90, trained=100), seconds(1, 1, 90, trained=100)]
    same = goodput_of([*first, *attempt(2, 130, 150)])
    other = goodput_of([*first, *attempt(2, 130, 150, driver=8)])
    assert same is not None
    assert other is not None
    assert (same.worker_seconds, same.seconds["idled"]) == (300, 100)
    assert (other.worker_seconds, other.seconds["idled"]) == (240, 40)


def test_an_attempt_whose_driver_died_is_charged_up_to_the_last_word() -> None:
    found = goodput_of([*attempt(1, 0, None), seconds(1, 0, 60, trained=50)])
    assert found is not None
    assert (found.worker_seconds, found.seconds["idled"]) == (120, 70)


def test_the_shares_are_metrics_of_the_newest_attempt() -> None:
    found = goodput_of([*attempt(3, 0, 10), seconds(3, 0, 9, trained=5, repeated=5)])
    assert found is not None
    records = {record["name"]: record for record in found.records()}
    assert records["goodput/trained"]["value"] == 0.25
    assert records["goodput/worker_seconds"]["value"] == 20
    assert {(r["step"], r["time"]) for r in records.values()} == {(3, 10_000)}
    shares = sum(r["value"] for name, r in records.items() if name != "goodput/worker_seconds")
    assert shares == pytest.approx(1)


def test_a_job_whose_ranks_said_nothing_of_it_has_none() -> None:
    assert goodput_of(attempt(1, 0, 10)) is None
