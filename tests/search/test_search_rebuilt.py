"""A search is rebuilt from any part of its ledger, and goes on as it would have."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from heliostat.search.ledger import read_records
from heliostat.search.legs import Failed, Leg, Told
from heliostat.spec.tune import TuneSpec
from simulated_search import drive, search_in, trained, tune_spec

SCHEDULERS: list[dict[str, Any]] = [
    {"name": "none"},
    {"name": "asha"},
    {"name": "median"},
    {"name": "hyperband"},
    {"name": "pbt", "every": 3},
]
CASES = [
    (scheduler, algorithm)
    for scheduler in SCHEDULERS
    for algorithm in ("random", "tpe")
    if (scheduler["name"], algorithm) != ("pbt", "tpe")
]


def some_fail(leg: Leg, before: int) -> Told | Failed:
    if leg.trial == 2 and leg.retry < 2:
        return Failed("worker_lost", "the worker of rank 0 is gone", worth_another=True)
    if leg.trial == 4:
        return Failed("diverged", "the loss is nan at step 31", worth_another=False)
    return trained(leg, before)


def essence(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a ledger but for their times, and but for restarts."""
    records, _ = read_records(folder / "ledger.jsonl")
    kept = [record for record in records if record["kind"] != "resumed"]
    return [{k: v for k, v in record.items() if k != "time"} for record in kept]


def cut(source: Path, folder: Path, lines: int) -> None:
    folder.mkdir()
    kept = (source / "ledger.jsonl").read_bytes().splitlines(keepends=True)[:lines]
    (folder / "ledger.jsonl").write_bytes(b"".join(kept))


@pytest.mark.parametrize(("scheduler", "algorithm"), CASES)
def test_a_search_cut_off_after_any_record_ends_as_the_whole_one(
    scheduler: dict[str, Any], algorithm: str, tmp_path: Path
) -> None:
    # 13: TPE has its 10 trials at random, and a few more
    spec = tune_spec(scheduler=scheduler, algorithm=algorithm, trials=13)
    whole = tmp_path / "whole"
    whole.mkdir()
    drive(search_in(whole, spec), some_fail)
    expected = essence(whole)
    for lines in range(1, len(expected)):
        folder = tmp_path / f"{lines}"
        cut(whole, folder, lines)
        drive(search_in(folder, spec), some_fail)
        assert essence(folder) == expected, lines


@pytest.mark.parametrize(("scheduler", "algorithm"), CASES)
def test_with_several_places_no_trial_is_lost_or_comes_twice(
    scheduler: dict[str, Any], algorithm: str, tmp_path: Path
) -> None:
    spec = tune_spec(scheduler=scheduler, algorithm=algorithm, trials=13, concurrent=3)
    whole = tmp_path / "whole"
    whole.mkdir()
    drive(search_in(whole, spec), some_fail, concurrent=3)
    count = len((whole / "ledger.jsonl").read_bytes().splitlines())
    for lines in range(1, count, 3):
        folder = tmp_path / f"{lines}"
        cut(whole, folder, lines)
        search = search_in(folder, spec)
        drive(search, some_fail, concurrent=3, seed=lines)
        assert sorted(search.trials) == list(range(13))
        kinds = Counter((r["kind"], r.get("trial")) for r in essence(folder))
        assert all(kinds["suggested", trial] == 1 for trial in range(13))
        assert all(kinds["ended", trial] == 1 for trial in range(13))
        assert search.trials[4].status == "FAILED"


def test_legs_that_ran_when_the_driver_was_killed_come_first_and_unchanged(tmp_path: Path) -> None:
    spec = tune_spec(scheduler="asha")
    search = search_in(tmp_path, spec)
    first, second = search.next(), search.next()
    assert first is not None
    assert second is not None
    search.told(first, trained(first, 0))
    third = search.next()
    again = search_in(tmp_path, spec)
    assert again.running == 0
    assert not again.done
    assert [again.next(), again.next()] == [second, third]
    assert again.running == 2


def test_asking_for_a_leg_where_none_is_free_writes_nothing(tmp_path: Path) -> None:
    search = search_in(tmp_path, tune_spec(scheduler="hyperband", trials=9))
    while search.next():
        pass
    size = (tmp_path / "ledger.jsonl").stat().st_size
    assert search.next() is None
    assert not search.done
    assert (tmp_path / "ledger.jsonl").stat().st_size == size


def test_a_search_that_is_through_stays_as_it_is(tmp_path: Path) -> None:
    spec = tune_spec(scheduler="asha")
    drive(search_in(tmp_path, spec))
    before = (tmp_path / "ledger.jsonl").read_bytes()
    search = search_in(tmp_path, spec)
    assert search.done
    assert search.next() is None
    assert (tmp_path / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize(("scheduler", "algorithm"), CASES)
def test_more_trials_on_a_resume_go_on_from_what_is_there(
    scheduler: dict[str, Any], algorithm: str, tmp_path: Path
) -> None:
    def spec(trials: int) -> TuneSpec:
        return tune_spec(scheduler=scheduler, algorithm=algorithm, trials=trials)

    drive(search_in(tmp_path, spec(7)))
    suggested = [r["values"] for r in essence(tmp_path) if r["kind"] == "suggested"]
    search = search_in(tmp_path, spec(16))
    assert not search.done
    drive(search)
    assert sorted(search.trials) == list(range(16))
    again = [r["values"] for r in essence(tmp_path) if r["kind"] == "suggested"]
    assert again[:7] == suggested
    assert json.dumps(again).count("lr") == 16
    rebuilt = search_in(tmp_path, spec(16))
    assert rebuilt.done
    assert dict(rebuilt.trials) == dict(search.trials)
