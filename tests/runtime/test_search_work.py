"""Between a search and the processes that run its legs: folders, failures, room. No Ray."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from heliostat.runtime.capacity import trials_at_once
from heliostat.runtime.job import Job
from heliostat.runtime.search_work import SearchWork
from heliostat.search.ledger import Ledger
from heliostat.search.search import Search
from heliostat.spec import InputError, TuneSpec
from heliostat.training.storage import write_json
from simulated_search import tune_spec


def work_on(folder: Path, spec: TuneSpec) -> SearchWork:
    write_json(folder / "job.json", {"code": str(folder)})
    return SearchWork(Job("job", folder), spec, Search(spec, Ledger(folder / "ledger.jsonl")))


def finish_leg(work: SearchWork, leg: dict[str, Any], loss: float) -> None:
    """Leave in the trial's folder what a process leaves, and say that it is done."""
    folder = Path(leg["folder"])
    checkpoint = folder / "checkpoints" / "step-0000000090-a0001"
    checkpoint.mkdir(parents=True)
    write_json(checkpoint / "manifest.json", {"step": 90, "objective": loss, "files": {}})
    end = {"epoch": 9, "step": 90, "finished": True, "metrics": {"val/loss": loss}}
    write_json(folder / "leg.json", {**end, "objectives": [[9, loss]], "seconds": 1.0})
    work.ended(leg, None)


def run_to_the_end(work: SearchWork, losses: list[float]) -> list[dict[str, Any]]:
    """Run every leg, each with the next loss; return them."""
    legs = []
    while not work.search.done:
        leg = work.next()
        if isinstance(leg, dict):
            legs.append(leg)
            finish_leg(work, leg, losses[len(legs) - 1])
    return legs


def test_values_that_make_no_trial_are_a_failed_trial_and_the_search_goes_on(
    tmp_path: Path,
) -> None:
    # Both ends are even; what lies between them need not be.
    resources = {"resources": {"workers": 2}}
    spec = tune_spec(search={"batch_size": {"int": [62, 66]}}, train=resources, trials=8)
    work = work_on(tmp_path, spec)
    legs = run_to_the_end(work, [0.5] * 8)
    ends = [trial.status for trial in work.search.trials.values()]
    assert len(ends) == 8
    assert 0 < ends.count("FAILED") < 8
    assert ends.count("FINISHED") == len(legs)
    reasons = {t.reason for t in work.search.trials.values() if t.status == "FAILED"}
    assert all("is not divisible by 2 workers" in reason for reason in reasons)


def test_checkpoints_are_kept_of_the_best_trial_only_and_manifests_of_all(tmp_path: Path) -> None:
    work = work_on(tmp_path, tune_spec(trials=4))
    run_to_the_end(work, [0.5, 0.3, 0.4, 0.6])
    kept = {path.parts[-4] for path in tmp_path.glob("trials/*/checkpoints/*/manifest.json")}
    manifests = {path.parts[-3] for path in tmp_path.glob("trials/*/manifests/*.json")}
    # The last trial ends the search, and what ends with it may yet be wanted.
    assert kept == {"0001", "0003"}
    assert manifests == {"0000", "0002"}


def test_a_process_that_failed_before_it_had_a_journal_is_not_called_lost(tmp_path: Path) -> None:
    work = work_on(tmp_path, tune_spec(trials=1))
    leg = work.next()
    assert isinstance(leg, dict)
    work.ended(leg, {"lost": False, "message": "a GPU is asked for, and torch finds none here"})
    assert work.search.trials[0].status == "FAILED"
    assert "torch finds none" in work.search.trials[0].reason


def test_a_lost_process_is_followed_by_another_as_often_as_the_spec_says(tmp_path: Path) -> None:
    work = work_on(tmp_path, tune_spec(trials=1, train={"retries": {"failures": 2}}))
    for _ in range(3):
        leg = work.next()
        assert isinstance(leg, dict)
        work.ended(leg, {"lost": True, "message": "its actor is gone"})
    assert work.next() == "end"
    assert work.search.trials[0].status == "FAILED"


def test_nothing_is_believed_once_the_driver_leaves(tmp_path: Path) -> None:
    work = work_on(tmp_path, tune_spec(trials=2))
    leg = work.next()
    assert isinstance(leg, dict)
    work.close()
    work.ended(leg, {"lost": True, "message": "its actor is gone"})
    assert work.search.trials[0].status == "RUNNING"
    assert work.next() == "wait"


@pytest.mark.parametrize(
    ("resources", "have", "room"),
    [
        ({}, {"CPU": 4.0}, 4),
        ({"workers": 2}, {"CPU": 5.0}, 2),
        ({"gpus_per_worker": 1}, {"CPU": 8.0, "GPU": 2.0}, 2),
        ({"gpus_per_worker": 1}, {"CPU": 3.0, "GPU": math.inf}, 3),
    ],
)
def test_as_many_trials_run_at_a_time_as_there_is_room_for(
    resources: dict[str, Any], have: dict[str, float], room: int
) -> None:
    assert trials_at_once(tune_spec(train={"resources": resources}), have) == room


def test_more_at_a_time_than_fit_is_said_with_the_number_that_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="8 trials at a time are asked for, and 2 fit"):
        trials_at_once(tune_spec(concurrent=8), {"CPU": 2.0})
